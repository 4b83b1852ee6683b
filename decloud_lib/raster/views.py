"""Products that are left as they were delivered, and read as if they had been prepared.

A *view* is a small JSON file beside a product's statistics. It says which delivery they belong to
and how it is read. An image inside it is named `<view>#<part>`; `open_image` opens such a name and
that of a raster alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.manifest import FileRef
from decloud_lib.raster.optical import open_delivered
from decloud_lib.raster.products.families import open_optical
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.raster.products.s1tiling import find_pair
from decloud_lib.raster.radar import open_pair
from decloud_lib.raster.read import ImageReader, RasterOpener, open_raster

#: End of the name of a view; what stands before it is the name of the prepared product.
VIEW_END = "_delivered.json"
RADAR_PART = "sigma0"
OPTICAL_PARTS = ("stack_10m", "stack_20m", "cloud_mask", "edge_mask")
_MARK = f"{VIEW_END}#"


class View(BaseModel):
    """Content of a view."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    source: str
    """URI of the delivery: an optical product, or the VH file of a radar pair."""
    settings: OpticalSettings | None
    """How an optical product is read; None for radar."""
    acquired: datetime
    """UTC."""
    time_is_assumed: bool = False
    inputs: tuple[FileRef, ...]
    """The delivered files as they were when the statistics were made."""


def write_view(uri: str, view: View) -> None:
    """Write a view."""
    storage.write_bytes(uri, view.model_dump_json(indent=2).encode())


def read_view(uri: str) -> View:
    """Read a view.

    Raises
    ------
    ProductError
        Not a view.
    MissingFileError
        Not there.
    """
    try:
        return View.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise ProductError(
            f"{uri}: not the description of a delivered product ({error.error_count()} problems); "
            "prepare the product again with --overwrite"
        ) from error


def part_uri(view_uri: str, part: str) -> str:
    """Return the name of an image inside a view."""
    return f"{view_uri}#{part}"


def is_part(uri: str) -> bool:
    """Say whether a name is that of an image inside a view."""
    return _MARK in uri


@contextmanager
def open_image(
    uri: str, unnamed: tuple[str, ...] = (), opener: RasterOpener = open_raster
) -> Iterator[ImageReader]:
    """Open a raster, or an image inside a view, for reading by windows.

    Parameters
    ----------
    uri
        A raster's URI, or `<view>#<part>`.
    unnamed
        Names of the bands of a raster that has none.
    opener
        Opens the files behind it.

    Raises
    ------
    ProductError
        Not there, damaged, or delivered anew since its statistics were made.
    """
    if not is_part(uri):
        with opener(uri, unnamed=unnamed) as raster:
            yield raster
        return
    view_uri, _, part = uri.rpartition("#")
    view = read_view(view_uri)
    if part == RADAR_PART:
        pair = find_pair(view.source)
        _check_unchanged(view_uri, view, (pair.vv, pair.vh))
        with open_pair(pair, uri, opener) as radar:
            yield radar
        return
    if part not in OPTICAL_PARTS or view.settings is None:
        parts = ", ".join((*OPTICAL_PARTS, RADAR_PART))
        raise ProductError(f"{uri}: {part} is no image of this product; expected one of {parts}")
    product = open_optical(view.source, view.settings)
    _check_unchanged(view_uri, view, product.entries)
    with open_delivered(product, view.settings, (part,), opener) as optical:
        yield optical.part(part, uri)


def stored_files(uri: str) -> tuple[storage.Entry, ...]:
    """Return the files behind an image, for manifests: the raster, or the view and the delivery.

    Raises
    ------
    ProductError
        The raster or the view is not there.
    """
    place = uri.rpartition("#")[0] if is_part(uri) else uri
    entry = storage.stat(place)
    if entry is None:
        raise ProductError(f"{place}: there is no such file; prepare it, or check the path")
    if place == uri:
        return (entry,)
    refs = read_view(place).inputs
    return (entry, *(storage.Entry(ref.uri, ref.size, ref.etag) for ref in refs))


def _check_unchanged(uri: str, view: View, entries: Sequence[storage.Entry]) -> None:
    before = {ref.uri: (ref.size, ref.etag) for ref in view.inputs}
    now = {entry.uri: (entry.size, entry.etag) for entry in entries}
    if changed := sorted(name for name in before.keys() | now if before.get(name) != now.get(name)):
        raise ProductError(
            f"{changed[0]}: is not what it was when the statistics beside {uri} were made; "
            "prepare the product again with --overwrite"
        )
