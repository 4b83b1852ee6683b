"""Where elevation comes from: one raster, a mosaic, a folder of tiles, or the Copernicus layout.

The Copernicus GLO-30 layout is that of the public bucket `copernicus-dem-30m`: a folder and a
GeoTIFF in it for each square degree of land, named after its south-western corner. Tiles of open
sea do not exist (https://copernicus-dem-30m.s3.amazonaws.com/readme.html). Their names are computed
from the ground that is wanted, because a web server lists nothing and the bucket holds 26 450 of
them. Pixels are one second of arc high; from 50 degrees of latitude on they widen in steps. Each
tile reaches half a pixel beyond its square, west and north.
"""

import math
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rasterio.crs import CRS

from decloud_lib import storage
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.piece import Piece, bounds_in, placed, read_piece
from decloud_lib.raster.vrt import read_vrt
from decloud_lib.types import Grid

T = TypeVar("T")
R = TypeVar("R")

#: Copernicus GLO-30, one second of arc: worldwide, free of charge, without a login.
COPERNICUS_GLO30 = "https://copernicus-dem-30m.s3.amazonaws.com"
#: A text in the root of the layout with the name of each tile.
TILE_LIST = "tileList.txt"

_TILE_NAME = re.compile(r"Copernicus_DSM_COG_10_[NS]\d{2}_00_[EW]\d{3}_00_DEM(\.tif)?")
_SUFFIXES = (".tif", ".tiff", ".jp2", ".hgt")
_VRT_SUFFIX = ".vrt"
#: Reach of the resampling, and the half pixel; pixels are 0.0028 degrees wide at most.
_MARGIN_DEG = 0.01
_AT_ONCE = 8
#: Folders in the folder, and no deeper.
_DEPTH = 2


@dataclass(frozen=True, slots=True)
class Elevation:
    """What covers a grid."""

    uri: str
    """What was asked for."""
    pieces: tuple[Piece, ...]
    """Rasters near the grid; where two hold a value the later one counts."""
    entries: tuple[storage.Entry, ...]
    """Stored files that are read."""
    missing: tuple[str, ...] = ()
    """Tiles of the Copernicus layout that do not exist: open sea, or not released."""


def find_elevation(uri: str, grid: Grid) -> Elevation:
    """Find the rasters that cover a grid; only headers are read.

    Parameters
    ----------
    uri
        A raster or a mosaic (`.vrt`), local, `s3://` or `https://`; a folder or prefix of rasters,
        also one folder deeper; or the root of the Copernicus GLO-30 layout, the only folder that a
        web address can be.
    grid
        The target.

    Returns
    -------
    Elevation, with no tile where nothing was found near the grid.

    Raises
    ------
    ProductError
        No such file or folder, a folder without rasters, a file that is no raster of one band.
    StorageError
        The server cannot be reached, or refuses.
    """
    name = storage.name_of(uri).lower()
    if name.endswith(_VRT_SUFFIX):
        piece, entries = read_vrt(uri, grid)
        near = placed(piece, grid) if piece else None
        return Elevation(uri, (near,) if near else (), entries)
    if storage.is_web(uri) and not name.endswith(_SUFFIXES):
        return _of_layout(uri, grid)
    if (entry := storage.stat(uri)) is not None:
        return _near(uri, [read_piece(uri)], (entry,), grid)
    if storage.is_web(uri):
        raise ProductError(f"{uri}: there is no such file; expected an elevation raster")
    found = _cells(uri, grid)
    if any(entry for _, entry in found):
        return _of_cells(uri, found, grid)
    listed = _listed(uri)
    if any(_TILE_NAME.fullmatch(storage.name_of(entry.uri)) for entry in listed):
        return _of_cells(uri, found, grid)
    if not listed:
        raise ProductError(
            f"{uri}: there is no such file, and no folder with rasters ({', '.join(_SUFFIXES)}); "
            "expected a raster, a mosaic (.vrt) or a folder of tiles of elevation"
        )
    pieces = _at_once(read_piece, [entry.uri for entry in listed])
    return _near(uri, pieces, listed, grid)


def tile_names(grid: Grid) -> tuple[str, ...]:
    """Return the names of the tiles of the Copernicus GLO-30 layout that a grid needs, sorted."""
    wanted = bounds_in(CRS.from_epsg(4326), grid)
    if wanted is None:
        raise ProductError(f"{grid.crs}, bounds {grid.bounds}: this is no place on the earth")
    west, south, east, north = wanted
    lats = range(math.floor(south - _MARGIN_DEG), math.floor(north + _MARGIN_DEG) + 1)
    lons = range(math.floor(west - _MARGIN_DEG), math.floor(east + _MARGIN_DEG) + 1)
    names = {_tile_name(lat, (lon + 180) % 360 - 180) for lat in lats for lon in lons}
    return tuple(sorted(names))


def _tile_name(lat: int, lon: int) -> str:
    """Name a tile after its south-western corner, whole degrees."""
    north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
    return f"Copernicus_DSM_COG_10_{north}{abs(lat):02d}_00_{east}{abs(lon):03d}_00_DEM"


def _of_layout(uri: str, grid: Grid) -> Elevation:
    """Look for tiles under a web address, which must be that of the layout."""
    try:
        found = _cells(uri, grid)
        # A wrong address would otherwise look like open sea.
        known = any(entry for _, entry in found) or storage.stat(storage.join(uri, TILE_LIST))
    except StorageError as error:
        raise StorageError(
            f"{error}. Elevation can also be given as a file or a folder of tiles on this machine "
            "or in a bucket (--dem)"
        ) from error
    if not known:
        raise ProductError(
            f"{uri}: found neither {found[0][0]} nor {TILE_LIST}; expected a raster (.tif), a "
            "mosaic (.vrt) or the root of the Copernicus GLO-30 layout"
        )
    return _of_cells(uri, found, grid)


def _cells(uri: str, grid: Grid) -> list[tuple[str, storage.Entry | None]]:
    """Return the tiles of the layout that a grid needs, and what is stored of each."""

    def look(name: str) -> tuple[str, storage.Entry | None]:
        stored = storage.stat(storage.join(uri, name, f"{name}.tif"))
        if stored is None and not storage.is_web(uri):
            # Tiles that somebody fetched often lie side by side.
            stored = storage.stat(storage.join(uri, f"{name}.tif"))
        return name, stored

    # A server that cannot be reached is found out once, and not by all at the same time.
    first, *others = tile_names(grid)
    return [look(first), *_at_once(look, others)]


def _of_cells(uri: str, found: Iterable[tuple[str, storage.Entry | None]], grid: Grid) -> Elevation:
    entries = tuple(entry for _, entry in found if entry is not None)
    pieces = _at_once(read_piece, [entry.uri for entry in entries])
    missing = tuple(name for name, entry in found if entry is None)
    return _near(uri, pieces, entries, grid, missing)


def _listed(uri: str) -> tuple[storage.Entry, ...]:
    """List the rasters of a folder, and of the folders in it."""
    return tuple(
        entry
        for entry in storage.list_files(uri)
        if entry.uri.lower().endswith(_SUFFIXES)
        and storage.relative_path(entry.uri, uri).count("/") < _DEPTH
    )


def _near(
    uri: str,
    pieces: Iterable[Piece],
    entries: Iterable[storage.Entry],
    grid: Grid,
    missing: tuple[str, ...] = (),
) -> Elevation:
    near = tuple(moved for piece in pieces if (moved := placed(piece, grid)) is not None)
    names = {piece.uri for piece in near}
    used = tuple(entry for entry in entries if entry.uri in names)
    return Elevation(uri, near, used, missing)


def _at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do something for each item, a few at a time: each waits for a server."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="elevation") as pool:
        return list(pool.map(work, items))
