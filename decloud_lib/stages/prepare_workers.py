"""Products prepared in processes of their own: one that dies costs only its product."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from pebble import ProcessExpired, ProcessPool

from decloud_lib import progress
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, DecloudError
from decloud_lib.progress import track
from decloud_lib.stages import PrepareResult
from decloud_lib.stages.prepare_dem import PrepareDemConfig, prepare_dem
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2

logger = logging.getLogger(__name__)

_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Job:
    """One product to be prepared."""

    family: str
    uri: str
    """The product as delivered."""
    name: str
    config: PrepareS1Config | PrepareS2Config | PrepareDemConfig
    """Settings for it alone, without a quarantine."""
    record: str = ""
    """Name of its record in quarantine; empty: that of the product."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a product; small, as it travels between processes."""

    made: tuple[str, ...] = ()
    """URIs of what was made; empty where it was complete already."""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    """Why it could not be prepared."""
    died: bool = False
    """The process ended before the product was done, and could not clean up."""


class _Stopped(SystemExit):
    """The process was asked to end; passes all handlers, so that files are cleaned up."""


def run_jobs(
    jobs: Sequence[Job], workers: int, time_limit_s: float, label: str
) -> Generator[tuple[Job, Outcome], None, None]:
    """Prepare products in parallel processes; yield each as it is finished.

    Arrays never travel between the processes. When the caller ends early, or is interrupted, the
    processes are stopped; what they were writing disappears.

    Parameters
    ----------
    jobs
        The products.
    workers
        Processes at the same time; 0: the machine's cores, at most 8.
    time_limit_s
        Seconds after which a product is given up; 0: never.
    label
        What the work is, for the progress.

    Raises
    ------
    ConfigError
        The processes end before they take any work.
    """
    number = workers or default_workers()
    waiting = list(jobs)
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        while waiting:
            pool = ProcessPool(
                min(number, len(waiting)), initializer=_begin, initargs=(folder,),
                context=get_context("spawn"),
            )  # fmt: skip
            others = set(active_children())
            again: list[Job] = []
            try:
                futures = _scheduled(pool, waiting, time_limit_s)
                for future in track(as_completed(futures), len(futures), label, "product"):
                    if isinstance(future.exception(), BrokenProcessPool):
                        again.append(futures[future])
                    else:
                        yield futures[future], _outcome(future, time_limit_s)
            finally:
                # At the end of the work nobody is busy, and this stops idle processes.
                pool.stop()  # type: ignore[no-untyped-call]
                _kill_beginners(set(active_children()) - others, Path(folder))
                pool.join()
            if len(again) == len(waiting):
                raise ConfigError(
                    "the worker processes end before they take any work; a script that prepares "
                    "needs the line: if __name__ == '__main__':; else see the messages before this"
                )
            # A process that dies between two products breaks the pool: the rest gets another one.
            waiting = again


def _kill_beginners(processes: Iterable[BaseProcess], folder: Path) -> None:
    """End the processes that are still being started when the work is done.

    They would find the locks of the pool gone, and die with a traceback.
    """
    for process in processes:
        if not _mark(folder, process.pid).exists():
            process.kill()


def _mark(folder: Path, pid: int | None) -> Path:
    """Return the file that a process makes as soon as it can be asked to end."""
    return folder / f"begun-{pid}"


def _scheduled(
    pool: ProcessPool, jobs: Sequence[Job], time_limit_s: float
) -> "dict[Future[Outcome], Job]":
    """Hand the jobs to a pool, which starts its processes with the first one."""
    with _uninterrupted():
        limit = time_limit_s or None
        return {pool.schedule(prepare_one, args=(job,), timeout=limit): job for job in jobs}


def default_workers() -> int:
    """Return how many products are worked on at the same time where it is not said."""
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def prepare_one(job: Job) -> Outcome:
    """Prepare one product in this process; what is wrong with it becomes part of the outcome."""
    start = time.monotonic()
    with _Warnings() as told:
        try:
            with _busy():
                result = _run(job.config)
        except DecloudError as error:
            reason = " ".join(str(error).split())
            return Outcome((), time.monotonic() - start, tuple(told.lines), reason)
        except _Stopped:
            # All is cleaned up: end as it was asked for.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            raise
    return Outcome(result.made, time.monotonic() - start, tuple(told.lines))


def _run(config: StageConfig) -> PrepareResult:
    match config:
        case PrepareS1Config():
            return prepare_s1(config)
        case PrepareS2Config():
            return prepare_s2(config)
        case PrepareDemConfig():
            return prepare_dem(config)
    raise TypeError(f"no preparation takes {type(config).__name__}")


class _Warnings(logging.Handler):
    """Collects what the preparation of one product warns of; the parent's log tells it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> "_Warnings":
        logging.getLogger("decloud_lib").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("decloud_lib").removeHandler(self)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let the processes and threads that are started here inherit that Ctrl-C is not for them.

    A terminal sends it to all processes of a command; the parent alone decides what follows. One
    that comes meanwhile is delivered at the end.
    """
    # Python's own helper process lets the signal through again when it is started: before, then.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(folder: str) -> None:
    """Set up a worker process: silent, with its temporary files where they are removed for sure."""
    tempfile.tempdir = folder
    progress.silence()
    logging.getLogger().addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _end)
    _mark(Path(folder), os.getpid()).touch()


@contextmanager
def _busy() -> Iterator[None]:
    """Let a request to end the process clean up what is being made inside this context."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped(128 + signal.SIGTERM)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End an idle process, which has nothing to clean up, without a word."""
    os._exit(128 + signal.SIGTERM)


def _outcome(future: "Future[Outcome]", time_limit_s: float) -> Outcome:
    """Return the outcome of a finished job, however its process ended."""
    error = future.exception()
    match error:
        case None:
            return future.result()
        case TimeoutError():
            reason = f"took longer than {time_limit_s:g} s and was given up; see --time-limit-s"
            return Outcome(problem=reason, died=True)
        case ProcessExpired():
            return Outcome(problem=f"its process {_end_text(error.exitcode)}", died=True)
        case Exception():
            # Not foreseen: told with its place, and the other products go on.
            logger.error("unexpected error", exc_info=error)
            reason = f"unexpected {type(error).__name__}: {error}; please report this"
            return Outcome(problem=reason)
    raise error


def _end_text(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}; is the file damaged? see the system's log"
    name = signal.Signals(-code).name
    hint = "was memory short? use fewer --workers" if name == "SIGKILL" else "is the file damaged?"
    return f"was ended by {name} (exit code {code}); {hint}"
