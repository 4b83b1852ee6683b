"""Registered models: their versions, and the aliases that say which version is used."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from decloud_lib.tracking.server import TrackingError, calling, client, is_missing

logger = logging.getLogger(__name__)

DIGEST_TAG = "decloud.digest"
"""Of a logged model and its registered versions: digest of the model folder (see `checksums`)."""
#: Longer than any other process needs between its look at an alias and its own setting of it.
SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version."""

    name: str
    number: int
    run_id: str
    """Run that trained it; empty for a version that was registered otherwise."""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """`models:/NAME/NUMBER`."""
        return f"models:/{self.name}/{self.number}"

    @property
    def digest(self) -> str | None:
        """Digest of its folder; None where it was registered without."""
        return self.tags.get(DIGEST_TAG)


def register(run_id: str, name: str, alias: str, tags: Mapping[str, str] | None = None) -> Version:
    """Make a registered version from the logged model of a run, and point an alias at it.

    Called again for the same run, no second version is made, and the tags are brought up to date.

    Raises
    ------
    TrackingError
        The run has no logged model, the model has no digest, or MLflow cannot be reached.
    """
    with calling():
        mlflow = client()
        logged = logged_model(run_id)
        digest = logged.tags.get(DIGEST_TAG)
        if digest is None:
            raise TrackingError(
                f"the model of MLflow run {run_id} has no {DIGEST_TAG}; expected one that "
                f"`decloud train` recorded: train it again"
            )
        if not mlflow.search_registered_models(f"name = '{name}'"):
            mlflow.create_registered_model(name)
        labels = {DIGEST_TAG: digest, **(tags or {})}
        version = next((item for item in find_versions(name) if item.run_id == run_id), None)
        if version is None:
            source = f"models:/{logged.model_id}"
            made = mlflow.create_model_version(
                name, source, run_id, tags=labels, model_id=logged.model_id
            )
            version = _version(made)
        else:
            set_tags(version, labels)
        mlflow.set_registered_model_alias(name, alias, str(version.number))
    return find_version(name, version.number)


def find_version(name: str, number: int) -> Version:
    """Return a registered version.

    Raises
    ------
    TrackingError
        There is none.
    """
    with calling():
        return _version(client().get_model_version(name, str(number)))


def find_versions(name: str) -> tuple[Version, ...]:
    """Return all versions of a registered model, the newest first; none when there is no model."""
    aliases = _aliases(name)
    if is_missing():
        return ()
    with calling():
        found = [_version(item) for item in client().search_model_versions(f"name = '{name}'")]
    # A listing of versions leaves out their aliases.
    named = (
        replace(
            item, aliases=tuple(sorted(key for key, at in aliases.items() if at == item.number))
        )
        for item in found
    )
    return tuple(sorted(named, key=lambda version: -version.number))


def find_alias(name: str, alias: str) -> Version | None:
    """Return the version that an alias points at; None where there is no such alias or model."""
    number = _aliases(name).get(alias)
    return None if number is None else find_version(name, number)


def set_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Label a version; what is there already under the same keys is replaced."""
    found = find_version(version.name, version.number).tags
    with calling():
        mlflow = client()
        for key, value in tags.items():
            if found.get(key) != value:
                mlflow.set_model_version_tag(version.name, str(version.number), key, value)


def drop_tag(version: Version, key: str) -> None:
    """Remove a label of a version, where it has it."""
    if key in find_version(version.name, version.number).tags:
        with calling():
            client().delete_model_version_tag(version.name, str(version.number), key)


def describe(version: Version, text: str) -> None:
    """Set the description of a version, Markdown, which MLflow shows on its page."""
    with calling():
        client().update_model_version(version.name, str(version.number), text)


def point_alias(version: Version, alias: str) -> None:
    """Point an alias at a version, whatever it pointed at before."""
    with calling():
        client().set_registered_model_alias(version.name, alias, str(version.number))


def drop_alias(version: Version, alias: str) -> None:
    """Remove an alias if it points at this version."""
    if _aliases(version.name).get(alias) == version.number:
        with calling():
            client().delete_registered_model_alias(version.name, alias)


def claim_alias(
    version: Version, alias: str, expected: Version | None, settle_s: float | None = None
) -> bool:
    """Point an alias at a version, if it still points at what was compared with.

    MLflow cannot compare and set in one step. Of several processes that expect the same, one wins:
    each looks, sets, waits for longer than any other needs between its look and its setting, and
    looks again (Fischer's algorithm, in Lamport, A Fast Mutual Exclusion Algorithm, 1987).

    Parameters
    ----------
    version
        What the alias shall point at.
    alias
        The alias.
    expected
        What it pointed at before; None for nothing.
    settle_s
        How long to wait, seconds; default: `SETTLE_S`.

    Returns
    -------
    False where another process was faster; the alias is then the other's.
    """
    before = None if expected is None else expected.number
    wait_s = SETTLE_S if settle_s is None else settle_s
    if _aliases(version.name).get(alias) == before:
        point_alias(version, alias)
        time.sleep(wait_s)
        if _aliases(version.name).get(alias) == version.number:
            return True
    time.sleep(wait_s)
    return False


def logged_model(run_id: str) -> Any:
    """Return the logged model of a run, as MLflow has it: the last one.

    Raises
    ------
    TrackingError
        The run has none.
    """
    with calling():
        outputs = client().get_run(run_id).outputs
        models = outputs.model_outputs if outputs else []
        if not models:
            raise TrackingError(f"MLflow run {run_id} has no model; was its training interrupted?")
        return client().get_logged_model(str(models[-1].model_id))


def _aliases(name: str) -> dict[str, int]:
    if is_missing():
        return {}
    try:
        with calling():
            found = client().get_registered_model(name).aliases
    except TrackingError as error:
        if getattr(error.__cause__, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(number) for alias, number in found.items()}


def _version(found: Any) -> Version:
    return Version(
        found.name,
        int(found.version),
        str(found.run_id or ""),
        tuple(sorted(found.aliases)),
        dict(found.tags or {}),
    )
