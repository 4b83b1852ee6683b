"""What lies in a folder that is no product itself."""

import re
from collections import Counter

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.inspection.facts import Description, Subject
from decloud_lib.raster.products.discovery import Found, discover
from decloud_lib.raster.products.names import TILE_PATTERN, parse_s1_name, parse_s2_name
from decloud_lib.raster.views import VIEW_END

_DELIVERED = {
    "theia": "delivered Sentinel-2 products of Theia",
    "esa": "delivered Sentinel-2 products of ESA",
    "stac": "STAC items of Sentinel-2",
    "s1tiling": "delivered Sentinel-1 pairs",
}
_LEFT_OUT = "products that cannot or need not be prepared"
_S2_PREPARED = "prepared Sentinel-2 products"
_S1_PREPARED = "prepared Sentinel-1 images"
_JSON, _OTHER = "JSON files", "other files"
_BY_NAME = (
    (re.compile(rf"{TILE_PATTERN}\.tiff?"), "elevation rasters"),
    (re.compile(rf"{TILE_PATTERN}_.+_reconstructed\.tiff?"), "reconstructions"),
    (re.compile(rf"{TILE_PATTERN}_.+\.tiff?"), "regions of interest"),
    (re.compile(r".*_edge\.tiff?", re.IGNORECASE), "statistics of Sentinel-1 images"),
    (re.compile(r".*_reconstructed\.tiff?"), "reconstructions"),
    (re.compile(r".*\.tiff?", re.IGNORECASE), "other GeoTIFFs"),
    (re.compile(r".*\.(tfrecords?|records)(\.gz)?"), "record files"),
    (re.compile(r".*\.(geo)?json", re.IGNORECASE), _JSON),
)
_SHOWN_PROBLEMS = 3


def unknown_folder(uri: str, entries: list[storage.Entry]) -> Subject:
    """Count what lies below a folder, by family; no raster is opened.

    Parameters
    ----------
    uri
        The folder.
    entries
        All files below it.
    """
    delivered = [item for item in discover(uri).found if item.format in _DELIVERED]
    found = Counter(_DELIVERED[item.format] for item in delivered if item.problem is None)
    found[_LEFT_OUT] = sum(item.problem is not None for item in delivered)
    prepared: set[str] = set()
    for entry in entries:
        parts = storage.relative_path(entry.uri, uri).split("/")
        if product := _optical_product(parts):
            prepared |= {product} if is_prepared(parts[-1]) else set()
        elif kind := _kind_of(parts[-1]):
            found[kind] += 1
    found[_S2_PREPARED] = len(prepared)
    found[_JSON] = max(0, found[_JSON] - found[_DELIVERED["stac"]])
    names = dict.fromkeys(kind for _, kind in _BY_NAME)
    order = (*_DELIVERED.values(), _LEFT_OUT, _S2_PREPARED, _S1_PREPARED, *names, _OTHER)
    counts = {kind: found[kind] for kind in order if found[kind]}
    description = Description(
        path=uri,
        what="folder, itself no product: a product is known by the name of its folder or file",
        family="folder",
        files=len(entries),
        bytes=sum(entry.size for entry in entries),
        found=counts,
        notes=(*_problems(delivered), *_how_to_go_on(uri, counts)),
    )
    return Subject(description)


def is_prepared(file_name: str) -> bool:
    """Say whether a file is one that only a prepared Sentinel-2 product holds."""
    return file_name.endswith(("_CLM_R1_stats.tif", "_EDG_R1_stats.tif", VIEW_END))


def _optical_product(parts: list[str]) -> str | None:
    """Return the path of the product that a file belongs to: a folder, or an archive."""
    for index, part in enumerate(parts):
        if index == len(parts) - 1 and not part.lower().endswith(".zip"):
            return None
        try:
            parse_s2_name(part)
        except ProductError:
            continue
        return "/".join(parts[: index + 1])
    return None


def _kind_of(file_name: str) -> str | None:
    """Return what a file is by its name; None for delivered radar, which is counted in pairs."""
    try:
        radar = parse_s1_name(file_name.removesuffix(VIEW_END))
    except ProductError:
        radar = None
    if radar is not None and radar.is_backscatter:
        return None
    if radar is not None and radar.is_prepared:
        return _S1_PREPARED
    for pattern, kind in _BY_NAME:
        if pattern.fullmatch(file_name):
            return kind
    return _OTHER


def _problems(delivered: list[Found]) -> list[str]:
    told = [item.problem for item in delivered if item.problem is not None]
    more = len(told) - _SHOWN_PROBLEMS
    return [*told[:_SHOWN_PROBLEMS], *([f"and {more} more that are left out"] if more > 0 else [])]


def _how_to_go_on(uri: str, counts: dict[str, int]) -> list[str]:
    notes = []
    if set(_DELIVERED.values()) & counts.keys():
        notes.append(
            f"prepare what was delivered: decloud prepare {uri} (--dry-run shows the plan)"
        )
    if {_S2_PREPARED, _S1_PREPARED} & counts.keys():
        notes.append("inspect one prepared product or image by its own path")
    if not counts.keys() - {_OTHER, _JSON}:
        notes.append("nothing here is known: check the path, or the names of the products")
    return notes
