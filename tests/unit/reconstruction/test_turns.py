"""Dates that share a network: one at a time, while others read and write."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest

from decloud_lib.models.contract import ModelOutput
from decloud_lib.reconstruction.network import Tiling
from decloud_lib.reconstruction.stream import Target, run
from decloud_lib.reconstruction.turns import StoppedError, Turns
from decloud_lib.types import Array, Window

PATIENCE_S = 30.0


class Recorder:
    """An estimator that notes who calls it."""

    input_keys: tuple[str, ...] = ("s2_t",)
    outputs: tuple[ModelOutput, ...] = ()

    def __init__(self, name: str, calls: list[str], wait_for: Event | None = None) -> None:
        self.name, self.calls, self.wait_for = name, calls, wait_for

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        del windows
        if self.wait_for is not None:
            assert self.wait_for.wait(PATIENCE_S), "nobody else reads in the meantime"
        self.calls.append(self.name)
        return [np.stack([reading["s2_t"] for reading in readings])]


class Reader:
    """Reads nothing, and says that it does."""

    def __init__(self, began: Event) -> None:
        self.began = began

    def read(self, job: Window) -> dict[str, Array]:
        self.began.set()
        return {"s2_t": np.zeros((*job.shape, 4), np.float32)}

    def close(self) -> None:
        pass


class Sink:
    """Takes windows as they are."""

    def place(self, window: Window) -> Window:
        return window

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        del window, inputs
        return estimate

    def write(self, window: Window, pixels: Array) -> None:
        pass


def test_the_next_date_is_read_while_the_first_uses_the_network() -> None:
    """W84: reading does not wait for the network of another date."""
    turns, calls, tiling = Turns(), [], Tiling(8, 0, 1)
    first_in, second_reads = Event(), Event()
    batches = tiling.batches((8, 32), 1)

    def date(name: str, began: Event, wait_for: Event | None) -> None:
        estimator = Recorder(name, calls, wait_for)
        with turns.take(estimator, len(batches)) as ours:
            if name == "second":
                assert first_in.wait(PATIENCE_S)
            run([Reader(began)], ours, [Target(Sink(), Sink())], batches, tiling)

    with ThreadPoolExecutor(2) as pool:
        done = [
            # The network of the first date does not answer before the second one is read.
            pool.submit(date, "first", first_in, second_reads),
            pool.submit(date, "second", second_reads, None),
        ]
        for future in done:
            future.result(PATIENCE_S)
    assert sorted(calls) == ["first"] * 4 + ["second"] * 4
    assert calls in (["first"] * 4 + ["second"] * 4, ["second"] * 4 + ["first"] * 4)


def test_a_failure_gives_the_turn_to_the_next() -> None:
    turns, calls = Turns(), []
    window = Window(0, 0, 1, 1)
    reading = {"s2_t": np.zeros((1, 1, 4), np.float32)}

    def fail() -> None:
        with turns.take(Recorder("bad", calls), 5) as ours:
            ours([window], [reading])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with turns.take(Recorder("good", calls), 1) as ours:
        ours([window], [reading])
    assert calls == ["bad", "good"]


def test_those_that_wait_stop_when_the_work_is_stopped() -> None:
    turns, calls = Turns(), []
    window = Window(0, 0, 1, 1)
    reading = {"s2_t": np.zeros((1, 1, 4), np.float32)}
    begun = Barrier(2)

    def waiting() -> None:
        with turns.take(Recorder("waiting", calls), 2) as ours:
            begun.wait(PATIENCE_S)
            ours([window], [reading])

    with ThreadPoolExecutor(1) as pool, turns.take(Recorder("busy", calls), 2) as ours:
        ours([window], [reading])
        future = pool.submit(waiting)
        begun.wait(PATIENCE_S)
        turns.stop()
        with pytest.raises(StoppedError):
            ours([window], [reading])
        ours.end()  # type: ignore[attr-defined]
        with pytest.raises(StoppedError):
            future.result(PATIENCE_S)
    assert calls == ["busy"]
