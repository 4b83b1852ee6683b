"""Experiments and registered models in MLflow; the only module of the package that imports it.

Where MLflow is follows from `MLFLOW_TRACKING_URI`; without it, from `mlflow.db` in the working
directory, with the artifacts in `mlartifacts` beside it. Its own messages,
its usage telemetry and its minutes of retries are switched off.
"""

import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from decloud_lib import storage
from decloud_lib.errors import DecloudError, ModelFolderError

if TYPE_CHECKING:
    from PIL.Image import Image

    from decloud_lib.types import Array

logger = logging.getLogger(__name__)

DEFAULT_URI = "sqlite:///mlflow.db"
_ARTIFACT = "sm"
_SQLITE = "sqlite:///"
_PYFUNC = Path(__file__).parent / "models" / "pyfunc_model.py"
#: MLflow keeps no more of a digest.
_DIGEST_CHARACTERS = 36
_LOG_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}
_MODEL_SCHEMES = ("models:/", "runs:/")
#: Quiet, private and quick to give up; what the user sets wins.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


#: Tensor name -> (dtype, shape with -1 for free sizes).
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


class TrackingError(DecloudError):
    """MLflow cannot be reached, or holds no such run or model."""


class Run:
    """One open run; see `open_run`."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record settings; the same value again is fine, another one is an error."""
        with _calling():
            _mlflow().log_params({key: str(value) for key, value in params.items()})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record labels by which runs are found."""
        with _calling():
            _mlflow().set_tags(dict(tags))

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, of one step of a curve or once; infinite ones are left out and named."""
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        if len(finite) < len(values):
            left = ", ".join(sorted(values.keys() - finite.keys()))
            logger.warning("Not a finite number, so not in MLflow: %s", left)
        with _calling():
            _mlflow().log_metrics(finite, step=step)

    def log_image(self, image: "Array", key: str, step: int) -> None:
        """Record a picture, (H, W, 3) uint8, of one step; MLflow shows the steps with a slider."""
        with _calling():
            _mlflow().log_image(image, key=key, step=step)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a file as an artifact of the run."""
        with _calling():
            _mlflow().log_artifact(str(path), folder)

    def log_picture(self, picture: "Image", name: str) -> None:
        """Record a picture that belongs to no step as an artifact, by its path."""
        with _calling():
            _mlflow().log_image(picture, artifact_file=name)

    def log_text(self, text: str, name: str) -> None:
        """Record a text as an artifact of the run, by its path."""
        with _calling():
            _mlflow().log_text(text, name)

    def log_dataset(
        self, uri: str, name: str, digest: str, context: Literal["training", "validation", "test"]
    ) -> None:
        """Record which data were used: where they lie, and the digest of their manifest."""
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset

        place = uri if storage.is_s3(uri) else str(Path(uri).resolve())
        with _calling():
            source = resolve_dataset_source(place)
            data = MetaDataset(source, name=name, digest=digest[:_DIGEST_CHARACTERS])
            _mlflow().log_input(data, context=context)

    def log_model(
        self,
        folder: Path,
        name: str,
        inputs: Tensors,
        outputs: Tensors,
        requirements: Sequence[str],
    ) -> str:
        """Record a model folder as a logged model that MLflow can serve.

        Parameters
        ----------
        folder
            SavedModel and contract; stored as they are.
        name
            Name of the logged model.
        inputs, outputs
            The signature.
        requirements
            What serving it needs, as for pip. Given, because finding it out would take MLflow
            half a minute and an import in another process.

        Returns
        -------
        Id of the logged model.
        """
        from importlib.metadata import version

        import numpy as np
        from mlflow import pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        schemas = [
            Schema([TensorSpec(np.dtype(kind), shape, key) for key, (kind, shape) in item.items()])
            for item in (inputs, outputs)
        ]
        with _calling():
            _mlflow()
            info = pyfunc.log_model(
                name=name,
                python_model=str(_PYFUNC),
                artifacts={_ARTIFACT: str(folder)},
                signature=ModelSignature(*schemas),
                pip_requirements=[f"mlflow=={version('mlflow')}", *requirements],
            )
        return str(info.model_id)


@contextmanager
def open_run(
    experiment: str,
    *,
    name: str | None = None,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    watch_system: bool = False,
) -> Iterator[Run]:
    """Start a run, or go on with one; it is marked finished or failed at the end.

    Parameters
    ----------
    experiment
        Name of the experiment; made when missing.
    name
        Name of a new run.
    run_id
        Go on with this run.
    tags
        Labels.
    watch_system
        Record load and memory of processor, GPUs, disk and network, as curves over time.

    Raises
    ------
    TrackingError
        MLflow cannot be reached, or has no such run.
    """
    mlflow = _mlflow()
    with _calling():
        experiment_id = None if run_id else _experiment_id(experiment)
        active = mlflow.start_run(
            run_id=run_id,
            experiment_id=experiment_id,
            run_name=None if run_id else name,
            tags=dict(tags or {}),
            log_system_metrics=watch_system,
        )
    with active:
        yield Run(active.info.run_id)


def has_run(run_id: str) -> bool:
    """Say whether MLflow knows a run."""
    try:
        with _calling():
            return bool(_client().get_run(run_id))
    except TrackingError as error:
        if getattr(error.__cause__, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def register(run_id: str, name: str, alias: str, tags: Mapping[str, str] | None = None) -> int:
    """Make a registered version from the logged model of a run, and point an alias at it.

    Called again for the same run, no second version is made.

    Returns
    -------
    The version.

    Raises
    ------
    TrackingError
        The run has no logged model, or MLflow cannot be reached.
    """
    with _calling():
        client = _client()
        model_id = _logged_model(run_id)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        versions = client.search_model_versions(f"name = '{name}'")
        version = next((item for item in versions if item.run_id == run_id), None)
        if version is None:
            version = client.create_model_version(
                name, f"models:/{model_id}", run_id, tags=dict(tags or {}), model_id=model_id
            )
        client.set_registered_model_alias(name, alias, version.version)
    return int(version.version)


def metric_curves(run_id: str) -> dict[str, list[tuple[float, float]]]:
    """Return the curves of a run: metric name -> (epoch, value) of each step, in order.

    Raises
    ------
    TrackingError
        There is no such run.
    """
    with _calling():
        names = sorted(_client().get_run(run_id).data.metrics)
        histories = {name: _client().get_metric_history(run_id, name) for name in names}
    return {
        name: [(float(point.step), point.value) for point in points]
        for name, points in histories.items()
        if len(points) > 1
    }


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
    mlflow = _mlflow()
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        with _calling():
            source = uri
            if uri.startswith("runs:/"):
                source = f"models:/{_logged_model(uri.removeprefix('runs:/').split('/')[0])}"
            local = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
            flavours = Model.load(str(local)).flavors
        artifacts = flavours.get("python_function", {}).get("artifacts", {})
        if _ARTIFACT not in artifacts:
            raise ModelFolderError(f"{uri}: not a model that `decloud train` recorded")
        yield local / artifacts[_ARTIFACT]["path"]


def tracking_uri() -> str:
    """Return where MLflow is."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def reach() -> str:
    """Ask MLflow something that needs its store; return a word on what was found.

    Raises
    ------
    TrackingError
        It cannot be reached, or refuses.
    """
    with _calling():
        found = _client().search_experiments(max_results=1)
    return "answers" if found else "answers, and is empty"


def _mlflow() -> Any:
    """Import MLflow, quietly, and point it at the server."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    uri = tracking_uri()
    if uri.startswith("http"):
        _check_reachable(uri)
    mlflow.set_tracking_uri(uri)
    return mlflow


@lru_cache(maxsize=8)
def _check_reachable(uri: str) -> None:
    """Find out at once, not after minutes of retries, whether a server answers at all."""
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=8).close()
    except HTTPError:
        return  # it answers; whether it lets us in is seen at the first call
    except (URLError, TimeoutError, ValueError) as error:
        raise TrackingError(
            f"MLflow at {uri} cannot be reached ({getattr(error, 'reason', error)}); check "
            f"MLFLOW_TRACKING_URI and the server, or unset it to track in {DEFAULT_URI}"
        ) from error


def _client() -> Any:
    return _mlflow().MlflowClient()


def _experiment_id(name: str) -> str:
    client = _client()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=_artifact_location()))


def _artifact_location() -> str | None:
    """Return a folder beside a database file; None leaves it to the server."""
    path = tracking_uri().removeprefix(_SQLITE)
    if path == tracking_uri():
        return None
    return Path(path).resolve().with_name("mlartifacts").as_uri()


def _logged_model(run_id: str) -> str:
    outputs = _client().get_run(run_id).outputs
    models = outputs.model_outputs if outputs else []
    if not models:
        raise TrackingError(f"MLflow run {run_id} has no model; was its training interrupted?")
    return str(models[-1].model_id)


@contextmanager
def _calling() -> Iterator[None]:
    """Turn MLflow's errors into ours, and keep its warnings about itself from the user."""
    from mlflow.exceptions import MlflowException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except MlflowException as error:
        raise _explained(error) from error


def _explained(error: Exception) -> TrackingError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    said = first.partition(". ")[0][:300].rstrip(".")
    action = "check MLFLOW_TRACKING_URI and the server"
    if "not found" in said:
        action = (
            "check the name (models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID) and "
            "MLFLOW_TRACKING_URI"
        )
    return TrackingError(f"MLflow at {tracking_uri()}: {said}; {action}")
