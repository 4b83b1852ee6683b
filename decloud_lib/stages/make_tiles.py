"""Write the tiles JSON: which tiles are prepared, and where."""

import json
import logging
from dataclasses import dataclass

from pydantic import Field

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.prepared import list_s2, tile_folder

logger = logging.getLogger(__name__)


class MakeTilesConfig(StageConfig):
    """Settings of `make_tiles`."""

    prepared: str = Field(
        description="Root of the prepared data, with S2_PREPARE, S1_PREPARE and DEM_PREPARE."
    )
    output: str = Field(description="Where to write the JSON file: .../tiles.json.")


@dataclass(frozen=True, slots=True)
class MakeTilesResult:
    """What was found."""

    tiles: tuple[str, ...]
    """Tiles with at least one prepared Sentinel-2 product, sorted."""
    output: str
    """URI of the JSON file."""


def make_tiles(config: MakeTilesConfig) -> MakeTilesResult:
    """List the prepared tiles in a JSON file, as the sampling reads it.

    The radar root is named when any tile has radar images, the elevation root when each tile has
    its elevation (a configured elevation must exist for every tile). The file is left alone when it
    says the same already. It always describes what is there, so `overwrite` changes nothing.

    Raises
    ------
    ProductError
        No prepared Sentinel-2 product.
    """
    s2_root, s1_root, dem_root = (
        storage.join(config.prepared, name) for name in ("S2_PREPARE", "S1_PREPARE", "DEM_PREPARE")
    )
    tiles = sorted({product.tile for product in list_s2(s2_root)})
    if not tiles:
        raise ProductError(
            f"{s2_root}: no prepared Sentinel-2 product found; expected "
            "<TILE>/<product>/<product>_FRE_10m.tif and its companions: run prepare-s2 first"
        )
    content: dict[str, str | list[str]] = {"S2_ROOT_DIR": s2_root}
    without_s1 = [tile for tile in tiles if not storage.list_children(tile_folder(s1_root, tile))]
    if len(without_s1) < len(tiles):
        content["S1_ROOT_DIR"] = s1_root
    if without_s1:
        logger.warning("%s: no radar images of %s", s1_root, ", ".join(without_s1))
    elevations = {storage.name_of(uri) for uri in storage.list_children(dem_root)}
    without_dem = [tile for tile in tiles if f"{tile}.tif" not in elevations]
    if not without_dem:
        content["DEM_ROOT_DIR"] = dem_root
    else:
        logger.warning("%s: no elevation of %s: left out", dem_root, ", ".join(without_dem))
    content["TILES"] = tiles
    data = json.dumps(content, indent=2).encode()
    # Rewriting equal content would change its time, and make what was built on it look stale.
    if storage.stat(config.output) is None or storage.read_bytes(config.output) != data:
        storage.write_bytes(config.output, data)
    logger.info("make-tiles: %s in %s", ", ".join(tiles), config.output)
    return MakeTilesResult(tuple(tiles), config.output)
