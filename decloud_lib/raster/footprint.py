"""Corners of windows in longitude and latitude, and boxes in other projections."""

from collections.abc import Sequence

import numpy as np
from rasterio.warp import transform

from decloud_lib.types import Array, Grid, Window

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


def lonlat_corners(grid: Grid, windows: Sequence[Window]) -> list[Corners]:
    """Return the corners of windows of a raster in EPSG:4326.

    Parameters
    ----------
    grid
        Grid of the raster.
    windows
        Pixels of the raster.

    Returns
    -------
    Per window (longitude, latitude) in degrees: upper left, upper right, lower right, lower left.
    """
    xs: list[float] = []
    ys: list[float] = []
    for window in windows:
        left, bottom, right, top = grid.cropped(window).bounds
        xs += [left, right, right, left]
        ys += [top, top, bottom, bottom]
    if not xs:
        return []
    lons, lats = transform(grid.crs, "EPSG:4326", xs, ys)
    points = list(zip(map(float, lons), map(float, lats), strict=True))
    return [
        (points[i], points[i + 1], points[i + 2], points[i + 3]) for i in range(0, len(points), 4)
    ]


def boxes_in(boxes: Array, crs: str, other: str) -> Array:
    """Return the boxes around the corners of some boxes in another coordinate system.

    Parameters
    ----------
    boxes : (K, 4) float64: left, bottom, right, top
    crs, other
        `EPSG:<code>` or WKT: of the boxes, and of the result.

    Returns
    -------
    (K, 4) float64
    """
    if crs == other or not len(boxes):
        return boxes
    xs, ys = boxes[:, [0, 2, 2, 0]], boxes[:, [3, 3, 1, 1]]
    east, north = transform(crs, other, xs.ravel(), ys.ravel())
    east, north = (np.reshape(values, xs.shape) for values in (east, north))
    return np.stack([east.min(1), north.min(1), east.max(1), north.max(1)], axis=1)
