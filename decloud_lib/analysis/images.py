"""Statistics and histograms of the bands of images, by windows, whatever their number."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from decloud_lib import storage
from decloud_lib.analysis.charts import draw_band_histograms
from decloud_lib.analysis.parts import Cell, Figure, Part, Table
from decloud_lib.arrays.statistics import (
    BandStatistics,
    BandSummary,
    ValueCounts,
    band_statistics,
    valid_values,
)
from decloud_lib.arrays.windows import partition
from decloud_lib.bands import S1_BANDS, S1_NODATA, S2_10M_BANDS, S2_20M_STACK_BANDS, S2_NODATA
from decloud_lib.errors import ConfigError, ProductError
from decloud_lib.progress import track
from decloud_lib.raster.describe import open_plain
from decloud_lib.raster.views import is_part, open_image
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array

#: Images that are read at the same time.
_READERS = 3
_WINDOW_PX = 1024
_MEASURES = ("valid", "minimum", "maximum", "mean", "std")


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """Images with the same bands, whose values belong together."""

    name: str
    uris: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    """Names of the bands where a file has none."""
    nodata: float | None = None
    """Value that does not count; the mark in each file where None."""


@dataclass(frozen=True, slots=True, eq=False)
class _Header:
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None


def images_part(groups: Sequence[ImageGroup], most_bins: int) -> Part:
    """Compute statistics and histograms of the bands of images.

    Parameters
    ----------
    groups
        The images; each group has its own table, histogram and picture.
    most_bins
        Bins of a histogram, at most.

    Raises
    ------
    ProductError
        An image that cannot be read, or has other bands than the first of its group.
    """
    tables, figures = [], []
    files: dict[str, str] = {}
    numbers: dict[str, Any] = {}
    for group in groups:
        header = _header(group, group.uris[0])
        whole, single = _statistics(group, header)
        edges, counts = _histogram(group, header, whole, most_bins)
        stem = group.name.lower().replace(" ", "_")
        title = f"{group.name}: {len(group.uris)} images"
        tables.append(_band_table(f"{stem}_statistics", title, header.bands, whole.summaries()))
        bins = _histogram_table(f"{stem}_histogram", header.bands, edges, counts)
        files[f"{bins.name}.csv"] = bins.csv()
        each = _image_table(f"{stem}_images", header.bands, single)
        files[f"{each.name}.csv"] = each.csv()
        figures.append(
            Figure(
                f"{stem}_histogram",
                title,
                "Share of the valid pixels per unit of the stored value, between the 0.1 % and the "
                "99.9 % quantile of all bands; dashed: the mean.",
                draw_band_histograms(
                    header.bands, (edges, counts), [one.mean for one in whole.summaries()], title
                ),
            )
        )
        numbers[group.name] = {
            "images": len(group.uris),
            "bands": _by_band(header.bands, whole.summaries()),
            "each": {uri: _by_band(header.bands, one.summaries()) for uri, one in single.items()},
        }
    text = (
        "Over all pixels of all images, exactly: each value counts once. Values are those that are "
        "stored; pixels without data are left out. The standard deviation is that of the values."
    )
    return Part(
        "images",
        "Image statistics",
        text,
        tuple(tables),
        tuple(figures),
        files=files,
        numbers={"groups": numbers},
    )


def find_images(given: Sequence[str], pattern: str) -> tuple[str, ...]:
    """Return rasters: those that are named, and those below named folders that fit a pattern.

    Raises
    ------
    ConfigError
        There is none.
    """
    found: list[str] = []
    for uri in given:
        if storage.stat(uri) is not None:
            found.append(uri)
            continue
        listed = [entry.uri for entry in storage.list_files(uri)]
        found += [name for name in listed if fnmatch(storage.name_of(name), pattern)]
    if not found:
        raise ConfigError(
            f"{', '.join(given)}: no file fits {pattern!r}; expected rasters, or folders that hold "
            "some"
        )
    return tuple(dict.fromkeys(found))


def tile_images(indexes: Sequence[TileIndex], per_tile: int) -> list[ImageGroup]:
    """Group the prepared images of tiles by kind; of each tile some dates, spread over the time."""
    s2 = [image for index in indexes for image in _spread(index.s2, per_tile)]
    s1 = [image for index in indexes for image in _spread(index.s1, per_tile)]
    groups = (
        ImageGroup("S2 10 m", tuple(i.stack_10m for i in s2), S2_10M_BANDS, S2_NODATA),
        ImageGroup("S2 20 m", tuple(i.stack_20m for i in s2), S2_20M_STACK_BANDS, S2_NODATA),
        ImageGroup("S1", tuple(i.uri for i in s1), S1_BANDS, S1_NODATA),
    )
    return [group for group in groups if group.uris]


def _spread(images: Sequence[Any], most: int) -> list[Any]:
    chosen = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    return [images[i] for i in chosen]


def _statistics(
    group: ImageGroup, header: _Header
) -> tuple[BandStatistics, dict[str, BandStatistics]]:
    """Return the statistics of all images together and of each."""

    def read(uri: str) -> BandStatistics:
        found, own = band_statistics(header.dtype, len(header.bands)), _header(group, uri)
        if (own.bands, own.dtype) != (header.bands, header.dtype):
            raise ProductError(
                f"{uri}: holds {', '.join(own.bands)} as {own.dtype}; expected "
                f"{', '.join(header.bands)} as {header.dtype}, like {group.uris[0]}: look at "
                "images of one kind at a time"
            )
        for pixels in _pieces(group, uri):
            found.add(pixels, own.nodata)
        return found

    whole, single = band_statistics(header.dtype, len(header.bands)), {}
    with ThreadPoolExecutor(_READERS) as pool:
        found = zip(group.uris, pool.map(read, group.uris), strict=True)
        for uri, one in track(found, len(group.uris), f"statistics of {group.name}", "image"):
            whole.merge(one)
            single[uri] = one
    return whole, single


def _histogram(
    group: ImageGroup, header: _Header, whole: BandStatistics, most_bins: int
) -> tuple[Array, Array]:
    """Return (bins + 1,) edges and (bands, bins) counts; reads again what could not be counted."""
    if isinstance(whole, ValueCounts):
        return whole.histogram(most_bins)
    summaries = [one for one in whole.summaries() if one.valid]
    low = min((one.minimum for one in summaries), default=0.0)
    high = max((one.maximum for one in summaries), default=1.0)
    edges = np.linspace(low, high if high > low else low + 1, most_bins + 1)
    counts = np.zeros((len(header.bands), most_bins), np.int64)
    for uri in track(group.uris, len(group.uris), f"histograms of {group.name}", "image"):
        nodata = _header(group, uri).nodata
        for pixels in _pieces(group, uri):
            for band, row in enumerate(counts):
                row += np.histogram(valid_values(pixels[..., band], nodata), edges)[0]
    return edges, counts


def _header(group: ImageGroup, uri: str) -> _Header:
    if is_part(uri):
        with open_image(uri, group.unnamed) as image:
            bands, dtype, nodata = image.bands, image.dtype, image.nodata
    else:
        with open_plain(uri, unnamed=group.unnamed) as raster:
            stored = raster.stored
            bands, dtype, nodata = stored.bands, stored.dtype, stored.nodata
    return _Header(bands, dtype, nodata if group.nodata is None else group.nodata)


def _pieces(group: ImageGroup, uri: str) -> Iterator[Array]:
    """Yield (h, w, bands) pixels; together they are the image."""
    if is_part(uri):
        with open_image(uri, group.unnamed) as image:
            for window in partition(image.grid.shape, _WINDOW_PX):
                yield image.read(window)
        return
    with open_plain(uri, unnamed=group.unnamed) as raster:
        for _, pixels in raster.strips():
            yield pixels


def _by_band(
    bands: Sequence[str], summaries: Sequence[BandSummary]
) -> Mapping[str, dict[str, float]]:
    return {band: asdict(one) for band, one in zip(bands, summaries, strict=True)}


def _cells(one: BandSummary) -> tuple[Cell, ...]:
    return tuple(getattr(one, name) for name in _MEASURES)


def _band_table(
    name: str, title: str, bands: Sequence[str], summaries: Sequence[BandSummary]
) -> Table:
    rows = tuple((band, *_cells(one)) for band, one in zip(bands, summaries, strict=True))
    return Table(name, title, ("band", "valid pixels", *_MEASURES[1:]), rows)


def _image_table(name: str, bands: Sequence[str], single: Mapping[str, BandStatistics]) -> Table:
    rows = tuple(
        (uri, band, *_cells(one))
        for uri, statistics in single.items()
        for band, one in zip(bands, statistics.summaries(), strict=True)
    )
    return Table(name, name, ("image", "band", *_MEASURES), rows)


def _histogram_table(name: str, bands: Sequence[str], edges: Array, counts: Array) -> Table:
    rows = tuple(
        (float(edges[i]), float(edges[i + 1]), *map(int, column))
        for i, column in enumerate(counts.T)
    )
    return Table(name, name, ("from", "below", *bands), rows)
