"""Readers in processes of their own: for an engine that only one thread of a process may use.

A process lays what it read into shared memory, and the thread that asked copies it out, so that
nothing of what was read depends on the process any more. The memory belongs to the asking side: it
is given back also where a process was killed.
"""

import shutil
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from decloud_lib.errors import DecloudError, ProductError
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.types import Array

Job = TypeVar("Job")
Arrays = dict[str, Array]
_Layout = list[tuple[str, str, tuple[int, ...], int]]

_SHARED = Path("/dev/shm")
_ALIGNED = 64
_PATIENCE_S = 5.0


class ProcessReader(Generic[Job]):
    """A reader whose work is done by a process; it starts with the first job.

    Parameters
    ----------
    make
        Makes the reader, in the process. It and the jobs must be picklable.
    """

    def __init__(self, make: Callable[[], Reader[Job, Arrays]]) -> None:
        self._make = make
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._memory: SharedMemory | None = None

    def read(self, job: Job) -> Arrays:
        """Read one job.

        Raises
        ------
        DecloudError
            What the reader raised; or the process ended before it answered, or the machine has too
            little shared memory.
        """
        try:
            return self._ask(job)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise ProductError(self._obituary(job)) from error

    def close(self) -> None:
        """End the process and give the memory back."""
        if self._pipe is not None:
            self._pipe.close()  # the process ends when nobody asks any more
        if self._process is not None:
            self._process.join(_PATIENCE_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
        self._release()
        self._process = self._pipe = None

    def _ask(self, job: Job) -> Arrays:
        pipe = self._started()
        pipe.send(job)
        kind, content = pipe.recv()
        if kind == "room":
            name = None
            try:
                name = self._room(content)
            finally:
                pipe.send(name)  # without a name it forgets the job
            kind, content = pipe.recv()
        if kind == "error":
            raise content
        layout: _Layout = content
        return {key: self._taken(dtype, shape, at) for key, dtype, shape, at in layout}

    def _taken(self, dtype: str, shape: tuple[int, ...], at: int) -> Array:
        assert self._memory is not None
        return np.ndarray(shape, dtype, self._memory.buf, at).copy()

    def _started(self) -> Connection:
        if self._pipe is None:
            context = get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, self._make), name="reader", daemon=True
            )
            # Of a process that does not start nobody must wait for an answer.
            with theirs:
                process.start()
            self._process, self._pipe = process, ours
        return self._pipe

    def _room(self, size: int) -> str:
        """Return the name of shared memory for so many bytes."""
        self._release()
        free = shutil.disk_usage(_SHARED).free
        if free < size:
            # Memory that is promised and not there ends the process without a word.
            raise DecloudError(
                f"{_SHARED} has {free / 1e6:.0f} MB free, a window needs {size / 1e6:.0f} MB; "
                "give the container more (--shm-size, or shared_memory of the profile), take "
                "smaller windows (--ts), or one reader (--readers 1)"
            )
        self._memory = SharedMemory(create=True, size=size)
        return self._memory.name

    def _release(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def _obituary(self, job: Job) -> str:
        process = self._process
        if process is not None:
            process.join(_PATIENCE_S)
        code = process.exitcode if process is not None else None
        how = f"with status {code}, see its words above,"
        if code is not None and code < 0:
            how = f"by signal {signal.Signals(-code).name}"
        return (
            f"a reading process ended {how} at {job}; out of memory (try a smaller --ts or "
            "--readers 1), or an image that the engine cannot stand (try --engine rasterio)"
        )


def _serve(pipe: Connection, make: Callable[[], Reader[Any, Arrays]]) -> None:
    """Read what is asked for until nobody asks any more."""
    # An interrupt goes to all processes of a terminal; the one that asks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory: SharedMemory | None = None
    reader: Reader[Any, Arrays] | None = None
    try:
        while True:
            job = pipe.recv()
            try:
                reader = reader or make()
                arrays = reader.read(job)
            except (DecloudError, OSError, ArithmeticError, LookupError, ValueError) as error:
                pipe.send(("error", error))
                continue
            layout, size = _layout(arrays)
            if memory is None or memory.size < size:
                if memory is not None:
                    memory.close()
                pipe.send(("room", size))
                name = pipe.recv()
                memory = SharedMemory(name) if name else None
            if memory is None:
                continue
            for key, dtype, shape, at in layout:
                np.ndarray(shape, dtype, memory.buf, at)[...] = arrays[key]
            pipe.send(("arrays", layout))
    except (EOFError, BrokenPipeError):
        pass
    finally:
        if memory is not None:
            memory.close()
        if reader is not None:
            reader.close()


def _layout(arrays: Arrays) -> tuple[_Layout, int]:
    """Return where each array goes, and how many bytes all of them take."""
    found: _Layout = []
    at = 0
    for key, array in arrays.items():
        found.append((key, array.dtype.str, array.shape, at))
        at += -(-array.nbytes // _ALIGNED) * _ALIGNED
    return found, max(at, 1)
