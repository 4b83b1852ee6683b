"""Loss and scores summed over an epoch, on the devices: reading them waits, adding does not."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from decloud_lib.models import quality
from decloud_lib.models.weighting import HIDDEN, mask

_Arrays = Mapping[str, tf.Tensor]


class EpochScores:
    """Sums of an epoch: for the loss and each score, sum and number of images.

    Made under the strategy whose devices add to it.

    Parameters
    ----------
    target_keys
        Outputs that are scored.
    all_metrics
        SSIM and SAM too.
    partial
        Pixels under cloud, and clear ones, apart too; the inputs hold the mask.
    """

    def __init__(self, target_keys: Sequence[str], *, all_metrics: bool, partial: bool) -> None:
        self.names = score_names(target_keys, all_metrics=all_metrics, partial=partial)
        self._target_keys, self._all_metrics, self._partial = target_keys, all_metrics, partial
        self.sums = tf.Variable(
            tf.zeros((len(self.names), 2), tf.float64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )

    def reset(self) -> None:
        """Begin an epoch."""
        self.sums.assign(tf.zeros(self.sums.shape, self.sums.dtype))

    def read(self) -> dict[str, float]:
        """Return the loss and the scores over what was added, by all devices together."""
        sums = self.sums.read_value().numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums[:, 0] / sums[:, 1]
        return quality.data_set_scores(dict(zip(self.names, means.tolist(), strict=True)))

    def add(
        self,
        arrays: tuple[_Arrays, _Arrays, _Arrays],
        per_image: tf.Tensor,
        counted: tf.Tensor,
    ) -> None:
        """Add the scores of a share of a batch: inputs, targets, outputs; its loss; what counts."""
        inputs, targets, outputs = arrays
        found = {"loss": (per_image, tf.ones_like(per_image))}
        for key in self._target_keys:
            prefix = _prefix(self._target_keys, key)
            scores = quality.image_scores(targets[key], outputs[key], all_metrics=self._all_metrics)
            if self._partial:
                hidden = mask(inputs[HIDDEN], outputs[key])
                for part, pixels in (("hidden", hidden), ("clear", 1.0 - hidden)):
                    scores |= quality.partial_scores(targets[key], outputs[key], pixels, part)
            found |= {prefix + name: score for name, score in scores.items()}
        rows = []
        for name in self.names:
            value, weight = found[name]
            used = weight * counted
            # What does not count may be infinite, and infinity times zero is no number.
            sums = [tf.reduce_sum(tf.where(used > 0.0, value, 0.0)), tf.reduce_sum(used)]
            rows.append(tf.stack(sums))
        self.sums.assign_add(tf.cast(tf.stack(rows), tf.float64))


def score_names(target_keys: Sequence[str], *, all_metrics: bool, partial: bool) -> tuple[str, ...]:
    """Return the names that an epoch reports: the loss, and the scores of each output.

    Those of outputs after the first begin with the key of the target, so that the first ones of
    all networks have the same names.
    """
    names = quality.score_names(all_metrics=all_metrics, partial=partial)
    return ("loss", *(_prefix(target_keys, key) + name for key in target_keys for name in names))


def _prefix(target_keys: Sequence[str], key: str) -> str:
    return "" if key == target_keys[0] else f"{key}_"
