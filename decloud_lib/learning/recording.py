"""What is recorded on the way: curves in MLflow and TensorBoard, pictures, a profile."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from decloud_lib.learning.course import EpochReport, Watch
from decloud_lib.learning.naming import headlines
from decloud_lib.models.previews import MAX_SAMPLES, side_by_side, thumbnail
from decloud_lib.types import Array

if TYPE_CHECKING:
    from decloud_lib.learning.course import Data
    from decloud_lib.models.boards import Board
    from decloud_lib.models.training import Trainer
    from decloud_lib.tracking import Run


class Recorder(Watch):
    """Records each epoch, and profiles some batches.

    Parameters
    ----------
    run
        Open MLflow run.
    data
        What the training sees.
    board
        TensorBoard logs; None for none.
    profiled
        First and last batch to profile, from 1 over all epochs.
    """

    def __init__(
        self, run: "Run", data: "Data", board: "Board | None", profiled: tuple[int, int] | None
    ) -> None:
        self._run = run
        self._data = data
        self._board = board
        self._profiled = profiled
        self._previews: list[Callable[[], tuple[str, Array]]] = []
        self._draw_thumbnail: Callable[[], Array] | None = None

    def add_preview(self, trainer: "Trainer", target_key: str) -> None:
        """Draw the first samples of the first validation set, at the begin and after each epoch."""
        name, samples = next(iter(self._data.valid.items()))
        inputs, targets = next(iter(samples.unbatch().batch(MAX_SAMPLES).as_numpy_iterator()))

        def draw() -> tuple[str, Array]:
            estimate = trainer.estimate(inputs)[target_key]
            return name, side_by_side(inputs, targets[target_key], estimate)

        self._previews.append(draw)

    def add_thumbnail(self, trainer: "Trainer", target_key: str) -> None:
        """Draw the first sample of the first validation set at the end."""
        samples = next(iter(self._data.valid.values()))
        inputs, targets = next(iter(samples.unbatch().batch(1).as_numpy_iterator()))
        self._draw_thumbnail = lambda: thumbnail(
            inputs, targets[target_key], trainer.estimate(inputs)[target_key]
        )

    def on_step(self, epoch: int, step: int) -> None:
        """Draw what the network makes before its first batch; begin and end the profile."""
        if epoch == step == 0:
            # MLflow opens its slider at 0.
            self._show(0)
        if self._profiled is None or self._board is None:
            return
        first, last = self._profiled
        done = epoch * self._data.steps + step
        if first - 1 <= done < last:
            self._board.start_profile()
        elif done >= last:
            self._board.stop_profile()

    def on_epoch(self, report: EpochReport) -> None:
        """Record the scores of an epoch, and draw the previews."""
        epoch = report.progress.epoch
        named = report.named(self._data.train_name)
        self._run.log_metrics(named, step=epoch)
        self._run.log_metrics(headlines(report.progress.best_metrics or named), step=0)
        if self._board:
            self._board.scalars("train", report.train, epoch)
            for name, scores in report.valid.items():
                self._board.scalars(name, scores, epoch)
        self._show(epoch)
        if self._board:
            self._board.publish()

    def on_end(self) -> None:
        """Keep the thumbnail."""
        if self._draw_thumbnail is not None:
            self._run.set_thumbnail(self._draw_thumbnail())

    def _show(self, epoch: int) -> None:
        for draw in self._previews:
            name, image = draw()
            self._run.log_image(image, key=f"previews/{name}", step=epoch)
            if self._board:
                self._board.image(name, "previews", image, epoch)
