"""A prepared tile of any size: five dates, half of each cloudy, radar beside each, elevation.

A textured piece is repeated, mirrored, so that a whole tile needs no memory and blocks compress
about as real ones do. All optical dates show one ground, changed a little.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from decloud_lib import bands
from decloud_lib.raster.write import RasterProfile, create_raster
from decloud_lib.types import Array, Grid, Window

TILE = "T31TCJ"
T0 = datetime(2020, 6, 15, 10, 58, 48, tzinfo=UTC)
DAYS = (-20, -10, 0, 10, 20)
_PIECE_PX = 1024
_ROWS = 512
_GROUND = 900


def write_tile(root: Path, size: int) -> None:
    """Write the prepared images of a tile of `size` x `size` px; an even number.

    The 20 m bands are the piece alone where the tile is larger: only networks for all bands read
    them.
    """
    for day in DAYS:
        _write_s2(root, size, day)
        _write_s1(root, size, day)
    half = grid_of(size).coarsened(2)
    _write(root / "dem.tif", half, bands.DEM_BANDS, _texture(99, 1, (0, 3000)).astype(np.int16))


def target_of(root: Path) -> Path:
    """Return the folder of the date in the middle."""
    (found,) = (root / "s2" / TILE).glob(f"*{T0:%Y%m%d}*")
    return found


def grid_of(size: int) -> Grid:
    """Return the grid of a tile of 10 m pixels."""
    return Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, size, size)


def _write_s2(root: Path, size: int, day: int) -> None:
    name = f"SENTINEL2A_{T0 + timedelta(days=day):%Y%m%d-%H%M%S}-000_L2A_{TILE}_C_V2-2"
    folder = root / "s2" / TILE / name
    grid = grid_of(size)
    change = _texture(day, 4, (-150, 150))
    pixels = (_texture(_GROUND, 4, (300, 4000)) + change).astype(np.int16)
    _write(folder / f"{name}_FRE_10m.tif", grid, bands.S2_10M_BANDS, pixels)
    coarse = _texture(day + 300, 6, (100, 4000)).astype(np.int16)
    half = grid_of(min(size, _PIECE_PX)).coarsened(2)
    _write(folder / f"{name}_FRE_20m.tif", half, bands.S2_20M_STACK_BANDS, coarse)
    cloud = (_blobs(day) > 0).astype(np.uint8)[:, :, None]
    _write(folder / f"{name}_CLM_R1.tif", grid, ("CLM",), cloud)
    _write(folder / f"{name}_EDG_R1.tif", grid, ("EDG",), np.zeros_like(cloud))
    for mask, count in (("CLM", 2048), ("EDG", 0)):
        counts = np.full((1, 1, 1), count, np.uint16)
        _write(folder / f"{name}_{mask}_R1_stats.tif", grid_of(1), (mask,), counts)


def _write_s1(root: Path, size: int, day: int) -> None:
    time = T0.replace(hour=6, minute=0, second=8) + timedelta(days=day + 1)
    stem = f"s1b_{TILE[1:]}_vvvh_DES_110_{time:%Y%m%dt%H%M%S}_from-10to3dB"
    folder = root / "s1" / TILE
    pixels = _texture(day + 600, 2, (20000, 50000)).astype(np.uint16)
    _write(folder / f"{stem}.tif", grid_of(size), bands.S1_BANDS, pixels)
    nothing = np.zeros((1, 1, 1), np.uint16)
    _write(folder / f"{stem}_edge.tif", grid_of(1), ("EDG",), nothing)


def _write(path: Path, grid: Grid, names: tuple[str, ...], piece: Array) -> None:
    rows, cols = (
        _mirrored(size, side) for size, side in zip(grid.shape, piece.shape, strict=False)
    )
    with create_raster(str(path), grid, RasterProfile(names, str(piece.dtype))) as writer:
        for row in range(0, grid.height, _ROWS):
            part = rows[row : row + _ROWS]
            pixels = np.take(piece[part], cols, axis=1)
            writer.write(Window(row, 0, len(part), grid.width), pixels)


def _mirrored(size: int, side: int) -> Array:
    positions = np.arange(size) % (2 * side)
    return np.minimum(positions, 2 * side - 1 - positions)


def _blobs(stream: int) -> Array:
    """Smooth patches around zero, some 50 px wide: (piece, piece) float32."""
    generator = np.random.default_rng(stream + 1000)
    coarse = generator.standard_normal((_PIECE_PX // 64 + 2,) * 2).astype(np.float32)
    fine = np.linspace(0, coarse.shape[0] - 1.001, _PIECE_PX)
    low, part = fine.astype(int), (fine % 1).astype(np.float32)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _texture(stream: int, n_bands: int, limits: tuple[int, int]) -> Array:
    """Smooth fields with noise: (piece, piece, bands) float32."""
    generator = np.random.default_rng(stream + 5000)
    low, high = limits
    ground = (_blobs(stream) * 0.15 + 0.5) * (high - low) + low
    noise = generator.standard_normal((_PIECE_PX, _PIECE_PX, n_bands), dtype=np.float32)
    gains = generator.uniform(0.7, 1.3, n_bands).astype(np.float32)
    return np.clip(ground[..., None] * gains + noise * 0.02 * (high - low), low, high)
