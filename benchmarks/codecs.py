"""What codecs, predictors and block sizes cost and bring, for docs/decisions/0005.

Run `python -m benchmarks.codecs`. Each raster is as wide as a product. It is written by one process
with the threads that the preparation uses, and read by one thread in four ways, always with the
block cache of `decloud_lib.storage.gdal_options`:

* windows: 384 px at random places, the file opened anew for each;
* patches: 256 px at random places from top to bottom, as training samples are cut;
* rebuild: 512 px with a margin of 64 px, row after row, as images are rebuilt;
* strips: 512 rows of the whole width.

20 m rasters are read in windows of half the size. MB are 10^6 bytes of the pixels that were asked
for. Each figure is the best of several tries that take turns, because machines are shared. Files
lie in the page cache: this is about the processor.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from benchmarks.textures import Texture, generated, real, repeated
from decloud_lib.arrays.encode import encode_channel
from decloud_lib.bands import S1_BANDS, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.raster.environment import BLOCK_THREADS
from decloud_lib.types import Array

WINDOW_PX, PATCH_PX, REBUILD_PX, MARGIN_PX, STRIP_PX = 384, 256, 512, 64, 512
WINDOWS, PATCHES = 30, 200
TRIES = 3
_LEVELS = {"ZSTD": "zstd_level", "DEFLATE": "zlevel"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to store a raster."""

    codec: str
    level: int
    predictor: int
    block_px: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What it costs and brings."""

    source: str
    raster: str
    codec: str
    predictor: int
    block_px: int
    size_ratio: float
    """Bytes of pixels per byte of file."""
    write_mb_s: float
    write_cpu_s_gb: float
    """Processor seconds of all threads per 10^9 bytes of pixels."""
    window_mb_s: float
    patch_mb_s: float
    rebuild_mb_s: float
    strip_mb_s: float


_CODECS = (("ZSTD", 1), ("ZSTD", 3), ("ZSTD", 9), ("DEFLATE", 1), ("DEFLATE", 6))
_BLOCKS = (64, 128, 256, 512)


def choices(raster: str) -> list[Choice]:
    """List what is measured: codecs and predictors at one block size, then block sizes."""
    best = 1 if raster == "mask" else 2
    usual = 128 if raster == "s2_20m" else 256
    found = [
        Choice(codec, level, predictor, usual)
        for predictor in (best, 3 - best)
        for codec, level in _CODECS
    ]
    blocks = [side // 2 if raster == "s2_20m" else side for side in _BLOCKS]
    return found + [
        Choice(codec, level, best, side)
        for codec, level in (("ZSTD", 1), ("DEFLATE", 6))
        for side in blocks
        if side != usual
    ]


def rasters(texture: Texture, shape: tuple[int, int]) -> dict[str, Array]:
    """Return (C, H, W) pixels of what the preparation writes; `shape` is that at 10 m."""
    half = (shape[0] // 2, shape[1] // 2)
    encoded = [encode_channel(texture.sigma0[name]) for name in S1_BANDS]
    return {
        "s2_10m": np.stack([repeated(texture.optical[band], shape) for band in S2_10M_BANDS]),
        "s2_20m": np.stack([repeated(texture.optical[band], half) for band in S2_20M_STACK_BANDS]),
        "s1": np.stack([repeated(plane, shape) for plane in encoded]),
        "mask": repeated(texture.cloud, shape)[np.newaxis],
    }


def measure(
    source: str, raster: str, pixels: Array, folder: Path, tries: int = TRIES
) -> list[Measured]:
    """Write and read one raster in all ways, one after the other, several times over."""
    path = folder / "raster.tif"
    factor = 2 if raster == "s2_20m" else 1
    ways = [ways_to_read(pixels.shape[1:], factor)[name] for name in _WAYS]
    best: dict[Choice, list[float]] = {}
    sizes: dict[Choice, int] = {}
    for _ in range(tries):
        for choice in choices(raster):
            wall, cpu = _timed(partial(_write, path, pixels, choice))
            sizes[choice] = path.stat().st_size
            reading = [_timed(partial(_read, path, way))[0] for way in ways]
            times = [wall, cpu, *reading]
            best[choice] = list(map(min, times, best.get(choice, times)))
    per_pixel = pixels.shape[0] * pixels.itemsize
    megabytes = [sum(w.height * w.width for w in way.windows) * per_pixel / 1e6 for way in ways]
    written = pixels.nbytes / 1e6
    found = []
    for choice, (wall, cpu, *reading) in best.items():
        speeds = (size / seconds for size, seconds in zip(megabytes, reading, strict=True))
        found.append(
            Measured(
                source,
                raster,
                f"{choice.codec}-{choice.level}",
                choice.predictor,
                choice.block_px,
                pixels.nbytes / sizes[choice],
                written / wall,
                cpu / written * 1e3,
                *speeds,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """Windows that are read one after the other."""

    windows: list[Window]
    opened_anew: bool = False


_WAYS = ("windows", "patches", "rebuild", "strips")


def ways_to_read(shape: tuple[int, int], factor: int) -> dict[str, Way]:
    """Return the windows of each way to read a raster; `factor` is 2 at 20 m."""
    height, width = shape
    side, margin = REBUILD_PX // factor, MARGIN_PX // factor
    rebuild = [
        _inside(shape, row - margin, col - margin, side + 2 * margin)
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]
    return {
        "windows": Way(_anywhere(shape, WINDOW_PX // factor, WINDOWS), opened_anew=True),
        "patches": Way(
            sorted(_anywhere(shape, PATCH_PX // factor, PATCHES), key=lambda w: w.row_off)
        ),
        "rebuild": Way(rebuild),
        "strips": Way(
            [
                Window(0, row, width, min(STRIP_PX, height - row))
                for row in range(0, height, STRIP_PX)
            ]
        ),
    }


def _anywhere(shape: tuple[int, int], side: int, number: int) -> list[Window]:
    rng = np.random.default_rng(0)
    corners = (rng.integers(0, length - side + 1, number) for length in shape)
    return [Window(int(col), int(row), side, side) for row, col in zip(*corners, strict=True)]


def _inside(shape: tuple[int, int], row: int, col: int, side: int) -> Window:
    """Return a square without what reaches beyond the raster."""
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + side, shape[0]), min(col + side, shape[1])
    return Window(left, top, right - left, bottom - top)


def table(rows: list[Measured]) -> str:
    """Return a Markdown table."""
    head = (
        "| pixels | raster | codec | predictor | block px | size ratio | write MB/s "
        "| write CPU s/GB | windows MB/s | patches MB/s | rebuild MB/s | strips MB/s |"
    )
    lines = [head, "| --- | --- | --- " + "| ---: " * 9 + "|"]
    lines += [
        f"| {row.source} | {row.raster} | {row.codec} | {row.predictor} | {row.block_px} "
        f"| {row.size_ratio:.2f} | {row.write_mb_s:.0f} | {row.write_cpu_s_gb:.1f} "
        f"| {row.window_mb_s:.0f} | {row.patch_mb_s:.0f} "
        f"| {row.rebuild_mb_s:.0f} | {row.strip_mb_s:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall clock and processor seconds of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def _write(path: Path, pixels: Array, choice: Choice) -> None:
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype,
        crs="EPSG:32631", transform=Affine(10, 0, 5e5, 0, -10, 49e5), tiled=True,
        blockxsize=choice.block_px, blockysize=choice.block_px, interleave="pixel",
        compress=choice.codec, predictor=choice.predictor, num_threads=BLOCK_THREADS,
        **{_LEVELS[choice.codec]: choice.level},
    ) as file:  # fmt: skip
        for row in range(0, height, STRIP_PX):
            strip = pixels[:, row : row + STRIP_PX]
            file.write(strip, window=Window(0, row, width, strip.shape[1]))


def _read(path: Path, way: Way) -> None:
    with rasterio.Env(GDAL_CACHEMAX=64):
        if way.opened_anew:
            for window in way.windows:
                with rasterio.open(path) as file:
                    file.read(window=window)
            return
        with rasterio.open(path) as file:
            for window in way.windows:
                file.read(window=window)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--rows", type=int, default=1280, help="height at 10 m, pixels")
    parser.add_argument("--width", type=int, default=10980, help="width at 10 m, pixels")
    parser.add_argument("--tries", type=int, default=TRIES, help="the best of them counts")
    parser.add_argument(
        "--real", type=Path, default=Path("../shared/data/real"), help="real series, if there"
    )
    options = parser.parse_args()
    textures = {"generator": generated()}
    if options.real.is_dir():
        textures["real"] = real(options.real)
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        for source, texture in textures.items():
            for raster, pixels in rasters(texture, (options.rows, options.width)).items():
                found = measure(source, raster, pixels, Path(folder), options.tries)
                print(table(found), flush=True)
                rows += found
    options.out.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(row) for row in rows], indent=2)
    (options.out / "codecs.json").write_text(content + "\n")
    (options.out / "codecs.md").write_text(table(rows) + "\n")
    print(f"written to {options.out / 'codecs.md'}")


if __name__ == "__main__":
    main()
