"""Write the tiles JSON, and for each tile a table of what is known of its images."""

import json
import logging
import re
from dataclasses import dataclass

from pydantic import Field

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.progress import track
from decloud_lib.raster.products.names import TILE_PATTERN
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.tile_listing import EmptyTileError
from decloud_lib.sampling.tile_survey import LeftOut, TileSurvey

logger = logging.getLogger(__name__)

_ROOTS = {
    "S2_ROOT_DIR": "S2_PREPARE",
    "S1_ROOT_DIR": "S1_PREPARE",
    "DEM_ROOT_DIR": "DEM_PREPARE",
    "TABLE_ROOT_DIR": "TABLES",
}


class MakeTilesConfig(StageConfig):
    """Settings of `make_tiles`."""

    prepared: str = Field(
        description="Root of the prepared data, with S2_PREPARE, S1_PREPARE and DEM_PREPARE; "
        "TABLES is added."
    )
    output: str = Field(description="Where to write the JSON file: .../tiles.json.")


@dataclass(frozen=True, slots=True)
class MakeTilesResult:
    """What was found."""

    tiles: tuple[str, ...]
    """Tiles with at least one prepared Sentinel-2 product that can be used, sorted."""
    output: str
    """URI of the JSON file."""
    left_out: tuple[LeftOut, ...] = ()
    """Prepared images that cannot be used, sorted."""


def make_tiles(config: MakeTilesConfig) -> MakeTilesResult:
    """Describe the prepared tiles: a JSON file as the sampling reads it, and a table of each tile.

    The radar root is named when any tile has radar images, the elevation root when each tile has
    its elevation (a configured elevation must exist for every tile). Images that are not in a
    tile's table yet, or have changed since, are opened, and their grids are checked; one that is
    damaged is left out with a warning. Files that would say the same already are left alone. They
    always describe what is there, so `overwrite` changes nothing.

    Raises
    ------
    ProductError
        No prepared Sentinel-2 product that can be used, or a damaged elevation.
    GridMismatchError
        Rasters of a tile that do not share a grid; those of all tiles are told together.
    """
    roots = {key: storage.join(config.prepared, name) for key, name in _ROOTS.items()}
    found = _Found()
    folders = _tile_folders(roots["S2_ROOT_DIR"])
    for tile in track(folders, len(folders), "tables", "tile"):
        found.add(tile, TilesFile.model_validate({**roots, "TILES": [tile]}))
    if found.mismatches:
        raise GridMismatchError("; ".join(found.mismatches))
    if not found.tiles:
        raise ProductError(
            f"{roots['S2_ROOT_DIR']}: no prepared Sentinel-2 product found that can be used; "
            "expected <TILE>/<product>/<product>_FRE_10m.tif and its companions: run prepare-s2 "
            "first" + "".join(f"; {item.reason}" for item in found.left_out[:1])
        )
    if found.without_s1:
        logger.warning("%s: no radar images of %s", roots["S1_ROOT_DIR"], _joined(found.without_s1))
        if len(found.without_s1) == len(found.tiles):
            del roots["S1_ROOT_DIR"]
    if found.without_dem:
        text = "%s: no elevation of %s: left out"
        logger.warning(text, roots.pop("DEM_ROOT_DIR"), _joined(found.without_dem))
    data = json.dumps({**roots, "TILES": found.tiles}, indent=2).encode()
    # Rewriting equal content would change its time, and make what was built on it look stale.
    if storage.stat(config.output) is None or storage.read_bytes(config.output) != data:
        storage.write_bytes(config.output, data)
    logger.info("make-tiles: %s in %s", _joined(found.tiles), config.output)
    left_out = tuple(sorted(found.left_out, key=lambda item: item.uri))
    return MakeTilesResult(tuple(found.tiles), config.output, left_out)


class _Found:
    """What was found of all tiles so far."""

    def __init__(self) -> None:
        self.tiles: list[str] = []
        self.without_s1: list[str] = []
        self.without_dem: list[str] = []
        self.left_out: list[LeftOut] = []
        self.mismatches: list[str] = []

    def add(self, tile: str, files: TilesFile) -> None:
        """Survey a tile and bring its table up to date."""
        try:
            survey = TileSurvey(tile, files, thorough=True)
            sensors = [item.row.sensor for found in survey.batches() for item in found]
        except EmptyTileError as error:
            logger.warning("left out: %s", error)
            self.left_out.append(LeftOut(tile, str(error)))
            return
        except GridMismatchError as error:
            # The other tiles' problems are told too.
            self.mismatches.append(str(error))
            return
        written = survey.save_table()
        logger.info(
            "%s: %d S2 and %d S1 images, statistics read of %d, %d left out; its table %s",
            tile,
            sensors.count("S2"),
            sensors.count("S1"),
            survey.read,
            len(survey.left_out),
            "was written" if written else "says so already",
        )
        self.tiles.append(tile)
        self.left_out += survey.left_out
        if "S1" not in sensors:
            self.without_s1.append(tile)
        if survey.elevation is None:
            self.without_dem.append(tile)


def _tile_folders(root: str) -> list[str]:
    names = [storage.name_of(uri) for uri in storage.list_children(root)]
    for name in names:
        if not re.fullmatch(TILE_PATTERN, name):
            logger.warning("left out: %s: not the folder of a tile", storage.join(root, name))
    return [name for name in names if re.fullmatch(TILE_PATTERN, name)]


def _joined(names: list[str]) -> str:
    return ", ".join(names)
