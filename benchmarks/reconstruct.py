"""Speed and memory of the reconstruction, beside what cannot be avoided.

Each job runs in a process of its own, so that its peak memory is that of a reconstruction.

- A network: beside the forward pass of the same network on arrays that lie in memory, with the same
  batch and the same windows (those that are chosen by default, margins included), timed in turn in
  the same process; medians of the rounds. With each engine.
- Gap filling without a network: beside reading each input once and writing the output.

All speeds count the pixels that are written.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

import numpy as np

from benchmarks.results import Row, compared
from benchmarks.scene import TILE, grid_of, target_of, write_tile
from decloud_lib.raster.write import RasterProfile, create_raster
from decloud_lib.types import Array, Window

__all__ = ["MODEL", "TILE", "bench_reconstruct", "prepare"]

MODEL = "crga_os2_david"
_WINDOW_PX = 512
#: Least speed beside reading and writing.
_FORMULAS = {"linear_gap_filling": 0.7, "gapfilling_fitted": 0.35}
#: Least speed beside the bare network, by what reads.
_LEAST_OF_NETWORK = {"rasterio": 0.85, "otb": 0.8}
_MOST_MEMORY = 1.15
_ROUNDS = 3
"""Other work on a machine comes and goes within seconds; medians leave it out."""


def bench_reconstruct(size: int, large: int) -> list[Row]:
    """Measure the reconstruction of images of `size` x `size` px.

    Parameters
    ----------
    size
        Of the images that are timed.
    large
        Side of an image whose peak memory is compared with that of a quarter of it; a whole tile
        has 10980 px.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        root = Path(folder)
        _run("prepare", root, size)
        for name in _LEAST_OF_NETWORK:
            if name == "otb" and find_spec("otbApplication") is None:
                print("no figures of the Orfeo ToolBox: it is not installed (make otb)")
                continue
            found = _run(name, root, size) | _run(f"{name}-memory", root, size)
            rows += _network_rows(found, size, name)
        for model, least in _FORMULAS.items():
            rows += _formula_rows(model, least, root, size)
        peaks = {}
        for side in (large // 4 // 2 * 2, large):
            _run("tile", root / str(side), side)
            peaks[side] = _run("same-windows", root / str(side), side)["peak_gb"]
    few, many = peaks.values()
    name = f"reconstruct_gapfilling_fitted_{large}px_peak_memory"
    rows.append(compared(name, many, "GB", (f"{large // 4} px", few), _MOST_MEMORY))
    return rows


def _network_rows(found: dict[str, float], size: int, engine: str) -> list[Row]:
    name = f"reconstruct_{MODEL}_{size}px_{engine}"
    ratio = found["mpixel_s"] / found["network_mpixel_s"]
    return [
        Row(
            name,
            found["mpixel_s"],
            "Mpixel/s",
            "forward pass of the network on arrays in memory",
            found["network_mpixel_s"],
            ratio,
            _LEAST_OF_NETWORK[engine],
            "at least",
        ),
        _peak_row(name, found),
    ]


def _formula_rows(model: str, least: float, root: Path, size: int) -> list[Row]:
    baseline, found = (_run(job, root, size) for job in (f"copy-{model}", model))
    name = f"reconstruct_{model}_{size}px"
    return [
        Row(
            name,
            found["mpixel_s"],
            "Mpixel/s",
            "reading the inputs once and writing the output",
            baseline["mpixel_s"],
            found["mpixel_s"] / baseline["mpixel_s"],
            least,
            "at least",
        ),
        _peak_row(name, found),
    ]


def _peak_row(name: str, found: dict[str, float]) -> Row:
    planned = ("memory that was planned", found["planned_gb"])
    return compared(f"{name}_peak_memory", found["peak_gb"], "GB", planned, 1.0)


def _run(job: str, root: Path, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.reconstruct", job, str(root), str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare(root: Path, size: int) -> dict[str, float]:
    """Write prepared products (two dates on each side, half of each cloudy) and a model."""
    import keras

    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    write_tile(root, size)
    keras.utils.set_random_seed(0)
    definition, spec = registry.get(MODEL), registry.ModelSpec()
    export_model(definition.build(spec), definition, root / "model", definition.contract(spec))
    return {}


def _tile(root: Path, size: int) -> dict[str, float]:
    write_tile(root, size)
    return {}


def _network(root: Path, size: int, engine: str) -> dict[str, float]:
    """Time the bare network and the reconstruction in turn."""
    from decloud_lib.reconstruction.served import open_model

    config = _network_config(root, engine)
    with open_model(config.savedmodel) as model:
        tiling, _ = _planned(config, model.contract, size)
        bare = _bare(model, tiling, size)
        bare()
        alone, rebuilt = [], []
        for _ in range(_ROUNDS):
            alone.append(_seconds(bare))
            rebuilt.append(_rebuild_anew(config, model))
        alone.append(_seconds(bare))
    return {
        "mpixel_s": size * size / 1e6 / median(rebuilt),
        "network_mpixel_s": size * size / 1e6 / median(alone),
    }


def _network_memory(root: Path, size: int, engine: str) -> dict[str, float]:
    """Rebuild several images in one process, as a series does, and nothing else."""
    from decloud_lib.reconstruction.served import open_model

    config = _network_config(root, engine)
    with open_model(config.savedmodel) as model:
        for _ in range(_ROUNDS):
            _rebuild_anew(config, model)
        _, planned = _planned(config, model.contract, size)
    return {"peak_gb": _peak_gb(), "planned_gb": planned}


def _network_config(root: Path, engine: str) -> Any:
    # On a CPU one reader of the toolbox keeps up; several are processes, for GPU nodes.
    readers = 1 if engine == "otb" else 2
    return _config(root, engine, savedmodel=str(root / "model"), engine=engine, readers=readers)


def _rebuild_anew(config: Any, model: Any) -> float:
    """Return the seconds of a reconstruction that finds nothing of an earlier one."""
    from decloud_lib.stages.reconstruct import rebuild

    rmtree(Path(config.output).parent, ignore_errors=True)
    result = rebuild(config, model)
    assert not result.reused
    return float(result.seconds)


def _bare(model: Any, tiling: Any, size: int) -> Callable[[], None]:
    """Return what calls the network once per window, on arrays in memory of the windows' shapes."""
    windows = [tiling.read_window(batch[0]) for batch in tiling.batches((size, size), 1)]
    network = model.network()
    arrays = {
        (height, width): {
            item.key: np.ones(
                (1, height // item.factor, width // item.factor, len(item.bands)), np.float32
            )
            for item in model.contract.inputs
        }
        for height, width in {window.shape for window in windows}
    }

    def call() -> None:
        for window in windows:
            network.predict(arrays[window.shape])

    return call


def _formula(root: Path, size: int, model: str, **more: Any) -> dict[str, float]:
    from decloud_lib.reconstruction.closed_form import CONTRACTS
    from decloud_lib.stages.reconstruct import reconstruct

    config = _config(root, model, savedmodel=model, **more)
    result = reconstruct(config)
    assert not result.reused
    return {
        "mpixel_s": size * size / 1e6 / result.seconds,
        "peak_gb": _peak_gb(),
        "planned_gb": _planned(config, CONTRACTS[model], size)[1],
    }


def _copy(root: Path, size: int, model: str) -> dict[str, float]:
    """Read all that a model reads, once, and write an image of the same kind."""
    from decloud_lib.raster.compose import engine
    from decloud_lib.reconstruction.network import Tiling
    from decloud_lib.reconstruction.pipeline import ReadAhead, WriteBehind
    from decloud_lib.reconstruction.readers import Image, ReaderPool
    from decloud_lib.reconstruction.sources import mask_image, s1_image, s2_image

    grid, target = grid_of(size), target_of(root)
    fitted = model == "gapfilling_fitted"
    images: list[Image] = []
    for folder in sorted((root / "s2" / TILE).iterdir()):
        if fitted or folder != target:
            images.append(s2_image(str(next(folder.glob("*_FRE_10m.tif")))))
            images.append(mask_image(str(next(folder.glob("*_CLM_R1.tif")))))
    radar = sorted((root / "s1" / TILE).glob("*dB.tif")) if fitted else []
    images += [s1_image(str(path)) for path in radar]

    class Everything:
        def __init__(self) -> None:
            self._pool = ReaderPool(grid, engine("rasterio"))

        def read(self, window: Window) -> Array:
            found = [self._pool.read(image, window) for image in images]
            return found[0]

        def close(self) -> None:
            self._pool.close()

    windows = [batch[0] for batch in Tiling(_WINDOW_PX, 0, 1).batches(grid.shape, 1)]
    profile = RasterProfile(("B2", "B3", "B4", "B8"), "int16", -10000, cog=True)
    start = time.monotonic()
    with (
        create_raster(str(root / "copy.tif"), grid, profile, checksum=True) as writer,
        ReadAhead([Everything(), Everything()], 4) as ahead,
        WriteBehind(2) as behind,
    ):
        for window, pixels in zip(windows, ahead.results(windows), strict=True):
            behind.put(lambda window=window, pixels=pixels: writer.write(window, pixels))
    return {"mpixel_s": size * size / 1e6 / (time.monotonic() - start)}


def _config(root: Path, job: str, **more: Any) -> Any:
    from decloud_lib.stages.reconstruct import ReconstructConfig

    # Whatever reads, the image is the same, and would be found there already.
    output = root / job / "image.tif"
    rmtree(output.parent, ignore_errors=True)
    return ReconstructConfig(
        in_s2=str(target_of(root)),
        s1_dir=str(root / "s1" / TILE),
        s2_dir=str(root / "s2" / TILE),
        dem=str(root / "dem.tif"),
        output=str(output),
        quicklook=False,
        **more,
    )


def _planned(config: Any, contract: Any, size: int) -> tuple[Any, float]:
    """Return the windows of an image, and the memory that is planned for it, GB."""
    from decloud_lib.reconstruction.budget import memory_of

    how = config.rendering(contract).for_extent(contract, (size, size))
    need = memory_of(contract, how.tiling, (size, size), how.load)
    return how.tiling, need.total / 1000


def _peak_gb() -> float:
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e9


def _seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def _steps(arguments: list[str]) -> Iterator[str]:
    jobs: dict[str, Callable[[Path, int], dict[str, float]]] = {
        "prepare": prepare,
        "tile": _tile,
        "same-windows": lambda root, size: _formula(root, size, "gapfilling_fitted", ts=688),
    }
    for engine in _LEAST_OF_NETWORK:
        jobs[engine] = lambda root, size, engine=engine: _network(root, size, engine)
        jobs[f"{engine}-memory"] = lambda root, size, engine=engine: _network_memory(
            root, size, engine
        )
    for name in _FORMULAS:
        jobs[name] = lambda root, size, name=name: _formula(root, size, name)
        jobs[f"copy-{name}"] = lambda root, size, name=name: _copy(root, size, name)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconstruct", description=__doc__)
    parser.add_argument("job", choices=jobs)
    parser.add_argument("root", type=Path)
    parser.add_argument("size", type=int)
    options = parser.parse_args(arguments)
    yield json.dumps(jobs[options.job](options.root, options.size))


if __name__ == "__main__":
    for line in _steps(sys.argv[1:]):
        print(line)
