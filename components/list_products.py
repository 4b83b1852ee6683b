"""Components that list delivered products for the fan-out of the preparation."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Metrics, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def list_products(
    products: str,
    prepared: str,
    family: str,
    metrics: Output[Metrics],
    batch: int = 1,
    tiles: list[str] = [],
    start: Optional[str] = None,
    end: Optional[str] = None,
    dem: str = "",
) -> list[dict[str, list[str]]]:
    """List delivered Sentinel products in batches, each product with its state.

    Parameters
    ----------
    products
        Folder or prefix; products are found at any depth.
    prepared
        Root of the prepared data.
    family
        What to list: s1 (the VH file of each pair) or s2 (folders, .zip and STAC items).
    metrics
        How many products, in how many tasks.
    batch
        Products per preparation task.
    tiles
        Only these tiles; all if none is named.
    start
        Nothing acquired before this day.
    end
        Nothing acquired after this day.
    dem
        Elevation source; says nothing to this listing.
    """
    from decloud_lib import task
    from decloud_lib.stages import list_products as stage

    task.start()
    config = stage.ListProductsConfig(
        products=products,
        prepared=prepared,
        family=family,
        batch=batch,
        tiles=tiles,
        dem=dem,
        **task.given(start=start, end=end),
    )
    key = "input_s1_vh" if family == "s1" else "in_image"
    jobs = stage.list_products(config)
    task.write_metrics(
        metrics, {"products": sum(len(job[key]) for job in jobs), "tasks": len(jobs)}
    )
    return [{"products": job[key], "content": job["content"]} for job in jobs]


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def list_dems(
    products: str, prepared: str, tiles: list[str] = [], dem: str = ""
) -> list[dict[str, str]]:
    """List elevation models, each with the prepared stack whose grid it shall take.

    Parameters
    ----------
    products
        Folder or prefix; products are found at any depth.
    prepared
        Root of the prepared data.
    tiles
        Only these tiles; all if none is named.
    dem
        One source for all tiles instead of those delivered.
    """
    from decloud_lib import task
    from decloud_lib.stages import list_products as stage

    task.start()
    return stage.list_products(
        stage.ListProductsConfig(
            products=products, prepared=prepared, family="dem", tiles=tiles, dem=dem
        )
    )
