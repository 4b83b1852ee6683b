"""Component: Sentinel-2 preparation."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def prepare_s2(
    in_image: list[str],
    out_s2_dir: str,
    prepared: Output[Dataset],
    tilesize: int = 256,
    overwrite: bool = False,
) -> int:
    """Turn Sentinel-2 products into stacks, masks and statistics; return how many were made.

    Parameters
    ----------
    in_image
        Delivered products, folders or .zip.
    out_s2_dir
        Root of the prepared Sentinel-2 data.
    tilesize
        Block of the rasters, 10 m pixels; half of it at 20 m.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_s2 as stage

    task.start()
    config = stage.PrepareS2Config(
        in_image=in_image, out_s2_dir=out_s2_dir, tilesize=tilesize, overwrite=overwrite
    )
    result = stage.prepare_s2(config)
    task.point(prepared, out_s2_dir, made=len(result.made), reused=result.reused)
    return len(result.made)
