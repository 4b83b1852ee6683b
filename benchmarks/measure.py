"""Time and memory of work in a process of its own, alternating with what it is compared with."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all threads, and of the processes that it started."""
    peak_mb: float
    """Highest resident memory of the process, 10^6 bytes."""
    worker_peak_mb: float
    """The same of the largest process that it started; 0 where it started none."""
    written_mb: float
    """Size of the rasters that it wrote, 10^6 bytes."""


def alternated(
    module: str, jobs: Mapping[str, Sequence[str]], output: Path, rounds: int
) -> dict[str, Cost]:
    """Run jobs in turn, each in a process of its own, and return the best of each.

    Parameters
    ----------
    module
        Run with `-m`, the job's arguments and the output folder; prints what `report` makes.
    jobs
        Arguments by name.
    output
        Folder for what a job writes; it is emptied before each run.
    rounds
        How often each job is run; every other round goes the other way round, so that a machine
        that gets faster or slower meanwhile favours nobody.

    Returns
    -------
    Lowest times and highest memory of each job.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    for turn in range(rounds):
        for name in list(jobs)[:: -1 if turn % 2 else 1]:
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            # What earlier work left in memory is not written to the disk at this one's expense.
            os.sync()
            costs[name].append(run(module, *jobs[name], str(output)))
    shutil.rmtree(output, ignore_errors=True)
    return {name: _best(found) for name, found in costs.items()}


def run(module: str, *arguments: str) -> Cost:
    """Run a module of the benchmarks; what it says on its standard error is shown."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def report(work: Callable[[], object], output: Path) -> None:
    """Do the work in this process and print what it took, for `run`."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    work()
    wall, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    written = sum(path.stat().st_size for path in output.rglob("*.tif")) / 1e6
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    print(json.dumps(asdict(Cost(wall, cpu, _peak_mb(), worker, written))))


def warm(paths: Iterable[Path]) -> None:
    """Read files once, so that the first run does not pay for the disk."""
    for path in paths:
        with path.open("rb") as content:
            while content.read(1 << 24):
                pass


def _best(costs: Sequence[Cost]) -> Cost:
    return Cost(
        wall=min(cost.wall for cost in costs),
        cpu=min(cost.cpu for cost in costs),
        peak_mb=max(cost.peak_mb for cost in costs),
        worker_peak_mb=max(cost.worker_peak_mb for cost in costs),
        written_mb=costs[-1].written_mb,
    )


def _cpu_seconds() -> float:
    """Return the time of all threads, and of all processes that were started and have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mb() -> float:
    """Return the highest resident memory of this process (of this program, where Linux tells)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    kib = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib * 1024 / 1e6
