"""States of a training in a folder or bucket, each one file that appears whole or not at all."""

import io
import logging
import re
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from decloud_lib import storage
from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.types import Array

logger = logging.getLogger(__name__)

_PROGRESS = "progress"
_STATE = re.compile(r"epoch-(\d+)-step-(\d+)\.npz")
_BEST = re.compile(r"best-(\d+)\.npz")


class Progress(BaseModel):
    """How far a training is."""

    model_config = ConfigDict(frozen=True)

    work: str
    """Digest of the settings and inputs."""
    model: str = ""
    """Name of the network."""
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished batches of the unfinished epoch."""
    run_id: str | None = None
    """MLflow run."""
    seconds: float = 0.0
    """Spent so far."""
    best_value: float | None = None
    """Of the monitored score."""
    best_epoch: int = 0
    gain_value: float | None = None
    """The best value when it last got better by enough to count, for stopping early."""
    gain_epoch: int = 0
    metrics: dict[str, float] = {}
    """Of the last finished epoch."""
    best_metrics: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Saved:
    """A training as it was after a batch or an epoch, or before the first."""

    progress: Progress
    state: list[Array] | None = None
    """Arrays of `Trainer.state`."""
    best: list[Array] | None = None
    """Weights of the best epoch, where they are kept."""

    def with_run(self, run_id: str) -> "Saved":
        """Return the same, recorded under an MLflow run."""
        return replace(self, progress=self.progress.model_copy(update={"run_id": run_id}))


class Checkpoints:
    """The last states, and the best weights, of one training.

    Parameters
    ----------
    uri
        Folder of this training alone.
    keep
        How many states stay; the last one counts, the others are there should it be damaged.
    """

    def __init__(self, uri: str, keep: int = 2) -> None:
        self._uri = uri
        self._keep = keep

    def save(self, saved: Saved) -> None:
        """Write a state; those before it stay until this one is whole."""
        progress = saved.progress
        best = f"best-{progress.best_epoch:05d}.npz"
        if saved.best is not None and storage.stat(storage.join(self._uri, best)) is None:
            self._write(best, saved.best, progress)
        name = f"epoch-{progress.epoch:05d}-step-{progress.step:07d}.npz"
        self._write(name, saved.state or [], progress)
        for pattern in (_STATE, _BEST):
            for old in self._names(pattern)[: -self._keep]:
                storage.delete(storage.join(self._uri, old))

    def load(self, first: Progress) -> Saved:
        """Read the last state.

        Parameters
        ----------
        first
            What is returned when there is none; its work is what a state must be of.

        Raises
        ------
        OutputConflictError
            It is of a training with other settings or inputs, or no state can be read.
        """
        names = self._names(_STATE)
        for name in reversed(names):
            try:
                saved = read_state(storage.join(self._uri, name))
            except ConfigError as error:
                logger.warning("%s; taking the one before", error)
                continue
            if saved.progress.work != first.work:
                raise OutputConflictError(
                    f"{self._uri} holds the checkpoint of a training with other settings, records "
                    f"or code; use another --ckpt-dir, or --overwrite to start again"
                )
            return read_best(storage.join(self._uri, name))
        if names:
            raise OutputConflictError(
                f"{self._uri}: none of the {len(names)} states can be read; use another "
                f"--ckpt-dir, or --overwrite to start again"
            )
        return Saved(first)

    def last(self) -> str | None:
        """Return the URI of the last state's file."""
        names = self._names(_STATE)
        return storage.join(self._uri, names[-1]) if names else None

    def clear(self) -> None:
        """Delete all states."""
        storage.delete_prefix(self._uri)

    def _names(self, pattern: re.Pattern[str]) -> list[str]:
        """Return the names of the files of a kind, oldest first."""
        found = [
            pattern.fullmatch(storage.name_of(uri)) for uri in storage.list_children(self._uri)
        ]
        matches = [match for match in found if match is not None]
        return [
            match[0]
            for match in sorted(matches, key=lambda match: [int(x) for x in match.groups()])
        ]

    def _write(self, name: str, arrays: list[Array], progress: Progress) -> None:
        content: dict[str, Any] = {f"arr_{index}": array for index, array in enumerate(arrays)}
        content[_PROGRESS] = np.frombuffer(progress.model_dump_json().encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        storage.write_bytes(storage.join(self._uri, name), buffer.getvalue())


def read_state(uri: str) -> Saved:
    """Read one file of states: that of a batch or an epoch, or the best weights.

    Raises
    ------
    ConfigError
        It is no such file, or damaged.
    """
    try:
        with np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False) as content:
            progress = Progress.model_validate_json(content[_PROGRESS].tobytes())
            arrays = [content[f"arr_{index}"] for index in range(len(content.files) - 1)]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError) as error:
        raise ConfigError(
            f"{uri}: not the state of a training, or damaged ({type(error).__name__}); "
            f"expected a file that a training wrote into its checkpoint folder"
        ) from error
    return Saved(progress, arrays)


def read_best(uri: str) -> Saved:
    """Read a file of states, with the weights of the best epoch where they lie beside it.

    Raises
    ------
    ConfigError
        As `read_state`.
    """
    saved = read_state(uri)
    beside = storage.join(storage.parent_of(uri), f"best-{saved.progress.best_epoch:05d}.npz")
    if saved.progress.best_value is None or storage.stat(beside) is None:
        return saved
    return replace(saved, best=read_state(beside).state)


def find_state(uri: str) -> str:
    """Return the file of the last state below a checkpoint folder; a file stands for itself.

    Raises
    ------
    ConfigError
        There is none, or there are those of several trainings.
    """
    if storage.name_of(uri).endswith(".npz"):
        return uri
    folders = [uri, *storage.list_children(uri)]
    found = {
        folder: last
        for folder in folders
        if not storage.name_of(folder).endswith(".npz") and (last := Checkpoints(folder).last())
    }
    if len(found) != 1:
        seen = ", ".join(sorted(map(storage.name_of, found))) or "no state of a training"
        raise ConfigError(
            f"{uri}: found {seen}; expected one training's folder, or one of its epoch-*.npz files"
        )
    return next(iter(found.values()))
