"""What a local run of a pipeline gives: tasks, outputs, artifacts, or an error."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decloud_lib.errors import DecloudError

_OURS = re.compile(r"^decloud_lib(\.\w+)*\.")
_ERROR = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)\b")


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of a pipeline run; `ok` and `seconds` are None while it runs."""

    name: str
    """Name of the component, with dashes."""
    number: int
    """Rank of its start in the run, from 1."""
    log: Path
    """File with what it printed."""
    seconds: float | None = None
    ok: bool | None = None


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """An output artifact of a task."""

    task: str
    """Folder of the task below the run's artifacts."""
    name: str
    uri: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """A finished run."""

    name: str
    folder: Path
    """Holds `pipeline.yaml`, `logs/` and `artifacts/`."""
    outputs: dict[str, Any]
    """Outputs of the pipeline by name; a single one is called `Output`."""
    tasks: tuple[TaskRun, ...]
    """In the order of their start."""
    seconds: float

    @property
    def output(self) -> Any:
        """The pipeline's single output."""
        return self.outputs["Output"]

    def artifacts(self) -> list[ArtifactRef]:
        """List the artifacts of all tasks, sorted by task."""
        root = self.folder / "artifacts"
        found = []
        for path in sorted(root.rglob("executor_output.json")):
            for entries in json.loads(path.read_text("utf-8")).get("artifacts", {}).values():
                for item in entries["artifacts"]:
                    name = item["name"].rpartition("/")[2]
                    where = path.parent.relative_to(root).as_posix()
                    found.append(ArtifactRef(where, name, item["uri"], item.get("metadata", {})))
        return found


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How the containers of the tasks run."""

    image: str | None = None
    """Replaces the images of the pipeline."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the tasks: where the bucket and MLflow are."""
    network_mode: str = "host"
    """`host` lets a task reach a server on this machine's loopback."""
    user: str | None = None
    """User and group, `1000:1000`; None: those of this process, or the image's own for root."""
    restricted: bool = False
    """No rights beyond those of a restricted pod: a read-only root file system, no capabilities.
    /tmp is in memory then, so what a task keeps there must fit."""


class PipelineError(DecloudError):
    """A pipeline whose run failed.

    Attributes
    ----------
    task
        The task that failed; None when the run never started one.
    tail
        The last lines of its log.
    """

    def __init__(self, message: str, task: TaskRun | None, tail: tuple[str, ...]) -> None:
        super().__init__(message)
        self.task, self.tail = task, tail


def error_in(lines: tuple[str, ...]) -> str:
    """Return the message of the exception at the end of a log, on one line."""
    at = next((n for n in range(len(lines) - 1, -1, -1) if _ERROR.match(lines[n])), None)
    text = " ".join(line.strip() for line in lines[-1 if at is None else at :])
    return _OURS.sub("", text)
