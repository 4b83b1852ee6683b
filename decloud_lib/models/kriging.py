"""Kriging: the change of a date against linear interpolation, carried over to its hidden pixels.

Where the date is visible, its difference from linear interpolation is known. It is alike at pixels
that look and changed alike in the other dates, and more so nearby. Gaussian process regression
(Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006) predicts it at the hidden
pixels. Its kernel is the sum of three parts: a linear one of the features (ridge regression), one
of the distance of the features (alike fields), and this times one of the distance on the ground
(the same field). One fit of all three beats kriging of what a ridge regression leaves over: less
is asked of the linear part.

Its cost is held down by landmarks: the estimate is a sum of the kernel functions of every fourth
pixel (subset of regressors, chapter 8.3.1 there). Windows are cut into overlapping blocks that fade
into each other, so that the cost grows with the area, and there is no seam.

Haze and shadow that the mask missed would be carried over too, and much of what can be carried over
lies on the rim of the gap. So the rim counts only as far as it looks clean: haze and shadow change
the mean of a whole ring of pixels around the gap, which fields do not.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import keras
from keras import KerasTensor, ops

from decloud_lib.arrays.fitting import RIM_PX
from decloud_lib.arrays.temporal import RADIUS_PX
from decloud_lib.models.cutting import Cut
from decloud_lib.models.fitted import OPTICAL_KEYS, RADAR_KEYS, Fitted
from decloud_lib.models.normalise import make_inputs
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

KEYS = (*OPTICAL_KEYS, *RADAR_KEYS)
TARGET = "s2_t"

SMALL, LARGE = Cut(64, 32, 4), Cut(128, 32, 8)
"""For samples, which are one block, and for all larger images: on synthetic scenes of 4 km, half
hidden, large blocks are 0.2 to 1.5 dB better than small ones and take two thirds of the time."""
ALIKE, ALIKE_NEARBY, NOISE = 0.4, 0.4, 1.0
"""Variances of the parts of the kernel and of what nothing tells, in squared units: the unit is the
error of the ridge regression."""
REACH_PX = 12.0
"""Distance over which fields that look alike change alike."""
_FLOOR = 0.003
"""Smallest unit, reflectance: about the noise of the sensor."""
_PRIOR_PX = 64.0
_PRIOR = 0.2
"""Error that is expected where little is visible, as a share of the change between the dates around
it; counts as much as `_PRIOR_PX` visible pixels."""
_FEW_PX = 20.0
_LARGEST = 6.0
_WEIGHT = 4
"""Channel of the advice that changes the weight of a pixel."""
_TILT, _LOST = 0.25, 0.08
"""What makes the rim count half: mean error of its rings, in units, and share of its pixels that
are not trusted. On the real series, means are 0.05 to 0.2 where the rim is clean and 0.25 to 0.8
where it is not."""
_RIM_DOUBT = 0.95
_VISIBLE_LIGHT = 3
_JITTER = 1e-3
_PARTS = ("features", "change", "trend", "seen", "trusted", "shown")
_STRENGTHS = (0.05, 100.0)
"""Smallest and largest variance of the linear part, in units of what is left over."""


class Kriging(keras.layers.Layer):  # type: ignore[misc]
    """Gaussian process regression of the difference from linear interpolation; no weights.

    A network may advise it: with learned features beside the given ones, and with the strength and
    reach of the parts of the kernel. Advice of zeros changes nothing.
    """

    def __init__(self) -> None:
        super().__init__(name="kriging", autocast=False)

    def call(
        self, known: dict[str, KerasTensor], advice: KerasTensor | None = None
    ) -> dict[str, KerasTensor]:
        """Estimate the difference from linear interpolation at every pixel.

        Parameters
        ----------
        known
            By name:

            * `features`: (N, H, W, F), known at every pixel, of any unit;
            * `change`: (N, H, W, B) between the dates before and after, reflectance: how large an
              error may be;
            * `trend`: (N, H, W, B) a first fit of the difference, reflectance;
            * `seen`: (N, H, W, B) the difference less the first fit; 0 where not trusted;
            * `trusted`, `shown`: (N, H, W, 1) float32, 1 where the date may be learned from, and
              where it is not masked.
        advice : (N, H, W, 5 + E), optional
            Logarithms by which the variances `ALIKE` and `ALIKE_NEARBY`, the distance `REACH_PX`,
            how unlike features are, and the weight of each pixel are changed: of the former four
            the means of a block count; and E features.

        Returns
        -------
        `predicted`: (N, H, W, B) reflectance, 0 where nothing is visible for a block around;
        `scale`: (N, H, W, B) the absolute error that is left to expect, reflectance; `unknown`:
        (N, H, W, 1), the share of the variance that stays unknown, 0-1; `weight`: (N, H, W, 1), how
        far the pixel was learned from: 0-1 without advice.
        """
        inside = ops.ones_like(known["trusted"])
        parts = [*(known[name] for name in _PARTS), inside, *([] if advice is None else [advice])]
        bands, advised = known["seen"].shape[-1], 0 if advice is None else advice.shape[-1]
        packed = ops.concatenate(parts, axis=-1)
        merged = _on_blocks(packed, (bands, advised))
        return {
            "predicted": merged[..., :bands],
            "scale": merged[..., bands : 2 * bands],
            "unknown": merged[..., -2:-1],
            "weight": merged[..., -1:],
        }

    def compute_output_spec(
        self, known: dict[str, KerasTensor], advice: KerasTensor | None = None
    ) -> dict[str, KerasTensor]:
        """Return the shapes of what `call` returns: sizes of images need not be known for them."""
        del advice
        bands, one = known["seen"].shape, known["trusted"].shape
        shapes = {"predicted": bands, "scale": bands, "unknown": one, "weight": one}
        return {key: KerasTensor(shape, dtype="float32") for key, shape in shapes.items()}


def _on_blocks(packed: KerasTensor, sizes: tuple[int, int]) -> KerasTensor:
    """Return (N, H, W, 2 B + 2): what is found of an image, cut as its size asks for.

    Parameters
    ----------
    packed : (N, H, W, C)
        See `_block`.
    sizes
        Numbers of bands and of channels of advice.
    """

    def by(cut: Cut) -> Callable[[], KerasTensor]:
        def estimate() -> KerasTensor:
            away = cut.distances()  # once for all blocks
            return cut.over(packed, lambda block: _block(cut, block, away, sizes), 2 * sizes[0] + 2)

        return estimate

    height, width = ops.shape(packed)[1:3]
    if isinstance(height, int) and isinstance(width, int):
        return by(SMALL if max(height, width) <= SMALL.block_px else LARGE)()
    return ops.cond(ops.maximum(height, width) <= SMALL.block_px, by(SMALL), by(LARGE))


def _block(cut: Cut, packed: KerasTensor, away: KerasTensor, sizes: tuple[int, int]) -> KerasTensor:
    """Return (N, block, block, 2 B + 2) of a block, in the order of `Kriging.call`."""
    bands, advised = sizes
    width = packed.shape[-1] - 3 * bands - 3 - advised
    parts = (width, bands, bands, bands, 1, 1, 1, advised)
    features, change, trend, seen, trusted, shown, inside, advice = _split(packed, parts)
    expected = _PRIOR**2 * weighted_mean(ops.square(change), inside)
    unit, weights = trust(seen, trusted, shown, inside, expected)
    kernel, extra = _kernel_of(advice, inside)
    if advised:
        doubt = advice[..., _WEIGHT : _WEIGHT + 1]
        weights = weights * ops.exp(ops.clip(doubt, -3.0, 2.0))
    strengths = _strengths(trend / unit, weights)
    scaled = ops.concatenate([_standardised(features, inside), *extra], axis=-1)
    basis, prior = _basis(cut, scaled, away, kernel, strengths)
    weighted = ops.swapaxes(basis * ops.reshape(weights, (-1, cut.block_px**2, 1)), 1, 2)
    difference = ops.clip(seen / unit, -_LARGEST, _LARGEST) + trend / unit
    cross = ops.matmul(weighted, ops.reshape(difference, (-1, cut.block_px**2, bands)))
    system = ops.matmul(weighted, basis) + NOISE * ops.eye(basis.shape[-1])
    whitening = _whitening(system)
    half = ops.matmul(basis, ops.swapaxes(whitening, 1, 2))
    found = ops.matmul(half, ops.matmul(whitening, cross))
    variance = NOISE * ops.sum(ops.square(half), axis=-1)
    found = ops.reshape(found, (-1, cut.block_px, cut.block_px, bands)) * unit
    variance = ops.reshape(variance, (-1, cut.block_px, cut.block_px, 1))
    variance = ops.clip(variance, 0.0, prior)
    # A Laplace density of this scale has this variance.
    scale = unit * ops.sqrt((NOISE + variance) / 2.0)
    return ops.concatenate([found, scale, variance / prior, weights], axis=-1)


def _whitening(matrices: KerasTensor) -> KerasTensor:
    """Return (N, K, K) inverses of the Cholesky factors: products with them are faster than solving
    for each pixel, and as exact, because a factor is much better conditioned than its matrix.
    """
    roots = ops.linalg.cholesky(matrices)
    ones = ops.broadcast_to(ops.eye(matrices.shape[-1]), ops.shape(matrices))
    return ops.linalg.solve_triangular(roots, ones, lower=True)


def _kernel_of(advice: KerasTensor, inside: KerasTensor) -> tuple[KerasTensor, list[KerasTensor]]:
    """Return (N, 1, 4) variances, reach and sharpness of the kernel, and learned features."""
    constants = ops.convert_to_tensor([[[ALIKE, ALIKE_NEARBY, REACH_PX, 1.0]]], "float32")
    if not advice.shape[-1]:
        return constants, []
    logarithms = ops.clip(weighted_mean(advice[..., :_WEIGHT], inside)[:, 0], -2.0, 2.0)
    return constants * ops.exp(logarithms), [advice[..., _WEIGHT + 1 :]]


def _standardised(features: KerasTensor, inside: KerasTensor) -> KerasTensor:
    """Give features mean 0 and variance 1 over a block; all together weigh as much as one."""
    mean = weighted_mean(features, inside)
    spread = ops.sqrt(weighted_mean(ops.square(features - mean), inside) + 1e-8)
    return (features - mean) / spread / math.sqrt(features.shape[-1])


def _basis(
    cut: Cut, scaled: KerasTensor, away: KerasTensor, kernel: KerasTensor, strengths: KerasTensor
) -> tuple[KerasTensor, KerasTensor]:
    """Return what the estimate is a sum of; coefficients have variance 1 before anything is seen.

    Parameters
    ----------
    cut
        Of the image.
    scaled : (N, block, block, F)
        Features of about the same spread.
    away : (P, L)
        Distances of the cut.
    kernel : (N or 1, 1, 4)
        See `_kernel_of`.
    strengths : (N, 1, 2)
        Variance of the constant and of the linear part, in units of the rest.

    Returns
    -------
    (N, P, K) constant, features, and kernel functions of the landmarks at each pixel, made
    independent of each other and scaled; (N, block, block, 1) variance of the sum.
    """
    alike, nearby, reach, sharpness = (kernel[..., index : index + 1] for index in range(4))
    pixels = ops.reshape(scaled, (-1, cut.block_px**2, scaled.shape[-1]))
    landmarks = ops.take(pixels, cut.landmarks, axis=1)
    products = ops.matmul(pixels, ops.swapaxes(landmarks, 1, 2))
    squares = ops.sum(ops.square(pixels), axis=-1, keepdims=True)
    of_landmarks = ops.sum(ops.square(landmarks), axis=-1)[:, None]
    unlike = 0.5 * sharpness * ops.maximum(squares + of_landmarks - 2.0 * products, 0.0)
    similar = alike * ops.exp(-unlike) + nearby * ops.exp(-unlike - away / reach)
    between = ops.take(similar, cut.landmarks, axis=1)
    jitter = _JITTER * (alike + nearby) * ops.eye(cut.n_landmarks)
    similar = ops.matmul(similar, ops.swapaxes(_whitening(between + jitter), 1, 2))
    level, slopes = strengths[..., :1], strengths[..., 1:]
    linear = [ops.sqrt(level) * ops.ones_like(squares), ops.sqrt(slopes) * pixels]
    basis = ops.concatenate([*linear, similar], axis=-1)
    prior = alike + nearby + level + slopes * squares
    return basis, ops.reshape(prior, (-1, cut.block_px, cut.block_px, 1))


def _split(packed: KerasTensor, sizes: Sequence[int]) -> list[KerasTensor]:
    """Cut the channels into parts of these sizes."""
    ends = list(accumulate(sizes))
    return [packed[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _strengths(trend: KerasTensor, weights: KerasTensor) -> KerasTensor:
    """Return (N, 1, 2): how strong the constant and the linear part are, told by a first fit.

    A constant that is held back would be made up of the other parts, and be lost away from the
    visible pixels.
    """
    level = weighted_mean(trend, weights, _PRIOR_PX)
    slope = weighted_mean(ops.square(trend - level), weights, _PRIOR_PX)
    parts = [4.0 * ops.square(level) + _STRENGTHS[0], ops.clip(slope, *_STRENGTHS)]
    return ops.concatenate([ops.mean(part[:, 0], axis=-1, keepdims=True) for part in parts], -1)


def trust(
    seen: KerasTensor,
    trusted: KerasTensor,
    shown: KerasTensor,
    inside: KerasTensor,
    expected: KerasTensor,
) -> tuple[KerasTensor, KerasTensor]:
    """Return the unit of each block and band, and the weight of each pixel.

    Parameters
    ----------
    seen : (N, H, W, B)
        The date less its fit, reflectance.
    trusted, shown, inside : (N, H, W, 1) float32
        1 where the fit learned from the pixel, where it is not masked, and where there is an image.
    expected : (N, 1, 1, B)
        Mean square of `seen` where little is visible.

    Returns
    -------
    (N, 1, 1, B) root mean square of what is left over away from the gap, and (N, H, W, 1), 0-1.
    """
    gap = inside * (1.0 - shown)
    near = ops.max_pool(gap, 2 * RIM_PX + 1, 1, "same")
    # Among scattered clouds there is nothing but rim.
    sure = trusted * (1.0 - _RIM_DOUBT * near)
    unit = ops.sqrt(weighted_mean(ops.square(seen), sure, _PRIOR_PX, expected)) + _FLOOR
    light = ops.mean((seen / unit)[..., :_VISIBLE_LIGHT], axis=-1, keepdims=True)
    tilts, reached = [], gap
    for _ in range(RIM_PX):
        wider = ops.max_pool(reached, 3, 1, "same")
        tilts.append(ops.square(weighted_mean(light, (wider - reached) * trusted, _FEW_PX)))
        reached = wider
    tilt = ops.sqrt(sum(tilts[1:], tilts[0]) / RIM_PX)
    rim = near * shown * inside
    lost = 1.0 - weighted_mean(trusted, rim, _FEW_PX, 1.0)
    dirt = ops.power(tilt / _TILT + lost / _LOST, 6.0)
    return unit, trusted * (1.0 - near * dirt / (1.0 + dirt))


def krige(
    fitted: dict[str, KerasTensor], advice: KerasTensor | None = None
) -> dict[str, KerasTensor]:
    """Return what `Kriging` makes of the output of `fitted.Fitted`."""
    features, bands = fitted["features"][..., 1:], fitted["seen"].shape[-1]
    known = {
        "features": features,
        # They begin with the linear estimate and the differences of the four dates to it.
        "change": features[..., 3 * bands : 4 * bands] - features[..., bands : 2 * bands],
        "trend": (fitted["estimate"] - fitted["linear"]) * fitted["visible"],
        "seen": fitted["seen"],
        "trusted": fitted["visible"],
        "shown": fitted["shown"],
    }
    found: dict[str, KerasTensor] = Kriging()(known, advice)
    return found


def kriged(spec: ModelSpec) -> keras.Model:
    """Build linear interpolation with the change of the date kriged, and the scale of its error."""
    del spec
    inputs = make_inputs(KEYS)
    fitted = Fitted()(inputs)
    found = krige(fitted)
    outputs = {TARGET: fitted["linear"] + found["predicted"], f"{TARGET}_scale": found["scale"]}
    return keras.Model(inputs, outputs, name="gapfilling_kriged")


def weighted_mean(
    values: KerasTensor,
    weights: KerasTensor,
    prior_px: float = 1e-6,
    prior: KerasTensor | float = 0.0,
) -> KerasTensor:
    """Return (N, 1, 1, C) weighted means, drawn towards a value that counts as some pixels."""
    total = ops.sum(values * weights, axis=(1, 2), keepdims=True) + prior_px * prior
    return total / (ops.sum(weights, axis=(1, 2), keepdims=True) + prior_px)


register(
    ModelDefinition(
        name="gapfilling_kriged",
        build=kriged,
        input_keys=KEYS,
        target_keys=(TARGET,),
        # Of the local means; kriging looks a block far, and its units come from the whole window.
        reach_px=RADIUS_PX,
        in_context=True,
        trainable=False,
        with_scale=True,
    )
)
