"""Component: Sentinel-1 preparation."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def prepare_s1(
    input_s1_vh: list[str],
    out_s1_dir: str,
    prepared: Output[Dataset],
    mode: str = "convert",
    assumed_hour_descending: str = "05:45:00",
    assumed_hour_ascending: str = "17:45:00",
    codec: str = "ZSTD",
    cog: bool = False,
    quarantine: Optional[str] = None,
    overwrite: bool = False,
    content: list[str] = [],  # noqa: ARG001
) -> int:
    """Turn Sentinel-1 VV/VH pairs into one encoded raster each; return how many were made.

    Parameters
    ----------
    input_s1_vh
        VH files; each VV partner lies beside its VH file.
    out_s1_dir
        Root of the prepared Sentinel-1 data.
    mode
        convert, or statistics-only: the images are left as they were delivered.
    assumed_hour_descending
        UTC time of day where a descending pass hides its own.
    assumed_hour_ascending
        UTC time of day where an ascending pass hides its own.
    codec
        ZSTD or DEFLATE.
    cog
        Write cloud-optimised GeoTIFFs.
    quarantine
        Folder for the reasons of products that fail; without it the task fails.
    overwrite
        Replace an output that was made from other settings or inputs.
    content
        State of each product, from the listing; Kubeflow's cache goes by it, the task does not.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_s1 as stage

    task.start()
    config = stage.PrepareS1Config(
        input_s1_vh=input_s1_vh,
        out_s1_dir=out_s1_dir,
        mode=mode,
        assumed_hour_descending=assumed_hour_descending,
        assumed_hour_ascending=assumed_hour_ascending,
        codec=codec,
        cog=cog,
        overwrite=overwrite,
        **task.given(quarantine=quarantine),
    )
    return task.point_prepared(prepared, out_s1_dir, stage.prepare_s1(config))
