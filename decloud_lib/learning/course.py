"""The course of a training: epoch after epoch, judged, recorded, kept for an interruption."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from decloud_lib.errors import ConfigError
from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved

if TYPE_CHECKING:
    import tensorflow as tf

    from decloud_lib.models.training import Trainer

logger = logging.getLogger(__name__)

PATIENCE_EPOCHS = 10
_MIN_DELTA = 1e-4
_HIGHER_IS_BETTER = ("psnr", "ssim")
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
    epoch_samples: "Callable[[int], tf.data.Dataset]"
    """Number of the epoch -> its batches, in an order that depends on seed and epoch alone."""
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


def follow(
    trainer: "Trainer",
    data: Data,
    rules: Rules,
    saved: Saved,
    checkpoints: Checkpoints | None,
    on_epoch: Callable[[EpochReport], None],
) -> Progress:
    """Train until the rules say stop; the trainer then holds the weights to keep.

    Parameters
    ----------
    trainer
        The network.
    data
        Training and validation samples.
    rules
        When to stop and what to keep.
    saved
        Where to begin: before the first epoch, or the last checkpoint.
    checkpoints
        Where the state is kept after each epoch; None keeps none.
    on_epoch
        Called after each epoch, before its state is saved: a repeated epoch reports again.

    Returns
    -------
    How far it got, with the metrics of the weights that are kept.
    """
    progress, best = saved.progress, saved.best
    if saved.state is not None:
        trainer.restore(saved.state)
        logger.info("going on after epoch %d of %d", progress.epoch, rules.epochs)
    while progress.epoch < rules.epochs and not _is_over(progress, rules):
        began = time.monotonic()
        train = trainer.train_epoch(
            data.epoch_samples(progress.epoch), progress.epoch, _elapsed(progress, rules, began)
        )
        valid = {name: trainer.evaluate(samples) for name, samples in data.valid.items()}
        seconds = time.monotonic() - began
        report = _report(progress, rules, data, train, valid)
        is_best = report.progress.best_epoch == report.progress.epoch
        progress = report.progress.model_copy(update={"seconds": progress.seconds + seconds})
        if is_best and rules.keep_best:
            best = trainer.weights()
        _log_line(report, rules, seconds)
        on_epoch(report)
        if checkpoints:
            checkpoints.save(Saved(progress, trainer.state(), best))
    if rules.keep_best and best is not None:
        trainer.set_weights(best)
        logger.info("keeping the weights of epoch %d", progress.best_epoch)
        return progress.model_copy(update={"metrics": progress.best_metrics})
    return progress


def _elapsed(progress: Progress, rules: Rules, began: float) -> Callable[[], float]:
    """Return what tells the share of the training that is over, by epochs or by its time limit."""

    def share() -> float:
        by_epochs = progress.epoch / rules.epochs
        if rules.time_limit_s is None:
            return by_epochs
        seconds = progress.seconds + time.monotonic() - began
        return max(by_epochs, seconds / rules.time_limit_s)

    return share


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
    progress = before.model_copy(update={"epoch": before.epoch + 1})
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
    sign = 1.0 if any(part in monitor for part in _HIGHER_IS_BETTER) else -1.0
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
