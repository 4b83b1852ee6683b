"""What is recorded after each epoch: curves in MLflow and TensorBoard, and pictures."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from decloud_lib.models.previews import MAX_SAMPLES, side_by_side
from decloud_lib.types import Array

if TYPE_CHECKING:
    from decloud_lib.learning.course import Data, EpochReport
    from decloud_lib.models.boards import Board
    from decloud_lib.models.training import Trainer
    from decloud_lib.tracking import Run


class Recorder:
    """Called after each epoch."""

    def __init__(self, run: "Run", data: "Data", board: "Board | None") -> None:
        self._run = run
        self._data = data
        self._board = board
        self._previews: list[Callable[[], tuple[str, Array]]] = []

    def add_preview(self, trainer: "Trainer", target_key: str) -> None:
        """Draw the first samples of the first validation set after each epoch."""
        name, samples = next(iter(self._data.valid.items()))
        inputs, targets = next(iter(samples.unbatch().batch(MAX_SAMPLES).as_numpy_iterator()))

        def draw() -> tuple[str, Array]:
            estimate = trainer.estimate(inputs)[target_key]
            return name, side_by_side(inputs, targets[target_key], estimate)

        self._previews.append(draw)

    def __call__(self, report: "EpochReport") -> None:
        """Record an epoch."""
        epoch = report.progress.epoch
        self._run.log_metrics(report.named(self._data.train_name), step=epoch)
        if self._board:
            self._board.scalars("train", report.train, epoch)
            for name, scores in report.valid.items():
                self._board.scalars(name, scores, epoch)
        for draw in self._previews:
            name, image = draw()
            self._run.log_image(image, key=f"previews/{name}", step=epoch)
            if self._board:
                self._board.image(name, "previews", image, epoch)
        if self._board:
            self._board.publish()
