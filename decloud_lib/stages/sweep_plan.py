"""Say which trainings a sweep consists of, and begin the MLflow run that holds them together."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from decloud_lib import manifest, storage, tracking
from decloud_lib.config import JsonObject, StageConfig
from decloud_lib.errors import ConfigError, SettingsError
from decloud_lib.learning import naming
from decloud_lib.learning.record_sets import RecordSet, find_record_sets
from decloud_lib.learning.sweep import Space, name_of_point
from decloud_lib.stages.train_config import TrainConfig

logger = logging.getLogger(__name__)

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
PARENT_STAGE = "sweep"
#: The sweep decides on these itself.
_OWN = {"experiment", "parent_run_id", "run_name"}


class SweepPlanConfig(StageConfig):
    """Settings of `sweep plan`."""

    name: str = Field(
        pattern=NAME,
        examples=["rates-2"],
        description="Name of the sweep; one of the same name goes on with the same parent run.",
    )
    space: JsonObject = Field(
        description="What varies, as JSON: option of the training -> list of choices or range, "
        'such as {"model": ["crga_os2_unet", "residual"], '
        '"learning_rate": {"low": 1e-4, "high": 1e-2, "log": true}}.'
    )
    settings: JsonObject = Field(
        description="What all trainings share, as JSON: training_record, out_savedmodel, epochs."
    )
    scores: str | None = Field(
        default=None, description="Folder of the scores; the plan names one in it per training."
    )
    points: int | None = Field(
        default=None, ge=1, description="Draw so many points; default: all combinations."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Same seed, same points.")
    experiment: str | None = Field(
        default=None,
        description="MLflow experiment; default: the names of the data set and of its layout.",
    )
    pipeline_run: str | None = Field(
        default=None, description="Run of the pipeline that this is part of, a label in MLflow."
    )


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One training of a sweep."""

    name: str
    """The same for the same settings: folders of models and scores are named so."""
    varied: dict[str, Any]
    settings: dict[str, Any]
    """All fields of a `TrainConfig` that are given."""
    scores: str | None
    """Folder of its scores, where the plan was told where scores go."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The trainings, and the run above them."""

    parent_run_id: str
    experiment: str
    points: tuple[SweepPoint, ...]

    def text(self) -> str:
        """Return a line per training."""
        lines = (
            f"{point.name}  " + "  ".join(f"{key}={value}" for key, value in point.varied.items())
            for point in self.points
        )
        return "\n".join([f"{len(self.points)} trainings in {self.experiment}", *lines])


def preview(config: SweepPlanConfig) -> SweepPlan:
    """Return the trainings without beginning anything.

    Raises
    ------
    ConfigError
        A wrong space, or settings that no training takes; both are named.
    """
    return _plan(config, parent_run_id="")


def sweep_plan(config: SweepPlanConfig) -> SweepPlan:
    """Check all trainings of a sweep, and begin its parent run or find it.

    Raises
    ------
    ConfigError, NoSampleError
        A wrong space, settings that no training takes, or records that are not there.
    TrackingError
        MLflow cannot be reached.
    """
    plan = _plan(config, parent_run_id="")
    own = {"sweep": config.name, "stage": PARENT_STAGE, "code_version": manifest.code_version()}
    tags = own | tracking.origin_tags(pipeline_run=config.pipeline_run)
    found = tracking.search_runs(where=parent_filter(config.name))
    here = [run.run_id for run in found if run.experiment == plan.experiment]
    with tracking.open_run(
        plan.experiment,
        name=f"sweep {config.name}",
        run_id=here[0] if here else None,
        tags=tags,
    ) as run:
        run.log_text(json.dumps(config.space, indent=2), "sweep/space.json")
        points = [{"name": point.name, **point.varied} for point in plan.points]
        run.log_text(json.dumps(points, indent=2), "sweep/points.json")
        logger.info("%d trainings below MLflow run %s", len(points), run.run_id)
        return _plan(config, parent_run_id=run.run_id)


def parent_filter(name: str) -> str:
    """Return MLflow's filter for the parent run of a sweep."""
    return f"tags.stage = '{PARENT_STAGE}' and tags.sweep = '{name}'"


def _plan(config: SweepPlanConfig, parent_run_id: str) -> SweepPlan:
    space = Space.parse(config.space)
    drawn = space.grid() if config.points is None else space.draw(config.points, config.seed)
    twice = sorted((config.space.keys() | _OWN) & config.settings.keys())
    if twice:
        raise ConfigError(
            f"settings: {', '.join(twice)} is varied, or the sweep's own; leave it out"
        )
    first = find_record_sets([str(_first(config, drawn, "training_record"))])[0]
    experiment = config.experiment or naming.experiment_of(first)
    points = []
    for varied in drawn:
        shared = {key: value for key, value in config.settings.items() if key != "overwrite"}
        name = name_of_point(shared | varied)
        settings = config.settings | varied
        for field in ("out_savedmodel", "ckpt_dir"):
            # Folders of models do not tell all settings apart.
            if settings.get(field):
                settings[field] = storage.join(str(settings[field]), name)
        settings |= {"experiment": experiment, "parent_run_id": parent_run_id or None}
        if "training_record" not in varied and "model" in settings:
            settings.setdefault("run_name", _run_name(str(settings["model"]), first, varied))
        if config.pipeline_run:
            settings["pipeline_run"] = config.pipeline_run
        _check(settings, varied)
        scores = None if config.scores is None else storage.join(config.scores, name)
        points.append(SweepPoint(name, varied, settings, scores))
    return SweepPlan(parent_run_id, experiment, tuple(points))


def _run_name(model: str, records: RecordSet, varied: dict[str, Any]) -> str:
    """Return a name as other trainings have, and what makes it differ from those beside it."""
    told = (f"{key}={value}" for key, value in varied.items() if key != "model")
    return " ".join([naming.run_name(model.rpartition(":")[2], records), *told])


def _first(config: SweepPlanConfig, drawn: list[dict[str, Any]], field: str) -> Any:
    found = (config.settings | drawn[0]).get(field)
    if found is None:
        raise ConfigError(f"settings: no {field}; name the folder of the training records")
    return found


def _check(settings: dict[str, Any], varied: dict[str, Any]) -> None:
    try:
        TrainConfig(**settings)
    except SettingsError as error:
        told = "; ".join(f"{field}: {text}" if field else text for field, text in error.problems)
        shown = ", ".join(f"{key}={value}" for key, value in varied.items())
        raise ConfigError(f"the training with {shown} cannot be: {told}") from error
