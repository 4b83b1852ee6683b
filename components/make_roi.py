"""Component: regions for training and validation."""

from kfp import dsl
from kfp.dsl import Metrics, Output

from components import images


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def make_roi(
    tiles: str,
    output_dir: str,
    metrics: Output[Metrics],
    datasets: list[str] = ["train", "valid"],
    props: list[float] = [0.8, 0.2],
    patchsize: int = 256,
    seed: int = 0,
    share_ground: bool = False,
    overwrite: bool = False,
) -> str:
    """Split each tile into regions, one raster per tile and data set; return the URI of rois.json.

    Parameters
    ----------
    tiles
        JSON list of tiles.
    output_dir
        Folder of the rasters.
    datasets
        Names of the data sets.
    props
        Share of each data set, same order.
    patchsize
        Side of a cell, 10 m pixels, a multiple of 64.
    seed
        Same seed, same regions.
    share_ground
        Give all the ground to every data set: they are to be split by time.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import make_roi as stage

    task.start()
    config = stage.MakeRoiConfig(
        tiles=tiles,
        output_dir=output_dir,
        datasets=datasets,
        props=props,
        patchsize=patchsize,
        seed=seed,
        share_ground=share_ground,
        overwrite=overwrite,
    )
    result = stage.make_roi(config)
    task.write_metrics(metrics, result.cells)
    return result.output
