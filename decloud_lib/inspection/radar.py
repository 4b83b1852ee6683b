"""What a Sentinel-1 image is, delivered or prepared."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from decloud_lib import manifest, storage
from decloud_lib.bands import S1_BANDS
from decloud_lib.errors import DecloudError
from decloud_lib.inspection.completeness import completeness
from decloud_lib.inspection.drawing import draw_delivered_radar, draw_encoded_radar
from decloud_lib.inspection.facts import (
    Completeness,
    Description,
    Images,
    Picture,
    Subject,
    group,
    share,
)
from decloud_lib.inspection.optical import satellite_of
from decloud_lib.inspection.statistics import PATCH_PIXELS, patch_counts
from decloud_lib.inspection.wording import over_patches
from decloud_lib.raster.describe import open_plain
from decloud_lib.raster.products.names import S1Name, parse_s1_name
from decloud_lib.raster.products.prepared import PreparedS1, open_s1
from decloud_lib.raster.products.s1tiling import (
    AssumedHours,
    S1Pair,
    acquisition_time,
    find_pair,
)
from decloud_lib.raster.radar import open_pair
from decloud_lib.raster.streaming import strips
from decloud_lib.raster.views import VIEW_END, is_part, read_view

_WHAT = "Sentinel-1 image"
_ROWS = 1024
#: Tags of one file that are not true of both, or that GDAL adds to each.
_SAID_ELSEWHERE = {"AREA_OR_POINT", "POLARIZATION"}


def delivered_radar(uri: str) -> Subject:
    """Describe the two files of an acquisition, by either of them; both are read.

    Raises
    ------
    ProductError, GridMismatchError
        Half a pair, or files that could not be prepared either.
    """
    pair = find_pair(uri)
    empty = 0
    with open_pair(pair) as reader:
        for window in strips(reader.grid, _ROWS):
            empty += int(np.count_nonzero(reader.nodata_mask(window)))
        total = reader.grid.height * reader.grid.width
        tags = dict(reader.tags)
    acquired, assumed = acquisition_time(pair.name, tags, AssumedHours())
    description = Description(
        path=uri,
        what=f"{_WHAT} of S1Tiling (VV and VH, linear sigma nought)",
        state="delivered",
        name=pair.name.stem,
        acquired=acquired,
        time_is_assumed=assumed,
        files=2,
        bytes=pair.vv.size + pair.vh.size,
        images=_pair_images(pair),
        nodata=share(empty, total, "pixels (no value in either polarisation)"),
        complete=Completeness(whole=True, told="both polarisations are there, on one grid"),
        tags={key: text for key, text in tags.items() if key not in _SAID_ELSEWHERE},
        **_identity(pair.name),
    )
    return Subject(description, partial(draw_delivered_radar, pair.vv.uri, pair.vh.uri))


def prepared_radar(uri: str) -> Subject:
    """Describe a prepared image: a raster, or the view of a delivered pair.

    Raises
    ------
    ProductError
        Not a prepared image, or one without its statistics.
    """
    image = open_s1(uri)
    is_view = is_part(image.uri)
    place = image.uri.rpartition("#")[0] if is_view else image.uri
    stem = place.removesuffix(VIEW_END if is_view else ".tif")
    name = parse_s1_name(storage.name_of(stem))
    counts, stats = patch_counts(image.edge_stats)
    manifest_uri = f"{stem}.{manifest.NAME}"
    sizes = [entry.size for item in (place, image.edge_stats) if (entry := storage.stat(item))]
    description = Description(
        path=uri,
        what=f"{_WHAT} (VV and VH, ln of sigma nought as 16-bit integers)",
        state="prepared",
        name=name.stem,
        acquired=image.acquired,
        time_is_assumed=image.time_is_assumed,
        files=len(sizes),
        bytes=sum(sizes),
        nodata=share(
            int(counts.sum()),
            counts.size * PATCH_PIXELS,
            over_patches("pixels (no value in either polarisation)"),
        ),
        complete=completeness(manifest_uri, () if is_view else (place,)),
        tags=stats.tags,
        **_identity(name),
    )
    named = ("no-data counts", stats)
    if is_view:
        return _statistics_only(place, description, group([named]))
    with open_plain(place, unnamed=S1_BANDS) as raster:
        stored = raster.stored
    description = replace(description, images=group([("", stored), named]), tags=stored.tags)
    return Subject(description, partial(_draw_prepared, image))


def _statistics_only(view_uri: str, description: Description, stats: tuple[Images, ...]) -> Subject:
    source = read_view(view_uri).source
    description = replace(
        description,
        what=f"{_WHAT} (VV and VH), left as it was delivered",
        state="statistics-only",
        source=source,
        images=stats,
    )
    try:
        pair = find_pair(source)
        images = _pair_images(pair)
    except DecloudError as error:
        # The statistics can be told all the same.
        note = f"the delivered image cannot be read: {error}"
        return Subject(replace(description, notes=(note,)))
    description = replace(description, images=images + stats)
    return Subject(description, partial(draw_delivered_radar, pair.vv.uri, pair.vh.uri))


def _identity(name: S1Name) -> dict[str, Any]:
    return {
        "family": "s1tiling",
        "satellite": satellite_of(name.satellite),
        "tile": name.tile,
        "relative_orbit": name.relative_orbit,
        "direction": "ascending" if name.ascending else "descending",
    }


def _pair_images(pair: S1Pair) -> tuple[Images, ...]:
    found = []
    for band, entry in zip(S1_BANDS, (pair.vv, pair.vh), strict=True):
        with open_plain(entry.uri) as raster:
            found.append((band, raster.stored))
    return group(found)


def _draw_prepared(image: PreparedS1, side_px: int) -> Picture:
    return draw_encoded_radar(image.uri, side_px)
