"""Go back to the version that was in use before."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from decloud_lib import tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, ModelFolderError

logger = logging.getLogger(__name__)

ROLLED_BACK_TAG = "decloud.promotion.rolled_back"


class RollbackConfig(StageConfig):
    """Settings of `rollback`."""

    name: str = Field(default="decloud", min_length=1, description="Name of the registered model.")
    alias: str = Field(default="champion", min_length=1, description="Alias of the version in use.")
    to_version: int | None = Field(
        default=None, ge=1, description="Version to use; default: the one that was used before."
    )


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """The version in use now, and the one that was."""

    model_uri: str
    """`models:/NAME/VERSION` of the version in use now."""
    version: int
    former: int


def rollback(config: RollbackConfig) -> RollbackResult:
    """Point the alias at the version that the one in use replaced, or at a named one.

    The files of that version are checked first. Called again, it goes one more step back.

    Returns
    -------
    Both versions.

    Raises
    ------
    ConfigError
        Nothing is in use, there is no version before it, it is the same, or another process moved
        the alias meanwhile.
    ModelFolderError, TrackingError
        The version is not there, or its files are not those that were recorded.
    """
    from decloud_lib.stages.promote import FORMER

    current = tracking.find_alias(config.name, config.alias)
    if current is None:
        raise ConfigError(
            f"model {config.name} has no {config.alias}, so there is nothing to go back from; "
            f"check --name and --alias"
        )
    target = tracking.find_version(config.name, config.to_version or _before(current, config))
    if target.number == current.number:
        raise ConfigError(f"{target.uri} is the version in use already")
    try:
        with tracking.model_folder(target.uri):
            logger.info("%s is complete and unchanged", target.uri)
    except ModelFolderError as error:
        raise ModelFolderError(
            f"{error}; --to-version goes back to another one (MLflow lists the versions of "
            f"{config.name})"
        ) from error
    if not tracking.claim_alias(target, config.alias, current):
        raise ConfigError(
            f"another process moved {config.alias} of {config.name} meanwhile; look which version "
            f"is in use now, and decide again"
        )
    tracking.drop_alias(target, FORMER)
    tracking.drop_tag(target, ROLLED_BACK_TAG)
    tracking.set_tags(current, {ROLLED_BACK_TAG: datetime.now(UTC).isoformat(timespec="seconds")})
    logger.info("%s is in use, in the place of version %d", target.uri, current.number)
    return RollbackResult(target.uri, target.number, current.number)


def _before(current: tracking.Version, config: RollbackConfig) -> int:
    from decloud_lib.learning.evidence import PREVIOUS_TAG

    before = current.tags.get(PREVIOUS_TAG, "none")
    if not before.isdecimal():
        raise ConfigError(
            f"{current.uri} replaced no other version; name one with --to-version (MLflow lists "
            f"the versions of {config.name})"
        )
    return int(before)
