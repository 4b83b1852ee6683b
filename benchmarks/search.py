"""Time and memory of index and search for a whole tile, on one core.

171 x 171 positions, 150 Sentinel-2 and 200 Sentinel-1 dates, layout AL-CRGA-OS2-Occitanie. The
index is read from the tile's table, as it is from the second time on; the row `from_rasters` is the
first time. The baseline (`benchmarks.trees`) is measured at some positions, extrapolated, and does
not pay for its index. Samples are counted and drawn, never listed.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.catalogues import TILE, write_statistics
from benchmarks.measure import alternated, report
from benchmarks.results import Row, compared
from benchmarks.trees import count_with_trees
from decloud_lib.acquisitions import load_layout
from decloud_lib.sampling.drawing import DataSetSearch, search_data_set
from decloud_lib.sampling.sources import TilesFile, read_tiles
from decloud_lib.sampling.tile_index import TileIndex, index_tile

LAYOUT = "AL-CRGA-OS2-Occitanie"
DATES = (150, 200)
TIME_LIMIT_S = 5.0
MEMORY_LIMIT_MB = 1500.0
DRAWN = 100_000
_POSITIONS = 171 * 171
_JOBS = ("table", "rasters", "draw", "trees")


def bench_search(positions: int, rounds: int) -> list[Row]:
    """Search a whole tile; the baseline searches some `positions` of it."""
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as temporary:
        tiles = write_statistics(Path(temporary, "in"), *DATES)
        index_tile(TILE, read_tiles(str(tiles)), 64)
        jobs = {job: (job, str(tiles), str(positions)) for job in _JOBS}
        costs = alternated("benchmarks.search", jobs, Path(temporary, "out"), rounds)
    name = f"search_{DATES[0]}_s2_{DATES[1]}_s1"
    whole = costs["trees"].wall * _POSITIONS / positions
    trees = f"trees per position, {positions} of {_POSITIONS} extrapolated"
    ours = costs["table"].wall
    peak = costs["draw"].peak_mb
    return [
        compared(f"{name}_wall", ours, "s", ("limit", TIME_LIMIT_S), 1.0),
        compared(f"{name}_wall_vs_trees", ours, "s", (trees, whole)),
        compared(f"{name}_from_rasters", costs["rasters"].wall, "s", ("from the table", ours)),
        compared(f"{name}_drawing_{DRAWN}", costs["draw"].wall, "s", ("counting only", ours)),
        compared(f"{name}_peak_memory", peak, "MB", ("limit", MEMORY_LIMIT_MB), 1.0),
    ]


def _search(files: TilesFile) -> DataSetSearch:
    index = index_tile(TILE, files, 64)
    everywhere = np.ones(index.catalogue.n_positions, dtype=bool)
    layout, rule = load_layout(LAYOUT), ("all_pairs", 0)
    return search_data_set("bench", layout, [(index, everywhere)], {}, rule)


def _trees(index: TileIndex, positions: int) -> int:
    chosen = np.random.default_rng(0).choice(index.catalogue.n_positions, positions, replace=False)
    return count_with_trees(index.catalogue.at(chosen), load_layout(LAYOUT).to_search())


def main(job: str, tiles: str, positions: str, output: str) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    files = read_tiles(tiles)
    without_table = files.model_copy(update={"table_root": None})
    work: dict[str, Callable[[], object]] = {
        "table": lambda: _search(files).total,
        "rasters": lambda: _search(without_table).total,
        "draw": lambda: _search(files).draw(DRAWN, np.random.default_rng(0)),
    }
    if job == "trees":
        work["trees"] = partial(_trees, index_tile(TILE, files, 64), int(positions))
    report(work[job], Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
