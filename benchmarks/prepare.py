"""Speed and memory of the preparation, beside plain rasterio loops that write the same rasters.

Each run is a process of its own, so that its peak memory is its own. Inputs are read once before
anything is timed; ours and the baselines then take turns, there and back, and the best time of
each counts, because machines are shared and noisy. Nothing waits for the disk: what is written
lies in the page cache, for ours and for the baselines alike. The start of the interpreter and the
imports are not part of any figure. Ratio = ours / baseline: less is better.

Times of S1 are compared with a loop that makes 16-bit integers by one shift (`plain.cheap_bits`),
so that it writes nearly as many bytes; the processor time with the formula as it reads.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import deliveries, plain
from benchmarks.measure import Cost, alternated, report, warm
from benchmarks.results import Row, compared
from benchmarks.textures import generated
from decloud_lib.stages import Mode
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2

MEMORY_LIMIT_MB = 600.0
ROUNDS = 2
_SAME = f"plain loop, {plain.SAME_CODEC}"
_SLOW = f"plain loop, {plain.SLOW_CODEC}"
_WRITE_WALL = {"s1": 1.4, "s2": 1.3}
_WRITE_CPU = 0.6


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a mode is compared with, and the highest ratio of wall clock times."""

    job: str
    words: str
    target: float


_STATISTICS = {
    "s1": _Limit("read", "reading the input", 1.2),
    "s2": _Limit("convert", "convert", 0.4),
}
_JOBS = {
    "s1": ("convert", "same", "slow", "statistics", "read"),
    "s2": ("convert", "same", "slow", "statistics"),
    "safe": ("convert", "same"),
}


def bench_s2(size: int, rounds: int = ROUNDS) -> list[Row]:
    """Prepare one Theia product of `size` px in both modes."""
    costs = _costs("s2", size, rounds)
    return _convert_rows("s2", size, costs) + _statistics_rows("s2", size, costs)


def bench_s1(size: int, rounds: int = ROUNDS) -> list[Row]:
    """Prepare one Sentinel-1 pair of `size` px in both modes."""
    costs = _costs("s1", size, rounds)
    return _convert_rows("s1", size, costs) + _statistics_rows("s1", size, costs)


def bench_safe(size: int, rounds: int = ROUNDS) -> list[Row]:
    """Prepare one ESA product (JPEG 2000) of `size` px; decoding it is nearly all of the work."""
    costs = _costs("safe", size, rounds)
    ours, same = costs["convert"], costs["same"]
    name = f"safe_{size}px_convert"
    return [
        compared(f"{name}_wall", ours.wall, "s", (f"decoding, {_SAME}", same.wall)),
        compared(f"{name}_cpu", ours.cpu, "s", (f"decoding, {_SAME}", same.cpu)),
        compared(f"{name}_written", ours.written_mb, "MB", (_SAME, same.written_mb)),
        peak_row(name, ours.peak_mb),
    ]


def peak_row(name: str, peak_mb: float) -> Row:
    """Return the peak memory of one worker beside its limit."""
    return compared(f"{name}_peak_memory", peak_mb, "MB", ("limit", MEMORY_LIMIT_MB), 1.0)


def _convert_rows(family: str, size: int, costs: dict[str, Cost]) -> list[Row]:
    ours, same, slow = (costs[name] for name in ("convert", "same", "slow"))
    name = f"{family}_{size}px_convert"
    wall = _WRITE_WALL[family]
    return [
        compared(f"{name}_wall", ours.wall, "s", (_SAME, same.wall), wall),
        compared(f"{name}_cpu", ours.cpu, "s", (_SLOW, slow.cpu), _WRITE_CPU),
        compared(f"{name}_wall_vs_slow", ours.wall, "s", (_SLOW, slow.wall)),
        compared(f"{name}_cpu_vs_same", ours.cpu, "s", (_SAME, same.cpu)),
        compared(f"{name}_written", ours.written_mb, "MB", (_SAME, same.written_mb)),
        compared(f"{name}_written_vs_slow", ours.written_mb, "MB", (_SLOW, slow.written_mb)),
        peak_row(name, ours.peak_mb),
    ]


def _statistics_rows(family: str, size: int, costs: dict[str, Cost]) -> list[Row]:
    limit, ours = _STATISTICS[family], costs["statistics"]
    name = f"{family}_{size}px_statistics-only"
    baseline = costs[limit.job]
    return [
        compared(f"{name}_wall", ours.wall, "s", (limit.words, baseline.wall), limit.target),
        compared(f"{name}_cpu", ours.cpu, "s", (limit.words, baseline.cpu)),
        peak_row(name, ours.peak_mb),
    ]


def _costs(family: str, size: int, rounds: int) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as temporary:
        root = Path(temporary)
        product = _MAKERS[family](root / "in", generated(), size)
        warm(path for path in (root / "in").rglob("*") if path.is_file())
        jobs = {job: (family, job, str(product)) for job in _JOBS[family]}
        return alternated("benchmarks.prepare", jobs, root / "out", rounds)


_MAKERS: dict[str, Callable[..., Path]] = {
    "s1": deliveries.write_radar,
    "s2": deliveries.write_theia,
    "safe": deliveries.write_safe,
}


def _ours(family: str, mode: Mode, product: Path, output: Path) -> None:
    if family == "s1":
        radar = PrepareS1Config(input_s1_vh=(str(product),), out_s1_dir=str(output), mode=mode)
        prepare_s1(radar)
        return
    prepare_s2(PrepareS2Config(in_image=(str(product),), out_s2_dir=str(output), mode=mode))


def _baseline(family: str, job: str, product: Path, output: Path) -> None:
    codec = plain.SLOW_CODEC if job == "slow" else plain.SAME_CODEC
    if job == "read":
        plain.read_radar(product)
    elif family == "s1":
        change = plain.plain_encoding if job == "slow" else plain.cheap_bits
        plain.copy_radar(product, output, codec, change)
    elif family == "s2":
        plain.copy_optical(product, output, codec)
    else:
        plain.copy_safe(product, output, codec)


def main(family: str, job: str, product: str, output: str) -> None:
    modes: dict[str, Mode] = {"convert": "convert", "statistics": "statistics-only"}
    paths = (Path(product), Path(output))
    work = (
        partial(_ours, family, modes[job], *paths)
        if job in modes
        else partial(_baseline, family, job, *paths)
    )
    report(work, Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
