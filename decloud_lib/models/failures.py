"""What ends a training."""

from decloud_lib.errors import DecloudError


class TrainingError(DecloudError):
    """A training that cannot go on."""


class LossError(TrainingError):
    """The loss of a batch, or a weight after it, is no number."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"the loss of batch {step + 1} of the epoch, or a weight, is {value}")
        self.step, self.value = step, value
