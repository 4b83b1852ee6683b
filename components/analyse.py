"""Component: the analyses of tiles, layouts and records on one page."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def analyse(
    tiles: str,
    out: str,
    page: Output[HTML],
    patchsize: int = 256,
    rois: Optional[str] = None,
    conflicts: str = "all_pairs",
    seed: int = 0,
    season_months: list[str] = ["3-5", "6-8", "9-11", "12-2"],
    dataset: str = "train",
    layouts: list[str] = [],
    constant: bool = False,
    constant_nb: int = 10,
    nbins: int = 8,
    quant: float = 12.0,
    parts: list[str] = ["coverage", "gaps", "counts", "uses", "images", "records", "layout"],
    records: list[str] = [],
    crs: Optional[str] = None,
    images_per_tile: int = 3,
    bins: int = 1000,
    layout: Optional[str] = None,
    gaps: list[float] = [24.0, 36.0, 48.0, 72.0],
    scales: list[float] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
    inner_days: list[float] = [],
    outer_days: list[float] = [],
    min_samples: int = 1000,
    min_seasons: int = 2,
    season_percent: float = 5.0,
    positions_percent: float = 50.0,
    prefer: str = "gap",
    overwrite: bool = False,
) -> str:
    """Count samples, map tiles and show it all on one page; return the URI of the page.

    Parameters
    ----------
    tiles
        JSON list of tiles.
    out
        Folder of the page, pictures, tables and rasters.
    patchsize
        Side of a patch, 10 m pixels, a multiple of 64.
    rois
        JSON file of the regions; all ground where not given.
    conflicts
        all_pairs: no Sentinel-2 image twice in a sample; historic: no such rule.
    seed
        Seed of random cloud bounds.
    season_months
        Months of each season of the reference date.
    dataset
        Data set whose regions count.
    layouts
        Acquisition layouts; all shipped ones where none is given.
    constant
        Also count at most a number of samples per position.
    constant_nb
        That number.
    nbins
        Bins of the S1-S2 gaps; the last one is open.
    quant
        Width of such a bin, hours.
    parts
        Parts of the page.
    records
        Folders of records that are shown on a map.
    crs
        CRS of that map.
    images_per_tile
        Dates of each sensor and tile whose pixels are read for the image statistics.
    bins
        Bins of their histograms.
    layout
        Acquisition layout to give advice on.
    gaps
        Largest S1-S2 gaps to try, hours.
    scales
        Time windows to try: those of the layout so many times as long.
    inner_days
        Windows to try instead: where those around the reference end, days.
    outer_days
        With inner days, where the windows beside the reference end, days.
    min_samples
        Samples that are wanted.
    min_seasons
        Seasons that the samples are wanted in.
    season_percent
        A season counts from this share of the samples, %.
    positions_percent
        Share of the positions with a sample that is wanted, %.
    prefer
        What is made small first: gap or windows.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import analyse as stage

    task.start()
    config = stage.AnalyseConfig(
        **task.given(
            tiles=tiles,
            out=out,
            patchsize=patchsize,
            rois=rois,
            conflicts=conflicts,
            seed=seed,
            season_months=season_months,
            dataset=dataset,
            layouts=layouts,
            constant=constant,
            constant_nb=constant_nb,
            nbins=nbins,
            quant=quant,
            parts=parts,
            records=records,
            crs=crs,
            images_per_tile=images_per_tile,
            bins=bins,
            layout=layout,
            gaps=gaps,
            scales=scales,
            inner_days=inner_days,
            outer_days=outer_days,
            min_samples=min_samples,
            min_seasons=min_seasons,
            season_percent=season_percent,
            positions_percent=positions_percent,
            prefer=prefer,
            overwrite=overwrite,
        )
    )
    result = stage.analyse(config)
    task.write_page(page, result.page)
    return result.page
