"""A prepared tile without pixels: the statistics of each image, and empty files for the images.

Cloud cover follows a real series: a third of the dates is clear, a third covered, and the rest lies
between, in patches of some kilometres. One image in twenty lacks a corner of the tile.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter

from decloud_lib.bands import ELEMENTARY_PATCH_PX, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Array, Grid

TILE = "T31TEJ"
GRID = Grid("EPSG:32631", 499_980.0, 5_100_000.0, 10.0, 10980, 10980)
_START = datetime(2020, 1, 1, 10, 50, 31, 24_000, tzinfo=UTC)
_DAYS = 450
_FULL = ELEMENTARY_PATCH_PX**2


def write_statistics(root: Path, n_s2: int, n_s1: int, seed: int = 0) -> Path:
    """Write a tile of 171 x 171 elementary patches; return its tiles JSON.

    Parameters
    ----------
    root
        An empty folder.
    n_s2, n_s1
        Number of Sentinel-2 and Sentinel-1 dates, over 450 days.
    seed
        Of the clouds.
    """
    rng = np.random.default_rng(seed)
    for day in np.linspace(0, _DAYS, n_s2):
        _write_optical(root, _START + timedelta(days=float(day)), rng)
    for number, day in enumerate(np.linspace(0, _DAYS, n_s1)):
        moment = _START + timedelta(days=float(day), hours=-5 if number % 2 else 7)
        name = f"s1a_{TILE[1:]}_vvvh_{'DES' if number % 2 else 'ASC'}_110_{moment:%Y%m%dt%H%M%S}"
        base = root / "S1_PREPARE" / TILE / f"{name}_from-10to3dB"
        _write_cells(base.with_name(f"{base.name}_edge.tif"), _edge(rng))
        base.with_name(f"{base.name}.tif").touch()
    roots = {f"{kind}_ROOT_DIR": str(root / f"{kind}_PREPARE") for kind in ("S2", "S1")}
    path = root / "tiles.json"
    path.write_text(json.dumps({**roots, "TABLE_ROOT_DIR": str(root / "TABLES"), "TILES": [TILE]}))
    return path


def _write_optical(root: Path, moment: datetime, rng: np.random.Generator) -> None:
    stamp = f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}"
    name = f"SENTINEL2A_{stamp}_L2A_{TILE}_C_V2-2"
    folder = root / "S2_PREPARE" / TILE / name
    is_first = not folder.parent.exists()
    _write_cells(folder / f"{name}_CLM_R1_stats.tif", _cloud(rng))
    _write_cells(folder / f"{name}_EDG_R1_stats.tif", _edge(rng))
    stacks = {"FRE_10m": len(S2_10M_BANDS), "FRE_20m": len(S2_20M_STACK_BANDS)}
    for part, bands in (stacks | {"CLM_R1": 1, "EDG_R1": 1}).items():
        path = folder / f"{name}_{part}.tif"
        # The tile's grid is read off its first product; the others are not opened.
        if is_first:
            _write_header(path, GRID.coarsened(2) if part == "FRE_20m" else GRID, bands)
        else:
            path.touch()


def _cloud(rng: np.random.Generator) -> Array:
    """Draw the flagged pixels of a date."""
    field = gaussian_filter(rng.normal(size=_shape()), 6)
    share = rng.choice([0.0, rng.uniform(), 1.0], p=[0.34, 0.32, 0.34])
    edge = np.quantile(field, share) + 4 * field.std() * (share == 1)
    ramp = np.clip(0.5 + (edge - field) / field.std(), 0, 1) * (share > 0)
    return np.rint(ramp * _FULL).astype(np.uint16)


def _edge(rng: np.random.Generator) -> Array:
    """Draw the pixels without data."""
    rows, cols = np.mgrid[: _shape()[0], : _shape()[1]]
    lacks = rows + cols < rng.integers(20, 200) if rng.random() < 0.05 else rows < 0
    return np.where(lacks, _FULL, 0).astype(np.uint16)


def _shape() -> tuple[int, int]:
    return GRID.coarsened(ELEMENTARY_PATCH_PX).shape


def _write_cells(path: Path, counts: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = RasterProfile(("count",), "uint16", codec="DEFLATE")
    grid = GRID.coarsened(ELEMENTARY_PATCH_PX)
    write_raster(str(path), grid, profile, counts[..., np.newaxis])


def _write_header(path: Path, grid: Grid, bands: int) -> None:
    shape = {"height": grid.height, "width": grid.width, "count": bands, "dtype": "int16"}
    place = {"crs": grid.crs, "transform": grid.transform}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, tiled=True, SPARSE_OK=True):
        pass
