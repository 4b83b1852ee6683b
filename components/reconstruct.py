"""Component: rebuild one date."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from components import images


@dsl.component(base_image=images.INFER, install_kfp_package=False)
def reconstruct(
    in_s2: str,
    savedmodel: str,
    output: str,
    image: Output[Dataset],
    page: Output[HTML],
    il_s1before: list[str] = [],
    il_s2before: list[str] = [],
    il_s1: list[str] = [],
    il_s1after: list[str] = [],
    il_s2after: list[str] = [],
    s1_dir: Optional[str] = None,
    s2_dir: Optional[str] = None,
    output_20m: Optional[str] = None,
    dem: Optional[str] = None,
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
) -> str:
    """Rebuild one cloudy Sentinel-2 date; return the URI of the image.

    Parameters
    ----------
    in_s2
        Prepared product to rebuild.
    savedmodel
        Network: a folder or a registered model.
    output
        Image to write.
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
    s1_dir
        Prepared Sentinel-1 tile folder to choose from instead of the lists.
    s2_dir
        Prepared Sentinel-2 tile folder to choose from instead of the lists.
    output_20m
        Image of the 20 m bands to write.
    dem
        Prepared elevation of the tile.
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
    from decloud_lib.stages import reconstruct as stage

    task.start()
    config = stage.ReconstructConfig(
        **task.given(
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
            output_20m=output_20m,
            dem=dem,
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
    result = stage.reconstruct(config)
    task.point(image, result.output, seconds=result.seconds, pixels=result.pixels)
    task.write_pictures(page, [result.output])
    return result.output
