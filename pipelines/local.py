"""Run a pipeline on this machine with Kubeflow's local runner, readable and interruptible."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from decloud_lib.errors import ConfigError
from pipelines.compile import compile_text
from pipelines.runs import DockerOptions, PipelineError, PipelineRun, TaskRun, error_in

logger = logging.getLogger(__name__)

_WORKER = Path(__file__).with_name("local_worker.py")
_TAIL_LINES = 20
_GRACE_S = 10.0
_RESTRICTED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "exec,mode=1777"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}


def log_event(pipeline: str, task: TaskRun) -> None:
    """Log the start or the end of a task; the default of `run_local`."""
    if task.ok is None:
        logger.info("%s: %s started", pipeline, task.name)
    else:
        word = "done" if task.ok else "FAILED"
        logger.info("%s: %s %s in %.1f s", pipeline, task.name, word, task.seconds)


def log_line(pipeline: str, task: TaskRun, level: int, text: str) -> None:
    """Log what a task says: warnings as such, the rest for `--log-level debug` only."""
    level = level if level > logging.INFO else logging.DEBUG
    logger.log(level, "%s: %s: %s", pipeline, task.name, text)


def run_local(
    pipeline: Callable[..., Any] | Path,
    arguments: Mapping[str, Any],
    pipeline_root: Path,
    *,
    runner: Literal["subprocess", "docker"] = "subprocess",
    docker: DockerOptions | None = None,
    retries: int = 0,
    on_event: Callable[[str, TaskRun], None] = log_event,
    on_line: Callable[[str, TaskRun, int, str], None] = log_line,
) -> PipelineRun:
    """Run a pipeline here and wait for it.

    Parameters
    ----------
    pipeline
        A pipeline function, or a compiled YAML file.
    arguments
        Its parameters by name; whole numbers may stand for real ones.
    pipeline_root
        Local folder; the run gets a new folder in it.
    runner
        `subprocess`: tasks are processes of this Python; `docker`: containers.
    docker
        How containers run.
    retries
        How often a task that failed runs again, at once; what the pipeline says itself is for
        clusters, where nodes vanish and servers restart.
    on_event
        Called with the pipeline's name at the start and the end of each task.
    on_line
        Called with each log line of a stage: pipeline, task, level as in `logging`, text.

    Returns
    -------
    run : PipelineRun

    Raises
    ------
    ConfigError
        `docker`, and no engine answers: nothing was started.
    PipelineError
        A task failed, or the arguments do not fit the pipeline.
    """
    if runner == "docker":
        _check_engine()
    text = pipeline.read_text("utf-8") if isinstance(pipeline, Path) else compile_text(pipeline)
    options = docker or DockerOptions()
    documents = list(yaml.safe_load_all(text))
    if runner == "docker" and options.image:
        _replace_images(documents[0], options.image)
    _set_retries(documents[0], retries)
    name = documents[0]["pipelineInfo"]["name"]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    folder = pipeline_root.resolve() / f"{name}-{stamp}"
    (folder / "artifacts").mkdir(parents=True)
    # Containers may run as another user.
    (folder / "artifacts").chmod(0o777)
    compiled = folder / "pipeline.yaml"
    compiled.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    order = {
        "pipeline": str(compiled),
        "arguments": _converted(documents[0], arguments),
        "root": str(folder / "artifacts"),
        "logs": str(folder / "logs"),
        "runner": runner,
        "docker": _docker_arguments(options),
    }
    start = time.monotonic()
    outputs, tasks = _follow(name, order, on_event, on_line)
    return PipelineRun(name, folder, outputs, tasks, time.monotonic() - start)


def _check_engine() -> None:
    """Find out that containers can run before anything is written or started."""
    try:
        from docker.errors import DockerException

        import docker
    except ImportError as error:
        raise ConfigError(
            "tasks as containers need the Python package docker: pip install 'docker>=7.1', or run "
            "them as processes (--local, --runner local)"
        ) from error
    try:
        with closing(docker.from_env()) as engine:
            engine.ping()
    except DockerException as error:
        raise ConfigError(
            f"no container engine answers ({error}); start it, set DOCKER_HOST if it is elsewhere, "
            "or run the tasks as processes (--local, --runner local)"
        ) from error


def _follow(
    name: str,
    order: dict[str, Any],
    on_event: Callable[[str, TaskRun], None],
    on_line: Callable[[str, TaskRun, int, str], None],
) -> tuple[dict[str, Any], tuple[TaskRun, ...]]:
    tasks: dict[int, TaskRun] = {}
    last: dict[str, Any] = {"event": "none"}
    with _worker(order) as events:
        for line in events:
            last = json.loads(line)
            if last["event"] == "said":
                level = logging.getLevelNamesMapping()[last["level"]]
                on_line(name, tasks[last["number"]], level, last["text"])
                continue
            if last["event"] == "started":
                task = TaskRun(last["task"], last["number"], Path(last["log"]))
            elif last["event"] == "ended":
                log = tasks[last["number"]].log
                task = TaskRun(last["task"], last["number"], log, last["seconds"], last["ok"])
            else:
                break
            tasks[task.number] = task
            on_event(name, task)
    if last["event"] != "done":
        message = last.get("message", "")
        raise _failure(name, message, tuple(tasks.values()), Path(order["logs"]))
    return last["outputs"], tuple(tasks.values())


@contextmanager
def _worker(order: dict[str, Any]) -> Iterator[IO[str]]:
    """Start the runner's process, give its events, and leave nothing running behind."""
    # -P: the folder of the script must not come before the packages on the import path.
    command = [sys.executable, "-P", str(_WORKER)]
    logs = Path(order["logs"])
    logs.mkdir(parents=True, exist_ok=True)
    with (
        (logs / "worker.log").open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # A group of its own: an interrupt reaches the tasks through `_end`, once.
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            yield process.stdout
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_GRACE_S)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt what is left of a process group, give it time to clean up, then kill it."""
    until = time.monotonic() + _GRACE_S
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        while time.monotonic() < until:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)


def _failure(name: str, message: str, tasks: tuple[TaskRun, ...], logs: Path) -> PipelineError:
    # A task without an end was running when the runner broke down.
    ended_badly = [task for task in tasks if task.ok is False]
    failed = next(iter([*ended_badly, *(task for task in tasks if task.ok is None)]), None)
    log = failed.log if failed else logs / "pipeline.log"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    tail = tuple(line for line in lines if line.strip())[-_TAIL_LINES:]
    if failed is None:
        reason = message or f"the runner ended early: {error_in(tail)}"
        return PipelineError(f"pipeline {name!r}: {reason} (log: {log})", None, tail)
    reason = error_in(tail) or "it ended without a message"
    text = f"pipeline {name!r}: task {failed.name!r} failed: {reason} (log: {log})"
    return PipelineError(text, failed, tail)


def _converted(spec: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn whole numbers into real ones where the pipeline wants these: the runner is strict.

    A folder may be given with a slash at its end; pipelines join names to it.
    """
    wanted = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    converted = {}
    for name, value in arguments.items():
        kind = wanted.get(name, {}).get("parameterType")
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if kind == "NUMBER_DOUBLE" and is_int:
            value = float(value)
        if isinstance(value, str):
            value = value.rstrip("/")
        converted[name] = list(value) if isinstance(value, tuple) else value
    return converted


def _replace_images(spec: dict[str, Any], image: str) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image


def _set_retries(spec: dict[str, Any], retries: int) -> None:
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
            if retries:
                task["retryPolicy"] = {"maxRetryCount": retries}


def _docker_arguments(options: DockerOptions) -> dict[str, Any]:
    # Nothing in a task may run as root, whoever starts the pipeline.
    own = f"{os.getuid()}:{os.getgid()}" if os.getuid() else None
    user = options.user or own
    return {
        "environment": dict(options.environment),
        "network_mode": options.network_mode,
        **({"user": user} if user else {}),
        **(_RESTRICTED if options.restricted else {}),
    }
