"""Ground that neighbouring tiles share: tiles overlap by about 10 km."""

import numpy as np

from decloud_lib.arrays.footprints import touched_squares
from decloud_lib.raster.footprint import boxes_in
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array, Grid

#: The sides of a tile bend by 0.3 km in the next projection; only its corners are looked at.
_BEND_M = 1000.0


def same_ground(of: TileIndex, positions: Array, on: TileIndex) -> tuple[Array, Array]:
    """Find the positions of a tile that lie on the ground of some positions of another tile.

    Between tiles of one projection this is exact. A patch of another projection counts as the box
    around its corners, which is larger by some per cent of its side.

    Parameters
    ----------
    of
        The tile of the positions.
    positions : (K,) int
    on
        The tile whose positions are looked for; may be the same.

    Returns
    -------
    which : (M,) int64, index into `positions`; ascending
    found : (M,) int64, position of `on` that overlaps with it
    """
    if of.tile == on.tile:
        return np.arange(len(positions)), positions.astype(np.int64)
    if not _may_overlap(of.grid, on.grid):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    boxes = boxes_in(_boxes(of, positions), of.grid.crs, on.grid.crs)
    side = on.patch_px * on.grid.pixel_m
    return touched_squares(boxes, (on.grid.left, on.grid.top), side, on.shape)


def _may_overlap(grid: Grid, other: Grid) -> bool:
    left, bottom, right, top = boxes_in(np.array([grid.bounds]), grid.crs, other.crs)[0]
    west, south, east, north = other.bounds
    apart = max(west - right, left - east, south - top, bottom - north)
    return bool(apart < _BEND_M)


def _boxes(index: TileIndex, positions: Array) -> Array:
    """Return (K, 4) float64: left, bottom, right, top of some positions."""
    row, col = np.divmod(positions, index.shape[1])
    side = index.patch_px * index.grid.pixel_m
    left, top = index.grid.left + col * side, index.grid.top - row * side
    return np.stack([left, top - side, left + side, top], axis=1)
