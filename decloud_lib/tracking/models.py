"""The folders behind the models of MLflow and elsewhere, checked before anything loads them."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decloud_lib import checksums, signing, storage
from decloud_lib.errors import ModelFolderError
from decloud_lib.tracking import registry
from decloud_lib.tracking.runs import ARTIFACT
from decloud_lib.tracking.server import (
    TrackingError,
    calling,
    client,
    connect,
    is_missing,
    place,
)

logger = logging.getLogger(__name__)

_REGISTERED, _OF_RUN = "models:/", "runs:/"
_LOGGED = "m-"
_GONE = "MLflow knows it, but its files are gone from the artifact store; use another version"


def is_tracked(uri: str) -> bool:
    """Say whether a model URI is MLflow's (`models:/...`, `runs:/...`) and not a folder's."""
    return uri.startswith((_REGISTERED, _OF_RUN))


def check_model(uri: str) -> str:
    """Find out whether a model is there, without bringing its files here; return what it is.

    Parameters
    ----------
    uri
        As for `model_folder`.

    Raises
    ------
    TrackingError, StorageError, ModelFolderError
        As `model_folder`, but nothing is said of the files.
    """
    if is_tracked(uri):
        source, _ = _resolve(uri)
        with calling():
            found = connect().artifacts.list_artifacts(artifact_uri=source)
        if not found:
            raise ModelFolderError(f"{uri}: {_GONE}")
        return source
    if not storage.exists(uri):
        raise ModelFolderError(f"{uri}: no model folder there; check the path")
    return uri


@contextmanager
def model_folder(uri: str) -> Iterator[Path]:
    """Give a local folder with a plain SavedModel and its contract, as it was recorded.

    Parameters
    ----------
    uri
        `models:/NAME@alias`, `models:/NAME/3`, `runs:/RUN_ID`, or a folder (`s3://...` or local).

    Raises
    ------
    TrackingError
        MLflow has no such model, or cannot be reached.
    StorageError, ModelFolderError
        There is no such folder, or nothing in it; or its files are not those whose digest MLflow
        keeps, or, of a folder elsewhere, not those of its own checksums.
    """
    if not is_tracked(uri):
        check_model(uri)
        with storage.local_copy(uri) as folder:
            if not checksums.check_folder(folder, uri):
                logger.info("%s has no %s: taken as it is", uri, checksums.NAME)
            signing.check_signature(folder, uri)
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="decloud-") as parent:
        source, digest = _resolve(uri)
        folder = _download(uri, source, parent)
        checksums.check_folder(folder, uri, digest)
        signing.check_signature(folder, uri)
        yield folder


def _resolve(uri: str) -> tuple[str, str]:
    """Return the URI of one logged model or version, and the digest that was recorded with it.

    An alias may move while its model is brought here: it is followed once.
    """
    _check_there(uri)
    with calling():
        rest = uri.removeprefix(_REGISTERED)
        if uri.startswith(_OF_RUN):
            logged = registry.logged_model(uri.removeprefix(_OF_RUN).split("/")[0])
            source, digest = f"{_REGISTERED}{logged.model_id}", logged.tags.get(registry.DIGEST_TAG)
        elif rest.startswith(_LOGGED) and "/" not in rest and "@" not in rest:
            source, digest = uri, client().get_logged_model(rest).tags.get(registry.DIGEST_TAG)
        else:
            version = resolve_version(uri)
            source, digest = version.uri, version.digest
    if digest is None:
        raise ModelFolderError(
            f"{uri}: MLflow keeps no {registry.DIGEST_TAG} of it, so nothing proves that its files "
            f"are those that were recorded; register it with `decloud promote`"
        )
    return source, digest


def resolve_version(uri: str) -> registry.Version:
    """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names.

    Raises
    ------
    TrackingError
        There is none, or the name is no such name.
    """
    _check_there(uri)
    rest = uri.removeprefix(_REGISTERED)
    name, at, alias = rest.rpartition("@")
    if at:
        with calling():
            number = client().get_model_version_by_alias(name, alias).version
        return registry.find_version(name, int(number))
    name, _, number = rest.rpartition("/")
    if not name or not number.isdecimal():
        raise TrackingError(
            f"{uri}: not a model; expected models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID"
        )
    return registry.find_version(name, int(number))


def _check_there(uri: str) -> None:
    if is_missing():
        raise TrackingError(
            f"{uri} not found: there is no database {place()}; check MLFLOW_TRACKING_URI, and "
            "the folder that you are in"
        )


def _download(uri: str, source: str, parent: str) -> Path:
    from mlflow.models import Model

    with calling():
        local = Path(connect().artifacts.download_artifacts(source, dst_path=parent))
        # What is gone is downloaded as an empty folder.
        if not any(local.iterdir()):
            raise ModelFolderError(f"{uri}: {_GONE}")
        flavours = Model.load(str(local)).flavors
    artifacts = flavours.get("python_function", {}).get("artifacts", {})
    if ARTIFACT not in artifacts:
        raise ModelFolderError(f"{uri}: not a model that `decloud train` recorded")
    return local / str(artifacts[ARTIFACT]["path"])
