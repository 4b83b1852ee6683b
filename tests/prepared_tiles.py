"""Small prepared tiles, written directly: each pixel tells where it comes from."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from decloud_lib import bands
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Grid

START = datetime(2020, 6, 1, 10, 50, 0, 500_000, tzinfo=UTC)
CELL = 64


@dataclass
class Optical:
    """A date: days after `START`, cloudy pixels per elementary patch, edge pixels."""

    day: float
    cloud: int | np.ndarray = 0
    edge: int | np.ndarray = 0


@dataclass
class Radar:
    """A date: days after `START`; edge pixels."""

    day: float
    edge: int | np.ndarray = 0
    ascending: bool = False


@dataclass
class Tile:
    """What to write."""

    optical: list[Optical]
    radar: list[Radar]
    cells: tuple[int, int] = (2, 3)
    name: str = "T31TEJ"
    with_dem: bool = True
    with_band_names: bool = True
    regions: dict[str, object] = field(default_factory=lambda: {"train": 1, "valid": 1})
    crs: str = "EPSG:32631"
    corner: tuple[float, float] = (499_980.0, 5_100_000.0)


def season(n_optical=16, n_radar=20):
    """A season in which every third date is clear and the others are half covered."""
    optical = [Optical(5 * i, 0 if i % 3 == 0 else 2048) for i in range(n_optical)]
    radar = [Radar(4 * i - 0.2) for i in range(n_radar)]
    return optical, radar


def grid_of(tile):
    rows, cols = tile.cells
    return Grid(tile.crs, *tile.corner, 10.0, rows * CELL, cols * CELL)


def s2_name(tile, moment):
    stamp = moment.strftime("%Y%m%d-%H%M%S")
    return f"SENTINEL2A_{stamp}-{moment.microsecond // 1000:03d}_L2A_{tile.name}_C_V2-2"


def s1_name(tile, moment, ascending):
    direction = "ASC" if ascending else "DES"
    stamp = moment.strftime("%Y%m%dt%H%M%S")
    return f"s1a_{tile.name[1:]}_vvvh_{direction}_110_{stamp}_from-10to3dB"


def pixels(grid, number, count, dtype):
    """Value = band + 10 * image + 100 * (row + column): different everywhere that matters."""
    rows, cols = np.mgrid[: grid.height, : grid.width]
    base = (100 * ((rows + cols) % 90))[..., None] + np.arange(count) + 10 * number
    return base.astype(dtype)


def write_tile(root: Path, tile: Tile) -> tuple[str, str]:
    """Write a tile below `root`; return the tiles JSON and the ROI JSON."""
    grid = grid_of(tile)
    for number, image in enumerate(tile.optical):
        _write_optical(root, tile, grid, number, image)
    for number, image in enumerate(tile.radar):
        moment = START + timedelta(days=image.day)
        base = root / "S1_PREPARE" / tile.name / s1_name(tile, moment, image.ascending)
        radar = pixels(grid, number, 2, "uint16") + np.uint16(20_000)
        _write(tile, f"{base}.tif", grid, bands.S1_BANDS, radar, 0)
        _write_cells(tile, f"{base}_edge.tif", grid, image.edge)
    if tile.with_dem:
        half = grid.coarsened(2)
        path = root / "DEM_PREPARE" / f"{tile.name}.tif"
        _write(tile, str(path), half, bands.DEM_BANDS, pixels(half, 7, 1, "int16"), -32768)
    for dataset, region in tile.regions.items():
        _write_cells(tile, str(root / "ROI" / f"{tile.name}_{dataset}.tif"), grid, region, "uint8")
    return write_json(root, [tile])


def write_json(root: Path, tiles: list[Tile], **rois) -> tuple[str, str]:
    """Write the two JSON files for tiles that are there."""
    names = [tile.name for tile in tiles]
    content = {"S2_ROOT_DIR": str(root / "S2_PREPARE"), "TILES": names}
    if any(tile.radar for tile in tiles):
        content["S1_ROOT_DIR"] = str(root / "S1_PREPARE")
    if all(tile.with_dem for tile in tiles):
        content["DEM_ROOT_DIR"] = str(root / "DEM_PREPARE")
    (root / "tiles.json").write_text(json.dumps(content))
    regions = {"ROIS_ROOT_DIR": str(root / "ROI")}
    for dataset in sorted({name for tile in tiles for name in tile.regions}):
        regions[f"{dataset.upper()}_TILES"] = [t.name for t in tiles if dataset in t.regions]
    (root / "rois.json").write_text(json.dumps(regions | rois))
    return str(root / "tiles.json"), str(root / "rois.json")


def _write_optical(root, tile, grid, number, image):
    name = s2_name(tile, START + timedelta(days=image.day))
    base = root / "S2_PREPARE" / tile.name / name / name
    half = grid.coarsened(2)
    stacks = (
        ("FRE_10m", grid, bands.S2_10M_BANDS),
        ("FRE_20m", half, bands.S2_20M_STACK_BANDS),
    )
    for suffix, where, names in stacks:
        content = pixels(where, number, len(names), "int16")
        _write(tile, f"{base}_{suffix}.tif", where, names, content, -10000)
    for suffix in ("CLM_R1", "EDG_R1"):
        mask = (pixels(grid, number, 1, "int16") % 251).astype(np.uint8)
        _write(tile, f"{base}_{suffix}.tif", grid, (suffix[:3],), mask, None)
    _write_cells(tile, f"{base}_CLM_R1_stats.tif", grid, image.cloud)
    _write_cells(tile, f"{base}_EDG_R1_stats.tif", grid, image.edge)


def _write_cells(tile, uri, grid, values, dtype="uint16"):
    coarse = grid.coarsened(CELL)
    cells = np.broadcast_to(np.asarray(values, dtype=dtype), coarse.shape)[..., None].copy()
    _write(tile, uri, coarse, ("count",), cells, None)


_FILES = {}


def _write(tile, uri, grid, names, content, nodata):
    """Write a raster; equal ones are made once per test run, because most of them are equal."""
    key = (grid, names, content.tobytes(), content.dtype.name, nodata, tile.with_band_names)
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    if key not in _FILES:
        profile = RasterProfile(names, content.dtype.name, nodata, block_px=64, predictor=1)
        write_raster(uri, grid, profile, content)
        if not tile.with_band_names:
            _forget_band_names(uri, grid, content, nodata)
        _FILES[key] = path.read_bytes()
    path.write_bytes(_FILES[key])


def _forget_band_names(uri, grid, content, nodata):
    import rasterio

    with rasterio.open(
        uri,
        "w",
        driver="GTiff",
        height=grid.height,
        width=grid.width,
        count=content.shape[2],
        dtype=content.dtype,
        crs=grid.crs,
        transform=grid.transform,
        nodata=nodata,
    ) as dataset:
        dataset.write(np.moveaxis(content, -1, 0))
