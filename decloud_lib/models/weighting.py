"""Which pixels count in the loss: under cloud, clear, or not to be trusted in the target."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from keras import KerasTensor, ops

from decloud_lib.errors import ConfigError

HIDDEN = "s2_cld10m_t"
"""Mask of the date that is rebuilt; not 0 = cloud or shadow."""
TARGET_HIDDEN = "s2_cld10m_target"
"""Mask of the date that the network shall arrive at."""


@dataclass(frozen=True, slots=True)
class PixelWeights:
    """Weight of a pixel in the loss, by what covers it; all 1 is the plain mean."""

    hidden: float = 1.0
    """Under cloud in the date that is rebuilt."""
    clear: float = 1.0
    """Visible there."""
    clear_target_only: bool = False
    """Leave out pixels where the target itself is cloudy."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Keys of the samples that the weights depend on."""
        keys = (HIDDEN,) if (self.hidden, self.clear) != (1.0, 1.0) else ()
        return (*keys, TARGET_HIDDEN) if self.clear_target_only else keys

    def check(self, keys: Collection[str]) -> None:
        """Refuse weights that need masks which the samples lack.

        Raises
        ------
        ConfigError
            A mask is missing, or no pixel would count.
        """
        if not self.hidden and not self.clear:
            raise ConfigError("--hidden-weight and --clear-weight are both 0: no pixel would count")
        missing = [key for key in self.needed if key not in keys]
        if missing:
            raise ConfigError(
                f"the weights of the loss need {', '.join(missing)}, not held by the samples; "
                f"make them again with --with-cloud-masks"
            )

    def of(self, samples: Mapping[str, KerasTensor], shape: KerasTensor) -> KerasTensor | None:
        """Return the weights of the pixels of an output; None where all count alike.

        Parameters
        ----------
        samples
            Arrays by key, with the masks.
        shape
            Of the output, (N, H, W, C); masks at a finer resolution are brought to it.

        Returns
        -------
        (N, H, W, 1) float32.
        """
        if not self.needed:
            return None
        weights = 1.0
        if HIDDEN in self.needed:
            hidden = mask(samples[HIDDEN], shape)
            weights = hidden * self.hidden + (1.0 - hidden) * self.clear
        if self.clear_target_only:
            weights = weights * (1.0 - mask(samples[TARGET_HIDDEN], shape))
        return weights


def mask(stored: KerasTensor, like: KerasTensor) -> KerasTensor:
    """Return a stored mask at the resolution of an image, (N, H, W, 1) float32, 1 = hidden.

    A pixel of half the resolution is hidden when any of the four below it is.
    """
    found = ops.cast(ops.not_equal(stored, 0), "float32")
    factor = stored.shape[1] // like.shape[1] if like.shape[1] and stored.shape[1] else 1
    return ops.max_pool(found, factor) if factor > 1 else found


def weighted_mean(error: KerasTensor, weights: KerasTensor | None) -> KerasTensor:
    """Return the mean over the pixels and bands of each image, (N,); 0 where nothing counts.

    Parameters
    ----------
    error
        (N, H, W, C).
    weights
        (N, H, W, 1), or None.
    """
    if weights is None:
        return ops.mean(error, axis=(1, 2, 3))
    per_pixel = ops.mean(error, axis=-1, keepdims=True)
    total = ops.sum(weights, axis=(1, 2, 3))
    return ops.divide_no_nan(ops.sum(per_pixel * weights, axis=(1, 2, 3)), total)
