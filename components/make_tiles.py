"""Component: the list of prepared tiles, and the report of what could not be prepared."""

from kfp import dsl
from kfp.dsl import HTML, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def make_tiles(prepared: str, output: str, report: Output[HTML], overwrite: bool = False) -> str:
    """Write the JSON list of tiles that have prepared products; return its URI.

    Parameters
    ----------
    prepared
        Root of the prepared data; QUARANTINE in it holds the reasons of products that failed.
    output
        JSON file to write.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import make_tiles as stage

    task.start()
    task.write_quarantine(report, prepared)
    config = stage.MakeTilesConfig(prepared=prepared, output=output, overwrite=overwrite)
    return stage.make_tiles(config).output
