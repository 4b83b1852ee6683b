"""What a single raster is: elevation, a region of interest, statistics, an output, anything."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from decloud_lib import manifest, storage
from decloud_lib.bands import (
    DEM_BANDS,
    DEM_NODATA,
    ELEMENTARY_PATCH_PX,
    S1_BANDS,
    S2_NODATA,
)
from decloud_lib.inspection.completeness import completeness
from decloud_lib.inspection.drawing import (
    Layer,
    draw_encoded_radar,
    draw_grey,
    draw_patches,
    draw_relief,
    draw_true_colour,
)
from decloud_lib.inspection.facts import (
    Completeness,
    Description,
    Picture,
    Subject,
    ValueRange,
    group,
    share,
)
from decloud_lib.inspection.statistics import PATCH_PIXELS
from decloud_lib.raster.describe import StoredRaster, open_plain
from decloud_lib.raster.products.names import TILE_PATTERN
from decloud_lib.raster.products.optical import BandFile
from decloud_lib.raster.products.prepared import TIME_TAG
from decloud_lib.raster.products.s1tiling import parse_time
from decloud_lib.types import Array

_SHOWN = ("B4", "B3", "B2")
_STATISTICS = re.compile(r".*_(stats|edge)\.tiff?", re.IGNORECASE)
_ROI = re.compile(rf"(?P<tile>{TILE_PATTERN})_(?P<set>[^/]+)\.tiff?")
_TILE = re.compile(rf"(?P<tile>{TILE_PATTERN})(?:[_.].*)?")
_ELEVATION = re.compile(r"(^|[^a-z])(dem|dsm|dtm|srtm|nasadem|elev(ation)?)([^a-z]|$)")
#: Lower values are voids that the source did not mark.
_LOWEST_M = -12000.0


@dataclass(frozen=True, slots=True)
class _Count:
    """What one pass over all pixels found."""

    pixels: int
    empty: int
    """Pixels without a value in any band."""
    low: float
    high: float
    """Over all bands; NaN where there is no value."""
    total: float
    """Sum of all values."""


def single_raster(uri: str, entry: storage.Entry) -> Subject:
    """Describe one raster; all its pixels are read.

    Raises
    ------
    ProductError
        Not a raster, or a damaged one.
    """
    with open_plain(uri) as raster:
        stored = raster.stored
    base = Description(
        path=uri, what="raster", family="raster", files=1, bytes=entry.size,
        images=group([("", stored)]), tags=stored.tags,
    )  # fmt: skip
    name = storage.name_of(uri)
    single = len(stored.bands) == 1
    if single and _STATISTICS.fullmatch(name) and stored.dtype == "uint16":
        return _statistics(base, stored, name)
    if single and _is_elevation(stored, name):
        return _elevation(base, stored)
    roi = _ROI.fullmatch(name)
    if single and roi is not None and stored.dtype == "uint8":
        return _region(base, stored, roi)
    return _any(base, stored)


def _statistics(base: Description, stored: StoredRaster, name: str) -> Subject:
    count = _counted(stored, _plain)
    is_cloud = "_CLM_" in name
    marked = "cloud" if is_cloud else "without data"
    counted = share(int(count.total), count.pixels * PATCH_PIXELS, "pixels")
    described = replace(
        base,
        what=f"statistics: pixels that are {marked} in each patch of {ELEMENTARY_PATCH_PX} px",
        family="statistics",
        state="prepared",
        tile=_tile_of(stored.uri),
        values=ValueRange(count.low, count.high, f"of {PATCH_PIXELS} px"),
        cloud=counted if is_cloud else None,
        nodata=None if is_cloud else counted,
    )
    told = f"one pixel per patch, black = none to white = all of its {PATCH_PIXELS} px"
    return Subject(described, partial(draw_patches, stored.uri, float(PATCH_PIXELS), told))


def _region(base: Description, stored: StoredRaster, roi: re.Match[str]) -> Subject:
    count = _counted(stored, _plain)
    if not 0 <= count.low <= count.high <= 1:
        return _any(base, stored)
    described = replace(
        base,
        what=f"region of interest: the patches of the data set {roi['set']!r}",
        family="roi",
        state="prepared",
        name=roi["set"],
        tile=roi["tile"],
        values=ValueRange(count.low, count.high, ""),
        chosen=share(int(count.total), count.pixels, f"patches of {ELEMENTARY_PATCH_PX} px"),
        complete=completeness(
            storage.join(storage.parent_of(stored.uri), manifest.NAME), (stored.uri,)
        ),
    )
    told = "one pixel per patch, white = may be used (1), black = must not (0)"
    return Subject(described, partial(draw_patches, stored.uri, 1.0, told))


def _elevation(base: Description, stored: StoredRaster) -> Subject:
    convert = partial(_metres, stored.nodata)
    count = _counted(stored, convert)
    is_prepared = stored.bands == DEM_BANDS
    described = replace(
        base,
        what="elevation" + (" on the grid of a tile" if is_prepared else ""),
        family="dem",
        state="prepared" if is_prepared else "delivered",
        tile=_tile_of(stored.uri),
        values=_range(count, "m"),
        nodata=share(count.empty, count.pixels, "pixels (voids)"),
        complete=_own_manifest(stored.uri) if is_prepared else None,
    )
    return Subject(described, partial(draw_relief, stored.uri, convert))


def _any(base: Description, stored: StoredRaster) -> Subject:
    count = _counted(stored, partial(_numbers, stored.nodata))
    over = "pixels (no value in any band)"
    described = replace(
        base,
        values=_range(count, ""),
        nodata=None if stored.nodata is None else share(count.empty, count.pixels, over),
        acquired=parse_time(stored.tags.get(TIME_TAG, "")),
        tile=_tile_of(stored.uri),
    )
    if "DECLOUD_MODEL" in stored.tags:
        model = stored.tags["DECLOUD_MODEL"]
        described = replace(
            described, what=f"reconstruction by the network {model}", family="reconstruction",
            complete=_own_manifest(stored.uri),
        )  # fmt: skip
    elif (product := stored.tags.get("PRODUCT")) is not None:
        note = f"belongs to the prepared product {product}: its folder tells more"
        described = replace(described, what="raster of a prepared product", notes=(note,))
    return Subject(described, _drawing(stored))


def _drawing(stored: StoredRaster) -> Callable[[int], Picture]:
    if set(_SHOWN) <= set(stored.bands):
        nodata = S2_NODATA if stored.nodata is None else int(stored.nodata)
        layers = [Layer(BandFile(stored.uri, nodata), band) for band in _SHOWN]
        return partial(draw_true_colour, layers, None, None)
    if stored.bands == S1_BANDS and stored.dtype == "uint16":
        return partial(draw_encoded_radar, stored.uri)
    return partial(draw_grey, stored.uri, stored.bands[0], partial(_numbers, stored.nodata))


def _counted(stored: StoredRaster, convert: Callable[[Array], Array]) -> _Count:
    """Go once over all pixels, strip by strip."""
    empty, low, high, total = 0, np.inf, -np.inf, 0.0
    with open_plain(stored.uri) as raster:
        for _, pixels in raster.strips():
            values = convert(pixels)
            missing = np.isnan(values)
            empty += int(np.count_nonzero(missing.all(axis=-1)))
            if missing.all():
                continue
            low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
            total += float(np.nansum(values, dtype=np.float64))
    if low > high:
        low = high = float("nan")
    return _Count(stored.height * stored.width, empty, low, high, total)


def _range(count: _Count, unit: str) -> ValueRange | None:
    return None if np.isnan(count.low) else ValueRange(count.low, count.high, unit)


def _plain(pixels: Array) -> Array:
    return pixels.astype(np.float32)


def _numbers(nodata: float | None, pixels: Array) -> Array:
    """Return float32, NaN where there is no value."""
    values = pixels.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    if nodata is not None and not np.isnan(nodata):
        values[pixels == nodata] = np.nan
    return values


def _metres(nodata: float | None, pixels: Array) -> Array:
    """Return float32 metres, NaN for voids, marked by the tag or by impossible values."""
    values = _numbers(DEM_NODATA if nodata is None else nodata, pixels)
    values[values <= _LOWEST_M] = np.nan
    return values


def _is_elevation(stored: StoredRaster, name: str) -> bool:
    if stored.bands == DEM_BANDS or stored.tags.get("UNITS", "").lower() in {"metres", "meters"}:
        return True
    if np.dtype(stored.dtype).kind not in "if" or stored.dtype == "int8":
        return False
    stem = name.rpartition(".")[0]
    return (
        re.fullmatch(TILE_PATTERN, stem) is not None or _ELEVATION.search(stem.lower()) is not None
    )


def _tile_of(uri: str) -> str | None:
    """Return the tile that the file or one of its folders is named after."""
    for part in reversed(uri.split("/")):
        if found := _TILE.fullmatch(part):
            return found["tile"]
    return None


def _own_manifest(uri: str) -> Completeness:
    return completeness(f"{uri.rpartition('.')[0]}.{manifest.NAME}", (uri,))
