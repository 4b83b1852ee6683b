"""What a reconstruction would take: windows, memory, room on the disk, time."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from decloud_lib.arrays.fit_grid import CELL_PX
from decloud_lib.arrays.windows import partition
from decloud_lib.reconstruction.budget import Memory, is_measured, memory_of
from decloud_lib.reconstruction.closed_form import closed_form
from decloud_lib.reconstruction.images import OutputRaster, plan_rasters
from decloud_lib.reconstruction.job import Job
from decloud_lib.reconstruction.network import Caller, Tiling
from decloud_lib.reconstruction.regional_fit import RegionalFit
from decloud_lib.reconstruction.render import open_readers
from decloud_lib.reconstruction.served import ModelInUse
from decloud_lib.types import Window

_WINDOWS = 3
"""How many windows are timed."""
_OF_A_SERIES = ("model", "windows", "memory")
"""What is the same for all dates."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a reconstruction would take."""

    output: str
    """URI of the image."""
    model: str
    inputs: Mapping[str, Sequence[str]]
    """URIs that would go in, by option name."""
    shape: tuple[int, int]
    """Rows and columns of the extent, 10 m pixels."""
    tiling: Tiling
    windows: int
    computed_per_written: float
    memory: Memory
    memory_is_measured: bool
    """False: the model is not in the table, and is taken for the one that needs most."""
    disk_gb: float
    """At most, in the temporary folder: the rasters without compression, twice. 10^9 bytes."""
    seconds: float
    """By the time of a few windows on this machine, as it is now."""

    def text(self) -> str:
        """Return it for a person."""
        return _aligned(self.lines())

    def lines(self) -> dict[str, str]:
        """Return its parts for a person."""
        tiling, memory = self.tiling, self.memory
        guess = "" if self.memory_is_measured else " (not measured: that of the largest network)"
        counts = ", ".join(f"{role} {len(uris)}" for role, uris in self.inputs.items())
        overlap = f", overlap {2 * tiling.overlap_px} px" if tiling.overlap_px else ""
        process, forward, waiting = (
            value / 1000 for value in (memory.process, memory.forward, memory.waiting)
        )
        return {
            "image": f"{self.output}: {self.shape[0]} x {self.shape[1]} px",
            "model": self.model,
            "inputs": counts,
            "windows": f"{self.windows} of {tiling.window_px} px, margin {tiling.margin_px} px"
            f"{overlap}; {self.computed_per_written:.2f} pixels computed per pixel written",
            "memory": f"{memory.total / 1000:.1f} GB: process {process:.1f}, forward pass "
            f"{forward:.1f}{guess}, windows that wait {waiting:.1f}",
            "disk": _disk(self.disk_gb),
            "time": _time(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would become of a date of a series."""

    product: str
    outcome: Literal["make", "done", "skip"]
    reason: str = ""
    """Why it would be skipped."""
    pixels: int = 0
    """Of the image that would be made."""


@dataclass(frozen=True, slots=True)
class SeriesRehearsal:
    """What the reconstruction of a series would take."""

    dates: tuple[Foreseen, ...]
    one: Rehearsal | None
    """Of the first date that would be made; its memory is that of the series."""
    disk_gb: float
    """At most, in the temporary folder, by all dates that are under way. 10^9 bytes."""
    seconds: float
    """Of all dates, by the time of a few windows of one, on this machine as it is now."""

    def text(self) -> str:
        """Return it for a person."""
        counts = Counter(date.outcome for date in self.dates)
        told = f"{len(self.dates)}: {counts['make']} to make, {counts['done']} there already, "
        lines = {"dates": f"{told}{counts['skip']} that cannot be made"}
        if self.one is not None:
            lines |= {name: text for name, text in self.one.lines().items() if name in _OF_A_SERIES}
            lines["disk"] = _disk(self.disk_gb)
            lines["time"] = _time(self.seconds)
        each = (f"{date.outcome:<5} {date.product}  {date.reason}" for date in self.dates)
        return "\n".join([_aligned(lines), "", *(line.rstrip() for line in each)])


def rehearse_series(
    model: ModelInUse, dates: Sequence[Foreseen], first: Job | None
) -> SeriesRehearsal:
    """Say what a series would take, by the first date that would be made.

    Raises
    ------
    ConfigError
        The memory is too small for any window.
    """
    if first is None:
        return SeriesRehearsal(tuple(dates), None, 0.0, 0.0)
    one = rehearse(model, first)
    made = [date.pixels for date in dates if date.outcome == "make"]
    return SeriesRehearsal(
        tuple(dates),
        one,
        disk_gb=one.disk_gb * min(first.how.turns.dates, len(made)),
        seconds=one.seconds * sum(made) / (one.shape[0] * one.shape[1]),
    )


def rehearse(model: ModelInUse, job: Job) -> Rehearsal:
    """Say what a job would take; computes a few windows, writes nothing.

    Raises
    ------
    ConfigError
        The memory is too small for any window.
    """
    contract = model.contract
    how = job.how.for_extent(contract, job.extent.shape)
    height, width = job.extent.shape
    keys = contract.input_keys
    if (formula := closed_form(contract, job.grid.shape)) is not None:
        keys = formula.input_keys
    rasters = plan_rasters(contract, job.wanted, how.look(), keys)
    return Rehearsal(
        output=job.wanted.image,
        model=model.uri,
        inputs=job.inputs,
        shape=(height, width),
        tiling=how.tiling,
        windows=len(how.tiling.windows((height, width))),
        computed_per_written=how.tiling.computed_px((height, width)) / (height * width),
        memory=memory_of(contract, how.tiling, (height, width), how.load),
        memory_is_measured=is_measured(contract),
        disk_gb=2 * sum(_bytes(raster, height * width) for raster in rasters) / 1e9,
        seconds=_seconds(model, replace(job, how=how)),
    )


def _seconds(model: ModelInUse, job: Job) -> float:
    """Estimate the time: reading and computing overlap, so the slower one counts."""
    tiling, shape = job.how.tiling, job.grid.shape
    formula = closed_form(model.contract, shape)
    estimator = formula or Caller(model.network())
    readers = open_readers(
        job.sources, estimator.input_keys + job.how.extra_keys, job.grid, job.how
    )
    first_pass = 0.0
    if isinstance(formula, RegionalFit):
        cells = partition(shape, CELL_PX)
        chosen = _middle(cells)
        first_pass = _timed(lambda: formula.learn(readers, chosen)) * len(cells) / len(chosen)
    windows = [tiling.read_window(item) for item in _middle(tiling.windows(shape))]
    with closing(readers[0]) as reader:
        estimator(windows[:1], [reader.read(windows[0])])  # what happens once is not counted
        start = time.monotonic()
        readings = [reader.read(window) for window in windows]
        reading = (time.monotonic() - start) / job.how.readers
    computing = _timed(
        lambda: [estimator([item], [taken]) for item, taken in zip(windows, readings, strict=True)]
    )
    computed = sum(window.height * window.width for window in windows)
    return first_pass + max(reading, computing) * tiling.computed_px(job.extent.shape) / computed


def _middle(windows: Sequence[Window]) -> list[Window]:
    """Return a few windows in the middle of an image."""
    return list(windows[len(windows) // 2 :][:_WINDOWS])


def _timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _bytes(raster: OutputRaster, pixels: int) -> float:
    profile = raster.profile
    return pixels / raster.factor**2 * len(profile.bands) * np.dtype(profile.dtype).itemsize


def _aligned(lines: Mapping[str, str]) -> str:
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def _disk(size_gb: float) -> str:
    return f"{size_gb:.1f} GB at most in the temporary folder"


def _time(seconds: float) -> str:
    return f"about {_spoken(seconds)}, by a few windows on this machine now"


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
