"""What a STAC item says about how its stored values become reflectance.

Archives say it in different ways, and some of them wrongly; the order in which they are believed is
that of `scalings`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.hrefs import resolve
from decloud_lib.raster.products.names import S2Name
from decloud_lib.raster.products.optical import BandFile
from decloud_lib.raster.products.radiometry import (
    DN_PER_REFLECTANCE,
    LARGEST_METADATA,
    METADATA_NAME,
    parse_metadata,
)
from decloud_lib.raster.products.roles import BANDS

#: Properties that say that the archive has taken the offset away already.
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
#: The first baseline whose stored values have an offset.
_FIRST_WITH_OFFSET = (4, 0)
_NODATA = 0
_LARGEST_STORED = 65535


@dataclass(frozen=True, slots=True)
class Scaling:
    """Reflectance = stored x scale + offset, for one band."""

    scale: float
    offset: float


def scalings(
    uri: str,
    item: pystac.Item,
    name: S2Name,
    images: Mapping[str, pystac.Asset],
    boa_offset: int | None,
) -> tuple[dict[str, Scaling], str]:
    """Find out how the values of each of the ten bands become reflectance, and who says so.

    In this order: the user; a flag of Earth Search that the offset is taken away already, which is
    right where the `offset` of its assets is not; scale and offset of each asset; the metadata of
    the product; a baseline before 04.00, which knows no offset.

    Parameters
    ----------
    uri
        The item.
    item, name
        Its content and the product's name.
    images
        The asset of each band.
    boa_offset
        DN; replaces what the item says.

    Raises
    ------
    ProductError
        Nothing says it, or what does is damaged.
    """
    told = {band: _told(uri, images[band]) for band in BANDS}
    scales = {band: scale for band, (scale, _) in told.items()}
    offsets = {band: offset for band, (_, offset) in told.items() if offset is not None}
    if boa_offset is not None:
        offset = boa_offset / DN_PER_REFLECTANCE
        return {band: Scaling(scales[band], offset) for band in BANDS}, "given by the user"
    for flag in _APPLIED:
        if item.properties.get(flag) is True:
            return {band: Scaling(scales[band], 0.0) for band in BANDS}, flag
    if len(offsets) == len(BANDS):
        return {b: Scaling(scales[b], offsets[b]) for b in BANDS}, "scale and offset of the assets"
    if (link := _metadata_link(uri, item)) is not None:
        radiometry = parse_metadata(link, storage.read_range(link, 0, LARGEST_METADATA + 1))
        files = {band: radiometry.band_file(band, "", None) for band in BANDS}
        return {
            band: Scaling(file.scale / DN_PER_REFLECTANCE, file.offset / DN_PER_REFLECTANCE)
            for band, file in files.items()
        }, METADATA_NAME
    baseline = baseline_of(item, name)
    numbers = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", baseline)
    if numbers and (int(numbers[1]), int(numbers[2])) < _FIRST_WITH_OFFSET:
        return {b: Scaling(scales[b], 0.0) for b in BANDS}, f"processing baseline {baseline}"
    raise ProductError(
        f"{uri}: does not say whether its values have the offset of processing baseline 04.00 "
        f"(found baseline {baseline or 'unknown'}, no offset of the assets, no metadata); give "
        "--boa-offset -1000, or 0 if the archive has taken it away"
    )


def band_file(link: str, asset: pystac.Asset, scaling: Scaling) -> BandFile:
    """Return how an image is read."""
    scale, offset = (value * DN_PER_REFLECTANCE for value in (scaling.scale, scaling.offset))
    # 0.0001 x 10000 is not 1 in binary numbers.
    return BandFile(link, _nodata_of(asset), round(scale, 9), round(offset, 6))


def baseline_of(item: pystac.Item, name: S2Name) -> str:
    """Return the processing baseline, as `05.00`; empty where nothing says it."""
    for key in _BASELINES:
        if isinstance(text := item.properties.get(key), str):
            return text
    return name.baseline or ""


def _told(uri: str, asset: pystac.Asset) -> tuple[float, float | None]:
    """Return scale and offset of an image; the usual scale, and None where no offset is said."""
    fields: Mapping[str, Any] = asset.extra_fields
    # `scale` and `offset` of an asset itself are no fields of STAC.
    sources = [(fields, "raster:")]
    for key in ("raster:bands", "bands"):
        bands = fields.get(key)
        if isinstance(bands, list) and len(bands) == 1 and isinstance(bands[0], dict):
            sources += [(bands[0], ""), (bands[0], "raster:")]
    scale, offset = 1.0 / DN_PER_REFLECTANCE, None
    for source, start in sources:
        scale = _number(uri, source, f"{start}scale") or scale
        offset = _number(uri, source, f"{start}offset", offset)
    if scale < 0:
        raise ProductError(f"{uri}: the scale of {asset.href} is {scale}, expected > 0")
    return scale, offset


def _number(
    uri: str, source: Mapping[str, Any], key: str, default: float | None = None
) -> float | None:
    value = source.get(key)
    if value is None:
        return default
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ProductError(f"{uri}: {key} is {value!r}, expected a number")
    return number


def _nodata_of(asset: pystac.Asset) -> int:
    """Return the stored value without data: 0 where the item says nothing usable."""
    bands = asset.extra_fields.get("raster:bands")
    value = asset.extra_fields.get("nodata")
    if value is None and isinstance(bands, list) and bands and isinstance(bands[0], dict):
        value = bands[0].get("nodata")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NODATA
    return int(value) if value in range(_LARGEST_STORED + 1) else _NODATA


def _metadata_link(uri: str, item: pystac.Item) -> str | None:
    for key in ("product_metadata", "product-metadata"):
        if key in item.assets:
            return resolve(uri, item.assets[key].href)
    for asset in item.assets.values():
        if asset.href.partition("?")[0].endswith(f"/{METADATA_NAME}"):
            return resolve(uri, asset.href)
    return None
