"""Polygons of vector files, and which pixels of a grid lie in them."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import (
    CRSError,
    DataLayerError,
    DataSourceError,
    FeatureError,
    GeometryError,
)
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError as UnknownCrsError
from rasterio.errors import RasterioError
from rasterio.warp import transform

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.products.archive import list_delivery
from decloud_lib.storage.failures import os_errors
from decloud_lib.types import Array, Grid

logger = logging.getLogger(__name__)

_FORMATS = "a GeoPackage, GeoJSON, shapefile (.shp with .shx and .prj, or zipped) or FlatGeobuf"
#: How files begin. GDAL looks at the content too, and at far more formats: some name other files or
#: commands and are followed wherever they lead, so a file must begin like one of these.
_BEGINNINGS = (
    (b"SQLite format 3\x00", "GPKG"),
    (b"\x00\x00\x27\x0a", "ESRI Shapefile"),
    (b"fgb\x03fgb", "FlatGeobuf"),
    (b"PK\x03\x04", "zip"),
    (b"{", "GeoJSON"),
)
_HEAD_BYTES = 64
_SHAPEFILE = ".shp"
_NEEDED_END = ".shx"
_COMPANION_ENDS = (_NEEDED_END, ".prj")
_UNREADABLE = (CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError)
_POLYGON = 3
#: MultiPolygon, GeometryCollection.
_COLLECTIONS = (6, 7)


@dataclass(frozen=True, slots=True, eq=False)
class PolygonLayer:
    """The polygons of one layer of a file."""

    crs: str
    """`EPSG:<code>` or WKT."""
    polygons: Array
    """(n,) shapely polygons: valid, not empty, in CRS units as (east, north)."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """All polygons of a vector file."""

    uri: str
    layers: tuple[PolygonLayer, ...]
    """At least one, each with a polygon."""

    def describe(self) -> str:
        """Say where the polygons lie: number, reference system and extent of each layer."""
        texts = []
        for layer in self.layers:
            left, bottom, right, top = shapely.total_bounds(layer.polygons)
            name = layer.crs if len(layer.crs) <= 40 else f"{layer.crs[:37]}..."
            texts.append(
                f"{len(layer.polygons)} polygons in {name}, {left:.6g} to {right:.6g} east, "
                f"{bottom:.6g} to {top:.6g} north"
            )
        return "; ".join(texts)


def stored_files(uri: str) -> list[storage.Entry]:
    """List the stored files that a vector file is read from: itself, a shapefile's companions too.

    Raises
    ------
    ProductError
        There is no such file, or a shapefile without its index.
    """
    entry = storage.stat(uri)
    if entry is None:
        raise ProductError(f"{uri}: there is no such file; expected {_FORMATS}")
    if not storage.name_of(uri).lower().endswith(_SHAPEFILE):
        return [entry]
    found = [entry]
    for end in _COMPANION_ENDS:
        beside = (uri[: -len(end)] + spelled for spelled in (end, end.upper()))
        companion = next((hit for name in beside if (hit := storage.stat(name))), None)
        if companion is not None:
            found.append(companion)
        elif end == _NEEDED_END:
            raise ProductError(
                f"{uri}: its companion {end} is missing; copy all files of the shapefile, or save "
                "it as a GeoPackage"
            )
    return found


def read_polygons(uri: str) -> Polygons:
    """Read all polygons of all layers of a vector file.

    Parameters
    ----------
    uri
        GeoPackage, GeoJSON (in EPSG:4326 unless it names another system), shapefile, zipped
        shapefile or FlatGeobuf; `s3://...` or a local path. The content decides, not the name.

    Raises
    ------
    ProductError
        Not such a file, damaged, without polygons, or without a reference system.
    """
    with _local_file(uri) as path:
        layers: list[PolygonLayer] = []
        others = 0
        for source, driver in _sources(path, uri):
            found, without = _read_layers(source, driver, uri)
            layers += found
            others += without
    if not layers:
        held = f"{others} features of other kinds" if others else "no feature"
        raise ProductError(f"{uri}: holds no polygon but {held}; expected polygons")
    return Polygons(uri, tuple(layers))


def centres_inside(polygons: Polygons, grid: Grid) -> Array:
    """Say which pixels of a grid have their centre in one of the polygons.

    The centres are brought into the polygons' reference system, and not the polygons onto the grid:
    an edge is straight in its own system only, so this is exact and needs no points added to edges.

    Returns
    -------
    (H, W) bool; a centre upon an edge counts.

    Raises
    ------
    ProductError
        A reference system that cannot be used.
    """
    rows, cols = np.mgrid[: grid.height, : grid.width]
    east = (grid.left + (cols + 0.5) * grid.pixel_m).ravel()
    north = (grid.top - (rows + 0.5) * grid.pixel_m).ravel()
    inside = np.zeros(east.size, bool)
    for layer in polygons.layers:
        try:
            with gdal_environment():
                moved = np.array(transform(grid.crs, layer.crs, east, north)[:2], np.float64)
        except (RasterioError, UnknownCrsError, CPLE_BaseError) as error:
            raise ProductError(
                f"{polygons.uri}: its reference system {layer.crs[:80]} cannot be related to "
                f"{grid.crs} ({str(error)[:200]}); save the file in EPSG:4326"
            ) from error
        # What has no place in the other system cannot lie in its polygons.
        placed = np.flatnonzero(np.isfinite(moved).all(axis=0))
        tree = shapely.STRtree(shapely.points(moved[0, placed], moved[1, placed]))
        _, hits = tree.query(layer.polygons, predicate="covers")
        inside[placed[hits]] = True
    return inside.reshape(grid.shape)


@contextmanager
def _local_file(uri: str) -> Iterator[Path]:
    """Give a local file with the content of a URI, with a shapefile's companions beside it."""
    entries = stored_files(uri)
    if not storage.is_s3(uri) and not storage.is_web(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        for entry in entries:
            storage.download(entry.uri, Path(folder, storage.name_of(entry.uri)))
        yield Path(folder, storage.name_of(uri))


def _sources(path: Path, uri: str) -> list[tuple[str, str]]:
    """Return what GDAL is told to open, and the driver that must answer."""
    with os_errors(uri), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    starts = (text if mark == b"{" else head for mark, _ in _BEGINNINGS)
    kinds = [
        kind
        for start, (mark, kind) in zip(starts, _BEGINNINGS, strict=True)
        if start.startswith(mark)
    ]
    if not kinds:
        size = f"it begins with {head[:16]!r}" if head else "it is empty"
        raise ProductError(f"{uri}: not a vector file ({size}); expected {_FORMATS}")
    match kinds[0]:
        case "zip":
            return [(member, "ESRI Shapefile") for member in _zipped_shapefiles(path, uri)]
        case "GeoJSON":
            # The prefix keeps all other formats out that are JSON as well.
            return [(f"GeoJSON:{path}", "GeoJSON")]
        case driver:
            return [(str(path), driver)]


def _zipped_shapefiles(path: Path, uri: str) -> list[str]:
    if path.suffix.lower() != ".zip":
        raise ProductError(f"{uri}: is a zip archive by its content; expected a name ending .zip")
    try:
        delivery = list_delivery(str(path))
        lower = {name.lower() for name in delivery.paths}
        found = [name for name in delivery.paths if name.lower().endswith(_SHAPEFILE)]
        delivery.take(found)
    except ProductError as error:
        # Of a file in a bucket there is a copy here, whose name says nothing to anyone.
        raise ProductError(str(error).replace(str(path), uri)) from error
    if not found:
        held = ", ".join(list(delivery.paths)[:3]) or "nothing"
        raise ProductError(f"{uri}: holds {held}; expected a zipped shapefile (.shp, .shx, .prj)")
    for name in found:
        if name.lower().removesuffix(_SHAPEFILE) + _NEEDED_END not in lower:
            raise ProductError(f"{uri}: {name} lacks its companion {_NEEDED_END}; zip it again")
    return [delivery.paths[name] for name in found]


def _read_layers(source: str, driver: str, uri: str) -> tuple[list[PolygonLayer], int]:
    """Return the layers that hold polygons, and the number of features of other kinds."""
    layers: list[PolygonLayer] = []
    others = 0
    try:
        with _warnings_logged(uri):
            for name, kind in pyogrio.list_layers(source):
                if kind is None:
                    continue
                if (found := pyogrio.read_info(source, layer=name)["driver"]) != driver:
                    raise ProductError(f"{uri}: is read as {found}; expected {_FORMATS}")
                meta, _, stored, _ = pyogrio.raw.read(source, layer=name, columns=[], force_2d=True)
                shapes = shapely.from_wkb(stored, on_invalid="fix")
                _check_numbers(shapes, stored, uri)
                polygons = _valid_polygons(shapes, uri)
                others += 0 if len(polygons) else len(shapes)
                if not len(polygons):
                    continue
                if not meta["crs"]:
                    raise ProductError(
                        f"{uri}: layer {name} has no coordinate reference system; save it with "
                        "one (a shapefile: with its .prj)"
                    )
                layers.append(PolygonLayer(meta["crs"], polygons))
    except (*_UNREADABLE, shapely.errors.ShapelyError) as error:
        raise ProductError(
            f"{uri}: cannot be read as vectors ({error}); is the file damaged or cut short? "
            f"expected {_FORMATS}"
        ) from error
    return layers, others


def _check_numbers(shapes: Array, stored: Array, uri: str) -> None:
    lost = shapely.is_missing(shapes) & np.array([item is not None for item in stored], bool)
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    unknown = np.isin(np.arange(len(shapes)), owner[~np.isfinite(points).all(axis=1)])
    if bad := int((lost | unknown).sum()):
        raise ProductError(
            f"{uri}: {bad} shapes have coordinates that are no numbers, or rings that do not "
            "close; draw them again"
        )


def _valid_polygons(shapes: Array, uri: str) -> Array:
    """Return the polygons among shapes and in their collections; crossed rings are repaired."""
    polygons = _polygons_in(shapes)
    bad = ~shapely.is_valid(polygons)
    if not bad.any():
        return polygons
    logger.warning("%s: %d polygons cross themselves and were repaired", uri, bad.sum())
    return np.concatenate([polygons[~bad], _polygons_in(shapely.make_valid(polygons[bad]))])


def _polygons_in(shapes: Array) -> Array:
    parts = shapely.get_parts(shapes[~shapely.is_missing(shapes)])
    while np.isin(shapely.get_type_id(parts), _COLLECTIONS).any():
        parts = shapely.get_parts(parts)
    return np.asarray(parts[(shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_empty(parts)])


@contextmanager
def _warnings_logged(uri: str) -> Iterator[None]:
    """Send what GDAL warns of to the log, with the name of the file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        logger.warning("%s: %s", uri, warning.message)
