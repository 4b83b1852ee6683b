"""What a training is put together from: records, network, rules, what is recorded."""

import hashlib
import json
import logging
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decloud_lib import manifest, storage, tracking
from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.models import registry
from decloud_lib.models.contract import ModelContract
from decloud_lib.stages.train_config import TrainConfig

if TYPE_CHECKING:
    from decloud_lib.learning.course import Data, Rules
    from decloud_lib.learning.feeding import Feeding, Sight
    from decloud_lib.learning.record_sets import LocalRecords, RecordSet
    from decloud_lib.learning.recording import Recorder
    from decloud_lib.models.checkpoint import Checkpoints, Saved
    from decloud_lib.models.training import Trainer
    from decloud_lib.models.weighting import PixelWeights

logger = logging.getLogger(__name__)

#: Parameters of every run; others are there where they differ from their defaults.
_MAIN_SETTINGS = ("model", "epochs", "learning_rate", "batch_size_train", "seed")
_PLACES = {"training_record", "valid_records", "out_savedmodel", "load_ckpt_dir"}


@dataclass(frozen=True, slots=True)
class Job:
    """A training that can begin: model and records exist and fit each other."""

    config: TrainConfig
    definition: registry.ModelDefinition
    contract: ModelContract
    sets: "list[RecordSet]"
    """The training set first."""
    planned: manifest.Manifest
    name: str
    """Of the model folder, and of what belongs to it elsewhere."""

    @property
    def spec(self) -> registry.ModelSpec:
        """What the user chose about the network."""
        return _spec(self.config, self.sets[0])

    @property
    def folder(self) -> str | None:
        """The model folder; None where nothing is exported."""
        parent = self.config.out_savedmodel
        return storage.join(parent, self.name) if parent is not None else None

    @property
    def checkpoints(self) -> str | None:
        """Folder of the states; None where none are kept."""
        parent = self.config.ckpt_dir
        return storage.join(parent, self.name) if parent is not None else None

    @property
    def sight(self) -> "Sight":
        """What the network sees of the samples: its inputs, masks, and what a gap is made from."""
        from decloud_lib.learning.feeding import Sight
        from decloud_lib.models.weighting import HIDDEN

        held = set.intersection(*(set(item.schema.keys) for item in self.sets))
        masks = [*_weights(self.config).needed, *((HIDDEN,) if self.is_partial else ())]
        extra = [key for key in self.definition.simulation_keys if key in held]
        inputs = tuple(dict.fromkeys([*self.contract.input_keys, *masks, *extra]))
        return Sight(
            inputs, self.definition.target_keys, self.definition.simulate, self.definition.vary
        )

    @property
    def is_partial(self) -> bool:
        """Say whether all samples tell what is under cloud, so that it can be scored apart."""
        from decloud_lib.models.weighting import HIDDEN

        return all(HIDDEN in item.schema.keys for item in self.sets)


def plan_job(config: TrainConfig) -> Job:
    """Look at model and records, without reading samples.

    Raises
    ------
    ConfigError, ShapeError, NoSampleError
        An unknown model, records that do not fit it, or settings that need another machine.
    """
    from decloud_lib.learning.record_sets import find_record_sets
    from decloud_lib.models import shipped
    from decloud_lib.models.checkpoint import find_state
    from decloud_lib.models.devices import gpus, open_strategy

    definition = registry.get(config.model)
    if not definition.trainable and config.epochs:
        raise ConfigError(
            f"model {definition.name} has no weights to train; export it with --epochs 0"
        )
    if config.mixed_precision and not gpus(config.strategy):
        raise ConfigError(
            "--mixed-precision: found no GPU to compute in bfloat16; a CPU is slower that way, so "
            "leave it out here"
        )
    sets = find_record_sets((config.training_record, *config.valid_records))
    if definition.is_measured:
        # Measuring builds a network, and workers must meet before TensorFlow does anything.
        open_strategy(config.strategy)
    contract = definition.contract(_spec(config, sets[0])).model_copy(
        update={
            "layout": sets[0].layout,
            "data_fingerprint": sets[0].fingerprint,
            "code_version": manifest.code_version(),
        }
    )
    for item in sets:
        item.check(contract, definition.target_keys)
        _weights(config).check(item.schema.keys)
    if definition.loss is not None and _weights(config).needed:
        raise ConfigError(
            f"model {definition.name} has a loss of its own, which weighs pixels itself: leave out "
            "--hidden-weight, --clear-weight and --clear-target-only"
        )
    entries = [entry for item in sets for entry in item.entries]
    code, _ = registry.split_name(config.model)
    files = [str(code)] if code is not None else []
    if config.load_ckpt_dir not in (None, shipped.NAME):
        files.append(find_state(config.load_ckpt_dir))
    entries += [entry for file in files if (entry := storage.stat(file)) is not None]
    planned = manifest.plan("train", config, entries)
    return Job(config, definition, contract, sets, planned, folder_name(config))


def folder_name(config: TrainConfig) -> str:
    """Return the name of the model folder, as in the existing system but without the date.

    A date would make a finished training look new, and it is in MLflow and in the contract.
    """
    from decloud_lib.models.devices import gpus, workers

    count = gpus(config.strategy) * workers(config.strategy)
    return (
        f"{registry.split_name(config.model)[1]}_bt{config.batch_size_train}_bv{config.batch_size_valid}"
        f"_lr{config.learning_rate}_e{config.epochs}_{f'{count}gpus' if count else 'cpu'}"
    )


def _spec(config: TrainConfig, training: "RecordSet") -> registry.ModelSpec:
    return registry.ModelSpec(
        use_dem=config.use_dem, width=config.width, shapes=training.schema.shapes
    )


def make_trainer(job: Job) -> "Trainer":
    """Build the network and, where it shall begin from another training, take its weights."""
    from decloud_lib.models.training import Optimisation, Trainer

    config = job.config
    how = Optimisation(
        learning_rate=config.learning_rate,
        seed=config.seed,
        all_metrics=config.all_metrics,
        strategy=config.strategy,
        clip_norm=config.clip_norm,
        mixed_precision=config.mixed_precision,
        scale_rate=config.scale_learning_rate,
        weights=_weights(config),
        partial=job.is_partial,
    )
    trainer = Trainer(job.definition, job.spec, how)
    if trainer.devices > 1:
        logger.info("%d devices, learning rate %g", trainer.devices, trainer.full_rate)
    if config.load_ckpt_dir is not None:
        load_weights(trainer, job, config.load_ckpt_dir)
    return trainer


def load_weights(trainer: "Trainer", job: Job, uri: str) -> None:
    """Take weights and optimiser from the last state below a folder, or from a file of it.

    With `save_best` the weights are those of the best epoch until then, without the optimiser.

    Raises
    ------
    ConfigError
        It is no state, or that of another model.
    """
    from decloud_lib.models import shipped
    from decloud_lib.models.checkpoint import find_state, read_best

    if uri == shipped.NAME:
        trainer.begin_from(list(shipped.read_weights(job.definition).values()))
        logger.info("weights of %s that come with the package", job.definition.name)
        return
    found = find_state(uri)
    saved = read_best(found)
    if saved.progress.model != job.definition.name:
        raise ConfigError(
            f"{found} is the state of model {saved.progress.model}, not of {job.definition.name}; "
            f"give --model {saved.progress.model}, or another checkpoint"
        )
    best = saved.best if job.config.save_best else None
    trainer.begin_from(best or saved.state or [])
    epoch = saved.progress.best_epoch if best else saved.progress.epoch
    logger.info("weights of epoch %d from %s", epoch, found)


def make_rules(job: Job) -> "Rules":
    """Return when the training ends and what it keeps.

    Raises
    ------
    ConfigError
        The monitored value will never be there.
    """
    from decloud_lib.learning.course import Rules
    from decloud_lib.learning.schedule import Schedule
    from decloud_lib.models.epoch_scores import score_names

    config = job.config
    rules = Rules(
        epochs=config.epochs,
        time_limit_s=config.time_limit_s,
        monitor=config.save_best_ref,
        keep_best=config.save_best,
        stop_early=config.early_stopping,
        schedule=Schedule(
            config.lr_schedule, config.warmup_epochs, config.lr_step_epochs, config.lr_step_factor
        ),
        checkpoint_steps=config.ckpt_steps,
        checkpoint_s=60.0 * config.ckpt_minutes,
        verbose=config.verbose,
    )
    names = score_names(
        job.definition.target_keys, all_metrics=config.all_metrics, partial=job.is_partial
    )
    if config.epochs:
        rules.check(names, validated=bool(config.valid_records))
    return rules


def find_saved(job: Job) -> "tuple[Checkpoints | None, Saved]":
    """Return where the state is kept, and the state to begin with.

    Raises
    ------
    OutputConflictError
        A state of other settings is there, and `overwrite` is off.
    """
    from decloud_lib.models.checkpoint import Checkpoints, Progress, Saved

    # A checkpoint belongs to one set of settings, records and code.
    content = job.planned.model_dump_json(exclude={"created"})
    work = hashlib.sha256(content.encode()).hexdigest()
    first = Progress(work=work, model=job.definition.name)
    if job.checkpoints is None:
        return None, Saved(first)
    checkpoints = Checkpoints(job.checkpoints, job.config.ckpt_keep)
    try:
        return checkpoints, checkpoints.load(first)
    except OutputConflictError:
        if not job.config.overwrite:
            raise
        checkpoints.clear()
        return checkpoints, Saved(first)


def make_feeding(job: Job, records: "list[LocalRecords]", devices: int) -> "Feeding":
    """Return what the network is trained on."""
    from decloud_lib.learning.feeding import Feeding

    return Feeding(
        records[0],
        job.sight,
        batch=job.config.batch_size_train * devices,
        shuffle=job.config.shuffle_buffer_size,
        seed=job.config.seed,
        augment=job.config.augment,
    )


def make_data(job: Job, records: "list[LocalRecords]", feeding: "Feeding", devices: int) -> "Data":
    """Return what the training sees."""
    from decloud_lib.learning.course import Data

    batch = job.config.batch_size_valid * devices
    valid = {item.source.name: job.sight.all(item, batch) for item in records[1:]}
    return Data(records[0].source.name, feeding.epoch, feeding.steps, valid)


def open_run(job: Job, run_id: str | None) -> AbstractContextManager[tracking.Run]:
    """Start the MLflow run, or go on with that of an interrupted training."""
    from decloud_lib.learning import naming

    config, (training, *validation) = job.config, job.sets
    tags = naming.run_tags("train", job.definition.name, job.sets)
    tags |= tracking.origin_tags(pipeline_run=config.pipeline_run, parent_run=config.parent_run_id)
    return tracking.open_run(
        config.experiment or naming.experiment_of(training),
        name=config.run_name or naming.run_name(job.definition.name, training),
        run_id=run_id if run_id and tracking.has_run(run_id) else None,
        tags=tags,
        watch_system=True,
        first=(naming.VALID_HEADLINE,) if validation and config.epochs else (),
    )


def describe(job: Job, trainer: "Trainer", run: tracking.Run) -> None:
    """Record settings, data and network of a training; settings flat, so that runs line up."""
    settings = job.config.identity()
    told = {*job.config.model_dump(exclude_defaults=True), *_MAIN_SETTINGS} - _PLACES
    training, *validation = job.sets
    run.log_params(
        {
            **{key: value for key, value in settings.items() if key in told},
            **({"devices": trainer.devices} if trainer.devices > 1 else {}),
            "parameters": trainer.model.count_params(),
        }
    )
    run.log_text(json.dumps(settings, indent=2, default=str), "config.json")
    run.log_dataset(training.uri, training.name, training.fingerprint, "training")
    for item in validation:
        run.log_dataset(item.uri, item.name, item.fingerprint, "validation")
    lines: list[str] = []
    trainer.model.summary(line_length=120, print_fn=lambda text, **_: lines.append(text))
    run.log_text("\n".join(lines), "model/summary.txt")
    if job.config.plot_model:
        from decloud_lib.models.diagram import draw_layers

        run.log_picture(draw_layers(trainer.model), "model/layers.png")
        logger.info("the network's layers are drawn in model/layers.png of run %s", run.run_id)


def make_recorder(
    job: Job, run: tracking.Run, trainer: "Trainer", data: "Data", stack: ExitStack
) -> "Recorder":
    """Return what records the training on its way, until the stack closes."""
    from decloud_lib.learning.recording import Recorder
    from decloud_lib.models.boards import open_board
    from decloud_lib.models.previews import can_draw

    board = None
    if job.config.logdir is not None:
        board = stack.enter_context(open_board(storage.join(job.config.logdir, run.run_id)))
    recorder = Recorder(run, data, board, job.config.profiled)
    target = job.definition.target_keys[0]
    if data.valid and can_draw(target):
        recorder.add_thumbnail(trainer, target)
    if job.config.previews:
        recorder.add_preview(trainer, target)
    return recorder


def _weights(config: TrainConfig) -> "PixelWeights":
    from decloud_lib.models.weighting import PixelWeights

    return PixelWeights(config.hidden_weight, config.clear_weight, config.clear_target_only)
