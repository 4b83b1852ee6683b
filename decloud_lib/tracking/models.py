"""Models of MLflow: registered versions, and the folders behind them."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from decloud_lib import storage
from decloud_lib.errors import ModelFolderError
from decloud_lib.tracking.runs import ARTIFACT
from decloud_lib.tracking.server import TrackingError, calling, client, connect

_MODEL_SCHEMES = ("models:/", "runs:/")


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version of a model."""

    number: int
    run_id: str
    """Run that trained it; empty for a version that was registered otherwise."""
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def find_versions(name: str) -> tuple[Version, ...]:
    """Return all versions of a registered model, the newest first; none when there is no model.

    Raises
    ------
    TrackingError
        MLflow cannot be reached.
    """
    with calling():
        mlflow = client()
        found = mlflow.search_registered_models(f"name = '{name}'")
        if not found:
            return ()
        # A listing of versions leaves out their aliases.
        aliases = found[0].aliases
        versions = [
            Version(
                number=int(item.version),
                run_id=item.run_id or "",
                aliases=tuple(sorted(key for key, at in aliases.items() if at == item.version)),
                tags=dict(item.tags),
            )
            for item in mlflow.search_model_versions(f"name = '{name}'")
        ]
    return tuple(sorted(versions, key=lambda version: -version.number))


def register(run_id: str, name: str, alias: str, tags: Mapping[str, str] | None = None) -> int:
    """Make a registered version from the logged model of a run, and point an alias at it.

    Called again for the same run, no second version is made; its tags are brought up to date.

    Returns
    -------
    The version.

    Raises
    ------
    TrackingError
        The run has no logged model, or MLflow cannot be reached.
    """
    with calling():
        mlflow = client()
        model_id = _logged_model(run_id)
        if not mlflow.search_registered_models(f"name = '{name}'"):
            mlflow.create_registered_model(name)
        versions = mlflow.search_model_versions(f"name = '{name}'")
        version = next((item for item in versions if item.run_id == run_id), None)
        if version is None:
            version = mlflow.create_model_version(
                name, f"models:/{model_id}", run_id, tags=dict(tags or {}), model_id=model_id
            )
        for key, value in (tags or {}).items():
            if version.tags.get(key) != value:
                mlflow.set_model_version_tag(name, version.version, key, value)
        mlflow.set_registered_model_alias(name, alias, version.version)
    return int(version.version)


def is_tracked(uri: str) -> bool:
    """Say whether a model URI is MLflow's (`models:/...`, `runs:/...`) and not a folder's."""
    return uri.startswith(_MODEL_SCHEMES)


@contextmanager
def model_folder(uri: str) -> Iterator[Path]:
    """Give a local folder with a plain SavedModel and its contract.

    Parameters
    ----------
    uri
        `models:/NAME@alias`, `models:/NAME/3`, `runs:/RUN_ID`, or a folder (`s3://...` or local).

    Raises
    ------
    TrackingError
        MLflow has no such model, or cannot be reached.
    StorageError, ModelFolderError
        There is no such folder, or nothing in it.
    """
    if not is_tracked(uri):
        if not storage.exists(uri):
            raise ModelFolderError(f"{uri}: no model folder there; check the path")
        with storage.local_copy(uri) as folder:
            yield folder
        return
    mlflow = connect()
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        with calling():
            source = uri
            if uri.startswith("runs:/"):
                source = f"models:/{_logged_model(uri.removeprefix('runs:/').split('/')[0])}"
            local = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
            flavours = Model.load(str(local)).flavors
        artifacts = flavours.get("python_function", {}).get("artifacts", {})
        if ARTIFACT not in artifacts:
            raise ModelFolderError(f"{uri}: not a model that `decloud train` recorded")
        yield local / artifacts[ARTIFACT]["path"]


def _logged_model(run_id: str) -> str:
    outputs = client().get_run(run_id).outputs
    models = outputs.model_outputs if outputs else []
    if not models:
        raise TrackingError(f"MLflow run {run_id} has no model; was its training interrupted?")
    return str(models[-1].model_id)
