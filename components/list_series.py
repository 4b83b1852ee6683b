"""Component: list tiles and periods for the fan-out of the reconstruction."""

from typing import Optional

from kfp import dsl

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def list_series(
    s2_dir: str,
    out_dir: str,
    tiles: list[str] = [],
    start: Optional[str] = None,
    end: Optional[str] = None,
    days: int = 30,
) -> list[dict[str, str]]:
    """List the tiles and periods in which there are prepared dates, one task each.

    Parameters
    ----------
    s2_dir
        Prepared Sentinel-2 products of all tiles: S2_PREPARE.
    out_dir
        Root of the images.
    tiles
        Only these tiles; all if none is named.
    start
        First day, YYYY-MM-DD; empty: from the beginning.
    end
        Last day, YYYY-MM-DD; empty: to the end.
    days
        Length of the period of one task, days.
    """
    from decloud_lib import task
    from decloud_lib.stages import list_series as stage

    task.start()
    config = stage.ListSeriesConfig(
        s2_dir=s2_dir,
        out_dir=out_dir,
        tiles=tiles,
        days=days,
        **task.given(start=start, end=end),
    )
    return stage.list_series(config)
