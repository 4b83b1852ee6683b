"""What a training is fed with: batches in a drawn order, which can begin anywhere in an epoch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decloud_lib.learning.record_sets import LocalRecords

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, slots=True)
class Sight:
    """What a network sees of the samples."""

    inputs: tuple[str, ...]
    """Keys that the network takes, masks, and what a simulation needs."""
    targets: tuple[str, ...]
    simulate: Any = None
    """Changes each sample first, as `ModelDefinition.simulate`; None changes none."""
    vary: Any = None
    """Changes each training sample before that, where they are augmented."""

    def all(self, records: LocalRecords, batch: int) -> "tf.data.Dataset":
        """Return all samples of a set in stored order, the same ones at each pass."""
        return self.of(records.batches(self.inputs, self.targets, batch), batch, seed=0)

    def of(
        self,
        stored: "tf.data.Dataset",
        batch: int,
        seed: int,
        first: int = 0,
        *,
        varied: bool = False,
    ) -> "tf.data.Dataset":
        """Return stored batches as the network sees them; `first` is the number of the first."""
        from decloud_lib.samples.augmentation import simulated

        wanted = (self.vary if varied else None, self.simulate)
        changes = [change for change in wanted if change is not None]

        def apply(inputs: Any, targets: Any, drawn: Any) -> Any:
            for change in changes:
                inputs, targets = change(inputs, targets, drawn)
            return inputs, targets

        return simulated(stored, apply, seed, batch, first) if changes else stored


@dataclass(frozen=True, slots=True)
class Feeding:
    """Training samples, epoch after epoch."""

    records: LocalRecords
    sight: Sight
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
            Its number, from 0: with the seed it decides on the order, and on how each sample is
            changed.
        first
            Number of the first batch, for going on within an epoch.
        """
        from decloud_lib.samples.augmentation import turned

        batches, seed = self.stored(epoch), self.seed + epoch
        if first:
            batches = batches.skip(first)
        batches = self.sight.of(batches, self.batch, seed, first, varied=self.augment)
        return turned(batches, seed, first) if self.augment else batches

    def stored(self, epoch: int) -> "tf.data.Dataset":
        """Return the batches of an epoch as the records hold them, in the order of the training."""
        # A seed per epoch: an interrupted training goes on with the very order it would have had.
        return self.records.batches(
            self.sight.inputs,
            self.sight.targets,
            self.batch,
            shuffle=self.shuffle,
            seed=self.seed + epoch,
        )
