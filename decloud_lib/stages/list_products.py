"""List delivered products as work for the preparation stages, in batches of one task each."""

import logging
import re
from typing import Any, Literal

from pydantic import Field

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import TILE_PATTERN, parse_s2_name
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.raster.products.s1tiling import list_delivered

logger = logging.getLogger(__name__)


class ListProductsConfig(StageConfig):
    """Settings of `list_products`."""

    products: str = Field(
        description="Root of the delivered products, with SENTINEL1, SENTINEL2 and DEM."
    )
    prepared: str = Field(description="Root of the prepared data.")
    family: Literal["s1", "s2", "dem"] = Field(description="Which products to list.")
    batch: int = Field(default=1, ge=1, description="Products per preparation task.")


def list_products(config: ListProductsConfig) -> list[dict[str, Any]]:
    """List the products of one family, in batches.

    Returns
    -------
    One item per preparation task: the arguments of `prepare_s1`, `prepare_s2` or `prepare_dem`
    (which takes one tile whatever the batch). Products without elevation give an empty list.

    Raises
    ------
    ProductError
        No product where they were looked for; or elevations before any Sentinel-2 product was
        prepared, whose grid they are brought on.
    """
    if config.family == "dem":
        return _elevations(config)
    if config.family == "s1":
        folder = storage.join(config.products, "SENTINEL1")
        found = list_delivered(folder)
        expected = "<TILE>/s1a_31TEJ_vh_DES_110_20201011t060008.tif and its VV pair"
        key, output_key, output = "input_s1_vh", "out_s1_dir", "S1_PREPARE"
    else:
        folder = storage.join(config.products, "SENTINEL2")
        found = _theia_products(folder)
        expected = "<TILE>/SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2 or its .zip"
        key, output_key, output = "in_image", "out_s2_dir", "S2_PREPARE"
    if not found:
        raise ProductError(f"{folder}: no product found; expected files as {expected}")
    logger.info("list-products: %d products in %s", len(found), folder)
    target = storage.join(config.prepared, output)
    return [
        {key: found[start : start + config.batch], output_key: target}
        for start in range(0, len(found), config.batch)
    ]


def _theia_products(folder: str) -> list[str]:
    """List folders and archives, by tile; an archive beside its own folder is left out."""
    places = [
        place
        for child in storage.list_children(folder)
        for place in (storage.list_children(child) if _is_tile(child) else [child])
    ]
    found: dict[str, str] = {}
    for uri in sorted(places):
        try:
            name = parse_s2_name(storage.name_of(uri)).name
        except ProductError as error:
            logger.warning("left out: %s: %s", uri, error)
            continue
        if name in found:
            logger.warning("left out: %s: the same product as %s", uri, found[name])
            continue
        found[name] = uri
    return sorted(found.values())


def _elevations(config: ListProductsConfig) -> list[dict[str, Any]]:
    folder = storage.join(config.products, "DEM")
    rasters = {
        storage.name_of(uri).removesuffix(".tif"): uri
        for uri in storage.list_children(folder)
        if uri.endswith(".tif")
    }
    delivered = {tile: uri for tile, uri in rasters.items() if re.fullmatch(TILE_PATTERN, tile)}
    if not delivered:
        logger.info("list-products: no elevation %s/<TILE>.tif: the networks go without", folder)
        return []
    stacks = storage.join(config.prepared, "S2_PREPARE")
    references = {product.tile: product.stack_20m for product in reversed(list_s2(stacks))}
    for tile in sorted(delivered.keys() - references.keys()):
        logger.warning("left out: %s: no Sentinel-2 product of it is prepared", delivered[tile])
    work = [
        {
            "dem": delivered[tile],
            "reference": references[tile],
            "output": storage.join(config.prepared, "DEM_PREPARE", f"{tile}.tif"),
        }
        for tile in sorted(delivered.keys() & references.keys())
    ]
    if not work:
        raise ProductError(
            f"{stacks}: no prepared Sentinel-2 product of {', '.join(sorted(delivered))}; the "
            "elevation is brought on its grid: run prepare-s2 first"
        )
    return work


def _is_tile(uri: str) -> bool:
    return re.fullmatch(TILE_PATTERN, storage.name_of(uri)) is not None
