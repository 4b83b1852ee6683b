"""Where MLflow is, and how it is called.

The place follows from `MLFLOW_TRACKING_URI`; without it, from `mlflow.db` in the working
directory, with the artifacts in `mlartifacts` beside it. MLflow's own messages, its usage telemetry
and its minutes of retries are switched off.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from decloud_lib.errors import DecloudError
from decloud_lib.garbage import uncollected

DEFAULT_URI = "sqlite:///mlflow.db"
_SQLITE = "sqlite:///"
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]+@")
_LOG_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}
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


class TrackingError(DecloudError):
    """MLflow cannot be reached, or holds no such run or model."""


def tracking_uri() -> str:
    """Return where MLflow is."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def place() -> str:
    """Return where MLflow is, for people: without the password of a database or server."""
    return _PASSWORD.sub(r"\1***@", tracking_uri())


def vanishes() -> bool:
    """Say whether what is tracked is lost with this container: in a pod, without a server."""
    return _in_pod() and not os.environ.get("MLFLOW_TRACKING_URI")


def _in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def is_missing() -> bool:
    """Say whether MLflow is a database file that is not there: to ask it would make one."""
    path = tracking_uri().removeprefix(_SQLITE)
    return path != tracking_uri() and not Path(path.partition("?")[0]).exists()


def reach() -> str:
    """Ask MLflow something that needs its store; return a word on what was found.

    Raises
    ------
    TrackingError
        It cannot be reached, or refuses.
    """
    with calling():
        found = client().search_experiments(max_results=1)
    return "answers" if found else "answers, and is empty"


def connect() -> Any:
    """Import MLflow, quietly, and point it at the server."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with uncollected():
        import mlflow

    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    uri = tracking_uri()
    if "://" not in uri and not uri.startswith("databricks"):
        # MLflow would take it for a folder.
        raise TrackingError(
            f"MLflow at {place()}: expected the address of a server, http://host:port, or a "
            "database such as sqlite:///mlflow.db; check MLFLOW_TRACKING_URI"
        )
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
        reason = getattr(error, "reason", error)
        otherwise = "" if _in_pod() else f", or unset it to track in {DEFAULT_URI}"
        raise TrackingError(
            f"MLflow at {place()} cannot be reached ({reason}); check MLFLOW_TRACKING_URI and the "
            f"server{otherwise}"
        ) from error


def client() -> Any:
    """Return a client of MLflow."""
    try:
        with uncollected():
            # Imports more of MLflow, by the kind of store.
            return connect().MlflowClient()
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"MLflow at {place()}: the Python package {error.name} is not installed here; set "
            "MLFLOW_TRACKING_URI to the address of a server, http://host:port, or install it"
        ) from error


def artifact_location() -> str | None:
    """Return a folder beside a database file; None leaves it to the server."""
    path = tracking_uri().removeprefix(_SQLITE)
    if path == tracking_uri():
        return None
    return Path(path).resolve().with_name("mlartifacts").as_uri()


@contextmanager
def calling() -> Iterator[None]:
    """Turn errors of MLflow and its database into ours, and keep its warnings from the user."""
    failures = _failures()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except failures as error:
        raise _explained(error) from error


def _failures() -> tuple[type[Exception], ...]:
    with uncollected():
        from mlflow.exceptions import MlflowException
    if not tracking_uri().startswith("http"):
        # A database is opened from here; MLflow passes on what is said while its tables are made.
        with suppress(ModuleNotFoundError):
            from sqlalchemy.exc import DBAPIError

            return MlflowException, DBAPIError
    return (MlflowException,)


def _explained(error: Exception) -> TrackingError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    said = first.partition(". ")[0][:300].rstrip(".")
    action = "check MLFLOW_TRACKING_URI and the server"
    if "not found" in said:
        action = (
            "check the name (models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID) and "
            "MLFLOW_TRACKING_URI"
        )
    return TrackingError(f"MLflow at {place()}: {said}; {action}")
