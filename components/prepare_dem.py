"""Component: elevation on the 20 m grid of a tile."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def prepare_dem(
    dem: str,
    reference: str,
    output: str,
    prepared: Output[Dataset],
    resampling: str = "bilinear",
    overwrite: bool = False,
) -> int:
    """Bring an elevation model onto the grid of a prepared 20 m stack.

    Parameters
    ----------
    dem
        Source raster.
    reference
        Prepared 20 m stack of the tile.
    output
        Raster to write.
    resampling
        bilinear, cubic, average or nearest.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_dem as stage

    task.start()
    config = stage.PrepareDemConfig(
        dem=dem, reference=reference, output=output, resampling=resampling, overwrite=overwrite
    )
    result = stage.prepare_dem(config)
    task.point(prepared, output, made=len(result.made), reused=result.reused)
    return len(result.made)
