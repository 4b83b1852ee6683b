"""State of an interrupted training in a folder or bucket: arrays first, their pointer last."""

import io
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from decloud_lib import storage
from decloud_lib.errors import OutputConflictError
from decloud_lib.types import Array

_POINTER = "state.json"


class Progress(BaseModel):
    """How far a training is."""

    model_config = ConfigDict(frozen=True)

    work: str
    """Digest of the settings and inputs."""
    epoch: int = 0
    """Finished epochs."""
    run_id: str | None = None
    """MLflow run."""
    seconds: float = 0.0
    """Spent on the finished epochs."""
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
    """A training as it was after an epoch, or before the first."""

    progress: Progress
    state: list[Array] | None = None
    """Arrays of `Trainer.state`."""
    best: list[Array] | None = None
    """Weights of the best epoch, where they are kept."""

    def with_run(self, run_id: str) -> "Saved":
        """Return the same, recorded under an MLflow run."""
        return replace(self, progress=self.progress.model_copy(update={"run_id": run_id}))


class Checkpoints:
    """The last state, and the best weights, of one training."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def save(self, saved: Saved) -> None:
        """Write a state; the one before stays until this one is whole."""
        progress = saved.progress
        self._write(f"epoch-{progress.epoch:05d}.npz", saved.state or [])
        best = f"best-{progress.best_epoch:05d}.npz"
        if saved.best is not None and not self._has(best):
            self._write(best, saved.best)
        text = progress.model_dump_json(indent=2)
        storage.write_bytes(storage.join(self._uri, _POINTER), text.encode())
        keep = {f"epoch-{progress.epoch:05d}.npz", best, _POINTER}
        for child in storage.list_children(self._uri):
            if storage.name_of(child) not in keep:
                storage.delete(child)

    def load(self, work: str) -> Saved:
        """Read the last state; that before the first epoch when there is none.

        Raises
        ------
        OutputConflictError
            It is of a training with other settings or inputs.
        """
        pointer = storage.join(self._uri, _POINTER)
        if storage.stat(pointer) is None:
            return Saved(Progress(work=work))
        try:
            progress = Progress.model_validate_json(storage.read_bytes(pointer))
        except ValidationError as error:
            raise OutputConflictError(
                f"{pointer}: not the state of a training; delete it or use another --ckpt-dir"
            ) from error
        if progress.work != work:
            raise OutputConflictError(
                f"{self._uri} holds the checkpoint of a training with other settings, records or "
                f"code; use another --ckpt-dir, or --overwrite to start again"
            )
        best = f"best-{progress.best_epoch:05d}.npz" if progress.best_value is not None else None
        return Saved(
            progress,
            self._read(f"epoch-{progress.epoch:05d}.npz"),
            self._read(best) if best and self._has(best) else None,
        )

    def clear(self) -> None:
        """Delete all states."""
        storage.delete_prefix(self._uri)

    def _has(self, name: str) -> bool:
        return storage.stat(storage.join(self._uri, name)) is not None

    def _write(self, name: str, arrays: list[Array]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, *arrays)
        storage.write_bytes(storage.join(self._uri, name), buffer.getvalue())

    def _read(self, name: str) -> list[Array]:
        data = io.BytesIO(storage.read_bytes(storage.join(self._uri, name)))
        with np.load(data, allow_pickle=False) as arrays:
            return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]
