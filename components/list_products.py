"""Components that list delivered products for the fan-out of the preparation."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def list_products(products: str, prepared: str, family: str, batch: int = 1) -> list[list[str]]:
    """List delivered Sentinel products in batches.

    Parameters
    ----------
    products
        Root of the delivered products (holds SENTINEL1, SENTINEL2, DEM).
    prepared
        Root of the prepared data.
    family
        What to list: s1 (the VH file of each pair) or s2 (folders and .zip).
    batch
        Products per preparation task.
    """
    from decloud_lib import task
    from decloud_lib.stages import list_products as stage

    task.start()
    config = stage.ListProductsConfig(
        products=products, prepared=prepared, family=family, batch=batch
    )
    key = "input_s1_vh" if family == "s1" else "in_image"
    return [job[key] for job in stage.list_products(config)]


@dsl.component(base_image=images.CPU, install_kfp_package=False)
def list_dems(products: str, prepared: str) -> list[dict[str, str]]:
    """List delivered elevation models, each with the prepared stack whose grid it shall take.

    Parameters
    ----------
    products
        Root of the delivered products (holds SENTINEL1, SENTINEL2, DEM).
    prepared
        Root of the prepared data.
    """
    from decloud_lib import task
    from decloud_lib.stages import list_products as stage

    task.start()
    return stage.list_products(
        stage.ListProductsConfig(products=products, prepared=prepared, family="dem")
    )
