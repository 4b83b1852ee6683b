"""Reconstruction: cloud-free images with a registered network, one date or a period."""

from kfp import dsl

from components.doctor import doctor
from components.list_series import list_series
from components.reconstruct import reconstruct
from components.reconstruct_series import reconstruct_series
from pipelines.resources import PARALLELISM, RECONSTRUCT, SMALL, sized


@dsl.pipeline(name="reconstruction", description="Rebuild one cloudy date.")
def reconstruction(
    in_s2: str,
    output: str,
    savedmodel: str = "models:/decloud@champion",
    s1_dir: str = "",
    s2_dir: str = "",
    dem: str = "",
    il_s1before: list[str] = [],
    il_s2before: list[str] = [],
    il_s1: list[str] = [],
    il_s1after: list[str] = [],
    il_s2after: list[str] = [],
    pad: int = -1,
    ts: int = -1,
    memory_limit: float = 4.0,
    statistics: str = "",
    maxgap: float = 72.0,
    priority: str = "closest_clear",
    min_days: float = -1.0,
    max_days: float = -1.0,
    batch_size: int = 1,
    engine: str = "rasterio",
    overwrite: bool = False,
) -> str:
    """Rebuild one cloudy Sentinel-2 date; returns the URI of the image.

    Parameters
    ----------
    in_s2
        Prepared product to rebuild.
    output
        Image to write.
    savedmodel
        Network: a folder or a registered model.
    s1_dir
        Prepared Sentinel-1 tile folder to choose from; empty: the lists are given.
    s2_dir
        Prepared Sentinel-2 tile folder to choose from; empty: the lists are given.
    dem
        Prepared elevation of the tile; empty: none.
    il_s1before
        Prepared Sentinel-1 files of the date before.
    il_s2before
        Prepared Sentinel-2 products of the date before.
    il_s1
        Prepared Sentinel-1 files of the date itself.
    il_s1after
        Prepared Sentinel-1 files of the date after.
    il_s2after
        Prepared Sentinel-2 products of the date after.
    pad
        Margin, 10 m pixels; -1: what the network needs.
    ts
        Side of a window, 10 m pixels; -1: what computes least within the memory limit.
    memory_limit
        Memory for which windows are chosen, 10^9 bytes.
    statistics
        Folder of a table of inputs and self-check, for the monitoring; empty: none.
    maxgap
        Largest time between Sentinel-1 and Sentinel-2, hours.
    priority
        Which neighbour wins: closest_clear, closest or farthest.
    min_days
        Least distance of a neighbour, days; -1: as the network was trained.
    max_days
        Largest distance of a neighbour, days; -1: as the network was trained.
    batch_size
        Windows per call of the network.
    engine
        What reads the images: rasterio, or otb where the image has the Orfeo ToolBox.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    checked = sized(doctor(bucket=output, savedmodel=savedmodel), SMALL)
    rebuilt = reconstruct(
        in_s2=in_s2,
        savedmodel=savedmodel,
        output=output,
        il_s1before=il_s1before,
        il_s2before=il_s2before,
        il_s1=il_s1,
        il_s1after=il_s1after,
        il_s2after=il_s2after,
        s1_dir=s1_dir,
        s2_dir=s2_dir,
        dem=dem,
        pad=pad,
        ts=ts,
        memory_limit=memory_limit,
        statistics=statistics,
        maxgap=maxgap,
        priority=priority,
        min_days=min_days,
        max_days=max_days,
        batch_size=batch_size,
        engine=engine,
        overwrite=overwrite,
    )
    return sized(rebuilt.after(checked), RECONSTRUCT).outputs["Output"]


@dsl.pipeline(name="reconstruction-series", description="Rebuild all dates of a period.")
def reconstruction_series(
    s2_dir: str,
    out_dir: str,
    savedmodel: str = "models:/decloud@champion",
    s1_dir: str = "",
    dem: str = "",
    start: str = "",
    end: str = "",
    pad: int = -1,
    ts: int = -1,
    memory_limit: float = 4.0,
    statistics: str = "",
    maxgap: float = 72.0,
    priority: str = "closest_clear",
    min_days: float = -1.0,
    max_days: float = -1.0,
    batch_size: int = 1,
    engine: str = "rasterio",
    overwrite: bool = False,
) -> list[str]:
    """Rebuild all dates of a period; returns the URIs of the images.

    Parameters
    ----------
    s2_dir
        Prepared Sentinel-2 tile folder.
    out_dir
        Folder of the images.
    savedmodel
        Network: a folder or a registered model.
    s1_dir
        Prepared Sentinel-1 tile folder; empty: the network needs none.
    dem
        Prepared elevation of the tile; empty: none.
    start
        First day, YYYY-MM-DD; empty: from the beginning.
    end
        Last day, YYYY-MM-DD; empty: to the end.
    pad
        Margin, 10 m pixels; -1: what the network needs.
    ts
        Side of a window, 10 m pixels; -1: what computes least within the memory limit.
    memory_limit
        Memory for which windows are chosen, 10^9 bytes.
    statistics
        Folder of a table of inputs and self-check, for the monitoring; empty: none.
    maxgap
        Largest time between Sentinel-1 and Sentinel-2, hours.
    priority
        Which neighbour wins: closest_clear, closest or farthest.
    min_days
        Least distance of a neighbour, days; -1: as the network was trained.
    max_days
        Largest distance of a neighbour, days; -1: as the network was trained.
    batch_size
        Windows per call of the network.
    engine
        What reads the images: rasterio, or otb where the image has the Orfeo ToolBox.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=out_dir, savedmodel=savedmodel), SMALL)
    rebuilt = reconstruct_series(
        s1_dir=s1_dir,
        s2_dir=s2_dir,
        savedmodel=savedmodel,
        out_dir=out_dir,
        dem=dem,
        start=start,
        end=end,
        pad=pad,
        ts=ts,
        memory_limit=memory_limit,
        statistics=statistics,
        maxgap=maxgap,
        priority=priority,
        min_days=min_days,
        max_days=max_days,
        batch_size=batch_size,
        engine=engine,
        overwrite=overwrite,
    )
    return sized(rebuilt.after(checked), RECONSTRUCT).outputs["Output"]


@dsl.pipeline(
    name="reconstruction-tiles", description="Rebuild all dates of several tiles, in parallel."
)
def reconstruction_tiles(
    s2_dir: str,
    out_dir: str,
    savedmodel: str = "models:/decloud@champion",
    s1_dir: str = "",
    dem: str = "",
    tiles: list[str] = [],
    start: str = "",
    end: str = "",
    days: int = 30,
    bbox: list[float] = [],
    bbox_crs: str = "",
    quality: bool = False,
    keep_clear: bool = False,
    pad: int = -1,
    ts: int = -1,
    memory_limit: float = 4.0,
    maxgap: float = 72.0,
    priority: str = "closest_clear",
    min_days: float = -1.0,
    max_days: float = -1.0,
    engine: str = "rasterio",
    overwrite: bool = False,
) -> list[list[str]]:
    """Rebuild the dates of tiles, one task per tile and period; returns the URIs by task.

    Parameters
    ----------
    s2_dir
        Prepared Sentinel-2 products of all tiles: S2_PREPARE.
    out_dir
        Root of the images: `<tile>/<first>_<last>` below it for each task.
    savedmodel
        Network: a folder or a registered model.
    s1_dir
        Prepared Sentinel-1 images of all tiles: S1_PREPARE; empty: the network needs none.
    dem
        Folder of the prepared elevations, DEM_PREPARE; empty: none.
    tiles
        Only these tiles; all if none is named.
    start
        First day, YYYY-MM-DD; empty: from the beginning.
    end
        Last day, YYYY-MM-DD; empty: to the end.
    days
        Length of the period of one task, days.
    bbox
        Only this extent: left, bottom, right, top; empty: all.
    bbox_crs
        Coordinates of the extent; empty: those of the images.
    quality
        Write an image too that says where each pixel comes from.
    keep_clear
        Keep the observed pixels where the date is clear.
    pad
        Margin, 10 m pixels; -1: what the network needs.
    ts
        Side of a window, 10 m pixels; -1: what computes least within the memory limit.
    memory_limit
        Memory for which windows are chosen, 10^9 bytes.
    maxgap
        Largest time between Sentinel-1 and Sentinel-2, hours.
    priority
        Which neighbour wins: closest_clear, closest or farthest.
    min_days
        Least distance of a neighbour, days; -1: as the network was trained.
    max_days
        Largest distance of a neighbour, days; -1: as the network was trained.
    engine
        What reads the images: rasterio, or otb where the image has the Orfeo ToolBox.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=out_dir, savedmodel=savedmodel), SMALL)
    listed = list_series(
        s2_dir=s2_dir, out_dir=out_dir, tiles=tiles, start=start, end=end, days=days
    )
    sized(listed.after(checked), SMALL)
    with dsl.ParallelFor(listed.output, parallelism=PARALLELISM) as work:
        rebuilt = reconstruct_series(
            s2_dir=work.s2_dir,
            out_dir=work.out_dir,
            start=work.start,
            end=work.end,
            s1_dir=s1_dir,
            dem=dem,
            savedmodel=savedmodel,
            bbox=bbox,
            bbox_crs=bbox_crs,
            quality=quality,
            keep_clear=keep_clear,
            pad=pad,
            ts=ts,
            memory_limit=memory_limit,
            maxgap=maxgap,
            priority=priority,
            min_days=min_days,
            max_days=max_days,
            engine=engine,
            overwrite=overwrite,
        )
        sized(rebuilt, RECONSTRUCT)
    return dsl.Collected(rebuilt.outputs["Output"])
