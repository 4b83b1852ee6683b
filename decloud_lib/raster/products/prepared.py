"""Prepared images: what the preparation wrote, and what the existing system has prepared."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import S1Name, S2Name, parse_s1_name, parse_s2_name
from decloud_lib.raster.products.s1tiling import AssumedHours, parse_time
from decloud_lib.raster.read import open_raster

logger = logging.getLogger(__name__)

TIME_TAG = "ACQUISITION_TIME"
ASSUMED_TAG = "TIME_IS_ASSUMED"
_S1_END = "db.tif"
_EDGE_END = "_edge.tif"
#: End of the file name of each part of a prepared Sentinel-2 product.
S2_PARTS = {
    "stack_10m": "_FRE_10m.tif",
    "stack_20m": "_FRE_20m.tif",
    "cloud_mask": "_CLM_R1.tif",
    "edge_mask": "_EDG_R1.tif",
    "cloud_stats": "_CLM_R1_stats.tif",
    "edge_stats": "_EDG_R1_stats.tif",
}


@dataclass(frozen=True, slots=True)
class PreparedS1:
    """A prepared Sentinel-1 image."""

    uri: str
    """VV, VH; uint16, 0 = no data."""
    tile: str
    """With the leading T."""
    acquired: datetime
    """UTC."""
    time_is_assumed: bool
    """The day is right, the time of day is that of the rule."""
    ascending: bool
    edge_stats: str
    """Counts of no-data pixels per elementary patch."""


@dataclass(frozen=True, slots=True)
class PreparedS2:
    """A prepared Sentinel-2 product; all members but the first four are URIs of rasters."""

    uri: str
    """The product's folder."""
    name: str
    tile: str
    """With the leading T."""
    acquired: datetime
    """UTC."""
    stack_10m: str
    """B2, B3, B4, B8; int16."""
    stack_20m: str
    """B11, B12, B5, B6, B7, B8A; int16."""
    cloud_mask: str
    """10 m bit field."""
    edge_mask: str
    """10 m; not 0 = outside."""
    cloud_stats: str
    """Counts of flagged pixels per elementary patch."""
    edge_stats: str
    """Counts of edge pixels per elementary patch."""


def tile_folder(root: str, tile: str) -> str:
    """Return the folder of a tile below a root; the root may be that folder already."""
    return root.rstrip("/") if storage.name_of(root) == tile else storage.join(root, tile)


def list_s1(folder: str, tile: str | None = None) -> list[PreparedS1]:
    """List the prepared Sentinel-1 images below a root or a tile's folder.

    Parameters
    ----------
    folder
        S1_PREPARE, or a tile's folder in it.
    tile
        Only this one; `folder` is the root or the tile's own folder.

    Returns
    -------
    Sorted by time, then by name. What is not a prepared image, lacks its statistics or is there
    twice is left out with a warning. A masked time is read from the file, else assumed.
    """
    place = tile_folder(folder, tile) if tile else folder
    files = {entry.uri for entry in storage.list_files(place)}
    found: dict[str, PreparedS1] = {}
    for uri in sorted(files):
        file_name = storage.name_of(uri)
        if not file_name.lower().endswith(_S1_END):
            continue
        try:
            name = _parsed_s1(uri)
            if name.stem in found:
                raise ProductError(f"{uri}: is there twice, as {found[name.stem].uri}")
            if tile is not None and name.tile != tile:
                raise ProductError(f"{uri}: is an image of {name.tile} in the folder of {tile}")
            if _edge_stats(uri) not in files:
                raise ProductError(f"{uri}: its statistics {_edge_stats(uri)} are missing")
        except ProductError as error:
            logger.warning("left out: %s", error)
            continue
        found[name.stem] = _prepared_s1(uri, name)
    return sorted(found.values(), key=lambda image: (image.acquired, image.uri))


def open_s1(uri: str) -> PreparedS1:
    """Describe one prepared Sentinel-1 image.

    Raises
    ------
    ProductError
        Not a prepared image, not there, or without its statistics.
    """
    name = _parsed_s1(uri)
    for needed in (uri, _edge_stats(uri)):
        if storage.stat(needed) is None:
            raise ProductError(f"{needed}: there is no such file; run prepare-s1 for {name.stem}")
    return _prepared_s1(uri, name)


def list_s2(folder: str, tile: str | None = None) -> list[PreparedS2]:
    """List the prepared Sentinel-2 products below a root or a tile's folder.

    Parameters
    ----------
    folder
        S2_PREPARE, or a tile's folder in it.
    tile
        Only this one; `folder` is the root or the tile's own folder.

    Returns
    -------
    Sorted by time, then by name. Folders that are no product, lack a file or are there twice are
    left out with a warning.
    """
    place = tile_folder(folder, tile) if tile else folder
    files: dict[str, list[str]] = defaultdict(list)
    for entry in storage.list_files(place):
        if entry.uri.lower().endswith(".tif"):
            files[storage.parent_of(entry.uri)].append(entry.uri)
    found: dict[str, PreparedS2] = {}
    for product_uri in sorted(files):
        try:
            product = _prepared_s2(product_uri, files[product_uri])
            if product.name in found:
                raise ProductError(f"{product_uri}: is there twice, as {found[product.name].uri}")
            if tile is not None and product.tile != tile:
                raise ProductError(f"{product_uri}: is of {product.tile} in the folder of {tile}")
        except ProductError as error:
            logger.warning("left out: %s", error)
            continue
        found[product.name] = product
    return sorted(found.values(), key=lambda product: (product.acquired, product.uri))


def open_s2(uri: str) -> PreparedS2:
    """Describe one prepared Sentinel-2 product by its folder.

    Raises
    ------
    ProductError
        Not a prepared product, not there, or incomplete.
    """
    folder = uri.rstrip("/")
    return _prepared_s2(folder, [entry.uri for entry in storage.list_files(folder)])


def s2_parts(folder: str, name: S2Name) -> PreparedS2:
    """Name the parts of a prepared product, whether they are there or not."""
    parts = {part: storage.join(folder, name.name + end) for part, end in S2_PARTS.items()}
    return PreparedS2(folder, name.name, name.tile, name.acquired, **parts)


def _prepared_s2(folder: str, uris: list[str]) -> PreparedS2:
    name = parse_s2_name(storage.name_of(folder))
    parts: dict[str, str] = {}
    for part, end in S2_PARTS.items():
        hits = [uri for uri in uris if uri.endswith(end)]
        if len(hits) != 1:
            found = ", ".join(map(storage.name_of, hits)) or "none"
            raise ProductError(
                f"{folder}: expected exactly one *{end}, found {found}; run prepare-s2 again"
            )
        parts[part] = hits[0]
    return PreparedS2(folder, name.name, name.tile, name.acquired, **parts)


def _parsed_s1(uri: str) -> S1Name:
    name = parse_s1_name(storage.name_of(uri))
    if name.polarisation != "vvvh" or not name.is_prepared:
        raise ProductError(f"{uri}: not a prepared image; expected *_vvvh_*_from-10to3dB.tif")
    return name


def _edge_stats(uri: str) -> str:
    return uri[: -len(".tif")] + _EDGE_END


def _prepared_s1(uri: str, name: S1Name) -> PreparedS1:
    acquired, assumed = (name.acquired, False) if name.acquired else _masked_time(uri, name)
    return PreparedS1(uri, name.tile, acquired, assumed, name.ascending, _edge_stats(uri))


def _masked_time(uri: str, name: S1Name) -> tuple[datetime, bool]:
    """Read the time that the preparation found; files of the existing system have none."""
    with open_raster(uri) as reader:
        tags = reader.tags
    moment = parse_time(tags.get(TIME_TAG, ""))
    if moment is None:
        return AssumedHours().moment(name), True
    return moment.astimezone(UTC), tags.get(ASSUMED_TAG, "false").lower() == "true"
