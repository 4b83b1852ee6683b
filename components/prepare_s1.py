"""Component: Sentinel-1 preparation."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components import images


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def prepare_s1(
    input_s1_vh: list[str],
    out_s1_dir: str,
    prepared: Output[Dataset],
    assumed_hour_descending: str = "05:45:00",
    assumed_hour_ascending: str = "17:45:00",
    overwrite: bool = False,
) -> int:
    """Turn Sentinel-1 VV/VH pairs into one encoded raster each; return how many were made.

    Parameters
    ----------
    input_s1_vh
        VH files; each VV partner lies beside its VH file.
    out_s1_dir
        Root of the prepared Sentinel-1 data.
    assumed_hour_descending
        UTC time of day where a descending pass hides its own.
    assumed_hour_ascending
        UTC time of day where an ascending pass hides its own.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import prepare_s1 as stage

    task.start()
    config = stage.PrepareS1Config(
        input_s1_vh=input_s1_vh,
        out_s1_dir=out_s1_dir,
        assumed_hour_descending=assumed_hour_descending,
        assumed_hour_ascending=assumed_hour_ascending,
        overwrite=overwrite,
    )
    result = stage.prepare_s1(config)
    task.point(prepared, out_s1_dir, made=len(result.made), reused=result.reused)
    return len(result.made)
