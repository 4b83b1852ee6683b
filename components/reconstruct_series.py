"""Component: rebuild a series of dates."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from components import images


@dsl.component(base_image=images.INFER, install_kfp_package=False)
def reconstruct_series(
    savedmodel: str,
    out_dir: str,
    images_made: Output[Dataset],
    page: Output[HTML],
    s2_dir: Optional[str] = None,
    s1_dir: Optional[str] = None,
    il_s2: list[str] = [],
    il_s1: list[str] = [],
    with_20m_bands: bool = False,
    dem: Optional[str] = None,
    start: Optional[str] = None,
    end: Optional[str] = None,
    skip_nodata_images: bool = False,
    dates_at_once: int = 2,
    pad: Optional[int] = None,
    ts: Optional[int] = None,
    memory_limit: float = 4.0,
    keep_clear: bool = False,
    feather_px: int = 16,
    recheck_clouds: bool = True,
    quality: bool = False,
    statistics: Optional[str] = None,
    maxgap: float = 72.0,
    s1_per_date: int = 12,
    priority: str = "closest_clear",
    min_days: Optional[float] = None,
    max_days: Optional[float] = None,
    nodata_mask: str = "required",
    batch_size: int = 1,
    engine: str = "rasterio",
    readers: int = 2,
    runtime: str = "tensorflow",
    bbox: list[float] = [],
    bbox_crs: Optional[str] = None,
    dtype: str = "int16",
    write_intermediate: bool = False,
    quicklook: bool = True,
    uncertainty: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Rebuild all dates of a period; return the URIs of its images.

    Parameters
    ----------
    s2_dir
        Prepared Sentinel-2 tile folder.
    savedmodel
        Network: a folder or a registered model.
    out_dir
        Folder of the images.
    s1_dir
        Prepared Sentinel-1 tile folder, where the network needs it.
    il_s2
        Prepared Sentinel-2 products instead of a folder.
    il_s1
        Prepared Sentinel-1 images instead of a folder.
    with_20m_bands
        Write the 20 m bands too.
    dem
        Prepared elevation of the tile, or the folder of those of all tiles.
    start
        First day, YYYY-MM-DD; empty: from the beginning.
    end
        Last day, YYYY-MM-DD; empty: to the end.
    skip_nodata_images
        Skip dates without data also where the network could rebuild them.
    dates_at_once
        Dates under way: one in the network, the next being read, the last being written.
    pad
        Margin, 10 m pixels; -1: what the network needs.
    ts
        Side of a window, 10 m pixels; -1: what computes least within the memory limit.
    memory_limit
        Memory for which windows are chosen, 10^9 bytes.
    keep_clear
        Keep the observed pixels where the date is clear.
    feather_px
        Width of the transition, 10 m pixels.
    recheck_clouds
        Count what is far too bright in the blue beside the dates around as cloud too.
    quality
        Write an image too that says where each pixel comes from.
    statistics
        Folder of a table of inputs and self-check, for the monitoring.
    maxgap
        Largest time between Sentinel-1 and Sentinel-2, hours.
    s1_per_date
        Sentinel-1 images beside each optical one at most, closest on top.
    priority
        Which neighbour wins: closest_clear, closest or farthest.
    min_days
        Least distance of a neighbour, days; -1: as the network was trained.
    max_days
        Largest distance of a neighbour, days; -1: as the network was trained.
    nodata_mask
        Where the output is no data: required, or historic (a wide surrounding too).
    batch_size
        Windows per call of the network.
    engine
        What reads the images: rasterio or otb (Orfeo ToolBox).
    readers
        Threads that read ahead.
    runtime
        What computes the network: tensorflow, or openvino.
    bbox
        Only this extent: left, bottom, right, top; empty: all.
    bbox_crs
        Coordinates of the extent; empty: those of the images.
    dtype
        Type of the images: int16 (no data -10000) or uint16 (no data 0).
    write_intermediate
        Write what the network took too.
    quicklook
        Write a picture of the date before and after.
    uncertainty
        Write the expected error too, of a model that says it.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import reconstruct_series as stage

    task.start()
    config = stage.ReconstructSeriesConfig(
        **task.given(
            s1_dir=s1_dir,
            s2_dir=s2_dir,
            savedmodel=savedmodel,
            out_dir=out_dir,
            with_20m_bands=with_20m_bands,
            dem=dem,
            start=start,
            end=end,
            skip_nodata_images=skip_nodata_images,
            dates_at_once=dates_at_once,
            il_s2=il_s2,
            il_s1=il_s1,
            pad=pad,
            ts=ts,
            memory_limit=memory_limit,
            keep_clear=keep_clear,
            feather_px=feather_px,
            recheck_clouds=recheck_clouds,
            quality=quality,
            statistics=statistics,
            maxgap=maxgap,
            s1_per_date=s1_per_date,
            priority=priority,
            min_days=min_days,
            max_days=max_days,
            nodata_mask=nodata_mask,
            batch_size=batch_size,
            engine=engine,
            readers=readers,
            runtime=runtime,
            bbox=bbox,
            bbox_crs=bbox_crs,
            dtype=dtype,
            write_intermediate=write_intermediate,
            quicklook=quicklook,
            uncertainty=uncertainty,
            overwrite=overwrite,
        )
    )
    result = stage.reconstruct_series(config)
    task.point(images_made, out_dir, made=len(result.made), skipped=len(result.skipped))
    there = sorted([*result.made, *result.reused])
    task.write_pictures(page, there, result.skipped)
    return there
