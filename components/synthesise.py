"""Component: make the image of a month."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from components import images


@dsl.component(base_image=images.INFER, install_kfp_package=False)
def synthesise(
    savedmodel: str,
    out_dir: str,
    year: int,
    month: int,
    image: Output[Dataset],
    page: Output[HTML],
    s2_dir: Optional[str] = None,
    s1_dir: Optional[str] = None,
    il_s2: list[str] = [],
    il_s1: list[str] = [],
    dem: Optional[str] = None,
    max_days: float = 22.0,
    max_nodata: float = 0.05,
    pad: Optional[int] = None,
    ts: Optional[int] = None,
    memory_limit: float = 4.0,
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
    overwrite: bool = False,
) -> str:
    """Make a cloud-free image of a month; return its URI.

    Parameters
    ----------
    savedmodel
        Synthesis network: a folder or a registered model.
    out_dir
        Folder of the image.
    year
        Year.
    month
        Month, 1 to 12.
    s2_dir
        Prepared Sentinel-2 tile folder.
    s1_dir
        Prepared Sentinel-1 tile folder, where the network takes radar.
    il_s2
        Prepared Sentinel-2 products instead of a folder.
    il_s1
        Prepared Sentinel-1 images instead of a folder.
    dem
        Prepared elevation of the tile, where the network takes it.
    max_days
        A date lies closer than this to the 15th, days.
    max_nodata
        A date has less than this part without data, 0 to 1.
    pad
        Margin, 10 m pixels; -1: what the network needs.
    ts
        Side of a window, 10 m pixels; -1: what computes least within the memory limit.
    memory_limit
        Memory for which windows are chosen, 10^9 bytes.
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
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import synthesise as stage

    task.start()
    config = stage.SynthesiseConfig(
        **task.given(
            savedmodel=savedmodel,
            out_dir=out_dir,
            year=year,
            month=month,
            s2_dir=s2_dir,
            s1_dir=s1_dir,
            il_s2=il_s2,
            il_s1=il_s1,
            dem=dem,
            max_days=max_days,
            max_nodata=max_nodata,
            pad=pad,
            ts=ts,
            memory_limit=memory_limit,
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
            overwrite=overwrite,
        )
    )
    result = stage.synthesise(config)
    task.point(image, result.output, seconds=result.seconds, dates=len(result.dates))
    task.write_pictures(page, [result.output])
    return result.output
