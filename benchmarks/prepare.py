"""Speed and memory of the preparation, beside a plain rasterio loop that writes the same pixels.

Each run is a process of its own, so that its peak memory is its own. The baseline reads the same
files and writes the same rasters with the same driver, blocks, predictor and threads, compressed
with DEFLATE-6; it makes no statistics and no manifest. Ratio = ours / baseline: less is better.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from decloud_lib.raster.environment import BLOCK_THREADS
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2

NAME = "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
STEM = "s1b_31TEJ_{}_DES_110_20201011t060008"
BASELINE = "plain rasterio loop, DEFLATE-6"
ROWS = 256

Result = dict[str, object]


def bench_prepare_s2(size: int = 10980) -> list[Result]:
    """Prepare one Sentinel-2 product of `size` px; wall and CPU time, memory, bytes written."""
    return _bench("s2", size)


def bench_prepare_s1(size: int = 10980) -> list[Result]:
    """Prepare one Sentinel-1 image of `size` px; wall and CPU time, memory, bytes written."""
    return _bench("s1", size)


def _bench(family: str, size: int) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        _run("make", family, folder, str(size))
        plain = _run("plain", family, folder, str(size))
        ours = _run("ours", family, folder, str(size))
    units = {"wall": "s", "cpu": "s", "peak_memory": "MiB", "written": "MB"}
    return [
        {
            "name": f"prepare_{family}_{size}px_{key}",
            "value": ours[key],
            "unit": unit,
            "baseline": BASELINE,
            "baseline_value": plain[key],
            "ratio": ours[key] / plain[key],
        }
        for key, unit in units.items()
    ]


def _run(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.prepare", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _texture(side: int, seed: int) -> np.ndarray:
    """Make sharp fields, smooth relief and pixel noise; compresses by 1.5, as real images do."""
    rng = np.random.default_rng(seed)
    points = rng.random((side * side // 400, 2)) * side
    grid = np.arange(0, side, 4)
    rows, cols = np.meshgrid(grid, grid, indexing="ij")
    nearest = np.zeros(rows.shape, np.int64)
    best = np.full(rows.shape, np.inf)
    for index, (row, col) in enumerate(points):
        distance = (rows - row) ** 2 + (cols - col) ** 2
        closer = distance < best
        best[closer], nearest[closer] = distance[closer], index
    fields = rng.normal(0, 0.03, len(points))[nearest].repeat(4, 0).repeat(4, 1)
    wave = 0.01 * np.sin(np.arange(side) / 37)
    return (
        0.1 + fields[:side, :side] + np.add.outer(wave, wave) + rng.normal(0, 0.025, (side, side))
    )


def _write_source(path: Path, pixels: np.ndarray, size: int, pixel_m: float) -> None:
    """Write a texture, repeated over the whole raster, as a delivered file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    side = pixels.shape[0]
    repeats = -(-size // side)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=size, width=size, dtype=pixels.dtype,
        crs="EPSG:32631", transform=Affine(pixel_m, 0, 5e5, 0, -pixel_m, 49e5), tiled=True,
        blockxsize=512, blockysize=512, compress="deflate", zlevel=1, num_threads=BLOCK_THREADS,
    ) as file:  # fmt: skip
        for row in range(0, size, side):
            strip = np.tile(pixels, (1, repeats))[: size - row, :size]
            file.write(strip, 1, window=Window(0, row, size, strip.shape[0]))


def _make(family: str, folder: Path, size: int) -> None:
    if family == "s1":
        for seed, polarisation in enumerate(("vv", "vh")):
            speckle = np.random.default_rng(seed).gamma(5, 0.2, (512, 512))
            sigma0 = np.abs(_texture(512, seed)) * speckle * (0.3 if seed else 1.5)
            path = folder / f"{STEM.format(polarisation)}.tif"
            _write_source(path, sigma0.astype(np.float32), size, 10)
        return
    product = folder / NAME
    for seed, band in enumerate(("B2", "B3", "B4", "B8")):
        pixels = (_texture(512, seed) * 10000).astype(np.int16)
        _write_source(product / f"{NAME}_FRE_{band}.tif", pixels, size, 10)
    for seed, band in enumerate(("B5", "B6", "B7", "B8A", "B11", "B12")):
        pixels = (_texture(512, seed + 9) * 10000).astype(np.int16)
        _write_source(product / f"{NAME}_FRE_{band}.tif", pixels, size // 2, 20)
    for seed, mask in enumerate(("CLM_R1", "EDG_R1")):
        pixels = np.where(_texture(512, seed + 20) > 0.13, 7, 0).astype(np.uint8)
        _write_source(product / "MASKS" / f"{NAME}_{mask}.tif", pixels, size, 10)


def _ours(family: str, folder: Path) -> None:
    output = str(folder / "ours")
    if family == "s1":
        vh = str(folder / f"{STEM.format('vh')}.tif")
        prepare_s1(PrepareS1Config(input_s1_vh=(vh,), out_s1_dir=output))
        return
    prepare_s2(PrepareS2Config(in_image=(str(folder / NAME),), out_s2_dir=output))


def _plain(family: str, folder: Path) -> None:
    output = folder / "plain"
    output.mkdir(exist_ok=True)
    with rasterio.Env(GDAL_CACHEMAX=64):
        if family == "s1":
            sources = [folder / f"{STEM.format(name)}.tif" for name in ("vv", "vh")]
            _loop(sources, output / "s1.tif", "uint16", 256, 2, _plain_encoding)
            return
        product = folder / NAME
        bands = {"10m": ("B2", "B3", "B4", "B8"), "20m": ("B11", "B12", "B5", "B6", "B7", "B8A")}
        for key, names in bands.items():
            sources = [product / f"{NAME}_FRE_{name}.tif" for name in names]
            _loop(sources, output / f"{key}.tif", "int16", 256 if key == "10m" else 128, 2)
        for mask in ("CLM_R1", "EDG_R1"):
            source = product / "MASKS" / f"{NAME}_{mask}.tif"
            _loop([source], output / f"{mask}.tif", "uint8", 256, 1)


def _plain_encoding(sigma0: np.ndarray) -> np.ndarray:
    scaled = 1 + 65534 / 13 * (np.log(np.abs(sigma0) + 1e-6) + 10)
    scaled = np.where(sigma0 < np.exp(-10), 1, np.where(sigma0 > np.exp(3), 65535, scaled))
    return np.where(sigma0 == 0, 0, scaled).astype(np.uint16)


def _loop(
    sources: list[Path],
    target: Path,
    dtype: str,
    block_px: int,
    predictor: int,
    change: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> None:
    with rasterio.open(sources[0]) as first:
        profile = first.profile
    profile.update(
        count=len(sources), dtype=dtype, blockxsize=block_px, blockysize=block_px, zlevel=6,
        predictor=predictor, interleave="pixel", num_threads=BLOCK_THREADS,
    )  # fmt: skip
    with rasterio.open(target, "w", **profile) as output:
        files = [rasterio.open(source) for source in sources]
        height, width = output.shape
        # Two rows of blocks of the input at a time would be kinder to it; a plain loop does this.
        for row in range(0, height, ROWS):
            window = Window(0, row, width, min(ROWS, height - row))
            output.write(np.stack([change(file.read(1, window=window)) for file in files]),
                         window=window)  # fmt: skip
        for file in files:
            file.close()


def _measured(job: str, family: str, folder: Path, size: int) -> dict[str, float]:
    start, cpu = time.monotonic(), time.process_time()
    if job == "make":
        _make(family, folder, size)
        return {}
    (_ours if job == "ours" else _plain)(family, folder)
    wall, cpu = time.monotonic() - start, time.process_time() - cpu
    written = sum(path.stat().st_size for path in (folder / job).rglob("*.tif"))
    return {"wall": wall, "cpu": cpu, "peak_memory": _peak_mib(), "written": written / 1e6}


def _peak_mib() -> float:
    """Return the highest resident memory of this process (of this program, where Linux tells)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    kib = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 1024


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
