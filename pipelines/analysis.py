"""Analysis: what tiles, layouts and records hold, as a page in the user interface."""

from kfp import dsl
from kfp.dsl import HTML

from components.analyse import analyse
from components.doctor import doctor
from pipelines.resources import SAMPLE, SMALL, sized


@dsl.pipeline(name="analysis", description="Prepared tiles and records to one page.")
def analysis(
    tiles: str,
    out: str,
    rois: str = "",
    records: list[str] = [],
    layouts: list[str] = [],
    layout: str = "",
    patchsize: int = 256,
    dataset: str = "train",
    conflicts: str = "all_pairs",
    parts: list[str] = ["coverage", "gaps", "counts", "uses", "images", "records", "layout"],
    images_per_tile: int = 3,
    gaps: list[float] = [24.0, 36.0, 48.0, 72.0],
    scales: list[float] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
    inner_days: list[float] = [],
    outer_days: list[float] = [],
    min_samples: int = 1000,
    min_seasons: int = 2,
    positions_percent: float = 50.0,
    seed: int = 0,
    overwrite: bool = False,
) -> HTML:
    """Count samples, map tiles and show it all on one page.

    Parameters
    ----------
    tiles
        JSON list of tiles, made by the preprocessing.
    out
        Folder of the page, pictures, tables and rasters.
    rois
        JSON file of the regions, made by the sampling; empty: all ground.
    records
        Folders of records that are shown on a map.
    layouts
        Acquisition layouts that are counted; none: all shipped ones.
    layout
        Acquisition layout to give advice on; empty: none.
    patchsize
        Side of a patch, 10 m pixels, a multiple of 64.
    dataset
        Data set whose regions count.
    conflicts
        all_pairs: no Sentinel-2 image twice in a sample; historic: no such rule.
    parts
        Parts of the page.
    images_per_tile
        Dates of each sensor and tile whose pixels are read for the image statistics.
    gaps
        Largest S1-S2 gaps to try for the advice, hours.
    scales
        Time windows to try: those of the layout so many times as long.
    inner_days
        Windows to try instead: where those around the reference end, days.
    outer_days
        With inner days, where the windows beside the reference end, days.
    min_samples
        Samples that are wanted of the advised layout.
    min_seasons
        Seasons that they are wanted in.
    positions_percent
        Share of the positions with a sample that is wanted, %.
    seed
        Seed of random cloud bounds.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=out), SMALL)
    task = analyse(
        tiles=tiles,
        out=out,
        rois=rois,
        records=records,
        layouts=layouts,
        layout=layout,
        patchsize=patchsize,
        dataset=dataset,
        conflicts=conflicts,
        parts=parts,
        images_per_tile=images_per_tile,
        gaps=gaps,
        scales=scales,
        inner_days=inner_days,
        outer_days=outer_days,
        min_samples=min_samples,
        min_seasons=min_seasons,
        positions_percent=positions_percent,
        seed=seed,
        overwrite=overwrite,
    )
    return sized(task.after(checked), SAMPLE).outputs["page"]
