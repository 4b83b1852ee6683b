"""Maps and time lines of how often the samples of a layout use each image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decloud_lib import storage
from decloud_lib.analysis.charts import draw_timeline
from decloud_lib.analysis.counts import search_layout
from decloud_lib.analysis.ground import DataSetGround, NamedLayout
from decloud_lib.analysis.maps import MapPanel, draw_maps
from decloud_lib.analysis.parts import Cell, Figure, Part, Raster, Table, map_raster
from decloud_lib.analysis.rules import CountRules
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class _Uses:
    """Uses of the images of one tile by one layout."""

    layout: str
    index: TileIndex
    positions: Array
    """(K,) int: positions in the region."""
    s2: Array
    """(D2, K) int64."""
    s1: Array
    """(D1, K) int64."""
    samples: int

    @property
    def name(self) -> str:
        return f"{self.index.tile}_{self.layout}"

    @property
    def title(self) -> str:
        return f"{self.layout} on {self.index.tile}"

    @property
    def by_sensor(self) -> tuple[tuple[str, Array], ...]:
        return (("s2", self.s2), ("s1", self.s1))


def uses_part(layouts: Sequence[NamedLayout], ground: DataSetGround, rules: CountRules) -> Part:
    """Map how often the samples of a data set use the images of each position.

    Parameters
    ----------
    layouts
        The layouts; one without samples gets no map.
    ground
        What belongs to the data set.
    rules
        How samples are counted.
    """
    figures: list[Figure] = []
    rasters: list[Raster] = []
    files: dict[str, str] = {}
    rows: list[tuple[Cell, ...]] = []
    unused = []
    for layout in track(layouts, len(layouts), "uses of images", "layout"):
        found = _uses(layout, ground, rules)
        if not found:
            unused.append(layout.name)
        for uses in found:
            maps = _maps(uses)
            rasters += _rasters(uses, maps)
            figures += _figures(uses, maps)
            files[f"{uses.name}_images.csv"] = _images_table(uses).csv()
            rows.append(_row(uses))
    columns = ("layout", "tile", "samples", "S2 used", "S2 dates", "S1 used", "S1 dates")
    note = "Images that stand in a sample at one position or more. A CSV per row lists them."
    text = (
        f"In the regions of data set {ground.name}: how often the images of a position stand in a "
        "sample, counted in each acquisition of each sample, and how many different ones do. "
        "Positions outside of the region are undefined."
    )
    if unused:
        text += f" Without samples: {', '.join(unused)}."
    numbers: dict[str, Any] = {
        "data_set": ground.name,
        "without_samples": unused,
        "layouts": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    return Part(
        "uses",
        "Use of the images",
        text,
        (Table("uses", "Images used", columns, tuple(rows), note),),
        tuple(figures),
        tuple(rasters),
        files,
        numbers,
    )


def _uses(layout: NamedLayout, ground: DataSetGround, rules: CountRules) -> list[_Uses]:
    found = search_layout(layout, ground.places, rules)
    if found is None:
        return []
    searches = zip(found.indexes, found.positions, found.searches, strict=True)
    return [
        _Uses(layout.name, index, positions, *search.image_uses(), search.total)
        for index, positions, search in searches
        if search.total
    ]


def _maps(uses: _Uses) -> dict[str, dict[str, Array]]:
    """Return, per sensor, (rows, cols) float64 maps of uses and of different images."""

    def spread(values: Array) -> Array:
        whole = np.full(uses.index.catalogue.n_positions, np.nan)
        whole[uses.positions] = values
        return whole.reshape(uses.index.shape)

    return {
        sensor: {
            "uses": spread(counts.sum(axis=0)),
            "images": spread(np.count_nonzero(counts, axis=0)),
        }
        for sensor, counts in uses.by_sensor
    }


def _rasters(uses: _Uses, maps: dict[str, dict[str, Array]]) -> list[Raster]:
    grid = uses.index.grid.coarsened(uses.index.patch_px)
    return [
        map_raster(f"{uses.name}_{sensor}_freq", grid, bands, "float64")
        for sensor, bands in maps.items()
    ]


def _figures(uses: _Uses, maps: dict[str, dict[str, Array]]) -> list[Figure]:
    panels = [
        MapPanel(f"{label} {sensor.replace('s', 'Sentinel-')}", maps[sensor][kind], unit)
        for sensor in maps
        for kind, label, unit in (("uses", "Uses of", "uses"), ("images", "Different", "images"))
    ]
    grid = uses.index.grid.coarsened(uses.index.patch_px)
    catalogue = uses.index.catalogue
    times = {
        "Sentinel-2": (catalogue.s2_time_ms, uses.s2.sum(axis=1)),
        "Sentinel-1": (catalogue.s1_time_ms, uses.s1.sum(axis=1)),
    }
    title = f"{uses.title}: {uses.samples:,} samples"
    by_date = Figure(
        f"{uses.name}_dates",
        f"{title}, by date",
        "Uses of each image over all positions; a tick marks an image.",
        draw_timeline(times, "uses", f"{title}, by date"),
    )
    if catalogue.n_positions == 1:
        return [by_date]
    on_map = Figure(
        f"{uses.name}_freq",
        title,
        "Uses in all samples of the layout, and different images used, per position.",
        draw_maps(panels, grid, title),
    )
    return [on_map, by_date]


def _row(uses: _Uses) -> tuple[Cell, ...]:
    used = (int(np.count_nonzero(counts.any(axis=1))) for _, counts in uses.by_sensor)
    s2, s1 = used
    return (uses.layout, uses.index.tile, uses.samples, s2, len(uses.s2), s1, len(uses.s1))


def _images_table(uses: _Uses) -> Table:
    rows: list[tuple[Cell, ...]] = []
    images: tuple[PreparedS2 | PreparedS1, ...] = (*uses.index.s2, *uses.index.s1)
    for image, count in zip(images, (*uses.s2, *uses.s1), strict=True):
        sensor = "S2" if isinstance(image, PreparedS2) else "S1"
        moment = image.acquired.strftime("%Y-%m-%dT%H:%M:%SZ")
        positions = int(np.count_nonzero(count))
        rows.append((moment, sensor, storage.name_of(image.uri), int(count.sum()), positions))
    columns = ("utc", "sensor", "image", "uses", "positions")
    ordered = tuple(sorted(rows, key=lambda row: (str(row[0]), str(row[1]))))
    return Table(f"{uses.name}_images", uses.title, columns, ordered)
