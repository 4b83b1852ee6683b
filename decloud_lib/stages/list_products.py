"""List delivered products as work for the preparation stages, in batches of one task each."""

import logging
from datetime import date
from typing import Any

from pydantic import Field

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.discovery import discover
from decloud_lib.raster.products.found import Family, Found, select
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.stages.prepare_config import ROOTS, PrepareConfig, as_in
from decloud_lib.stages.prepare_plan import EXPECTED
from decloud_lib.stages.product_state import product_states

logger = logging.getLogger(__name__)

_ARGUMENTS = {"s1": ("input_s1_vh", "out_s1_dir"), "s2": ("in_image", "out_s2_dir")}


class ListProductsConfig(StageConfig):
    """Settings of `list_products`."""

    products: str = as_in(PrepareConfig, "products", positional=False)
    prepared: str = Field(description="Root of the prepared data.")
    family: Family = Field(description="Which products to list.")
    batch: int = Field(default=1, ge=1, description="Products per preparation task.")
    tiles: tuple[str, ...] = as_in(PrepareConfig, "tiles")
    start: date | None = as_in(PrepareConfig, "start")
    end: date | None = as_in(PrepareConfig, "end")
    dem: str = as_in(PrepareConfig, "dem")


def list_products(config: ListProductsConfig) -> list[dict[str, Any]]:
    """List the products of one family, in batches; they are found as `prepare` finds them.

    Those that cannot be used, or need not be, are left out, and the log says why. Those that are
    prepared already are listed: their task finds its work done, whatever its settings.

    Returns
    -------
    One item per preparation task: the arguments of `prepare_s1`, `prepare_s2` or `prepare_dem`
    (which takes one tile whatever the batch), and beside a batch of products their `content`, as
    `product_states` gives it. A family that was not delivered gives an empty list.

    Raises
    ------
    ProductError
        No radar or optical product that can be used, of any family; or elevations before any
        Sentinel-2 product was prepared, whose grid they are brought on.
    """
    discovery = discover(config.products)
    chosen = select(discovery.found, tiles=config.tiles, start=config.start, end=config.end)
    for item in chosen:
        if item.problem and item.family == config.family:
            logger.warning("left out: %s", item.problem)
    usable = [item for item in chosen if item.problem is None]
    if config.family == "dem":
        return _elevations(config, usable)
    if not any(item.family != "dem" for item in usable):
        reasons = "; ".join(item.problem for item in chosen if item.problem)
        told = f"no product that can be used ({reasons})" if reasons else "no product found"
        raise ProductError(f"{config.products}: {told}; expected {EXPECTED}")
    listed = [item for item in usable if item.family == config.family]
    found = [item.uri for item in listed]
    logger.info(
        "list-products: %d products of %s below %s", len(found), config.family, config.products
    )
    key, output_key = _ARGUMENTS[config.family]
    target = storage.join(config.prepared, ROOTS[config.family])
    content = product_states(listed, config.products, target)
    return [
        {
            key: found[start : start + config.batch],
            output_key: target,
            "content": content[start : start + config.batch],
        }
        for start in range(0, len(found), config.batch)
    ]


def _elevations(config: ListProductsConfig, usable: list[Found]) -> list[dict[str, Any]]:
    stacks = storage.join(config.prepared, ROOTS["s2"])
    delivered = {item.name: item.uri for item in usable if item.family == "dem"}
    if not delivered and not config.dem:
        where = storage.join(config.products, "DEM")
        logger.info("list-products: no elevation %s/<TILE>.tif: the networks go without", where)
        return []
    references = {product.tile: product.stack_20m for product in reversed(list_s2(stacks))}
    if config.dem:
        wanted = {item.tile for item in usable if item.family == "s2"}
        delivered = {tile: config.dem for tile in references if tile in wanted}
    for tile in sorted(delivered.keys() - references.keys()):
        logger.warning("left out: %s: no Sentinel-2 product of it is prepared", delivered[tile])
    work = [
        {
            "dem": delivered[tile],
            "reference": references[tile],
            "output": storage.join(config.prepared, ROOTS["dem"], f"{tile}.tif"),
        }
        for tile in sorted(delivered.keys() & references.keys())
    ]
    if not work:
        told = ", ".join(sorted(delivered)) or "a tile"
        raise ProductError(
            f"{stacks}: no prepared Sentinel-2 product of {told}; "
            "the elevation is brought on its grid: run prepare-s2 first"
        )
    return work
