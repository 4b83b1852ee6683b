"""Train one network of a sweep and score it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from decloud_lib import storage
from decloud_lib.config import JsonObject, StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.stages.evaluate import NETWORK, SCORES, EvaluateConfig, evaluate
from decloud_lib.stages.train import train
from decloud_lib.stages.train_config import TrainConfig

logger = logging.getLogger(__name__)


class SweepPointConfig(StageConfig):
    """Settings of `sweep point`."""

    settings: JsonObject = Field(
        description="Settings of the training, as JSON: one of the points of `sweep plan --json`."
    )
    test_records: tuple[str, ...] = Field(
        min_length=1, description="Folders of the records to score on, the same for all points."
    )
    scores: str = Field(description="Folder of the scores of this point.")
    baselines: tuple[str, ...] = Field(
        default=(), description="Deterministic models to score beside it."
    )


@dataclass(frozen=True, slots=True)
class SweepPointResult:
    """What became of a point."""

    run_id: str
    savedmodel: str
    """Empty where the training diverged."""
    scores: Mapping[str, float]


def sweep_point(config: SweepPointConfig) -> SweepPointResult:
    """Train with the settings of a point, and score the network in the same MLflow run.

    A training whose loss is no number any more is a result of a sweep, not its end: it is logged,
    its run is marked as failed, and the other points go on.

    Raises
    ------
    ConfigError, ShapeError, NoSampleError
        As `train` and `evaluate`.
    """
    from decloud_lib.learning.course import BadBatchError

    training = TrainConfig(**config.settings, overwrite=config.overwrite)
    if training.out_savedmodel is None:
        raise ConfigError("settings: no out_savedmodel; the network must be kept to be scored")
    try:
        trained = train(training)
    except BadBatchError as error:
        logger.warning("this point of the sweep has no network: %s", error)
        return SweepPointResult("", "", {})
    folder = str(trained.savedmodel)
    scored = evaluate(
        EvaluateConfig(
            test_records=config.test_records,
            savedmodel=folder,
            baselines=config.baselines,
            output=config.scores,
            batch_size=training.batch_size_valid,
            run_id=trained.run_id,
            skip_damaged=training.skip_damaged,
            overwrite=config.overwrite,
        )
    )
    logger.info("%s: scores in %s", folder, storage.join(config.scores, SCORES))
    return SweepPointResult(trained.run_id, folder, scored.scores[NETWORK])
