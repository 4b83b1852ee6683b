"""The course of a training: epoch after epoch, judged, recorded, kept for an interruption."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from decloud_lib.arrays.quality import higher_is_better
from decloud_lib.errors import ConfigError
from decloud_lib.learning.schedule import Schedule
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved
from decloud_lib.models.failures import LossError, TrainingError
from decloud_lib.progress import track

if TYPE_CHECKING:
    import tensorflow as tf

    from decloud_lib.models.training import Trainer
    from decloud_lib.types import Array

logger = logging.getLogger(__name__)

PATIENCE_EPOCHS = 10
_MIN_DELTA = 1e-4
_VALID = "val_"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a training ends and which weights it keeps."""

    epochs: int
    time_limit_s: float | None = None
    """End when this time is over, in the middle of an epoch if need be."""
    monitor: str = "val_loss"
    """`loss` or a metric of the training, or `val_...` of the first validation set."""
    keep_best: bool = False
    stop_early: bool = False
    """End after ten epochs without a gain of 1e-4."""
    schedule: Schedule = field(default_factory=Schedule)
    checkpoint_steps: int | None = None
    """Keep the state within an epoch too, every so many batches."""
    checkpoint_s: float | None = None
    """Keep the state within an epoch too, every so many seconds."""
    verbose: bool = False
    """Show how far an epoch is, and not only signs of life."""

    @property
    def has_clock(self) -> bool:
        """Say whether something depends on the time."""
        return self.time_limit_s is not None or self.checkpoint_s is not None

    def check(self, metrics: Sequence[str], *, validated: bool) -> None:
        """Refuse a monitored value that will never be there.

        Raises
        ------
        ConfigError
            It is no metric, or is one of a validation set and there is none.
        """
        if not (self.keep_best or self.stop_early):
            return
        if self.monitor.removeprefix(_VALID) not in metrics:
            raise ConfigError(
                f"--save-best-ref {self.monitor!r}: no such value; known: {', '.join(metrics)}, "
                f"each also with the prefix {_VALID}; SSIM and SAM need --all-metrics"
            )
        if self.monitor.startswith(_VALID) and not validated:
            raise ConfigError(
                f"--save-best-ref {self.monitor} needs a validation set: give --valid-records, or "
                f"monitor a value of the training such as loss"
            )


@dataclass(frozen=True, slots=True)
class Data:
    """What a training sees."""

    train_name: str
    epoch_samples: "Callable[[int, int], tf.data.Dataset]"
    """Number of the epoch, number of its first batch -> batches from there on, in an order that
    depends on seed and epoch alone."""
    steps: int
    """Batches of an epoch."""
    valid: "Mapping[str, tf.data.Dataset]" = field(default_factory=dict)
    """By name; the first one drives `val_*`."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What is known after an epoch."""

    progress: Progress
    train: Mapping[str, float]
    valid: Mapping[str, Mapping[str, float]]
    """By name of the data set."""

    def named(self, train_name: str) -> dict[str, float]:
        """Return all values under their names in MLflow: `<split>/<data set>/<name>`."""
        values = {f"train/{train_name}/{name}": value for name, value in self.train.items()}
        for data_set, scores in self.valid.items():
            values |= {f"valid/{data_set}/{name}": value for name, value in scores.items()}
        return values


class Watch:
    """Told of each batch and each epoch before its state is kept; this one says nothing.

    What is repeated after an interruption is told again.
    """

    def on_step(self, epoch: int, step: int) -> None:
        """Hear that so many batches of an epoch (from 0) are done; first of all at its begin."""

    def on_epoch(self, report: EpochReport) -> None:
        """Hear what an epoch gave."""

    def on_end(self) -> None:
        """Hear that the trainer holds the weights to keep."""


class BadBatchError(TrainingError):
    """The loss of a batch, or a weight after it, is no number."""

    def __init__(self, epoch: int, step: int, value: float) -> None:
        super().__init__(
            f"the loss or a weight became {value} in epoch {epoch + 1}, batch {step + 1}; lower "
            "the learning rate, and check the records for values that are not finite"
        )
        self.epoch, self.step = epoch, step


class Course:
    """A training on its way.

    Parameters
    ----------
    trainer
        The network.
    data
        Training and validation samples.
    rules
        When to stop and what to keep.
    checkpoints
        Where the state is kept; None keeps none.
    watch
        Told of what happens.
    """

    def __init__(
        self,
        trainer: "Trainer",
        data: Data,
        rules: Rules,
        checkpoints: Checkpoints | None,
        watch: Watch,
    ) -> None:
        self._trainer, self._data, self._rules = trainer, data, rules
        self._checkpoints, self._watch = checkpoints, watch
        self._progress = Progress(work="")
        self._best: list[Array] | None = None
        self._began = self._epoch_began = time.monotonic()
        self._seconds = self._kept = 0.0

    def follow(self, saved: Saved) -> Progress:
        """Train until the rules say stop; the trainer then holds the weights to keep.

        Parameters
        ----------
        saved
            Where to begin: before the first epoch, or the last checkpoint.

        Returns
        -------
        How far it got, with the metrics of the weights that are kept.

        Raises
        ------
        BadBatchError
            The loss is no number any more.
        TrainingError
            The checkpoint does not fit, or there is no batch.
        """
        self._progress, self._best = saved.progress, saved.best
        self._began = time.monotonic() - saved.progress.seconds
        self._look_at_clock()
        if saved.state is not None:
            self._trainer.restore(saved.state)
            logger.info("going on in epoch %d, batch %d", saved.progress.epoch + 1, self._step + 1)
        elif self._rules.epochs:
            # A place that cannot be written shows now, and not when an epoch is lost.
            self._keep(0)
        while self._progress.epoch < self._rules.epochs and not _is_over(
            self._progress, self._rules
        ):
            self._train_epoch()
            self._end_epoch()
        progress = self._progress
        if self._rules.keep_best and self._best is not None:
            self._trainer.set_weights(self._best)
            logger.info("keeping the weights of epoch %d", progress.best_epoch)
            progress = progress.model_copy(update={"metrics": progress.best_metrics})
        self._watch.on_end()
        return progress

    @property
    def _step(self) -> int:
        return self._progress.step

    def _look_at_clock(self) -> None:
        """Take the seconds of the training, with those before an interruption."""
        self._seconds = self._trainer.agreed(time.monotonic() - self._began)

    def _train_epoch(self) -> None:
        """Train on the batches of an epoch that are not done yet."""
        epoch, done, rules = self._progress.epoch, self._step, self._rules
        rate = None if rules.schedule.is_constant else self._rate
        samples = self._data.epoch_samples(epoch, done)
        self._look_at_clock()
        self._kept, self._epoch_began = self._seconds, time.monotonic()
        self._watch.on_step(epoch, done)
        try:
            steps = self._trainer.train(samples, done, rate)
            total = max(self._data.steps - done, 0) if rules.verbose else 0
            for step in track(steps, total, f"epoch {epoch + 1} of {rules.epochs}", "batch"):
                done = step
                self._watch.on_step(epoch, step)
                if rules.has_clock and step % self._trainer.clock_steps == 0:
                    self._look_at_clock()
                if rules.time_limit_s is not None and self._share(step) >= 1.0:
                    self._trainer.check()
                    break
                if self._is_due(step):
                    self._trainer.check()
                    self._keep(step)
        except LossError as error:
            raise BadBatchError(epoch, error.step, error.value) from error
        if not done:
            raise TrainingError("the training records hold no batch; check the sampling")

    def _end_epoch(self) -> None:
        """Judge, tell and keep an epoch."""
        self._look_at_clock()
        before, rules = self._progress, self._rules
        train = self._trainer.scores()
        if not rules.schedule.is_constant:
            train["learning_rate"] = self._trainer.rate
        valid = {name: self._trainer.evaluate(item) for name, item in self._data.valid.items()}
        report = _report(before, rules, self._data, train, valid)
        if report.progress.best_epoch == report.progress.epoch and rules.keep_best:
            self._best = self._trainer.weights()
        _log_line(report, rules, time.monotonic() - self._epoch_began)
        self._watch.on_epoch(report)
        self._progress = report.progress
        self._keep(0)

    def _is_due(self, step: int) -> bool:
        every, every_s = self._rules.checkpoint_steps, self._rules.checkpoint_s
        if self._checkpoints is None:
            return False
        return bool(every and step % every == 0) or (
            every_s is not None and self._seconds - self._kept >= every_s
        )

    def _keep(self, step: int) -> None:
        """Keep the state, so many batches into an epoch."""
        update = {"step": step, "seconds": self._seconds}
        self._progress = self._progress.model_copy(update=update)
        if self._checkpoints is None:
            return
        # Of several workers all must ask for the state; one writes it.
        state = self._trainer.state()
        if self._trainer.is_chief:
            self._checkpoints.save(Saved(self._progress, state, self._best))
        self._look_at_clock()
        self._kept = self._seconds

    def _share(self, step: int) -> float:
        """Return the share of the training that is over, by epochs or by its time limit."""
        epochs = self._epochs(step) / self._rules.epochs
        limit = self._rules.time_limit_s
        return epochs if limit is None else max(epochs, self._seconds / limit)

    def _epochs(self, step: int) -> float:
        return self._progress.epoch + min(step / max(self._data.steps, 1), 1.0)

    def _rate(self, step: int) -> float:
        factor = self._rules.schedule.factor(self._epochs(step), self._share(step))
        return self._trainer.full_rate * factor


def _is_over(progress: Progress, rules: Rules) -> bool:
    if rules.time_limit_s is not None and progress.epoch and progress.seconds >= rules.time_limit_s:
        logger.info("the time limit of %.0f s is over", rules.time_limit_s)
        return True
    if rules.stop_early and progress.epoch - progress.gain_epoch >= PATIENCE_EPOCHS:
        logger.info("no gain for %d epochs: stopping early", PATIENCE_EPOCHS)
        return True
    return False


def _report(
    before: Progress,
    rules: Rules,
    data: Data,
    train: Mapping[str, float],
    valid: Mapping[str, Mapping[str, float]],
) -> EpochReport:
    first = next(iter(valid.values()), {})
    values = {**train, **{f"{_VALID}{name}": value for name, value in first.items()}}
    progress = before.model_copy(update={"epoch": before.epoch + 1, "step": 0})
    report = EpochReport(progress, train, valid)
    metrics = report.named(data.train_name)
    update: dict[str, object] = {"metrics": metrics}
    value = values.get(rules.monitor, math.nan)
    if _gain(rules.monitor, value, before.best_value) > 0.0:
        update |= {"best_value": value, "best_epoch": progress.epoch, "best_metrics": metrics}
    if _gain(rules.monitor, value, before.gain_value) > _MIN_DELTA:
        update |= {"gain_value": value, "gain_epoch": progress.epoch}
    return EpochReport(progress.model_copy(update=update), train, valid)


def _gain(monitor: str, value: float, before: float | None) -> float:
    """Return by how much a value is better than one before; NaN is never better."""
    if math.isnan(value):
        return -math.inf
    sign = 1.0 if higher_is_better(monitor) else -1.0
    return math.inf if before is None else sign * (value - before)


def _log_line(report: EpochReport, rules: Rules, seconds: float) -> None:
    shown = [f"loss {report.train['loss']:.5f}"]
    for name, scores in report.valid.items():
        psnr = f", {scores['psnr_db']:.2f} dB" if "psnr_db" in scores else ""
        shown.append(f"{name} {scores['loss']:.5f}{psnr}")
    logger.info(
        "epoch %d of %d: %s (%.1f s)",
        report.progress.epoch,
        rules.epochs,
        "; ".join(shown),
        seconds,
    )
