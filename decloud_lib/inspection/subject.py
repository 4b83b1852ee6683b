"""Which kind of thing a path names."""

import re

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.inspection.content import content_of, is_image
from decloud_lib.inspection.facts import Subject
from decloud_lib.inspection.folder import is_prepared, unknown_folder
from decloud_lib.inspection.optical import delivered_optical, prepared_optical
from decloud_lib.inspection.radar import delivered_radar, prepared_radar
from decloud_lib.inspection.rasters import single_raster
from decloud_lib.raster.products.names import S1Name, parse_s1_name, parse_s2_name
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.raster.views import VIEW_END

_EXPECTED = (
    "expected a Sentinel-2 product (folder, .zip or STAC item), a Sentinel-1 file, a GeoTIFF, or a "
    "folder of them"
)
_SENTINEL_2 = re.compile(r"(SENTINEL2[A-D]|S2[A-D]_MSI)")
_STATISTICS = re.compile(r".*_edge\.tiff?", re.IGNORECASE)


def look_at(uri: str, settings: OpticalSettings) -> Subject:
    """Find out what a path holds.

    Parameters
    ----------
    uri
        A file or folder; in a bucket too.
    settings
        How a delivered optical product is read.

    Raises
    ------
    ProductError
        Nothing there, a file that is none of ours, or a product that is incomplete or damaged.
    GridMismatchError
        A product whose rasters do not lie on each other.
    StorageError
        A place that cannot be read.
    """
    uri = uri.rstrip("/") or uri
    entry = storage.stat(uri)
    if entry is None:
        return _folder(uri, settings)
    try:
        return _file(uri, entry, settings)
    except ProductError as error:
        content = content_of(entry)
        is_raster_name = uri.lower().endswith((".tif", ".tiff", ".jp2"))
        if is_raster_name and not is_image(content):
            raise ProductError(
                f"{uri}: found {content} ({entry.size} bytes), expected a raster: "
                "was it delivered completely? fetch it again"
            ) from error
        raise


def _file(uri: str, entry: storage.Entry, settings: OpticalSettings) -> Subject:
    name = storage.name_of(uri).lower()
    if name.endswith(VIEW_END):
        parent = storage.parent_of(uri)
        return prepared_radar(uri) if _radar_name(uri) else prepared_optical(parent)
    if name.endswith((".json", ".geojson")):
        return delivered_optical(uri, settings)
    if name.endswith(".zip"):
        return _archive(uri, entry, settings)
    if name.endswith((".tif", ".tiff")) and not _STATISTICS.fullmatch(name):
        radar = _radar_name(uri)
        if radar is not None and radar.is_backscatter:
            return delivered_radar(uri)
        if radar is not None and radar.is_prepared:
            return prepared_radar(uri)
    if name.endswith((".tif", ".tiff", ".jp2")):
        return single_raster(uri, entry)
    if name.endswith(".vrt"):
        raise ProductError(
            f"{uri}: is a mosaic that names other files, and is not followed; inspect one of them "
            "(prepare-dem --dem takes the mosaic)"
        )
    raise ProductError(f"{uri}: found {content_of(entry)} ({entry.size} bytes); {_EXPECTED}")


def _archive(uri: str, entry: storage.Entry, settings: OpticalSettings) -> Subject:
    try:
        parse_s2_name(storage.name_of(uri))
    except ProductError as error:
        raise ProductError(
            f"{uri}: found {content_of(entry)}, whose name is not that of a product ({error})"
        ) from error
    return delivered_optical(uri, settings)


def _folder(uri: str, settings: OpticalSettings) -> Subject:
    entries = storage.list_files(uri)
    if not entries:
        raise ProductError(
            f"{uri}: there is no such file, and no folder with anything in it; {_EXPECTED}: check "
            "the path"
        )
    try:
        parse_s2_name(storage.name_of(uri))
    except ProductError:
        if _SENTINEL_2.match(storage.name_of(uri)):
            # Another level, for instance: the error says what it is.
            raise
        return unknown_folder(uri, entries)
    if any(is_prepared(entry.uri) for entry in entries):
        return prepared_optical(uri)
    return delivered_optical(uri, settings)


def _radar_name(uri: str) -> S1Name | None:
    try:
        return parse_s1_name(storage.name_of(uri).removesuffix(VIEW_END))
    except ProductError:
        return None
