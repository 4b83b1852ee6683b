"""Train a network on record folders, follow it in MLflow, export it as a model folder."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError
from decloud_lib.stages import train_parts as parts
from decloud_lib.stages.train_config import TrainConfig

if TYPE_CHECKING:
    from decloud_lib.learning.course import BadBatchError, Data
    from decloud_lib.learning.feeding import Feeding
    from decloud_lib.learning.record_sets import LocalRecords
    from decloud_lib.models.checkpoint import Progress
    from decloud_lib.models.training import Trainer
    from decloud_lib.tracking import Run

logger = logging.getLogger(__name__)

_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training gave."""

    run_id: str
    """MLflow run; empty for a worker that only helps another."""
    savedmodel: str | None
    """URI of the model folder; None where nothing was exported."""
    epochs: int
    """Epochs done; of an interrupted training, all of them together."""
    metrics: dict[str, float]
    """Of the exported weights, by MLflow name: `valid/<data set>/psnr_db` and so on."""


def train(config: TrainConfig) -> TrainResult:
    """Train a network and export it as a model folder.

    The loss is the mean absolute error of reflectance, summed over the outputs. Every epoch is
    recorded in MLflow, and so is the model in the end, with its signature and its data.

    Returns
    -------
    Run, folder and scores; those of the first time when the model is there already.

    Raises
    ------
    ConfigError, ShapeError, NoSampleError
        An unknown model, or records that do not fit it.
    TrainingError
        The loss is no number any more; the batch is kept beside the checkpoints or the model.
    OutputConflictError
        The folder holds a model, or the checkpoint folder a state, of other settings.
    """
    from decloud_lib.learning.publish import read_record

    job = parts.plan_job(config)
    if config.valid_only:
        return _validate(job)
    if job.folder is not None:
        done = storage.join(job.folder, manifest.NAME)
        if manifest.is_current(done, job.planned, overwrite=config.overwrite):
            logger.info("%s is there already, made by the same settings and records", job.folder)
            record = read_record(job.folder)
            return TrainResult(record.run_id, job.folder, record.epochs, record.metrics)
    return _run(job)


def _run(job: parts.Job) -> TrainResult:
    from decloud_lib.learning.course import BadBatchError, Course, Watch
    from decloud_lib.learning.record_sets import local_records

    rules = parts.make_rules(job)
    trainer = parts.make_trainer(job)
    # Read after the workers have met: none of them may find what another one writes later.
    checkpoints, saved = parts.find_saved(job)
    with ExitStack() as stack:
        records = stack.enter_context(local_records(job.sets, skip_damaged=job.config.skip_damaged))
        feeding = parts.make_feeding(job, records, trainer.devices)
        data = parts.make_data(job, records, feeding, trainer.devices)
        run, watch = None, Watch()
        if trainer.is_chief:
            run = stack.enter_context(parts.open_run(job, saved.progress.run_id))
            parts.describe(job, trainer, run)
            watch = parts.make_recorder(job, run, trainer, data, stack)
            saved = saved.with_run(run.run_id)
        try:
            progress = Course(trainer, data, rules, checkpoints, watch).follow(saved)
        except BadBatchError as error:
            if run is not None:
                _keep_batch(job, error, feeding, run)
            raise
        return _finish(job, trainer, progress, run, records[0])


def _finish(
    job: parts.Job,
    trainer: "Trainer",
    progress: "Progress",
    run: "Run | None",
    records: "LocalRecords",
) -> TrainResult:
    """Export the network, unless another worker does or nobody wants it."""
    from decloud_lib.learning import naming
    from decloud_lib.learning.publish import Destination, TrainRecord, publish
    from decloud_lib.learning.seen import training_profile

    if run is None:
        return TrainResult("", job.folder, progress.epoch, progress.metrics)
    run.log_metrics(naming.headlines(progress.metrics), step=0)
    if job.folder is not None:
        to = Destination(job.folder, job.definition, job.contract, job.planned)
        best = progress.best_epoch if job.config.save_best else 0
        record = TrainRecord(
            run_id=run.run_id,
            epochs=progress.epoch,
            kept_epoch=best or progress.epoch,
            metrics=progress.metrics,
        )
        publish(trainer.model, to, record, run, training_profile(records, job.contract))
        run.set_tags({"savedmodel": job.folder})
    return TrainResult(run.run_id, job.folder, progress.epoch, progress.metrics)


def _validate(job: parts.Job) -> TrainResult:
    """Score weights that are there, without training."""
    from decloud_lib.learning import naming
    from decloud_lib.learning.course import EpochReport
    from decloud_lib.learning.record_sets import local_records
    from decloud_lib.models.checkpoint import Progress

    trainer = parts.make_trainer(job)
    if job.config.load_ckpt_dir is None and job.definition.trainable:
        if job.checkpoints is None:
            raise ConfigError(
                "--valid-only: no weights to score; give --load-ckpt-dir, or the --ckpt-dir and "
                "the settings of the training"
            )
        parts.load_weights(trainer, job, job.checkpoints)
    with ExitStack() as stack:
        records = stack.enter_context(local_records(job.sets, skip_damaged=job.config.skip_damaged))
        feeding = parts.make_feeding(job, records, trainer.devices)
        data: Data = parts.make_data(job, records, feeding, trainer.devices)
        valid = {name: trainer.evaluate(samples) for name, samples in data.valid.items()}
        metrics = EpochReport(Progress(work=""), {}, valid).named(data.train_name)
        if not trainer.is_chief:
            return TrainResult("", None, 0, metrics)
        run = stack.enter_context(parts.open_run(job, None))
        parts.describe(job, trainer, run)
        run.log_metrics(metrics | naming.headlines(metrics), step=0)
        for name, scores in valid.items():
            shown = ", ".join(f"{score} {value:.5g}" for score, value in scores.items())
            logger.info("%s: %s", name, shown)
        return TrainResult(run.run_id, None, 0, metrics)


def _keep_batch(job: parts.Job, error: "BadBatchError", feeding: "Feeding", run: "Run") -> None:
    """Keep the batch whose loss is no number, and say where its samples come from."""
    from decloud_lib.learning.diagnosis import ARRAYS, REPORT, examine

    parent = job.checkpoints or job.folder
    files = examine(error, feeding)
    run.log_text(files[REPORT].decode(), f"{_FAILED}/{REPORT}")
    if parent is None:
        return
    for name in (ARRAYS, REPORT):
        storage.write_bytes(storage.join(parent, _FAILED, name), files[name])
    logger.error("the batch is kept in %s", storage.join(parent, _FAILED))
