"""Maps of a tile: mean cloud, valid images, and how often a layout uses them."""

from collections.abc import Sequence

import numpy as np

from decloud_lib.analysis.maps import MapPanel, draw_maps
from decloud_lib.analysis.parts import Figure, Part, Table, map_raster
from decloud_lib.arrays.coverage import mean_cloud_percent
from decloud_lib.progress import track
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array


def coverage_part(indexes: Sequence[TileIndex]) -> Part:
    """Map mean cloud and the numbers of valid images of tiles."""
    figures, rasters, rows = [], [], []
    for index in track(indexes, len(indexes), "coverage", "tile"):
        catalogue = index.catalogue
        cloud = mean_cloud_percent(catalogue).reshape(index.shape)
        s1 = np.count_nonzero(catalogue.s1_valid, axis=0).reshape(index.shape)
        s2 = np.count_nonzero(catalogue.s2_valid, axis=0).reshape(index.shape)
        grid = index.grid.coarsened(index.patch_px)
        rasters += [
            map_raster(f"{index.tile}_cloud_percent", grid, {"cloud_percent": cloud}, "float32"),
            map_raster(f"{index.tile}_valid_s2", grid, {"valid_s2": s2}, "uint16"),
            map_raster(f"{index.tile}_valid_s1", grid, {"valid_s1": s1}, "uint16"),
        ]
        panels = (
            MapPanel("Mean cloud of the valid dates", cloud, "cloud, %", (0, 100), "Blues_r"),
            MapPanel(
                "Valid Sentinel-2 images", s2, f"images of {len(index.s2)}", (0, len(index.s2))
            ),
            MapPanel(
                "Valid Sentinel-1 images",
                s1,
                f"images of {len(index.s1)}",
                (0, max(len(index.s1), 1)),
            ),
        )
        title = f"{index.tile}: {_period(catalogue.s2_time_ms)}"
        caption = f"One cell is a patch of {index.patch_px} px ({grid.pixel_m:g} m)."
        figures.append(Figure(index.tile, title, caption, draw_maps(panels, grid, title)))
        defined = cloud[~np.isnan(cloud)]
        rows.append(
            (
                index.tile,
                len(index.s2),
                len(index.s1),
                float(defined.mean()) if defined.size else float("nan"),
                float(s2.mean()),
                float(s1.mean()),
                int(cloud.size - defined.size),
            )
        )
    columns = (
        "tile",
        "S2 dates",
        "S1 dates",
        "mean cloud, %",
        "valid S2 per patch",
        "valid S1 per patch",
        "patches never valid",
    )
    table = Table("coverage", "Tiles", columns, tuple(rows))
    numbers = [dict(zip(columns, row, strict=True)) for row in rows]
    text = (
        "A patch of an image is valid when it holds no pixel without data. Mean cloud is over the "
        "valid Sentinel-2 dates of a patch; it is undefined (no data in the raster) where none is."
    )
    return Part(
        "coverage",
        "Cloud and validity",
        text,
        (table,),
        tuple(figures),
        tuple(rasters),
        numbers={"tiles": numbers},
    )


def _period(times_ms: Array) -> str:
    days = times_ms.astype("datetime64[ms]").astype("datetime64[D]")
    return f"{days.min()} to {days.max()}"
