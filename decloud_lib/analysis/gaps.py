"""Time between each Sentinel-2 image and the closest Sentinel-1 image: histograms and maps."""

from collections.abc import Sequence
from dataclasses import dataclass

from decloud_lib.analysis.charts import draw_bins
from decloud_lib.analysis.maps import MapPanel, draw_maps
from decloud_lib.analysis.parts import Cell, Figure, Part, Table, map_raster
from decloud_lib.arrays.coverage import gap_histogram, gap_hours, median_over_dates
from decloud_lib.progress import track
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array


@dataclass(frozen=True, slots=True)
class GapBins:
    """Bins of equal width from 0; the last one is open."""

    count: int
    hours: float
    """Width of a bin."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bins, for instance `12-24 h`."""
        inner = (f"{i * self.hours:g}-{(i + 1) * self.hours:g} h" for i in range(self.count - 1))
        return (*inner, f">={(self.count - 1) * self.hours:g} h")


def gaps_part(indexes: Sequence[TileIndex], bins: GapBins) -> Part:
    """Count the S1-S2 gaps of each patch position by bins, and map their median."""
    figures, rasters = [], []
    totals: dict[str, Array] = {}
    shares: dict[str, Array] = {}
    for index in track(indexes, len(indexes), "S1-S2 gaps", "tile"):
        hours = gap_hours(index.catalogue)
        counts = gap_histogram(hours, bins.count, bins.hours)
        median = median_over_dates(hours).reshape(index.shape)
        grid = index.grid.coarsened(index.patch_px)
        bands = {
            name: band.reshape(index.shape) for name, band in zip(bins.names, counts, strict=True)
        }
        rasters += [
            map_raster(f"{index.tile}_s1s2gap_hist", grid, bands, "uint16"),
            map_raster(f"{index.tile}_s1s2gap_median", grid, {"median_hours": median}, "float32"),
        ]
        totals[index.tile] = counts.sum(axis=1)
        shares[index.tile] = 100 * totals[index.tile] / max(int(counts.sum()), 1)
        within = counts[: max(bins.count // 2, 1)].sum(axis=0).reshape(index.shape)
        limit = f"{max(bins.count // 2, 1) * bins.hours:g} h"
        panels = (
            MapPanel("Median gap", median, "hours", colours="viridis_r"),
            MapPanel(f"Sentinel-2 images with a gap below {limit}", within, "images"),
        )
        title = f"{index.tile}: gap to the closest Sentinel-1 image"
        caption = f"Per patch of {index.patch_px} px, over its valid images."
        figures.append(Figure(f"{index.tile}_gaps", title, caption, draw_maps(panels, grid, title)))
    histogram = Figure(
        "s1s2gap_hist",
        "S1-S2 gaps",
        "Share of all pairs (valid Sentinel-2 image, position); the last bin is open.",
        draw_bins(
            bins.names,
            shares,
            ("gap to the closest valid Sentinel-1 image", "pairs, %"),
            "Gaps between Sentinel-2 and Sentinel-1",
        ),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (tile, *map(int, counts), int(counts.sum())) for tile, counts in totals.items()
    )
    note = "Pairs of a valid Sentinel-2 image and a position, by the gap."
    table = Table("gaps", "S1-S2 gaps", ("tile", *bins.names, "pairs"), rows, note)
    text = (
        "For each position and each valid Sentinel-2 image, the time to the closest Sentinel-1 "
        "image that is valid there, before or after. Images without any are not counted."
    )
    numbers = {
        "bins": bins.names,
        "tiles": {tile: counts.tolist() for tile, counts in totals.items()},
    }
    return Part(
        "gaps", "S1-S2 gaps", text, (table,), (histogram, *figures), tuple(rasters), numbers=numbers
    )
