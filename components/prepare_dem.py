"""Component: elevation on the 20 m grid of a tile."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def prepare_dem(
    reference: str,
    output: str,
    prepared: Output[Dataset],
    dem: str = "https://copernicus-dem-30m.s3.amazonaws.com",
    resampling: str = "bilinear",
    voids: str = "zero",
    tilesize: int = 128,
    quarantine: Optional[str] = None,
    overwrite: bool = False,
) -> int:
    """Bring elevation onto the 20 m grid of a tile.

    Parameters
    ----------
    reference
        Image with the wanted grid: a prepared 20 m stack, or a 10 m one.
    output
        Raster to write.
    dem
        A raster or a mosaic (.vrt), a folder of tiles, or the root of the Copernicus GLO-30 layout.
    resampling
        bilinear, cubic, average or nearest.
    voids
        What becomes of pixels without elevation: zero, fill, keep or refuse.
    tilesize
        Block of the GeoTIFF, pixels.
    quarantine
        Folder for the reason of a failure; without it the task fails.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_dem as stage

    task.start()
    config = stage.PrepareDemConfig(
        dem=dem,
        reference=reference,
        output=output,
        resampling=resampling,
        voids=voids,
        tilesize=tilesize,
        overwrite=overwrite,
        **task.given(quarantine=quarantine),
    )
    return task.point_prepared(prepared, output, stage.prepare_dem(config))
