"""Component: regions for training and validation."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Metrics, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def make_roi(
    tiles: str,
    output_dir: str,
    metrics: Output[Metrics],
    datasets: list[str] = ["train", "valid"],
    props: list[float] = [0.8, 0.2],
    rois: list[str] = [],
    roi_mode: str = "restrict",
    patchsize: int = 256,
    squaresize: Optional[int] = None,
    guard: int = 0,
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
    rois
        Vector file with polygons for each data set, same order; empty text: none.
    roi_mode
        restrict: a data set with polygons takes only squares inside them; override: all ground is
        drawn, then squares inside polygons go to their data set.
    patchsize
        Side of the patches that will be sampled, 10 m pixels, a multiple of 64.
    squaresize
        Side of the squares that go to one data set as a whole; -1: the patch size.
    guard
        Width of the ground left out between data sets, 10 m pixels, a multiple of 64.
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
        **task.given(
            tiles=tiles,
            output_dir=output_dir,
            datasets=datasets,
            props=props,
            rois=rois,
            roi_mode=roi_mode,
            patchsize=patchsize,
            squaresize=squaresize,
            guard=guard,
            seed=seed,
            share_ground=share_ground,
            overwrite=overwrite,
        )
    )
    result = stage.make_roi(config)
    task.write_metrics(metrics, result.cells)
    return result.output
