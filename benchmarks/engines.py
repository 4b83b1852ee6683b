"""Reading the windows of a reconstruction with each engine, and with one or two readers of it.

Windows are those of the default. The time is that of all of them after the first two, so that
starting a process does not count.
"""

import tempfile
import time
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from benchmarks.reconstruct import MODEL, TILE, prepare
from benchmarks.results import Row, compared
from decloud_lib.raster.compose import EngineName

#: What reads: engine and number of readers.
_LANES: dict[str, tuple[EngineName, int]] = {
    "rasterio, one thread": ("rasterio", 1),
    "rasterio, two threads": ("rasterio", 2),
    "otb, one thread": ("otb", 1),
    "otb, two processes": ("otb", 2),
}
_WANTED = 1 / 1.6
_LIMIT_GB = 4.0
"""Of memory, the default."""


def bench_engines(size: int, rounds: int) -> list[Row]:
    """Time the engines; those of the Orfeo ToolBox only where it is installed, which is told."""
    lanes = _LANES
    if find_spec("otbApplication") is None:
        print("no figures of the Orfeo ToolBox: it is not installed (make otb)")
        lanes = {name: lane for name, lane in lanes.items() if lane[0] == "rasterio"}
    seconds = {name: float("inf") for name in lanes}
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        prepare(Path(folder), size)
        for _ in range(rounds):
            for name, (engine, readers) in lanes.items():
                found = _seconds(Path(folder), engine, readers)
                seconds[name] = min(seconds[name], found)
    return [row for name in lanes for row in _rows(name, seconds, size)]


def _rows(name: str, seconds: dict[str, float], size: int) -> list[Row]:
    baseline, target = {
        "rasterio, two threads": ("rasterio, one thread", None),
        "otb, one thread": ("rasterio, one thread", None),
        "otb, two processes": ("otb, one thread", _WANTED),
    }.get(name, (None, None))
    if baseline is None:
        return []
    told = f"reading windows of {size} px for {MODEL}: {name}"
    return [compared(told, seconds[name], "s", (baseline, seconds[baseline]), target)]


def _seconds(root: Path, engine: EngineName, readers: int) -> float:
    from decloud_lib.models.contract import read_contract
    from decloud_lib.raster.products.prepared import list_s1, list_s2
    from decloud_lib.raster.views import open_image
    from decloud_lib.reconstruction.inputs import SceneInputs
    from decloud_lib.reconstruction.network import make_tiling
    from decloud_lib.reconstruction.pipeline import ReadAhead
    from decloud_lib.reconstruction.render import Rendering, open_readers
    from decloud_lib.reconstruction.scene import make_sources
    from decloud_lib.reconstruction.stream import NEIGHBOURS

    contract = read_contract(root / "model")
    s1 = sorted(list_s1(str(root / "s1" / TILE), TILE), key=lambda item: item.acquired)
    s2 = sorted(list_s2(str(root / "s2" / TILE), TILE), key=lambda item: item.acquired)
    inputs = SceneInputs(
        s2[2], tuple(s2[:2]), tuple(s1[:2]), (s1[2],), tuple(s2[3:]), tuple(s1[3:]),
        str(root / "dem.tif"),
    )  # fmt: skip
    sources = make_sources(contract, inputs, "closest_clear", 24.0)
    with open_image(inputs.target.stack_10m) as reader:
        grid = reader.grid
    tiling = make_tiling(contract, None, None)
    how = Rendering(tiling, "required", 0, 1, readers, engine, limit_gb=_LIMIT_GB)
    how = how.for_extent(contract, grid.shape)
    batches = how.tiling.batches(grid.shape, 1)
    jobs = [how.tiling.read_window(window) for batch in batches for window in batch]
    lanes = open_readers(sources, contract.input_keys, grid, how)
    with ReadAhead(lanes, depth=1 + len(lanes), run=NEIGHBOURS) as ahead:
        results = ahead.results(jobs)
        for _ in islice(results, 2):
            pass
        start = time.perf_counter()
        for _ in results:
            pass
        return time.perf_counter() - start
