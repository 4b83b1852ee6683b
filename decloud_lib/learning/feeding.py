"""What a training is fed with: batches in a drawn order, which can begin anywhere in an epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decloud_lib.learning.record_sets import LocalRecords

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, slots=True)
class Feeding:
    """Training samples, epoch after epoch."""

    records: LocalRecords
    inputs: tuple[str, ...]
    """Keys that the network takes, and masks."""
    targets: tuple[str, ...]
    batch: int
    """Samples of a step, on all devices together."""
    shuffle: int
    """Samples among which the order is drawn."""
    seed: int
    augment: bool = False

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.records.samples // self.batch)

    def epoch(self, epoch: int, first: int = 0) -> "tf.data.Dataset":
        """Return the batches of an epoch.

        Parameters
        ----------
        epoch
            Its number, from 0: with the seed it decides on the order, and on each sample's turn.
        first
            Number of the first batch, for going on within an epoch.
        """
        from decloud_lib.samples.augmentation import turned

        batches = self.stored(epoch)
        if self.augment:
            batches = turned(batches, self.seed + epoch)
        return batches.skip(first) if first else batches

    def stored(self, epoch: int) -> "tf.data.Dataset":
        """Return the batches of an epoch as the records hold them, in the order of the training."""
        # A seed per epoch: an interrupted training goes on with the very order it would have had.
        return self.records.batches(
            self.inputs, self.targets, self.batch, shuffle=self.shuffle, seed=self.seed + epoch
        )


def validation(
    records: Sequence[LocalRecords], inputs: tuple[str, ...], targets: tuple[str, ...], batch: int
) -> "dict[str, tf.data.Dataset]":
    """Return the batches of validation sets by name, in stored order."""
    return {item.source.name: item.batches(inputs, targets, batch) for item in records}
