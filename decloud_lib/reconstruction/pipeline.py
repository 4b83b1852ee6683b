"""Reading ahead and writing behind: bounded queues around the network.

Each reader has a thread of its own, in which it opens, reads and closes its files. All futures are
consumed; the first error anywhere ends everything at the next window, with its cause.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

Job = TypeVar("Job")
Result_co = TypeVar("Result_co", covariant=True)
Job_contra = TypeVar("Job_contra", contravariant=True)
Result = TypeVar("Result")


class Reader(Protocol[Job_contra, Result_co]):
    """Something that reads one job at a time and can be closed."""

    def read(self, job: Job_contra) -> Result_co:
        """Read one job."""

    def close(self) -> None:
        """Close what was opened; called in the thread that read."""


class ReadAhead(Generic[Job, Result]):
    """Reads jobs before they are asked for, in order, never more than `depth` of them.

    Parameters
    ----------
    readers
        One per thread; the jobs go round among them.
    depth
        How many results may wait or be under way.
    run
        How many jobs in a row one reader takes: neighbours share blocks that it may still have.
    """

    def __init__(self, readers: Sequence[Reader[Job, Result]], depth: int, *, run: int = 1) -> None:
        self._readers = readers
        self._depth = max(depth, 1)
        self._run = run
        self._threads = [ThreadPoolExecutor(1, "read") for _ in readers]
        self._pending: deque[Future[Result]] = deque()

    def results(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield what was read, in the order of the jobs."""
        for number, job in enumerate(jobs):
            if len(self._pending) >= self._depth:
                yield self._next()
            lane = number // self._run % len(self._readers)
            self._pending.append(self._threads[lane].submit(self._readers[lane].read, job))
        while self._pending:
            yield self._next()

    def _next(self) -> Result:
        raise_failed(self._pending)
        return self._pending.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what nobody waits for any more and close the readers in their threads."""
        for future in self._pending:
            future.cancel()
        closing: list[Future[None]] = [
            thread.submit(reader.close)
            for thread, reader in zip(self._threads, self._readers, strict=True)
        ]
        for thread in self._threads:
            thread.shutdown(wait=True)
        if error is None:
            for closed in closing:
                closed.result()


class WriteBehind:
    """Runs tasks in order in one thread, never more than `depth` of them waiting.

    Parameters
    ----------
    depth
        How many tasks may wait or be under way; `put` blocks beyond it.
    """

    def __init__(self, depth: int) -> None:
        self._depth = max(depth, 1)
        self._thread = ThreadPoolExecutor(1, "write")
        self._pending: deque[Future[None]] = deque()

    def put(self, task: Callable[[], None]) -> None:
        """Hand over a task; raises the error of an earlier one."""
        self.check()
        while len(self._pending) >= self._depth:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(task))

    def check(self) -> None:
        """Raise the error of a task that failed in the meantime."""
        raise_failed(self._pending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all tasks; after an error drop those that have not begun."""
        self._thread.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            while self._pending:
                self._pending.popleft().result()


def raise_failed(pending: Iterable[Future[Result]]) -> None:
    """Raise the error of the first task that has failed, without waiting for the others."""
    for future in pending:
        if future.done() and not future.cancelled():
            future.result()
