"""The part of a tile that is wanted, as a window of its 10 m pixels."""

import math

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.raster.footprint import boxes_in
from decloud_lib.types import Grid, Window

#: Corners that miss a pixel's border by less than this lie on it: projections are not exact.
_TOUCH_PX = 1e-3
#: The sides of a box in another projection are curves; so many points of each are brought over.
_POINTS = 21
_LARGEST_DEGREE = 360.0


def window_of(bbox: tuple[float, ...], crs: str | None, grid: Grid, multiple_px: int) -> Window:
    """Return the window of a grid that covers a box.

    Parameters
    ----------
    bbox
        Left, bottom, right, top; empty for the whole grid. Zero is a coordinate as any other.
    crs
        `EPSG:<code>` or WKT of the box; None: that of the grid.
    grid
        The 10 m grid.
    multiple_px
        First row and column, and the size, are multiples of this, where the grid does not end
        before: the window is widened to it.

    Raises
    ------
    ConfigError
        The box does not touch the grid, or there is no such CRS.
    """
    whole = Window(0, 0, *grid.shape)
    if not bbox:
        return whole
    left, bottom, right, top = _projected(bbox, crs or grid.crs, grid.crs)
    rows = _cells((grid.top - top) / grid.pixel_m, (grid.top - bottom) / grid.pixel_m, multiple_px)
    cols = _cells(
        (left - grid.left) / grid.pixel_m, (right - grid.left) / grid.pixel_m, multiple_px
    )
    first_row, first_col = max(rows[0], 0), max(cols[0], 0)
    height = min(rows[1], grid.height) - first_row
    width = min(cols[1], grid.width) - first_col
    if height <= 0 or width <= 0:
        bounds = " ".join(f"{value:.10g}" for value in grid.bounds)
        given = " ".join(f"{value:.10g}" for value in bbox)
        degrees = crs is None and max(abs(value) for value in bbox) <= _LARGEST_DEGREE
        raise ConfigError(
            f"--bbox {given} in {crs or grid.crs} does not touch the image, which covers {bounds} "
            f"(left, bottom, right, top) in {grid.crs}; "
            + ("for degrees add --bbox-crs EPSG:4326" if degrees else "check --bbox and --bbox-crs")
        )
    return Window(first_row, first_col, height, width)


def _projected(bbox: tuple[float, ...], crs: str, other: str) -> tuple[float, ...]:
    if crs == other:
        return bbox
    left, bottom, right, top = bbox
    xs, ys = np.linspace(left, right, _POINTS), np.linspace(bottom, top, _POINTS)
    # Boxes without width or height: the points of the four sides.
    sides = [(x, y, x, y) for x in xs for y in (bottom, top)]
    sides += [(x, y, x, y) for y in ys for x in (left, right)]
    points = boxes_in(np.array(sides), crs, other)
    if not np.isfinite(points).all():
        raise ConfigError(
            f"--bbox {' '.join(f'{value:.10g}' for value in bbox)} has no place in {other}; "
            "check its order (left bottom right top) and --bbox-crs"
        )
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[2]), float(high[3])


def _cells(start: float, end: float, multiple_px: int) -> tuple[int, int]:
    first = math.floor(start + _TOUCH_PX) // multiple_px * multiple_px
    last = -(-math.ceil(end - _TOUCH_PX) // multiple_px) * multiple_px
    return first, last
