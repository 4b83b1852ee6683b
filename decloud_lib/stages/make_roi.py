"""Draw which part of each tile belongs to which data set."""

import json
import logging
import zlib
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from decloud_lib import manifest, storage
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, ProductError
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Array, Grid

logger = logging.getLogger(__name__)


class MakeRoiConfig(StageConfig):
    """Settings of `make_roi`."""

    tiles: str = Field(
        description="Tiles JSON, as make-tiles writes it.", json_schema_extra={"flags": ["-t"]}
    )
    output_dir: str = Field(description="Folder of the rasters and of rois.json; it is made.")
    datasets: tuple[str, ...] = Field(
        default=("train", "valid"), min_length=1, description="Names of the data sets."
    )
    props: tuple[float, ...] = Field(
        default=(0.8, 0.2),
        min_length=1,
        description="Share of the ground of each data set, in the same order; any unit.",
    )
    patchsize: int = Field(
        default=256,
        ge=ELEMENTARY_PATCH_PX,
        multiple_of=ELEMENTARY_PATCH_PX,
        description="Side of the squares that go to one data set as a whole, 10 m pixels; a "
        "multiple of 64.",
        json_schema_extra={"flags": ["-p"]},
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw.")
    share_ground: bool = Field(
        default=False,
        description="Give all the ground to every data set: they are to be split by time.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.datasets) != len(self.props):
            raise ValueError(
                f"{len(self.datasets)} data sets and {len(self.props)} proportions; "
                "expected one proportion for each data set"
            )
        if len(set(self.datasets)) != len(self.datasets):
            raise ValueError(f"a data set is named twice: {', '.join(self.datasets)}")
        if min(self.props) < 0 or not 0 < sum(self.props) < float("inf"):
            raise ValueError(f"proportions {self.props}: expected none below 0 and one above")
        return self


@dataclass(frozen=True, slots=True)
class MakeRoiResult:
    """What was drawn."""

    output: str
    """URI of rois.json."""
    cells: dict[str, int]
    """Elementary patches of each data set, over all tiles."""


class _Tiles(BaseModel):
    """What is read of the tiles JSON."""

    model_config = ConfigDict(frozen=True)

    S2_ROOT_DIR: str
    TILES: tuple[str, ...] = Field(min_length=1)


def make_roi(config: MakeRoiConfig) -> MakeRoiResult:
    """Write, for each tile and data set, a raster of the elementary patches that belong to it.

    A tile is cut into squares of one working patch, from its upper-left corner. Each square goes to
    one data set at random; the numbers of squares follow the proportions as closely as whole
    squares allow, with at least one for each data set that has a proportion where there are
    enough. What lies beyond the last whole square belongs to none. A tile's draw depends on the
    seed and its name only, so more tiles do not change the others.

    Raises
    ------
    ConfigError
        A tiles JSON that cannot be used.
    ProductError
        A tile without a prepared product, or smaller than a working patch.
    OutputConflictError
        A complete output of other settings or tiles is there and `overwrite` is off.
    """
    entry = storage.stat(config.tiles)
    if entry is None:
        raise ConfigError(f"{config.tiles}: there is no such file; run make-tiles first")
    tiles = _read_tiles(config.tiles)
    grids = {tile: _patch_grid(tiles.S2_ROOT_DIR, tile) for tile in sorted(tiles.TILES)}
    planned = manifest.plan("make_roi", config, (entry,))
    settings = planned.config | {"grids": {tile: asdict(grid) for tile, grid in grids.items()}}
    planned = planned.model_copy(update={"config": settings})
    output = storage.join(config.output_dir, "rois.json")
    manifest_uri = storage.join(config.output_dir, manifest.NAME)
    if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
        logger.info("make-roi: %s was complete already", config.output_dir)
        done = manifest.read(manifest_uri)
        return MakeRoiResult(output, dict(done.counts) if done else {})
    storage.delete(manifest_uri)
    cells = dict.fromkeys(config.datasets, 0)
    written: list[str] = []
    for tile, grid in track(grids.items(), len(grids), "make-roi", "tile"):
        owner = draw_owners(grid.shape, config, tile)
        for index, dataset in enumerate(config.datasets):
            chosen = owner >= 0 if config.share_ground else owner == index
            uri = storage.join(config.output_dir, f"{tile}_{dataset}.tif")
            pixels = chosen.astype(np.uint8)[..., np.newaxis]
            write_raster(uri, grid, RasterProfile((dataset,), "uint8", predictor=1), pixels)
            written.append(uri)
            cells[dataset] += int(chosen.sum())
    storage.write_bytes(output, _rois_json(config, sorted(grids)))
    manifest.write(manifest_uri, planned, (*written, output), counts=cells)
    for dataset, count in cells.items():
        level = logging.INFO if count else logging.WARNING
        logger.log(level, "make-roi: %d elementary patches for %s", count, dataset)
    return MakeRoiResult(output, cells)


def draw_owners(shape: tuple[int, int], config: MakeRoiConfig, tile: str) -> Array:
    """Draw the data set of each elementary patch of a tile.

    Parameters
    ----------
    shape
        Rows and columns of elementary patches.
    config
        Proportions, size of the squares and seed.
    tile
        Name of the tile; gives it a draw of its own.

    Returns
    -------
    shape int64: index of the data set; -1 beyond the last whole square.
    """
    factor = config.patchsize // ELEMENTARY_PATCH_PX
    rows, cols = shape[0] // factor, shape[1] // factor
    if rows * cols == 0:
        raise ProductError(
            f"{tile}: found {shape[0]} x {shape[1]} patches of {ELEMENTARY_PATCH_PX} px, "
            f"too few for a working patch of {config.patchsize} px; lower --patchsize"
        )
    generator = np.random.default_rng([config.seed, zlib.crc32(tile.encode())])
    counts = _shares(rows * cols, config.props)
    squares = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    owner = np.full(shape, -1, np.int64)
    spread = squares.reshape(rows, cols).repeat(factor, axis=0).repeat(factor, axis=1)
    owner[: rows * factor, : cols * factor] = spread
    return owner


def _shares(total: int, props: tuple[float, ...]) -> list[int]:
    """Divide squares by proportions: largest remainders, at least one each where possible."""
    exact = np.asarray(props, np.float64) * (total / sum(props))
    counts = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    wanted = exact > 0
    if total >= wanted.sum():
        for empty in np.flatnonzero(wanted & (counts == 0)):
            counts[empty] = 1
            counts[np.argmax(counts)] -= 1
    return [int(count) for count in counts]


def _read_tiles(uri: str) -> _Tiles:
    try:
        return _Tiles.model_validate_json(storage.read_text(uri))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(
            f"{uri}: not a tiles JSON ({problems}); expected S2_ROOT_DIR and TILES"
        ) from error


def _patch_grid(root: str, tile: str) -> Grid:
    products = list_s2(root, tile)
    if not products:
        raise ProductError(
            f"{root}: no prepared Sentinel-2 product of {tile}; run prepare-s2 and make-tiles"
        )
    with open_raster(products[0].cloud_stats) as reader:
        return reader.grid


def _rois_json(config: MakeRoiConfig, tiles: list[str]) -> bytes:
    content: dict[str, str | list[str]] = {"ROIS_ROOT_DIR": config.output_dir}
    for dataset in ("train", "valid", *config.datasets):
        content[f"{dataset.upper()}_TILES"] = tiles if dataset in config.datasets else []
    return json.dumps(content, indent=2).encode()
