"""Corners of windows in longitude and latitude, and places and boxes in other projections."""

from collections.abc import Sequence

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform

from decloud_lib.errors import ConfigError
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

    Raises
    ------
    ConfigError
        There is no such CRS, or a box lies where one has no coordinates.
    """
    if crs == other or not len(boxes):
        return boxes
    xs, ys = boxes[:, [0, 2, 2, 0]], boxes[:, [3, 3, 1, 1]]
    try:
        east, north = transform(_parsed(crs), _parsed(other), xs.ravel(), ys.ravel())
    except (RasterioError, CPLE_BaseError) as error:
        raise ConfigError(
            f"a box in {crs} has no place in {other} ({error}); check the order of its coordinates "
            "(left bottom right top), and the system"
        ) from error
    east, north = (np.reshape(values, xs.shape) for values in (east, north))
    return np.stack([east.min(1), north.min(1), east.max(1), north.max(1)], axis=1)


def utm_crs(lon: float, lat: float) -> str:
    """Return the UTM zone (WGS 84) of a place as `EPSG:<code>`, without Norway's exceptions."""
    zone = min(max(int((lon + 180) // 6) + 1, 1), 60)
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def is_geographic(crs: str) -> bool:
    """Say whether coordinates of a CRS are degrees.

    Raises
    ------
    ConfigError
        There is no such CRS.
    """
    return bool(_parsed(crs).is_geographic)


def project(points: Array, crs: str) -> Array:
    """Turn places in longitude and latitude into coordinates of a CRS.

    Parameters
    ----------
    points : (..., 2) float64
        Longitude and latitude, degrees, EPSG:4326.
    crs
        `EPSG:<code>` or WKT.

    Returns
    -------
    (..., 2) float64 x and y, CRS units.

    Raises
    ------
    ConfigError
        There is no such CRS, or it has no coordinates for a place.
    """
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    if not len(flat):
        return flat.reshape(points.shape)
    try:
        xs, ys = transform("EPSG:4326", _parsed(crs), flat[:, 0], flat[:, 1])
    except (RasterioError, CPLE_BaseError) as error:
        raise ConfigError(
            f"{crs} has no coordinates for some places ({error}); expected a system that covers "
            "them: choose another one"
        ) from error
    return np.stack([xs, ys], axis=-1).reshape(points.shape)


def _parsed(crs: str) -> CRS:
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise ConfigError(
            f"{crs}: no coordinate reference system; expected EPSG:<code> or WKT"
        ) from error
