"""Train a network on record folders, follow it in MLflow, export it as a model folder."""

import hashlib
import logging
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from decloud_lib import manifest, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.models import registry

if TYPE_CHECKING:
    import tensorflow as tf

    from decloud_lib.learning.course import Data, Rules
    from decloud_lib.learning.publish import Destination, TrainRecord
    from decloud_lib.learning.record_sets import LocalRecords, RecordSet
    from decloud_lib.learning.recording import Recorder
    from decloud_lib.models.checkpoint import Checkpoints, Saved
    from decloud_lib.models.training import Trainer

logger = logging.getLogger(__name__)


class TrainConfig(StageConfig):
    """Settings of `train`."""

    training_record: str = Field(description="Folder of the training records.")
    valid_records: tuple[str, ...] = Field(
        default=(), description="Folders of validation records; the first drives val_*."
    )
    model: str = Field(
        description="Name of the network, such as crga_os2_david; an unknown name lists all.",
        json_schema_extra={"flags": ["-m"]},
    )
    out_savedmodel: str = Field(
        description="Parent of the model folder, which is named after model and settings."
    )
    logdir: str | None = Field(default=None, description="Parent folder of TensorBoard logs.")
    learning_rate: float = Field(
        default=2e-4,
        gt=0.0,
        le=1.0,
        description="Step size of the optimiser, per device.",
        json_schema_extra={"flags": ["-lr"]},
    )
    lr_schedule: Literal["constant", "cosine"] = Field(
        default="constant",
        description="cosine: the learning rate falls to zero over the epochs, or over the time "
        "limit where that is shorter.",
    )
    batch_size_train: int = Field(
        default=4,
        ge=1,
        description="Samples per training step and device.",
        json_schema_extra={"flags": ["-bt"]},
    )
    batch_size_valid: int = Field(
        default=4,
        ge=1,
        description="Samples per validation step and device.",
        json_schema_extra={"flags": ["-bv"]},
    )
    epochs: int = Field(
        default=300,
        ge=0,
        description="Passes over the training records; 0 only builds and exports.",
        json_schema_extra={"flags": ["-e"]},
    )
    ckpt_dir: str | None = Field(
        default=None,
        description="Folder of the state after each epoch: the same command, started again after "
        "an interruption, goes on from there.",
    )
    save_best: bool = Field(
        default=False, description="Export the best epoch's weights instead of the last one's."
    )
    save_best_ref: str = Field(
        default="val_loss",
        description="Value that decides on the best epoch and on stopping early: loss or a metric, "
        "with val_ for the first validation set.",
    )
    all_metrics: bool = Field(
        default=False, description="Follow SSIM and the spectral angle too; takes more time."
    )
    previews: bool = Field(
        default=False, description="Pictures of some validation samples after each epoch."
    )
    early_stopping: bool = Field(
        default=False, description="Stop after 10 epochs without a gain of 1e-4 in save_best_ref."
    )
    strategy: Literal["mirrored", "singlecpu"] = Field(
        default="mirrored", description="All GPUs (the CPU where there is none), or one CPU."
    )
    shuffle_buffer_size: int = Field(
        default=512,
        ge=1,
        description="Samples in memory among which the order is drawn; one of 256 px takes 3.4 MB.",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Same seed, same weights and order.")
    time_limit_s: float | None = Field(
        default=None, gt=0.0, description="Stop training when so many seconds are over."
    )
    use_dem: bool = Field(default=True, description="Give the elevation to networks that take it.")
    experiment: str = Field(default="decloud", min_length=1, description="MLflow experiment.")
    run_name: str | None = Field(
        default=None, description="Name of the MLflow run; default: that of the model folder."
    )


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training gave."""

    run_id: str
    """MLflow run."""
    savedmodel: str
    """URI of the model folder."""
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
        The loss is no number any more.
    OutputConflictError
        The folder holds a model, or the checkpoint folder a state, of other settings.
    """
    from decloud_lib.learning.publish import Destination, read_record
    from decloud_lib.learning.record_sets import find_record_sets

    definition = registry.get(config.model)
    if not definition.trainable and config.epochs:
        raise ConfigError(
            f"model {definition.name} has no weights to train; export it with --epochs 0"
        )
    spec = registry.ModelSpec(use_dem=config.use_dem)
    sets = find_record_sets((config.training_record, *config.valid_records))
    contract = definition.contract(spec).model_copy(
        update={
            "layout": sets[0].layout,
            "data_fingerprint": sets[0].fingerprint,
            "code_version": manifest.code_version(),
        }
    )
    for item in sets:
        item.check(contract, definition.target_keys)
    planned = manifest.plan("train", config, [entry for item in sets for entry in item.entries])
    folder = storage.join(config.out_savedmodel, experiment_name(config))
    done = storage.join(folder, manifest.NAME)
    if manifest.is_current(done, planned, overwrite=config.overwrite):
        logger.info("%s is there already, made by the same settings and records", folder)
        record = read_record(folder)
        return TrainResult(record.run_id, folder, record.epochs, record.metrics)
    record = _run(config, sets, Destination(folder, definition, contract, planned))
    return TrainResult(record.run_id, folder, record.epochs, record.metrics)


def experiment_name(config: TrainConfig) -> str:
    """Return the name of the model folder, as in the existing system but without the date.

    A date would make a finished training look new, and it is in MLflow and in the contract.
    """
    from decloud_lib.models.training import devices

    gpus = devices(config.strategy)
    return (
        f"{config.model}_bt{config.batch_size_train}_bv{config.batch_size_valid}"
        f"_lr{config.learning_rate}_e{config.epochs}_{f'{gpus}gpus' if gpus else 'cpu'}"
    )


def _run(config: TrainConfig, sets: "list[RecordSet]", to: "Destination") -> "TrainRecord":
    from decloud_lib.learning.course import follow
    from decloud_lib.learning.publish import TrainRecord, publish
    from decloud_lib.learning.record_sets import local_records
    from decloud_lib.models.training import Optimisation, Trainer

    rules = _rules(config)
    checkpoints, saved = _checkpoints(config, to)
    optimisation = Optimisation(
        config.learning_rate,
        config.seed,
        config.all_metrics,
        config.strategy,
        config.lr_schedule,
    )
    trainer = Trainer(to.definition, registry.ModelSpec(use_dem=config.use_dem), optimisation)
    with ExitStack() as stack:
        records = stack.enter_context(local_records(sets))
        run = stack.enter_context(_open_run(config, to, saved))
        run.log_params(_params(config, sets, trainer))
        _log_datasets(run, sets)
        data = _data(config, to, records, trainer.workers)
        recorder = _recorder(config, run, data, stack)
        if config.previews:
            recorder.add_preview(trainer, to.definition.target_keys[0])
        progress = follow(trainer, data, rules, saved.with_run(run.run_id), checkpoints, recorder)
        record = TrainRecord(run_id=run.run_id, epochs=progress.epoch, metrics=progress.metrics)
        publish(trainer.model, to, record, run)
    return record


def _log_datasets(run: tracking.Run, sets: "list[RecordSet]") -> None:
    training, *validation = sets
    run.log_dataset(training.uri, training.name, training.fingerprint, "training")
    for item in validation:
        run.log_dataset(item.uri, item.name, item.fingerprint, "validation")


def _rules(config: TrainConfig) -> "Rules":
    from decloud_lib.learning.course import Rules
    from decloud_lib.models.training import metric_names

    if config.previews and not config.valid_records:
        raise ConfigError("--previews shows validation samples: give --valid-records")
    rules = Rules(
        epochs=config.epochs,
        time_limit_s=config.time_limit_s,
        monitor=config.save_best_ref,
        keep_best=config.save_best,
        stop_early=config.early_stopping,
    )
    rules.check(metric_names(all_metrics=config.all_metrics), validated=bool(config.valid_records))
    return rules


def _checkpoints(config: TrainConfig, to: "Destination") -> "tuple[Checkpoints | None, Saved]":
    """Return where the state is kept, and the state to begin with."""
    from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved

    # A checkpoint belongs to one set of settings, records and code.
    content = to.planned.model_dump_json(exclude={"created"})
    work = hashlib.sha256(content.encode()).hexdigest()
    if config.ckpt_dir is None:
        return None, Saved(Progress(work=work))
    checkpoints = Checkpoints(storage.join(config.ckpt_dir, storage.name_of(to.uri)))
    try:
        return checkpoints, checkpoints.load(work)
    except OutputConflictError:
        if not config.overwrite:
            raise
        checkpoints.clear()
        return checkpoints, Saved(Progress(work=work))


def _open_run(
    config: TrainConfig, to: "Destination", saved: "Saved"
) -> AbstractContextManager[tracking.Run]:
    run_id = saved.progress.run_id
    tags = {
        "stage": "train",
        "model": to.definition.name,
        "code_version": to.contract.code_version,
        "data_fingerprint": to.contract.data_fingerprint or "",
    }
    return tracking.open_run(
        config.experiment,
        name=config.run_name or storage.name_of(to.uri),
        run_id=run_id if run_id and tracking.has_run(run_id) else None,
        tags=tags,
    )


def _params(config: TrainConfig, sets: "list[RecordSet]", trainer: "Trainer") -> dict[str, object]:
    """Return what decides on the result, flat, so that runs line up when they are compared."""
    places = {"training_record", "valid_records", "out_savedmodel", "logdir", "ckpt_dir"}
    settings = config.model_dump(exclude={*places, "overwrite", "experiment", "run_name"})
    return {
        **settings,
        "training_set": sets[0].uri,
        "validation_sets": " ".join(item.uri for item in sets[1:]),
        "devices": trainer.workers,
        "parameters": trainer.model.count_params(),
    }


def _data(
    config: TrainConfig, to: "Destination", records: "list[LocalRecords]", workers: int
) -> "Data":
    from decloud_lib.learning.course import Data

    inputs, targets = to.contract.input_keys, to.definition.target_keys
    training, *validation = records

    def epoch_samples(epoch: int) -> "tf.data.Dataset":
        # A seed per epoch: an interrupted training goes on with the very order it would have had.
        return training.batches(
            inputs,
            targets,
            config.batch_size_train * workers,
            shuffle=config.shuffle_buffer_size,
            seed=config.seed + epoch,
        )

    return Data(
        training.source.name,
        epoch_samples,
        {
            item.source.name: item.batches(inputs, targets, config.batch_size_valid * workers)
            for item in validation
        },
    )


def _recorder(config: TrainConfig, run: tracking.Run, data: "Data", stack: ExitStack) -> "Recorder":
    from decloud_lib.learning.recording import Recorder
    from decloud_lib.models.boards import open_board

    board = None
    if config.logdir is not None:
        board = stack.enter_context(open_board(storage.join(config.logdir, run.run_id)))
    return Recorder(run, data, board)
