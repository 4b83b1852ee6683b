"""Profiles: what differs from one cluster to the next, read once, before components are imported.

A profile is a YAML file, one of `k8s/profiles` (by its name) or any other (by its path). The
variable `DECLOUD_PROFILE` or `--profile` chooses it; without either it is `local`.
"""

import difflib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from decloud_lib.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FOLDER = Path(__file__).parents[1] / "k8s" / "profiles"
_VARIABLE = "DECLOUD_PROFILE"

TaskKind = Literal["small", "prepare", "sample", "train", "evaluate", "reconstruct", "register"]
_QUANTITY = r"^\d+(\.\d+)?([KMGTPE]i?)?$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Images(_Part):
    """Images by what they hold."""

    prepare: str = Field(min_length=1, description="Preparation, sampling, registration.")
    train: str = Field(min_length=1, description="Training, evaluation.")
    infer: str = Field(min_length=1, description="Reconstruction.")


class Keys(_Part):
    """A ConfigMap or a Secret whose entries become variables of the same names."""

    name: str = Field(min_length=1)
    keys: tuple[str, ...] = Field(min_length=1)


class Toleration(_Part):
    """A taint of nodes that a task may run on all the same."""

    key: str
    operator: Literal["Equal", "Exists"] = "Exists"
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None


class Gpu(_Part):
    """GPU nodes, for the tasks that ask for GPUs."""

    resource: str = Field(default="nvidia.com/gpu", description="What the device plugin offers.")
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    allow_cpu: bool = Field(
        default=False, description="Go on with the CPU where a task finds fewer GPUs than it got."
    )


class TaskSize(_Part):
    """What a kind of task gets."""

    cpu: str = Field(pattern=r"^\d+(\.\d+)?$|^\d+m$", description="Most cores.")
    memory: str = Field(pattern=_QUANTITY, description="Most memory, bytes with a unit: 2G.")
    cpu_request: str = Field(default="500m", pattern=r"^\d+(\.\d+)?$|^\d+m$")
    memory_request: str = Field(default="512M", pattern=_QUANTITY)
    gpus: int = Field(default=0, ge=0)
    shared_memory: str | None = Field(
        default=None, pattern=_QUANTITY, description="Size of /dev/shm, part of the memory."
    )


class Profile(_Part):
    """The settings of one cluster."""

    images: Images
    parallelism: int = Field(ge=1, description="Products that are prepared at the same time.")
    service_account: str = Field(min_length=1, description="Of the pods of a run.")
    settings: Keys
    credentials: Keys | None = Field(
        default=None, description="Keys of the bucket; none where pods have an identity."
    )
    tasks: dict[TaskKind, TaskSize]
    gpu: Gpu | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Profile":
        missing = sorted(set(get_args(TaskKind)) - set(self.tasks))
        if missing:
            raise ValueError(f"tasks: {', '.join(missing)} missing; each kind of task has a size")
        asking = [kind for kind, size in self.tasks.items() if size.gpus]
        if asking and self.gpu is None:
            raise ValueError(f"{', '.join(asking)} ask for GPUs, and there is no section 'gpu'")
        return self


_chosen: list[str] = []


def use(name_or_file: str) -> None:
    """Choose a profile; before components are imported, as they are made with it.

    Raises
    ------
    ConfigError
        There is no such profile, it cannot be used, or another one is in use already.
    """
    wanted = load(name_or_file)
    if current.cache_info().currsize and wanted != current():
        raise ConfigError(
            f"profile {name_or_file}: components are made with another one already; choose it "
            f"with the variable {_VARIABLE}, or in a process of its own"
        )
    _chosen[:] = [name_or_file]


@cache
def current() -> Profile:
    """Return the profile in use; from the first call on it stays."""
    return load(_chosen[0] if _chosen else os.environ.get(_VARIABLE) or "local")


def load(name_or_file: str) -> Profile:
    """Read a profile by its name or the path of its file.

    Raises
    ------
    ConfigError
        There is no such profile, or it has an unknown key, a wrong value or no size for a task.
    """
    path = Path(name_or_file)
    if path.suffix not in {".yaml", ".yml"}:
        path = FOLDER / f"{name_or_file}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(item.stem for item in FOLDER.glob("*.yaml")))
        raise ConfigError(
            f"profile {name_or_file}: {error.strerror or error}; expected one of {known}, or the "
            "path of a YAML file"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"profile {name_or_file}: not a YAML file ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"profile {name_or_file}: found no settings; expected images, tasks and others, by "
            "name; see k8s/README.md"
        )
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'profile'}: {_problem(item)}"
            for item in error.errors()
        )
        raise ConfigError(f"profile {name_or_file}: {told}; see k8s/README.md") from error


def _problem(item: "ErrorDetails") -> str:
    if item["type"] != "extra_forbidden":
        return item["msg"].removeprefix("Value error, ")
    parts = (Profile, Images, Gpu, TaskSize, Toleration, Keys)
    found = str(item["loc"][-1])
    known = sorted({name for part in parts for name in part.model_fields} - {found})
    close = difflib.get_close_matches(found, known, n=1)
    return f"unknown key; did you mean {close[0]}" if close else "unknown key"
