"""Readers in processes: the same arrays, errors with their cause, nothing left behind."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from pickle import PicklingError

import numpy as np
import psutil
import pytest

from decloud_lib.errors import DecloudError, ProductError
from decloud_lib.reconstruction import processes
from decloud_lib.reconstruction.pipeline import ReadAhead
from decloud_lib.reconstruction.processes import ProcessReader
from decloud_lib.types import Array


@dataclass
class Arrange:
    """Reads arrays that a number describes; what a process runs in these tests."""

    start: int
    closed: str = ""

    def read(self, job: int) -> dict[str, Array]:
        if job == -1:
            raise ProductError("image 7 is cut short")
        if job == -7:
            raise SystemExit(7)
        if job == -9:
            os.kill(os.getpid(), signal.SIGKILL)
        values = np.arange(self.start, self.start + job * job * 2)
        return {
            "s1_t": values.reshape(job, job, 2).astype(np.uint16),
            "date": np.full((job, job, 1), 1_590_000_000_123, np.int64),
            "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        }

    def close(self) -> None:
        if self.closed:
            Path(self.closed).touch()


@dataclass
class Full:
    """What a file system says that is full."""

    free: int = 1000


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test no shared memory is there that it took."""
    names = []

    class Noted(SharedMemory):
        def __init__(self, *, create: bool, size: int) -> None:
            super().__init__(create=create, size=size)
            names.append(self.name)

    monkeypatch.setattr(processes, "SharedMemory", Noted)
    yield
    assert not [name for name in names if Path("/dev/shm", name).exists()]


@pytest.fixture
def reader() -> Iterator[ProcessReader[int]]:
    made: ProcessReader[int] = ProcessReader(partial(Arrange, 5))
    yield made
    made.close()
    assert not [child for child in active_children() if child.name == "reader"]


def test_arrays_come_back_as_they_were_read(reader: ProcessReader[int]) -> None:
    kept = {}
    for job in (3, 8, 2, 0, 8):
        found, expected = reader.read(job), Arrange(5).read(job)
        assert list(found) == list(expected)
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype
        kept[job] = found["s1_t"]
    # What was read stays what it was when later jobs use the same memory.
    np.testing.assert_array_equal(kept[3], Arrange(5).read(3)["s1_t"])


def test_an_error_comes_back_and_the_process_goes_on(reader: ProcessReader[int]) -> None:
    with pytest.raises(ProductError, match="image 7 is cut short"):
        reader.read(-1)
    assert reader.read(2)["s1_t"].shape == (2, 2, 2)


def test_a_killed_process_is_told(reader: ProcessReader[int]) -> None:
    reader.read(4)
    with pytest.raises(ProductError, match=r"ended by signal SIGKILL at -9; out of memory"):
        reader.read(-9)


def test_a_process_that_ends_by_itself_is_told(reader: ProcessReader[int]) -> None:
    with pytest.raises(ProductError, match="ended with status 7, see its words above, at -7"):
        reader.read(-7)


def test_a_process_that_is_killed_while_it_waits_is_told(reader: ProcessReader[int]) -> None:
    reader.read(4)
    assert reader._process is not None
    os.kill(reader._process.pid or 0, signal.SIGKILL)
    with pytest.raises(ProductError, match="ended by signal SIGKILL"):
        reader.read(4)


def test_a_process_that_does_not_start_leaves_nobody_waiting() -> None:
    reader: ProcessReader[int] = ProcessReader(lambda: Arrange(1))  # cannot be sent to a process
    for _ in range(2):
        with pytest.raises((AttributeError, PicklingError)):
            reader.read(2)
    reader.close()


def test_too_little_shared_memory_is_told_before_it_is_used(
    reader: ProcessReader[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.shutil, "disk_usage", lambda _: Full())
    with pytest.raises(DecloudError, match=r"0 MB free, a window needs 0 MB; .*--shm-size"):
        reader.read(64)
    monkeypatch.setattr(processes.shutil, "disk_usage", lambda _: Full(10**9))
    assert reader.read(64)["s1_t"].shape == (64, 64, 2)


def test_closing_ends_the_process_and_closes_what_it_opened(tmp_path: Path) -> None:
    mark = tmp_path / "closed"
    reader: ProcessReader[int] = ProcessReader(partial(Arrange, 0, str(mark)))
    reader.read(2)
    assert reader._process is not None
    process = psutil.Process(reader._process.pid)
    reader.close()
    assert mark.exists()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    reader.close()  # a second time does nothing


def test_an_interrupt_is_left_to_the_side_that_asks(reader: ProcessReader[int]) -> None:
    reader.read(2)
    assert reader._process is not None
    os.kill(reader._process.pid or 0, signal.SIGINT)
    time.sleep(0.1)
    assert reader.read(3)["s1_t"].shape == (3, 3, 2)


def test_several_processes_read_ahead_in_order(tmp_path: Path) -> None:
    readers: list[ProcessReader[int]] = [ProcessReader(partial(Arrange, 1)) for _ in range(2)]
    with ReadAhead(readers, depth=4) as ahead:
        sides = [found["s1_t"].shape[0] for found in ahead.results(range(1, 8))]
    assert sides == list(range(1, 8))


def test_an_error_in_one_process_ends_all_at_once() -> None:
    readers: list[ProcessReader[int]] = [ProcessReader(partial(Arrange, 1)) for _ in range(2)]
    with (
        pytest.raises(ProductError, match="cut short"),
        ReadAhead(readers, depth=3) as ahead,
    ):
        list(ahead.results([4, -1, 4, 4, 4]))
