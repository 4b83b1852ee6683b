"""Speed and memory of the reconstruction, beside the bare network in the same process.

The work runs in a process of its own, so that its peak memory is that of a reconstruction. The
baseline is the forward pass of the same network on arrays that lie in memory, with the same batch
and window (margin included); both speeds count the pixels that are written.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from decloud_lib import bands
from decloud_lib.raster.write import RasterProfile, create_raster, write_raster
from decloud_lib.types import Array, Grid, Window

MODEL = "crga_os2_david"
WINDOW_PX = 512
MEMORY_LIMIT_GIB = 2.0
TILE = "T31TCJ"
_T0 = datetime(2020, 6, 15, 10, 58, 48, tzinfo=UTC)


def bench_reconstruct(size: int = 2048) -> list[dict[str, object]]:
    """Measure the reconstruction of a `size` x `size` px image.

    Returns
    -------
    Speed against the bare network, peak memory against the limit of 2 GiB.
    """
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.reconstruct"]
        for step in ("prepare", "measure"):
            done = subprocess.run(
                [*command, step, folder, str(size)], check=True, stdout=subprocess.PIPE, text=True
            )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return [
        {
            "name": f"reconstruct_{MODEL}_{size}px",
            "value": found["mpixel_s"],
            "unit": "Mpixel/s",
            "baseline": "forward pass of the network on arrays in memory",
            "baseline_value": found["network_mpixel_s"],
            "ratio": found["mpixel_s"] / found["network_mpixel_s"],
        },
        {
            "name": f"reconstruct_{MODEL}_{size}px_peak_memory",
            "value": found["peak_gib"],
            "unit": "GiB",
            "baseline": "limit",
            "baseline_value": MEMORY_LIMIT_GIB,
            "ratio": found["peak_gib"] / MEMORY_LIMIT_GIB,
        },
    ]


def prepare(root: Path, size: int) -> None:
    """Write prepared products (two dates on each side, half of each cloudy) and a model."""
    for day in (-20, -10, 0, 10, 20):
        _write_s2(root, size, day)
        _write_s1(root, size, day)
    half = _grid(size).coarsened(2)
    _write(
        root / "dem.tif", half, bands.DEM_BANDS, _texture(99, half.height, 1, (0, 3000)), "int16"
    )
    _export(root / "model")


def measure(root: Path, size: int) -> dict[str, float]:
    """Time the bare network, the reconstruction, and the bare network again."""
    from decloud_lib.reconstruction.served import open_model
    from decloud_lib.stages.reconstruct import ReconstructConfig, rebuild

    (target,) = (root / "s2" / TILE).glob(f"*{_T0:%Y%m%d}*")
    config = ReconstructConfig(
        in_s2=str(target),
        s1_dir=str(root / "s1" / TILE),
        s2_dir=str(root / "s2" / TILE),
        dem=str(root / "dem.tif"),
        savedmodel=str(root / "model"),
        output=str(root / "image.tif"),
        ts=WINDOW_PX,
    )
    n_windows = -((-size // WINDOW_PX) ** 2)
    with open_model(config.savedmodel) as model:
        network, margin = model.network(), model.contract.margin_px
        side = min(WINDOW_PX, size) + 2 * margin
        arrays = {
            item.key: np.ones(
                (1, side // item.factor, side // item.factor, len(item.bands)), np.float32
            )
            for item in model.contract.inputs
        }
        network.predict(arrays)
        half = max(n_windows // 2, 1)
        bare = [_seconds(lambda: network.predict(arrays), half)]
        result = rebuild(config, model)
        bare.append(_seconds(lambda: network.predict(arrays), half))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "mpixel_s": size * size / 1e6 / result.seconds,
        "network_mpixel_s": 2 * half * min(WINDOW_PX, size) ** 2 / 1e6 / sum(bare),
        "peak_gib": peak_kib / 2**20,
    }


def _seconds(call: Any, times: int) -> float:
    start = time.monotonic()
    for _ in range(times):
        call()
    return time.monotonic() - start


def _export(folder: Path) -> None:
    import keras

    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    keras.utils.set_random_seed(0)
    definition, spec = registry.get(MODEL), registry.ModelSpec()
    export_model(definition.build(spec), definition, folder, definition.contract(spec))


def _write_s2(root: Path, size: int, day: int) -> None:
    time_text = f"{_T0 + timedelta(days=day):%Y%m%d-%H%M%S}-000"
    name = f"SENTINEL2A_{time_text}_L2A_{TILE}_C_V2-2"
    folder = root / "s2" / TILE / name
    grid = _grid(size)
    pixels = _texture(day, size, 4, (100, 4000))
    _write(folder / f"{name}_FRE_10m.tif", grid, bands.S2_10M_BANDS, pixels, "int16")
    half = grid.coarsened(2)
    coarse = _texture(day + 300, half.height, 6, (100, 4000))
    _write(folder / f"{name}_FRE_20m.tif", half, bands.S2_20M_STACK_BANDS, coarse, "int16")
    cloud = (_blobs(day, size) > 0).astype(np.uint8)[:, :, None]
    _write(folder / f"{name}_CLM_R1.tif", grid, ("CLM",), cloud, "uint8")
    _write(folder / f"{name}_EDG_R1.tif", grid, ("EDG",), np.zeros_like(cloud), "uint8")
    for mask in ("CLM", "EDG"):
        _write(folder / f"{name}_{mask}_R1_stats.tif", _grid(1), (mask,), _nothing(), "uint16")


def _write_s1(root: Path, size: int, day: int) -> None:
    moment = f"{_T0 + timedelta(days=day, hours=-5):%Y%m%dt%H%M%S}"
    stem = f"s1b_{TILE[1:]}_vvvh_DES_110_{moment}_from-10to3dB"
    folder = root / "s1" / TILE
    pixels = _texture(day + 600, size, 2, (20000, 50000))
    _write(folder / f"{stem}.tif", _grid(size), bands.S1_BANDS, pixels, "uint16")
    _write(folder / f"{stem}_edge.tif", _grid(1), ("EDG",), _nothing(), "uint16")


def _write(path: Path, grid: Grid, names: tuple[str, ...], pixels: Array, dtype: str) -> None:
    profile = RasterProfile(names, dtype)
    if grid.height == 1:
        write_raster(str(path), grid, profile, pixels)
        return
    with create_raster(str(path), grid, profile) as writer:
        for row in range(0, grid.height, 256):
            rows = pixels[row : row + 256].astype(dtype)
            writer.write(Window(row, 0, rows.shape[0], grid.width), rows)


def _grid(size: int) -> Grid:
    return Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, size, size)


def _nothing() -> Array:
    return np.zeros((1, 1, 1), np.uint16)


def _blobs(stream: int, size: int) -> Array:
    """Smooth patches around zero, some 50 px wide: (size, size) float32."""
    generator = np.random.default_rng(stream + 1000)
    coarse = generator.standard_normal((size // 64 + 2, size // 64 + 2)).astype(np.float32)
    fine = np.linspace(0, coarse.shape[0] - 1.001, size)
    low, part = fine.astype(int), (fine % 1).astype(np.float32)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _texture(stream: int, size: int, n_bands: int, limits: tuple[int, int]) -> Array:
    """Smooth fields with noise, so that the blocks compress about as real ones do."""
    generator = np.random.default_rng(stream + 5000)
    low, high = limits
    ground = (_blobs(stream, size) * 0.15 + 0.5) * (high - low) + low
    planes = np.empty((n_bands, size, size), np.float32)
    for plane in planes:
        noise = generator.standard_normal((size, size), dtype=np.float32)
        plane[:] = ground * generator.uniform(0.7, 1.3) + noise * 0.02 * (high - low)
    return np.moveaxis(np.clip(planes, low, high), 0, 2)


def _steps(arguments: list[str]) -> Iterator[str]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconstruct", description=__doc__)
    parser.add_argument("step", choices=["prepare", "measure"])
    parser.add_argument("root", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args(arguments)
    if options.step == "prepare":
        prepare(options.root, options.size)
    else:
        yield json.dumps(measure(options.root, options.size))


if __name__ == "__main__":
    for line in _steps(sys.argv[1:]):
        print(line)
