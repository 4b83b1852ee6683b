"""Where a tile lies on the Earth, and its elevation."""

import math

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.synthetic.noise import fractal
from decloud_lib.types import Array, Grid

_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_SQUARE_M = 100_000
_ROW_CYCLE_M = 2_000_000
_TILE_ALIGN_M = 60
_METRES_PER_DEGREE = 110_574.0
#: Where the crop begins inside its tile, in elementary patches from the upper left corner.
_CROP_PATCHES = (45, 32)


def tile_grid(tile: str, size_px: int) -> Grid:
    """Return the 10 m grid of a square crop of an MGRS tile.

    Parameters
    ----------
    tile
        Name with the leading T, e.g. `T31TCJ`.
    size_px
        Side of the crop, 10 m pixels.

    Returns
    -------
    Grid
        In the tile's UTM zone; the corner is a whole number of elementary patches (640 m) away from
        the corner of the tile, which Sentinel-2 aligns to multiples of 60 m.

    Raises
    ------
    ConfigError
        The zone has no such column of squares.

    Notes
    -----
    MGRS: column letters repeat every three zones, row letters every 2000 km and start five letters
    later in even zones; the latitude band tells which 2000 km.
    """
    zone, band, column, row = int(tile[1:3]), tile[3], tile[4], tile[5]
    letters = _COLUMNS[(zone - 1) % 3]
    if column not in letters:
        raise ConfigError(f"{tile}: zone {zone} has no column {column}; expected one of {letters}")
    easting = _SQUARE_M * (1 + letters.index(column))
    shift = 0 if zone % 2 else 5
    within = _SQUARE_M * ((_ROWS.index(row) - shift) % len(_ROWS))
    south = (_BANDS.index(band) * 8 - 80) * _METRES_PER_DEGREE + (0 if band >= "N" else 1e7)
    # The lowest possible square that still touches the latitude band (a square is 100 km high).
    cycles = math.ceil((south - _SQUARE_M - within) / _ROW_CYCLE_M)
    northing = within + cycles * _ROW_CYCLE_M
    left = math.floor(easting / _TILE_ALIGN_M) * _TILE_ALIGN_M
    top = math.ceil((northing + _SQUARE_M) / _TILE_ALIGN_M) * _TILE_ALIGN_M
    rows, cols = _CROP_PATCHES
    crs = f"EPSG:{32600 + zone if band >= 'N' else 32700 + zone}"
    return Grid(crs, left + cols * 640.0, top - rows * 640.0, 10.0, size_px, size_px)


def elevation(rng: np.random.Generator, valley: Array) -> Array:
    """Draw gently rolling ground with a river valley.

    Parameters
    ----------
    rng
        Source of randomness.
    valley
        (H, W) float32 distance to the river, 10 m pixels.

    Returns
    -------
    Array
        (H, W) float32, metres.
    """
    hills = fractal(rng, valley.shape, slope=1.9, longest_px=260)
    detail = fractal(rng, valley.shape, slope=1.5, longest_px=40)
    rise = 1.0 - np.exp(-valley / 45.0)
    return (34.0 + rise * (8.0 + 5.5 * hills) + 0.9 * detail).astype(np.float32)
