"""The learning rate over the course of a training."""

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["constant", "cosine", "step"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate changes."""

    kind: Kind = "constant"
    """cosine: falls to zero over the training. step: is multiplied every so many epochs."""
    warmup_epochs: float = 0.0
    """Epochs in which the rate rises from zero to its full value."""
    step_epochs: int = 10
    step_factor: float = 0.5

    @property
    def is_constant(self) -> bool:
        """Say whether the rate never changes."""
        return self.kind == "constant" and not self.warmup_epochs

    def factor(self, epochs: float, share: float) -> float:
        """Return what the full learning rate is multiplied with, 0..1.

        Parameters
        ----------
        epochs
            Epochs done, with the part of the present one.
        share
            Share of the training that is over, 0..1.

        Notes
        -----
        Cosine annealing without restarts (Loshchilov and Hutter 2017), times a linear warm-up.
        """
        warm = min(1.0, epochs / self.warmup_epochs) if self.warmup_epochs else 1.0
        if self.kind == "cosine":
            return warm * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
        if self.kind == "step":
            return warm * self.step_factor ** int(epochs // self.step_epochs)
        return warm
