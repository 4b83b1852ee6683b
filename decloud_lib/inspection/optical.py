"""What a Sentinel-2 product is, delivered or prepared."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from decloud_lib import manifest, storage
from decloud_lib.arrays.masks import scl_table
from decloud_lib.bands import S2_10M_BANDS, S2_20M_STACK_BANDS, S2_NODATA
from decloud_lib.errors import DecloudError
from decloud_lib.inspection.completeness import completeness
from decloud_lib.inspection.drawing import Layer, Mask, draw_true_colour
from decloud_lib.inspection.facts import (
    Completeness,
    Description,
    Images,
    Picture,
    Share,
    Subject,
    group,
    share,
)
from decloud_lib.inspection.statistics import PATCH_PIXELS, patch_counts, visible_count
from decloud_lib.inspection.wording import over_patches
from decloud_lib.raster.describe import open_plain
from decloud_lib.raster.optical import OpticalReader, open_delivered
from decloud_lib.raster.products.families import open_optical
from decloud_lib.raster.products.names import S2Name, parse_s2_name
from decloud_lib.raster.products.optical import BandFile, OpticalProduct, OpticalSettings
from decloud_lib.raster.products.prepared import S2_PARTS, S2_STATS, PreparedS2, open_s2
from decloud_lib.raster.streaming import strips
from decloud_lib.raster.views import is_part, read_view

_WHAT = "Sentinel-2 L2A product"
_OF_FAMILY = {"theia": " of Theia", "esa": " of ESA", "stac": " of a STAC item"}
_SHOWN = ("B4", "B3", "B2")
_ROWS = 1024
_ANY_BIT = 255


def delivered_optical(uri: str, settings: OpticalSettings) -> Subject:
    """Describe a delivered product of any family; its masks are read, and of bands the headers.

    Raises
    ------
    ProductError, GridMismatchError
        A product that could not be prepared either.
    """
    product = open_optical(uri, settings)
    with open_delivered(product, settings) as reader:
        if product.scene_classification is None:
            cloud, nodata = _masks(reader, settings)
        else:
            cloud, nodata = _classes(product.scene_classification, settings)
    description = Description(
        path=uri,
        what=f"{_WHAT}{_OF_FAMILY[product.family]}",
        family=product.family,
        state="delivered",
        files=len(product.entries),
        bytes=sum(entry.size for entry in product.entries),
        images=_images(product),
        cloud=cloud,
        nodata=nodata,
        complete=Completeness(
            whole=True, told="all bands and masks that are needed are there, on one grid"
        ),
        **_identity(product),
        **_from_metadata(product.facts, product.name),
    )
    return Subject(description, partial(_draw_delivered, product, settings))


def prepared_optical(uri: str) -> Subject:
    """Describe a prepared product by its folder.

    Raises
    ------
    ProductError
        Not a prepared product, or an incomplete one.
    """
    product = open_s2(uri)
    listed = storage.list_files(product.uri)
    outside, _ = patch_counts(product.edge_stats)
    flagged, stored = patch_counts(product.cloud_stats)
    hidden = visible_count(flagged, outside, (product.cloud_stats, product.edge_stats))
    total, empty = outside.size * PATCH_PIXELS, int(outside.sum())
    name = parse_s2_name(product.name)
    tags = stored.tags
    counted = f" ({tags['CLOUD']})" if "CLOUD" in tags else ""
    description = Description(
        path=uri,
        what=_WHAT,
        family=tags.get("FAMILY"),
        state="prepared",
        name=product.name,
        satellite=satellite_of(name.satellite),
        acquired=name.acquired,
        tile=product.tile,
        files=len(listed),
        bytes=sum(entry.size for entry in listed),
        cloud=share(hidden, total - empty, over_patches(f"valid pixels{counted}")),
        nodata=share(empty, total, over_patches("pixels")),
        tags=tags,
        **_from_metadata(tags, name),
    )
    if is_part(product.stack_10m):
        return _statistics_only(product, description)
    parts = {part: getattr(product, part) for part in (*S2_PARTS, *S2_STATS)}
    reflectance = "SRE" if product.stack_10m.endswith("_SRE_10m.tif") else "FRE"
    description = replace(
        description,
        images=_prepared_images(parts),
        reflectance=reflectance,
        complete=completeness(
            storage.join(product.uri, manifest.NAME), [parts[part] for part in S2_PARTS]
        ),
    )
    return Subject(description, partial(_draw_prepared, product))


def _statistics_only(product: PreparedS2, description: Description) -> Subject:
    """Add what the view says, and what can be seen through it."""
    view_uri = product.stack_10m.rpartition("#")[0]
    view = read_view(view_uri)
    settings = view.settings or OpticalSettings()
    manifest_uri = storage.join(product.uri, manifest.NAME)
    description = replace(
        description,
        state="statistics-only",
        source=view.source,
        reflectance=description.tags.get("REFLECTANCE", settings.reflectance),
        complete=completeness(manifest_uri, ()),
    )
    try:
        delivered = open_optical(view.source, settings)
        images = _images(delivered)
    except DecloudError as error:
        # The statistics can be told all the same.
        note = f"the delivered product cannot be read: {error}"
        return Subject(replace(description, notes=(note,)))
    stats = _prepared_images({part: getattr(product, part) for part in S2_STATS})
    description = replace(
        description,
        images=images + stats,
        **_from_metadata(delivered.facts | description.tags, delivered.name),
    )
    return Subject(description, partial(_draw_delivered, delivered, settings))


def satellite_of(word: str) -> str:
    """Return the name of a satellite: `SENTINEL2A` and `s1a` become `Sentinel-2A`, `-1A`."""
    return f"Sentinel-{word[-2:].upper()}"


def _identity(product: OpticalProduct) -> dict[str, Any]:
    return {
        "name": product.name.name,
        "satellite": satellite_of(product.name.satellite),
        "tile": product.name.tile,
        "acquired": product.name.acquired,
        "reflectance": product.reflectance,
    }


def _from_metadata(facts: Mapping[str, str], name: S2Name) -> dict[str, Any]:
    """Return what products, tags and names may tell, as fields."""
    orbit = facts.get("RELATIVE_ORBIT", "").removeprefix("R")
    direction = facts.get("ORBIT_DIRECTION", "").lower()
    return {
        "relative_orbit": int(orbit) if orbit.isdecimal() else name.relative_orbit,
        "direction": direction if direction in ("ascending", "descending") else None,
        "processing_baseline": facts.get("PROCESSING_BASELINE"),
        "boa_offset": facts.get("BOA_ADD_OFFSET"),
    }


def _images(product: OpticalProduct) -> tuple[Images, ...]:
    paths = {name: band.path for name, band in product.bands.items()}
    masks = {
        "CLM": product.cloud_mask, "EDG": product.edge_mask, "SCL": product.scene_classification,
    }  # fmt: skip
    paths |= {name: path for name, path in masks.items() if path is not None}
    found = []
    for name, path in paths.items():
        with open_plain(path) as raster:
            stored = raster.stored
        if name in product.bands:
            # JPEG 2000 files have no tag for it.
            stored = replace(stored, nodata=float(product.bands[name].nodata))
        found.append((name, stored))
    return group(found)


def _prepared_images(parts: Mapping[str, str]) -> tuple[Images, ...]:
    unnamed = {
        "stack_10m": S2_10M_BANDS, "stack_20m": S2_20M_STACK_BANDS,
        "cloud_mask": ("CLM",), "edge_mask": ("EDG",),
    }  # fmt: skip
    words = {"cloud_stats": "CLM counts", "edge_stats": "EDG counts"}
    found = []
    for part, uri in parts.items():
        with open_plain(uri, unnamed=unnamed.get(part, ())) as raster:
            found.append((words.get(part, ""), raster.stored))
    return group(found)


def _masks(reader: OpticalReader, settings: OpticalSettings) -> tuple[Share, Share]:
    """Count Theia's masks, all pixels of them."""
    flagged = outside = 0
    for window in strips(reader.grid_10m, _ROWS):
        edge = reader.edge(window) != 0
        outside += int(np.count_nonzero(edge))
        flagged += int(np.count_nonzero((reader.cloud(window) != 0) & ~edge))
    total = reader.grid_10m.height * reader.grid_10m.width
    counted = f"valid pixels (CLM bits {settings.cloud_bits:08b})"
    return share(flagged, total - outside, counted), share(outside, total, "pixels")


def _classes(uri: str, settings: OpticalSettings) -> tuple[Share, Share]:
    """Count ESA's scene classification, which is much smaller than the bands."""
    histogram = np.zeros(256, np.int64)
    with open_plain(uri) as raster:
        for _, pixels in raster.strips():
            histogram += np.bincount(pixels.ravel(), minlength=256)
    counts = scl_table(settings.cloud_classes) != 0
    total, outside = int(histogram.sum()), int(histogram[0])
    classes = ", ".join(map(str, sorted(settings.cloud_classes)))
    cloud = share(
        int(histogram[counts].sum()),
        total - outside,
        f"valid pixels of the scene classification at 20 m (SCL classes {classes})",
    )
    return cloud, share(outside, total, "pixels of the scene classification at 20 m")


def _draw_delivered(product: OpticalProduct, settings: OpticalSettings, side_px: int) -> Picture:
    layers = [Layer(product.bands[name]) for name in _SHOWN]
    if product.scene_classification is not None:
        mask = Mask(product.scene_classification, scl_table(settings.cloud_classes))
        return draw_true_colour(layers, mask, None, side_px)
    counted = (settings.cloud_bits, _ANY_BIT)
    cloud, edge = (
        Mask(uri, np.arange(256) & bits) if uri is not None else None
        for uri, bits in zip((product.cloud_mask, product.edge_mask), counted, strict=True)
    )
    return draw_true_colour(layers, cloud, edge, side_px)


def _draw_prepared(product: PreparedS2, side_px: int) -> Picture:
    stack = BandFile(product.stack_10m, S2_NODATA)
    layers = [Layer(stack, name, S2_10M_BANDS) for name in _SHOWN]
    any_bit = np.arange(256) & _ANY_BIT
    cloud, edge = Mask(product.cloud_mask, any_bit), Mask(product.edge_mask, any_bit)
    return draw_true_colour(layers, cloud, edge, side_px)
