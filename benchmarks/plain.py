"""What the preparation is compared with: plain loops of rasterio that write the same rasters.

They use the driver, blocks, predictors, interleaving, threads and block cache of the preparation,
and strips of whole blocks of their inputs, so that no block is decompressed twice. They check
nothing, count nothing and write no metadata.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from decloud_lib.bands import S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.raster.environment import BLOCK_THREADS
from decloud_lib.types import Array

SAME_CODEC, SLOW_CODEC = "ZSTD-1", "DEFLATE-6"
_CODECS: dict[str, dict[str, Any]] = {
    SAME_CODEC: {"compress": "zstd", "zstd_level": 1},
    SLOW_CODEC: {"compress": "deflate", "zlevel": 6},
}
_CACHE_MB = 64
#: Rows of the blocks of the inputs, `benchmarks.deliveries`.
_GEOTIFF_ROWS, _JPEG2000_ROWS = 512, 1024


@dataclass(frozen=True, slots=True)
class Job:
    """One raster that is written."""

    sources: Sequence[Path]
    target: Path
    dtype: str
    block_px: int
    predictor: int
    rows: int
    enlarged: int = 1
    """How many times larger the raster is than its sources."""


def copy_optical(product: Path, output: Path, codec: str) -> None:
    """Read the bands and masks of a Theia product and write them as stacks and masks."""
    with _environment():
        for job in _theia_jobs(product, output):
            _write(job, codec)


def copy_safe(product: Path, output: Path, codec: str) -> None:
    """Decode the bands and classes of an ESA product and write stacks, and the classes twice."""
    with _environment():
        for job in _safe_jobs(product, output):
            _write(job, codec)


def copy_radar(vh: Path, output: Path, codec: str, change: Callable[[Array], Array]) -> None:
    """Read both polarisations, make 16-bit integers of them, and write them as one raster."""
    with _environment():
        job = Job(_pair(vh), output / "s1.tif", "uint16", 256, 2, _GEOTIFF_ROWS)
        _write(job, codec, change)


def read_radar(vh: Path) -> None:
    """Read both polarisations."""
    with _environment():
        for path in _pair(vh):
            with rasterio.open(path) as file:
                for window in _windows(file.shape, _GEOTIFF_ROWS):
                    file.read(1, window=window)


def cheap_bits(sigma0: Array) -> Array:
    """Make 16-bit integers of float32 values by one shift.

    The high bits of a floating-point number are a logarithm drawn with straight lines. 4096 steps
    per factor of two, where the encoding has 3494: nearly as many bits to write.
    """
    return (sigma0.view(np.uint32) >> 11).astype(np.uint16)


def plain_encoding(sigma0: Array) -> Array:
    """Encode as the formula reads, one array after the other."""
    scaled = 1 + 65534 / 13 * (np.log(np.abs(sigma0) + 1e-6) + 10)
    scaled = np.where(sigma0 < np.exp(-10), 1, np.where(sigma0 > np.exp(3), 65535, scaled))
    return np.where(sigma0 == 0, 0, scaled).astype(np.uint16)


def _theia_jobs(product: Path, output: Path) -> Iterator[Job]:
    name = product.name
    fine = [product / f"{name}_FRE_{band}.tif" for band in S2_10M_BANDS]
    coarse = [product / f"{name}_FRE_{band}.tif" for band in S2_20M_STACK_BANDS]
    yield Job(fine, output / "10m.tif", "int16", 256, 2, _GEOTIFF_ROWS)
    yield Job(coarse, output / "20m.tif", "int16", 128, 2, _GEOTIFF_ROWS)
    for mask in ("CLM_R1", "EDG_R1"):
        source = product / "MASKS" / f"{name}_{mask}.tif"
        yield Job([source], output / f"{mask}.tif", "uint8", 256, 1, _GEOTIFF_ROWS)


def _safe_jobs(product: Path, output: Path) -> Iterator[Job]:
    files = {path.stem.split("_")[-2]: path for path in product.rglob("*.jp2")}
    words = {band: band if band in files else f"B0{band[1:]}" for band in S2_10M_BANDS}
    words |= {band: band if band in files else f"B0{band[1:]}" for band in S2_20M_STACK_BANDS}
    fine = [files[words[band]] for band in S2_10M_BANDS]
    coarse = [files[words[band]] for band in S2_20M_STACK_BANDS]
    yield Job(fine, output / "10m.tif", "uint16", 256, 2, _JPEG2000_ROWS)
    # A multiple of the 640 rows of the inputs' blocks and of the 128 of the output's.
    yield Job(coarse, output / "20m.tif", "uint16", 128, 2, 640)
    for mask in ("CLM", "EDG"):
        target = output / f"{mask}.tif"
        yield Job([files["SCL"]], target, "uint8", 256, 1, 1280, enlarged=2)


def _pair(vh: Path) -> list[Path]:
    return [vh.with_name(vh.name.replace("_vh_", "_vv_")), vh]


def _write(job: Job, codec: str, change: Callable[[Array], Array] | None = None) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(path)) for path in job.sources]
        first, times = files[0], job.enlarged
        height, width = first.height * times, first.width * times
        transform = first.transform @ first.transform.scale(1 / times)
        output = stack.enter_context(
            rasterio.open(
                job.target, "w", driver="GTiff", count=len(files), height=height, width=width,
                dtype=job.dtype, crs=first.crs, transform=transform, tiled=True,
                blockxsize=job.block_px, blockysize=job.block_px, predictor=job.predictor,
                interleave="pixel", num_threads=BLOCK_THREADS, **_CODECS[codec],
            )
        )  # fmt: skip
        for window in _windows((height, width), job.rows):
            source = Window(0, window.row_off // times, first.width, window.height // times)
            planes = [file.read(1, window=source) for file in files]
            if times > 1:
                # Not enlarged by GDAL, which would decode a JPEG 2000 once per line.
                planes = [plane.repeat(times, 0).repeat(times, 1) for plane in planes]
            output.write(np.stack(planes if change is None else list(map(change, planes))),
                         window=window)  # fmt: skip


def _windows(shape: tuple[int, int], rows: int) -> Iterator[Window]:
    height, width = shape
    for row in range(0, height, rows):
        yield Window(0, row, width, min(rows, height - row))


@contextmanager
def _environment() -> Iterator[None]:
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB, GDAL_PAM_ENABLED=False):
        yield
