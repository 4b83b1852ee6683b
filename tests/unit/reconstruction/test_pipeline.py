"""Reading ahead and writing behind are bounded, ordered, and stop at the first error."""

import threading
import time

import pytest

from decloud_lib.reconstruction.pipeline import ReadAhead, WriteBehind


class Lane:
    """Returns jobs; remembers the threads that used it."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.threads: set[int] = set()
        self.read_jobs: list[int] = []
        self.closed_in: int | None = None

    def read(self, job: int) -> int:
        self.threads.add(threading.get_ident())
        self.read_jobs.append(job)
        if job == self.fail_at:
            raise ValueError(f"job {job} is broken")
        return job

    def close(self) -> None:
        self.closed_in = threading.get_ident()


def test_results_come_in_order_and_each_lane_keeps_its_thread() -> None:
    lanes = [Lane(), Lane(), Lane()]
    with ReadAhead(lanes, depth=4) as ahead:
        assert list(ahead.results(range(20))) == list(range(20))
    for lane in lanes:
        assert lane.threads == {lane.closed_in}
    assert len({lane.closed_in for lane in lanes}) == 3


def test_a_lane_takes_runs_of_jobs() -> None:
    lanes = [Lane(), Lane()]
    with ReadAhead(lanes, depth=3, run=2) as ahead:
        assert list(ahead.results(range(9))) == list(range(9))
    assert [lane.read_jobs for lane in lanes] == [[0, 1, 4, 5, 8], [2, 3, 6, 7]]


def test_no_more_than_the_depth_is_read_ahead() -> None:
    lane = Lane()
    with ReadAhead([lane], depth=3) as ahead:
        results = ahead.results(range(100))
        assert next(results) == 0
        time.sleep(0.05)
        # One was handed out, and its place is taken only when the next one is asked for.
        assert len(lane.read_jobs) == 3


def test_a_failed_read_ends_everything_before_its_turn() -> None:
    lane = Lane(fail_at=2)
    seen = []

    def consume() -> None:
        with ReadAhead([lane], depth=5) as ahead:
            for result in ahead.results(range(100)):
                seen.append(result)
                time.sleep(0.05)

    with pytest.raises(ValueError, match="job 2"):
        consume()
    assert seen == [0]
    assert lane.closed_in is not None


def test_files_are_closed_after_an_error_of_the_consumer() -> None:
    lane = Lane()

    def consume() -> None:
        with ReadAhead([lane], depth=2) as ahead:
            next(ahead.results(range(10)))
            raise KeyError("consumer")

    with pytest.raises(KeyError):
        consume()
    assert lane.closed_in in lane.threads


def test_writes_happen_in_order_and_are_waited_for() -> None:
    done: list[int] = []
    with WriteBehind(depth=2) as behind:
        for number in range(10):
            behind.put(lambda number=number: done.append(number))
    assert done == list(range(10))


def test_writing_is_bounded() -> None:
    gate = threading.Event()
    running: list[int] = []

    def task() -> None:
        running.append(1)
        assert gate.wait(5)

    with WriteBehind(depth=2) as behind:
        behind.put(task)
        behind.put(task)
        timer = threading.Timer(0.1, gate.set)
        timer.start()
        start = time.monotonic()
        behind.put(task)
        assert time.monotonic() - start > 0.05, "the third task must wait for the first"
        timer.join()


def test_a_failed_write_is_raised_at_the_next_occasion_and_drops_the_rest() -> None:
    done: list[int] = []

    def broken() -> None:
        raise OSError("no space left on device")

    def produce() -> None:
        with WriteBehind(depth=50) as behind:
            behind.put(broken)
            for number in range(50):
                time.sleep(0.01)
                behind.put(lambda number=number: done.append(number))

    with pytest.raises(OSError, match="no space"):
        produce()
    assert len(done) < 5


def test_the_last_failed_write_is_not_forgotten() -> None:
    def broken() -> None:
        time.sleep(0.05)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"), WriteBehind(depth=3) as behind:
        behind.put(broken)
