"""Corners of windows in longitude and latitude."""

from collections.abc import Sequence

from rasterio.warp import transform

from decloud_lib.types import Grid, Window

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
