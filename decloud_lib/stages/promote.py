"""Register a trained network in MLflow and point an alias at it."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from decloud_lib import fingerprint, manifest, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, ModelFolderError

logger = logging.getLogger(__name__)

_NETWORK = "model"


class PromoteConfig(StageConfig):
    """Settings of `promote`."""

    savedmodel: str = Field(description="Model folder of the training.")
    run_id: str = Field(description="MLflow run of the training.")
    scores: str | None = Field(
        default=None, description="scores.json of the evaluation, kept with the version."
    )
    name: str = Field(default="decloud", min_length=1, description="Name of the registered model.")
    alias: str = Field(
        default="champion",
        min_length=1,
        description="Alias that shall point at the new version, for models:/NAME@ALIAS.",
    )
    fingerprint: str | None = Field(
        default=None,
        description="What the network was made from, as `decloud retrain` wrote it: its digests "
        "become tags of the version.",
    )


@dataclass(frozen=True, slots=True)
class PromoteResult:
    """The registered version."""

    model_uri: str
    """`models:/NAME@ALIAS`."""
    version: int


def promote(config: PromoteConfig) -> PromoteResult:
    """Make a registered version of the network of a run, and point the alias at it.

    Called again for the same run it makes no second version.

    Returns
    -------
    The version and the URI by which it is used.

    Raises
    ------
    ConfigError
        The scores hold a value that is no number, or the folder is of another run.
    ModelFolderError
        There is no model folder of a finished training.
    TrackingError
        MLflow cannot be reached, or the run recorded no model.
    """
    from decloud_lib.learning.publish import RESULT, read_record

    if storage.stat(storage.join(config.savedmodel, RESULT)) is None:
        raise ModelFolderError(
            f"{config.savedmodel}: no {RESULT} there; expected the model folder of a training"
        )
    record = read_record(config.savedmodel)
    if record.run_id != config.run_id:
        raise ConfigError(
            f"{config.savedmodel} was made by MLflow run {record.run_id}, not by {config.run_id}; "
            f"give the run that made it"
        )
    scores = _scores(config.scores)
    tags = {"code_version": manifest.code_version(), "savedmodel": config.savedmodel}
    tags |= {f"score.{name}": f"{value:.6g}" for name, value in scores.items()}
    if config.fingerprint is not None:
        tags |= fingerprint.read(config.fingerprint).tags(config.fingerprint)
    version = tracking.register(config.run_id, config.name, config.alias, tags).number
    uri = f"models:/{config.name}@{config.alias}"
    logger.info("%s is version %d, of run %s", uri, version, config.run_id)
    return PromoteResult(uri, version)


def _scores(uri: str | None) -> dict[str, float]:
    """Return the network's scores, after all scores of the file have been looked at."""
    if uri is None:
        return {}
    found: Any = None
    try:
        found = json.loads(storage.read_text(uri))["scores"]
        network = found[_NETWORK]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{uri}: not the scores of a network (found {_shown(found)}); "
            f"expected scores.json of `decloud evaluate --savedmodel`"
        ) from error
    wrong = [name for name, value in network.items() if math.isnan(value)]
    if wrong or not network:
        raise ConfigError(
            f"{uri}: the network's {', '.join(wrong) or 'scores'} is no number; it is not "
            f"promoted: look at its training curve in MLflow"
        )
    return dict(network)


def _shown(found: object) -> str:
    return ", ".join(sorted(found)) if isinstance(found, Mapping) else "no table of scores"
