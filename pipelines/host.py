"""A Kubeflow Pipelines host: start a compiled pipeline there and follow it to its end."""

import contextlib
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decloud_lib.errors import ConfigError
from pipelines.runs import PipelineError

logger = logging.getLogger(__name__)

_ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}
_LOST_AFTER = 10
"""Questions without an answer, one after the other, until following gives up."""
_PATIENCE_S = 20.0
"""Longest time until the first answer."""
_REFUSED = {
    401: "it does not know who asks: give --token, or renew it",
    403: "not allowed: ask for rights in that namespace, or check --namespace and --token",
    404: "there is no Kubeflow Pipelines API of version v2beta1: check --host",
}


@dataclass(frozen=True, slots=True)
class Host:
    """Where pipelines run."""

    url: str
    """With its scheme, without a slash at its end."""
    token: str | None = None
    """Shown to the host; None: as configured on this machine, or none."""
    namespace: str | None = None
    """Of a deployment with several users; None for one with a single one."""
    experiment: str = "decloud"


@dataclass(frozen=True, slots=True)
class Started:
    """A run on a host."""

    host: Host
    run_id: str
    link: str
    """Its page in the user interface."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    state: str
    """SUCCEEDED, FAILED, CANCELED or SKIPPED; RUNNING where the time to wait was over."""
    failed: tuple[str, ...]
    """Tasks that failed, with their messages."""


def start(
    host: Host,
    package: Path,
    arguments: Mapping[str, Any],
    run_name: str,
    service_account: str | None = None,
) -> Started:
    """Start a compiled pipeline.

    Parameters
    ----------
    host
        Where.
    package
        The compiled pipeline.
    arguments
        Its parameters by name.
    run_name
        Name of the run; no other run of the experiment may bear it.
    service_account
        Of the pods of the run.

    Raises
    ------
    ConfigError
        There is a run of this name already.
    PipelineError
        The host cannot be reached, or refuses.
    """
    client = _client(host)
    with _told(host):
        _check_name(client, host, run_name)
        # The client prints addresses of its own, also to places where nobody looks.
        with contextlib.redirect_stdout(io.StringIO()):
            run = client.create_run_from_pipeline_package(
                str(package),
                arguments=dict(arguments),
                run_name=run_name,
                experiment_name=host.experiment,
                namespace=host.namespace,
                service_account=service_account,
            )
    run_id = str(run.run_id)
    return Started(host, run_id, f"{host.url}/#/runs/details/{run_id}")


def follow(run: Started, *, timeout_s: float | None = None, every_s: float = 5.0) -> Outcome:
    """Wait for the end of a run and log what its tasks do.

    Parameters
    ----------
    run
        What was started.
    timeout_s
        Longest time to wait; None: as long as it takes.
    every_s
        Time between two questions to the host.

    Raises
    ------
    PipelineError
        The host no longer answers; the run may go on.
    """
    client = _client(run.host)
    until = None if timeout_s is None else time.monotonic() + timeout_s
    seen: dict[str, str] = {}
    lost = 0
    while True:
        try:
            with _told(run.host):
                found = client.get_run(run.run_id)
            lost = 0
        except PipelineError as error:
            lost += 1
            if lost >= _LOST_AFTER:
                raise PipelineError(f"{error}; the run may go on: {run.link}", None, ()) from error
            logger.warning("no answer from %s, asked again", run.host.url)
            found = None
        if found is not None:
            _log_changes(found, seen)
            if found.state in _ENDED:
                return _outcome(found)
        if until is not None and time.monotonic() + every_s > until:
            return Outcome("RUNNING", ())
        time.sleep(every_s)


def _client(host: Host) -> Any:
    import kfp

    # Each attempt would be told in five lines; the last one is.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    with _told(host), warnings.catch_warnings():
        _check_answer(host)
        warnings.simplefilter("ignore", FutureWarning)
        return kfp.Client(
            host=host.url, existing_token=host.token, **_given(namespace=host.namespace)
        )


def _check_answer(host: Host) -> None:
    """Ask for the host's health: the client itself would try for half a minute, and tell little."""
    import urllib3
    from kfp_server_api import ApiException

    token = {"Authorization": f"Bearer {host.token}"} if host.token else {}
    with urllib3.PoolManager(retries=False, timeout=_PATIENCE_S) as pool:
        answer = pool.request("GET", f"{host.url}/apis/v2beta1/healthz", headers=token)
    if 300 <= answer.status < 400:
        raise ApiException(status=401)
    if answer.status != 200:
        error = ApiException(status=answer.status, reason=answer.reason)
        error.body = answer.data
        raise error
    if "json" not in answer.headers.get("Content-Type", ""):
        raise ApiException(status=404)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _check_name(client: Any, host: Host, run_name: str) -> None:
    wanted = {"operation": "EQUALS", "key": "display_name", "stringValue": run_name}
    found = client.list_runs(
        namespace=host.namespace, filter=json.dumps({"predicates": [wanted]}), page_size=1
    )
    for run in found.runs or []:
        raise ConfigError(
            f"{host.url}: there is a run {run_name!r} already ({run.state}, of "
            f"{run.created_at:%Y-%m-%d %H:%M}); give another --run-name"
        )


@contextmanager
def _told(host: Host) -> Iterator[None]:
    """Turn what the client raises into one line."""
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        reason = _REFUSED.get(error.status) or _message(error.body) or str(error.reason)
        raise PipelineError(
            f"Kubeflow at {host.url} refuses ({error.status}): {reason}", None, ()
        ) from error
    except (HTTPError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PipelineError(
            f"Kubeflow at {host.url} cannot be reached ({reason}); check --host, and that the "
            "address leads to its API",
            None,
            (),
        ) from error


def _message(body: Any) -> str:
    """Return the text of an error that the host sent."""
    try:
        told = json.loads(body)
    except (TypeError, ValueError):
        return ""
    if not isinstance(told, dict):
        return ""
    return " ".join(str(told.get("message") or told.get("error") or "").split())[:300]


def _tasks(run: Any) -> list[Any]:
    details = run.run_details.task_details if run.run_details else None
    return list(details or [])


def _log_changes(run: Any, seen: dict[str, str]) -> None:
    """Log each new state of a task; one that only waits is not told."""
    for task in _tasks(run):
        state = task.state or "PENDING"
        if seen.get(task.task_id) == state:
            continue
        seen[task.task_id] = state
        if state in {"PENDING", "RUNTIME_STATE_UNSPECIFIED"} or _is_internal(task):
            continue
        level = logging.WARNING if state == "FAILED" else logging.INFO
        seconds = ""
        if state in _ENDED and task.start_time and task.end_time:
            seconds = f" after {(task.end_time - task.start_time).total_seconds():.0f} s"
        logger.log(level, "%s: %s%s", task.display_name, state.lower(), seconds)


def _is_internal(task: Any) -> bool:
    """Say whether a task is a driver, or stands for the run: not written by people."""
    name = task.display_name or ""
    return name.endswith(("-driver", "root")) or not name


def _outcome(run: Any) -> Outcome:
    failed = tuple(
        f"{task.display_name}{_why(task.error)}"
        for task in _tasks(run)
        if task.state == "FAILED" and not _is_internal(task)
    )
    # Some versions call a run successful whose exit handler was, whatever happened inside it.
    handled = any(name.startswith("exit-handler") for name in failed)
    state = "FAILED" if run.state == "SUCCEEDED" and handled else run.state
    told = tuple(name for name in failed if not name.startswith("exit-handler"))
    if state == "FAILED" and not told and run.error:
        told = (_why(run.error).removeprefix(": "),)
    return Outcome(state, told)


def _why(error: Any) -> str:
    return f": {' '.join(error.message.split())[:300]}" if error and error.message else ""
