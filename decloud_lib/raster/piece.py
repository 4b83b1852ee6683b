"""One raster of a mosaic: what its header says, and where it lies on the target's ground."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError, RasterioError
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.warp import transform, transform_bounds
from shapely.geometry import Polygon, box, mapping

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.types import Array, Grid

#: Formats of one file that holds all it says; none of them names other files.
DRIVERS = ("GTiff", "JP2OpenJPEG", "SRTMHGT")
#: Marks of no data where a file declares none: those that elevation is delivered with.
UNDECLARED_VOIDS = (-32768.0, -9999.0)

#: GDAL's names of the data types that elevation may have.
GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
_FEET = {"ft", "foot", "feet", "us-ft", "ftus", "us survey foot"}
#: So many pixels around the target may still count: the reach of the resampling, and more.
_MARGIN_PX = 32
_PIECE_MARGIN_PX = 4
_EDGE_POINTS = 256
_TURN_DEG = 360.0

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """What the header of a raster says."""

    uri: str
    place: str
    """What GDAL opens: a path, or the text of a document."""
    crs: CRS
    transform: Affine
    height: int
    width: int
    dtype: str
    voids: tuple[float, ...]
    """Stored values that mean no data; NaN always does."""
    scale: float
    offset: float
    masked: bool
    """The file has a mask of its own."""

    @property
    def outline(self) -> Polygon:
        """Edge of the raster, CRS units."""
        corners = ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
        return Polygon([self.transform @ corner for corner in corners])

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel, CRS units."""
        return (self.transform.a, -self.transform.e)


def read_piece(uri: str, place: str | None = None, drivers: Sequence[str] = DRIVERS) -> Piece:
    """Read the header of a raster of one band.

    Parameters
    ----------
    uri
        What it is called in messages, and where it is.
    place
        What GDAL opens instead, for instance the text of a document.
    drivers
        Formats that are accepted.

    Raises
    ------
    ProductError
        No raster, more than one band, not georeferenced, or in feet.
    """
    place = place or storage.gdal_path(uri)
    with _opened(uri, place, drivers) as dataset:
        return _piece_of(dataset, uri, place)


def check_format(uri: str) -> None:
    """Check that a file is a raster in a format that names no other files.

    Raises
    ------
    ProductError
        It is not.
    """
    with _opened(uri, storage.gdal_path(uri), DRIVERS):
        pass


def bounds_in(crs: CRS, grid: Grid) -> Bounds | None:
    """Return a rectangle in another CRS that holds a grid and a margin; None where it cannot be.

    Right of the antimeridian degrees go on beyond 180.
    """
    left, bottom, right, top = grid.bounds
    margin = _MARGIN_PX * grid.pixel_m
    around = (left - margin, bottom - margin, right + margin, top + margin)
    try:
        west, south, east, north = transform_bounds(grid.crs, crs, *around)
    except (RasterioError, CRSError):
        return None
    if crs.is_geographic and east < west:
        east += _TURN_DEG
    found = (west, south, east, north)
    return found if all(math.isfinite(value) for value in found) else None


def placed(piece: Piece, grid: Grid) -> Piece | None:
    """Return a raster where a grid needs it; None if it lies elsewhere.

    A raster in degrees beyond the antimeridian is moved by a whole turn.
    """
    wanted = bounds_in(piece.crs, grid)
    if wanted is None:
        return None
    margin = _PIECE_MARGIN_PX * max(abs(piece.transform.a), abs(piece.transform.e))
    area = box(*wanted).buffer(margin, join_style="mitre")
    for turn in (0.0, _TURN_DEG, -_TURN_DEG) if piece.crs.is_geographic else (0.0,):
        moved = replace(piece, transform=Affine.translation(turn, 0.0) @ piece.transform)
        if moved.outline.intersects(area):
            return moved
    return None


def covered(pieces: Sequence[Piece], grid: Grid) -> Array:
    """Say which pixels of a grid have their centre inside one of the rasters.

    Returns
    -------
    (H, W) bool
    """
    shapes = []
    for piece in pieces:
        wanted = bounds_in(piece.crs, grid)
        inside = piece.outline.intersection(box(*wanted)) if wanted else Polygon()
        if not inside.is_empty and isinstance(inside, Polygon):
            # A straight edge is curved on the other grid.
            dense = inside.segmentize(max(inside.length / _EDGE_POINTS, 1e-9))
            xs, ys = transform(piece.crs, grid.crs, *dense.exterior.xy)
            shapes.append(mapping(Polygon(zip(xs, ys, strict=True))))
    if not shapes:
        return np.zeros(grid.shape, bool)
    found = rasterize(shapes, out_shape=grid.shape, transform=grid.transform, dtype="uint8")
    return np.asarray(found, bool)


@contextmanager
def _opened(uri: str, place: str, drivers: Sequence[str]) -> Iterator[DatasetReader]:
    with gdal_environment():
        try:
            # What `rasterio.open` makes; it takes a single driver only.
            dataset = DatasetReader(place, driver=list(drivers))
        except RasterioError as error:
            raise ProductError(
                f"{uri}: cannot be opened as elevation ({str(error)[:300]}); expected a whole "
                "georeferenced raster (GeoTIFF, JPEG 2000 or .hgt), or a mosaic named .vrt"
            ) from error
        with dataset:
            yield dataset


def _piece_of(dataset: DatasetReader, uri: str, path: str) -> Piece:
    if dataset.count != 1:
        raise ProductError(f"{uri}: found {dataset.count} bands, expected elevation alone")
    place = dataset.transform
    if dataset.crs is None or place.is_identity or place.is_degenerate:
        raise ProductError(
            f"{uri}: has no coordinate reference system or no place in it; expected a "
            "georeferenced raster"
        )
    if dataset.dtypes[0] not in GDAL_TYPES:
        raise ProductError(f"{uri}: holds {dataset.dtypes[0]}; expected metres as real numbers")
    if str(dataset.units[0]).lower() in _FEET:
        raise ProductError(f"{uri}: elevation in feet; expected metres: convert it first")
    declared = dataset.nodata
    return Piece(
        uri=uri,
        place=path,
        crs=dataset.crs,
        transform=place,
        height=dataset.height,
        width=dataset.width,
        dtype=dataset.dtypes[0],
        voids=UNDECLARED_VOIDS if declared is None else (float(declared),),
        scale=dataset.scales[0],
        offset=dataset.offsets[0],
        masked=MaskFlags.per_dataset in dataset.mask_flag_enums[0],
    )
