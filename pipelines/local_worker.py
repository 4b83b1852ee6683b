"""The process in which Kubeflow's local runner works; started by `pipelines.local`.

The runner prints the log of all tasks to one stream and swaps the root logger's handlers, from
several threads at once. So it gets a process of its own, in which both streams are split by thread
into one log file per task, and what happens is told to the parent as JSON lines. Standard input
carries the order (one JSON line) and then stays open: when it ends, the parent is gone and this
process and its tasks stop.
"""

import io
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

_COLOUR = re.compile(r"\x1b\[\d+m")
_STARTED = re.compile(r"Executing task '(?P<task>[^']+)'$")
_SAID = re.compile(
    r"^ *\d\d:\d\d:\d\d (?P<level>INFO|WARNING|ERROR) +(?P<text>(?! |Wrote exec).*)$"
)
"""A log line of a stage, as `decloud_lib.cli.configure_logging` formats it; not Kubeflow's own."""
_ENDED = re.compile(r"Task '(?P<task>[^']+)' finished with status (?P<status>SUCCESS|FAILURE)$")


@dataclass
class _Task:
    """A task that runs in one of the runner's threads."""

    name: str
    number: int
    log: TextIO
    started: float = field(default_factory=time.monotonic)
    lines: int = 0


class TaskLogs(io.TextIOBase):
    """Stream that gives each task's lines a file and reports starts and ends.

    Parameters
    ----------
    folder
        Where the log files go: `NNN-<task>.log`, and `pipeline.log` for what belongs to no task.
    events
        Stream for the events, JSON lines.
    """

    def __init__(self, folder: Path, events: TextIO) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._events = folder, events
        self._general = (folder / "pipeline.log").open("w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._rest: dict[int, str] = {}
        self._running: dict[int, _Task] = {}
        self._count = 0

    def writable(self) -> bool:
        """Say that text can be written."""
        return True

    def write(self, text: str) -> int:
        """Take text of the calling thread; complete lines go to that thread's task."""
        with self._lock:
            thread = threading.get_ident()
            *lines, self._rest[thread] = (self._rest.get(thread, "") + text).split("\n")
            for line in lines:
                self._take(thread, _COLOUR.sub("", line).rstrip())
        return len(text)

    def tell(self, event: str, **facts: Any) -> None:  # type: ignore[override]
        """Send one event to the parent."""
        self._events.write(json.dumps({"event": event, **facts}) + "\n")
        self._events.flush()

    def close_all(self) -> None:
        """Report tasks whose end the runner did not tell as failed."""
        with self._lock:
            for thread in list(self._running):
                self._end(thread, ok=False)

    def _take(self, thread: int, line: str) -> None:
        task = self._running.get(thread)
        if found := _STARTED.search(line):
            # The runner's handlers may double a line for an instant; the second one is no start.
            if task is None or task.lines or task.name != found["task"]:
                self._begin(thread, found["task"])
        elif (found := _ENDED.search(line)) and task is not None:
            self._end(thread, ok=found["status"] == "SUCCESS")
        elif task is not None:
            task.lines += 1
            task.log.write(line + "\n")
            if found := _SAID.match(line):
                self.tell("said", number=task.number, level=found["level"], text=found["text"])
        else:
            self._general.write(line + "\n")

    def _begin(self, thread: int, name: str) -> None:
        self._count += 1
        path = self._folder / f"{self._count:03d}-{name}.log"
        log = path.open("w", encoding="utf-8", buffering=1)
        self._running[thread] = _Task(name, self._count, log)
        self.tell("started", task=name, number=self._count, log=str(path))

    def _end(self, thread: int, *, ok: bool) -> None:
        task = self._running.pop(thread)
        task.log.close()
        seconds = time.monotonic() - task.started
        self.tell("ended", task=task.name, number=task.number, seconds=seconds, ok=ok)


class Containers:
    """Runs tasks in containers, in place of kfp's own function.

    That one lets the engine remove a container as it ends, and takes one that is gone already for a
    success: a failure could be lost. And it leaves the containers of an interrupted run at work.
    """

    def __init__(self) -> None:
        self._running: set[Any] = set()

    def run(
        self, client: Any, image: str, command: list[str], volumes: dict[str, Any], **settings: Any
    ) -> int:
        """Run a container to its end, print what it says and return its exit status."""
        container = client.containers.run(image, command, detach=True, volumes=volumes, **settings)
        self._running.add(container)
        try:
            print(f"Image {image}, {container.attrs['Image']}")  # noqa: T201, kfp takes it as the log
            for part in container.logs(stream=True):
                print(part.decode(errors="replace"), end="")  # noqa: T201
            return int(container.wait()["StatusCode"])
        finally:
            self._running.discard(container)
            container.remove(force=True)

    def stop(self) -> None:
        """Remove the containers that still run."""
        for container in tuple(self._running):
            container.remove(force=True)


_containers = Containers()


def main() -> None:
    """Run one pipeline as the parent orders it."""
    order = json.loads(sys.stdin.readline())
    logs = TaskLogs(Path(order["logs"]), sys.stdout)
    sys.stdout = sys.stderr = logs
    # What the runner takes for the original state of the root logger, and goes back to.
    logging.basicConfig(level=logging.INFO, stream=logs, format="%(message)s", force=True)
    from kfp.dsl.types.type_utils import InconsistentTypeException

    signal.signal(signal.SIGINT, _stop)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")
    try:
        outputs = _run(order)
    except (RuntimeError, TypeError, ValueError, InconsistentTypeException) as error:
        logs.close_all()
        logs.tell("failed", message=_COLOUR.sub("", str(error)))
    else:
        logs.tell("done", outputs=outputs)


def _run(order: dict[str, Any]) -> dict[str, Any]:
    from kfp import components, local
    from kfp.local import logging_utils

    # It swaps `print` for one that indents; tasks side by side indent twice, or leave it swapped.
    logging_utils.indented_print = nullcontext
    runner: local.SubprocessRunner | local.DockerRunner
    if order["runner"] == "docker":
        from kfp.local import docker_task_handler

        docker_task_handler.run_docker_container = _containers.run
        runner = local.DockerRunner(**order["docker"])
    else:
        runner = local.SubprocessRunner(use_venv=False)
    pipeline = components.load_component_from_file(order["pipeline"])
    # No task uses the workspace; left to itself, the runner makes one and forgets it.
    with tempfile.TemporaryDirectory(prefix="decloud-") as workspace:
        local.init(runner, pipeline_root=order["root"], workspace_root=workspace)
        task = pipeline(**order["arguments"])
    return {name: _plain(value) for name, value in task.outputs.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "uri"):
        return {"name": value.name, "uri": value.uri, "metadata": value.metadata}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _stop(_number: int, _frame: Any) -> None:
    # Processes got the same signal and clean up; the runner must not start the next task.
    try:
        _containers.stop()
    finally:
        os._exit(130)


def _stop_with_parent() -> None:
    # Not `sys.stdin.read`: its lock, held by this thread, would stop the interpreter's own end.
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGINT)


if __name__ == "__main__":
    main()
