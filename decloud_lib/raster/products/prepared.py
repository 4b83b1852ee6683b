"""Prepared images: what the preparation wrote, and what the existing system has prepared."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import (
    TILE_PATTERN,
    S1Name,
    S2Name,
    parse_s1_name,
    parse_s2_name,
)
from decloud_lib.raster.products.s1tiling import AssumedHours, parse_time
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.views import OPTICAL_PARTS, RADAR_PART, VIEW_END, part_uri, read_view

logger = logging.getLogger(__name__)

TIME_TAG = "ACQUISITION_TIME"
ASSUMED_TAG = "TIME_IS_ASSUMED"
#: A time, UTC, and whether its time of day was assumed.
Moment = tuple[datetime, bool]
#: Files that are open at the same time; the wait is for the bucket, not for the processor.
_READERS = 8
_S1_END = "db.tif"
_S1_VIEW_END = f"db{VIEW_END}"
_EDGE_END = "_edge.tif"
#: End of the file name of each part of a prepared Sentinel-2 product; {} is FRE or SRE.
S2_PARTS = {
    "stack_10m": "_{}_10m.tif",
    "stack_20m": "_{}_20m.tif",
    "cloud_mask": "_CLM_R1.tif",
    "edge_mask": "_EDG_R1.tif",
}
S2_STATS = {"cloud_stats": "_CLM_R1_stats.tif", "edge_stats": "_EDG_R1_stats.tif"}


@dataclass(frozen=True, slots=True)
class PreparedS1:
    """A prepared Sentinel-1 image."""

    uri: str
    """VV, VH; uint16, 0 = no data. A raster, or an image in a view (`raster.views`)."""
    tile: str
    """With the leading T."""
    acquired: datetime
    """UTC."""
    time_is_assumed: bool
    """The day is right, the time of day is that of the rule."""
    ascending: bool
    edge_stats: str
    """Counts of no-data pixels per elementary patch."""

    @property
    def name(self) -> str:
        """Return the name of the prepared raster, also where there is a view instead of it."""
        return storage.name_of(self.edge_stats).removesuffix(_EDGE_END) + ".tif"


@dataclass(frozen=True, slots=True)
class PreparedS2:
    """A prepared Sentinel-2 product; all members but the first four are URIs of images.

    Statistics are rasters. The others are, or they are images in a view (`raster.views`) of a
    product that was left as it was delivered.
    """

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
    """Return the folder of a tile below a root; the root may be that folder already.

    Raises
    ------
    ProductError
        The root is the folder of another tile.
    """
    name = storage.name_of(root)
    if name != tile and re.fullmatch(TILE_PATTERN, name):
        raise ProductError(
            f"{root}: is the folder of {name}, and this is a product of {tile}; give the folder "
            "above it, to which each product's tile is added"
        )
    return root.rstrip("/") if name == tile else storage.join(root, tile)


def masked_time(uri: str, name: S1Name) -> Moment:
    """Read the time of a prepared image that its name hides.

    The preparation wrote it into the file; files of the existing system have none, and the rule
    for masked times counts.

    Raises
    ------
    ProductError
        The file cannot be read.
    """
    if uri.endswith(VIEW_END):
        view = read_view(uri)
        return view.acquired.astimezone(UTC), view.time_is_assumed
    with open_raster(uri) as reader:
        tags = reader.tags
    moment = parse_time(tags.get(TIME_TAG, ""))
    if moment is None:
        return AssumedHours().moment(name), True
    return moment.astimezone(UTC), tags.get(ASSUMED_TAG, "false").lower() == "true"


def masked_times(masked: Mapping[str, S1Name]) -> dict[str, Moment]:
    """Return the times of prepared images whose names hide them, read from the files, else assumed.

    Parameters
    ----------
    masked
        Name of each image, by its URI.

    Raises
    ------
    ProductError
        A file that cannot be read.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(masked, pool.map(masked_time, masked, masked.values()), strict=True))


def list_s1(
    folder: str,
    tile: str | None = None,
    *,
    listed: Iterable[storage.Entry] | None = None,
    times: Callable[[Mapping[str, S1Name]], Mapping[str, Moment]] = masked_times,
) -> list[PreparedS1]:
    """List the prepared Sentinel-1 images below a root or a tile's folder.

    Parameters
    ----------
    folder
        S1_PREPARE, or a tile's folder in it.
    tile
        Only this one; `folder` is the root or the tile's own folder.
    listed
        The files there, where they are known already.
    times
        Finds the times that the names hide.

    Returns
    -------
    Sorted by time, then by name. What is not a prepared image, lacks its statistics or is there
    twice is left out with a warning. A masked time is read from the file, else assumed.
    """
    place = tile_folder(folder, tile) if tile else folder
    files = {entry.uri for entry in (storage.list_files(place) if listed is None else listed)}
    found: dict[str, tuple[str, S1Name]] = {}
    for uri in sorted(files):
        if not storage.name_of(uri).lower().endswith((_S1_END, _S1_VIEW_END)):
            continue
        try:
            name = _parsed_s1(uri)
            if name.stem in found:
                raise ProductError(f"{uri}: is there twice, as {found[name.stem][0]}")
            if tile is not None and name.tile != tile:
                raise ProductError(f"{uri}: is an image of {name.tile} in the folder of {tile}")
            if _edge_stats(uri) not in files:
                raise ProductError(f"{uri}: its statistics {_edge_stats(uri)} are missing")
        except ProductError as error:
            logger.warning("left out: %s", error)
            continue
        found[name.stem] = (uri, name)
    masked = {uri: name for uri, name in found.values() if name.acquired is None}
    known = times(masked) if masked else {}
    images = [
        _prepared_s1(uri, name, (name.acquired, False) if name.acquired else known[uri])
        for uri, name in found.values()
    ]
    return sorted(images, key=lambda image: (image.acquired, image.uri))


def open_s1(uri: str) -> PreparedS1:
    """Describe one prepared Sentinel-1 image: a raster, or the view of a delivered pair.

    Raises
    ------
    ProductError
        Not a prepared image, not there, or without its statistics.
    """
    uri = uri.removesuffix(f"#{RADAR_PART}")
    name = _parsed_s1(uri)
    for needed in (uri, _edge_stats(uri)):
        if storage.stat(needed) is None:
            raise ProductError(f"{needed}: there is no such file; run prepare-s1 for {name.stem}")
    moment = (name.acquired, False) if name.acquired else masked_time(uri, name)
    return _prepared_s1(uri, name, moment)


def list_s2(
    folder: str, tile: str | None = None, *, listed: Iterable[storage.Entry] | None = None
) -> list[PreparedS2]:
    """List the prepared Sentinel-2 products below a root or a tile's folder.

    Parameters
    ----------
    folder
        S2_PREPARE, or a tile's folder in it.
    tile
        Only this one; `folder` is the root or the tile's own folder.
    listed
        The files there, where they are known already.

    Returns
    -------
    Sorted by time, then by name. Folders that are no product, lack a file or are there twice are
    left out with a warning.
    """
    place = tile_folder(folder, tile) if tile else folder
    files: dict[str, list[str]] = defaultdict(list)
    for entry in storage.list_files(place) if listed is None else listed:
        if entry.uri.lower().endswith((".tif", VIEW_END)):
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


def s2_parts(folder: str, name: S2Name, reflectance: str = "FRE") -> PreparedS2:
    """Name the parts of a prepared product, whether they are there or not."""
    ends = {part: end.format(reflectance) for part, end in (S2_PARTS | S2_STATS).items()}
    parts = {part: storage.join(folder, name.name + end) for part, end in ends.items()}
    return PreparedS2(folder, name.name, name.tile, name.acquired, **parts)


def s2_view(folder: str, name: S2Name) -> str:
    """Name the view of a product that is left as it was delivered."""
    return storage.join(folder, name.name + VIEW_END)


def _prepared_s2(folder: str, uris: list[str]) -> PreparedS2:
    name = parse_s2_name(storage.name_of(folder))
    parts = {part: _only(folder, uris, (end,)) for part, end in S2_STATS.items()}
    views = [uri for uri in uris if uri.endswith(VIEW_END)]
    if views:
        view = _only(folder, uris, (VIEW_END,))
        parts |= {part: part_uri(view, part) for part in OPTICAL_PARTS}
    else:
        for part, end in S2_PARTS.items():
            parts[part] = _only(folder, uris, (end.format("FRE"), end.format("SRE")))
    return PreparedS2(folder, name.name, name.tile, name.acquired, **parts)


def _only(folder: str, uris: list[str], ends: tuple[str, ...]) -> str:
    hits = [uri for uri in uris if uri.endswith(ends)]
    if len(hits) != 1:
        found = ", ".join(map(storage.name_of, hits)) or "none"
        raise ProductError(
            f"{folder}: expected exactly one *{ends[0]}, found {found}; run prepare-s2 again"
        )
    return hits[0]


def _parsed_s1(uri: str) -> S1Name:
    name = parse_s1_name(storage.name_of(uri).removesuffix(VIEW_END))
    if name.polarisation != "vvvh" or not name.is_prepared:
        raise ProductError(f"{uri}: not a prepared image; expected *_vvvh_*_from-10to3dB.tif")
    return name


def _edge_stats(uri: str) -> str:
    end = VIEW_END if uri.endswith(VIEW_END) else ".tif"
    return uri[: -len(end)] + _EDGE_END


def _prepared_s1(uri: str, name: S1Name, moment: Moment) -> PreparedS1:
    acquired, assumed = moment
    image = part_uri(uri, RADAR_PART) if uri.endswith(VIEW_END) else uri
    return PreparedS1(image, name.tile, acquired, assumed, name.ascending, _edge_stats(uri))
