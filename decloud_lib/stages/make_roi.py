"""Draw which part of each tile belongs to which data set."""

import io
import json
import logging
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from decloud_lib import manifest, storage
from decloud_lib.arrays import regions
from decloud_lib.arrays.pictures import enlarged
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, ProductError
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import PreparedS2, list_s2
from decloud_lib.raster.read import check_same_grid, open_raster
from decloud_lib.raster.vectors import Polygons, centres_inside, read_polygons, stored_files
from decloud_lib.raster.views import open_image
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.types import Array, Grid

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]+")
#: Side of a cell in the pictures, pixels.
_PICTURE_PX = 4
#: Small rasters that are opened at the same time; the wait is for the bucket.
_READERS = 8
#: End of a count's name in the manifest; no data set can be called so.
_PATCHES = "/patches"


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
    rois: tuple[str, ...] = Field(
        default=(),
        description="Vector file with polygons for each data set, in the same order, or an empty "
        "text for none: GeoPackage, GeoJSON, shapefile (also zipped), FlatGeobuf.",
    )
    roi_mode: regions.RoiMode = Field(
        default="restrict",
        description="What polygons do. restrict: their data set takes only squares inside them. "
        "override: all ground is drawn, then squares inside them go to their data set.",
    )
    patchsize: int = Field(
        default=256,
        ge=ELEMENTARY_PATCH_PX,
        multiple_of=ELEMENTARY_PATCH_PX,
        description="Side of the patches that will be sampled, 10 m pixels; a multiple of 64.",
        json_schema_extra={"flags": ["-p"]},
    )
    squaresize: int | None = Field(
        default=None,
        ge=ELEMENTARY_PATCH_PX,
        description="Side of the squares that go to one data set as a whole, 10 m pixels; a "
        "multiple of the patch size, which is the default.",
    )
    guard: int = Field(
        default=0,
        ge=0,
        multiple_of=ELEMENTARY_PATCH_PX,
        description="Width of the ground left out between data sets, 10 m pixels; a multiple of "
        "64. The data set that is named first gives way.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw.")
    share_ground: bool = Field(
        default=False,
        description="Give all the ground to every data set: they are to be split by time.",
    )

    @property
    def square_px(self) -> int:
        """Side of a square, 10 m pixels."""
        return self.squaresize or self.patchsize

    @model_validator(mode="after")
    def _check_data_sets(self) -> Self:
        if len(self.datasets) != len(self.props):
            raise ValueError(
                f"{len(self.datasets)} data sets and {len(self.props)} proportions; "
                "expected one proportion for each data set"
            )
        if min(self.props) < 0 or not 0 < sum(self.props) < float("inf"):
            raise ValueError(f"proportions {self.props}: expected none below 0 and one above")
        for name in self.datasets:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"data set {name!r}: expected letters, digits, _ and -; it becomes part of "
                    "file names"
                )
        if len({name.lower() for name in self.datasets}) != len(self.datasets):
            raise ValueError(
                f"a data set is named twice: {', '.join(self.datasets)}; capitals do not tell "
                "names apart"
            )
        return self

    @model_validator(mode="after")
    def _check_ground(self) -> Self:
        if self.rois and len(self.rois) != len(self.datasets):
            raise ValueError(
                f"{len(self.datasets)} data sets and {len(self.rois)} vector files; expected one "
                "for each data set, an empty text where there is none"
            )
        if self.square_px % self.patchsize:
            raise ValueError(
                f"squares of {self.square_px} px and patches of {self.patchsize} px; expected "
                "squares that are a multiple of the patches"
            )
        if self.share_ground and self.guard:
            raise ValueError(
                f"a guard band of {self.guard} px between data sets that share their ground; "
                "take away one of share_ground and guard"
            )
        if self.share_ground and self.roi_mode == "override" and any(self.rois):
            raise ValueError(
                "polygons that override the draw, and no draw because the ground is shared; take "
                "away share_ground, or use roi_mode restrict"
            )
        return self


@dataclass(frozen=True, slots=True)
class MakeRoiResult:
    """What was drawn."""

    output: str
    """URI of rois.json."""
    cells: dict[str, int]
    """Elementary patches of each data set, over all tiles."""
    patches: dict[str, int]
    """Whole patches (`patchsize`) of each data set, over all tiles."""


def make_roi(config: MakeRoiConfig) -> MakeRoiResult:
    """Write, for each tile and data set, a raster of the elementary patches that belong to it.

    A tile is cut into squares, from its upper-left corner. Each square goes to one data set at
    random; the numbers of squares follow the proportions as closely as whole squares allow, with at
    least one for each data set that has a proportion where there are enough. What lies beyond the
    last whole square belongs to none. A tile's draw depends on the seed, its name and the polygons
    only, so more tiles do not change the others.

    A square lies inside the polygons of a data set when the centres of all its elementary patches
    do. In the mode `restrict` the proportions hold among the data sets that may have a square: the
    squares are grouped by them, and each group is divided. A picture of each tile, `<TILE>.png`,
    shows the data sets in the colours that the log names.

    Raises
    ------
    ConfigError
        A tiles JSON that cannot be used.
    ProductError
        A tile without a prepared product, or smaller than a square; a vector file that cannot be
        used, or that reaches none of the tiles.
    GridMismatchError
        Products of a tile that do not share a grid.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    entry = storage.stat(config.tiles)
    if entry is None:
        raise ConfigError(f"{config.tiles}: there is no such file; run make-tiles first")
    files = read_tiles(config.tiles)
    grids = {tile: _cell_grid(files.s2_root, tile, config) for tile in sorted(set(files.tiles))}
    vectors = {file.uri: file for uri in set(config.rois) - {""} for file in stored_files(uri)}
    planned = manifest.plan("make_roi", config, (entry, *vectors.values()))
    settings = planned.config | {"grids": {tile: asdict(grid) for tile, grid in grids.items()}}
    planned = planned.model_copy(update={"config": settings})
    output = storage.join(config.output_dir, "rois.json")
    manifest_uri = storage.join(config.output_dir, manifest.NAME)
    if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
        logger.info("make-roi: %s was complete already", config.output_dir)
        done = manifest.read(manifest_uri)
        return _result(output, dict(done.counts) if done else {})
    inside, beside = _ground(config, grids)
    storage.delete(manifest_uri)
    counts = dict.fromkeys((*config.datasets, *(f"{n}{_PATCHES}" for n in config.datasets)), 0)
    written: list[str] = []
    for tile, grid in track(grids.items(), len(grids), "make-roi", "tile"):
        cells = draw_regions(inside[tile], config, tile)
        written += _write_tile(config, tile, grid, cells)
        for name, mask in zip(config.datasets, cells, strict=True):
            whole = regions.whole_squares(mask, config.patchsize // ELEMENTARY_PATCH_PX)
            counts[name] += int(mask.sum())
            counts[f"{name}{_PATCHES}"] += int(whole.sum())
    storage.write_bytes(output, _rois_json(config, list(grids)))
    manifest.write(manifest_uri, planned, (*written, output), counts=counts, skipped=beside)
    result = _result(output, counts)
    _tell(config, result)
    return result


def draw_regions(inside: Array, config: MakeRoiConfig, tile: str) -> Array:
    """Draw the data sets of a tile.

    Parameters
    ----------
    inside : (data sets, h, w) bool
        Elementary patches whose centre lies in the polygons of a data set; False where it has none.
    config
        Proportions, size of the squares, mode, guard band and seed.
    tile
        Name of the tile; gives it a draw of its own.

    Returns
    -------
    (data sets, h, w) bool: the elementary patches of each data set.
    """
    split = regions.Split(
        props=config.props,
        square_cells=config.square_px // ELEMENTARY_PATCH_PX,
        mode=config.roi_mode,
        guard_cells=config.guard // ELEMENTARY_PATCH_PX,
        share_ground=config.share_ground,
    )
    generator = np.random.default_rng([config.seed, zlib.crc32(tile.encode())])
    return regions.divide(inside, np.array(_has_polygons(config)), split, generator)


def _has_polygons(config: MakeRoiConfig) -> list[bool]:
    return [bool(uri) for uri in config.rois] or [False] * len(config.datasets)


def _cell_grid(root: str, tile: str, config: MakeRoiConfig) -> Grid:
    """Return the grid of a tile's elementary patches, on which all its statistics must lie."""
    products = list_s2(root, tile)
    if not products:
        raise ProductError(
            f"{root}: no prepared Sentinel-2 product of {tile}; run prepare-s2 and make-tiles"
        )
    # The other stacks are checked when they are sampled: each of them is opened then.
    with open_image(products[0].stack_10m) as reader:
        expected = reader.grid.coarsened(ELEMENTARY_PATCH_PX)
    stack = f"{products[0].stack_10m} (with pixels {ELEMENTARY_PATCH_PX} times larger)"
    with ThreadPoolExecutor(_READERS) as pool:
        found = [pair for pairs in pool.map(_statistics_grids, products) for pair in pairs]
    grid = check_same_grid({stack: expected, **dict(found)})
    if min(grid.shape) * ELEMENTARY_PATCH_PX < config.square_px:
        raise ProductError(
            f"{tile}: found {grid.height} x {grid.width} patches of {ELEMENTARY_PATCH_PX} px, "
            f"too few for a square of {config.square_px} px; lower "
            f"{'--squaresize' if config.squaresize else '--patchsize'}"
        )
    return grid


def _statistics_grids(product: PreparedS2) -> list[tuple[str, Grid]]:
    found = []
    for uri in (product.cloud_stats, product.edge_stats):
        with open_raster(uri) as reader:
            found.append((uri, reader.grid))
    return found


def _ground(
    config: MakeRoiConfig, grids: dict[str, Grid]
) -> tuple[dict[str, Array], list[manifest.Skipped]]:
    """Find the cells inside the polygons of each data set, and the tiles that a set is beside."""
    inside = {tile: np.zeros((len(config.datasets), *grids[tile].shape), bool) for tile in grids}
    beside: list[manifest.Skipped] = []
    read: dict[str, Polygons] = {}
    for index, (name, uri) in enumerate(zip(config.datasets, config.rois, strict=False)):
        if not uri:
            continue
        polygons = read[uri] = read.get(uri) or read_polygons(uri)
        for tile, grid in grids.items():
            inside[tile][index] = centres_inside(polygons, grid)
        without = [tile for tile in grids if not inside[tile][index].any()]
        if len(without) == len(grids):
            first, grid = next(iter(grids.items()))
            left, bottom, right, top = grid.bounds
            raise ProductError(
                f"{uri}: its polygons hold the centre of no elementary patch of any tile: found "
                f"{polygons.describe()}; {first} lies in {grid.crs}, {left:.6g} to {right:.6g} "
                f"east, {bottom:.6g} to {top:.6g} north; check their reference system"
            )
        for tile in without:
            reason = f"the polygons of {name} lie beside the tile and give it nothing there"
            logger.info("make-roi: %s: %s", tile, reason)
            beside.append(manifest.Skipped(item=f"{tile}_{name}", reason=reason))
    return inside, beside


def _write_tile(config: MakeRoiConfig, tile: str, grid: Grid, cells: Array) -> list[str]:
    written = []
    for name, mask in zip(config.datasets, cells, strict=True):
        uri = storage.join(config.output_dir, f"{tile}_{name}.tif")
        pixels = mask.astype(np.uint8)[..., np.newaxis]
        write_raster(uri, grid, RasterProfile((name,), "uint8", predictor=1), pixels)
        written.append(uri)
    # Data sets that share their ground would hide each other.
    if not config.share_ground:
        picture = regions.region_picture(cells)
        content = io.BytesIO()
        Image.fromarray(enlarged(picture, _PICTURE_PX * max(grid.shape))).save(content, "PNG")
        uri = storage.join(config.output_dir, f"{tile}.png")
        storage.write_bytes(uri, content.getvalue())
        written.append(uri)
    return written


def _result(output: str, counts: dict[str, int]) -> MakeRoiResult:
    patches = {
        name.removesuffix(_PATCHES): count
        for name, count in counts.items()
        if name.endswith(_PATCHES)
    }
    return MakeRoiResult(output, {name: counts[name] for name in patches}, patches)


def _tell(config: MakeRoiConfig, result: MakeRoiResult) -> None:
    tones = regions.colours(len(config.datasets))
    for name, tone in zip(config.datasets, tones, strict=True):
        shown = "" if config.share_ground else f" (#{bytes(tone).hex()} in the pictures)"
        logger.info(
            "make-roi: %s%s: %d elementary patches, %d whole patches of %d px",
            name,
            shown,
            result.cells[name],
            result.patches[name],
            config.patchsize,
        )
    for index, name in enumerate(config.datasets):
        if result.patches[name]:
            continue
        forced = config.roi_mode == "override" and _has_polygons(config)[index]
        if config.props[index] == 0 and not forced:
            logger.info("make-roi: %s has proportion 0 and keeps no patch", name)
            continue
        logger.warning("make-roi: %s keeps no whole patch: %s", name, _advice(config, index))


def _advice(config: MakeRoiConfig, index: int) -> str:
    """Say what a person can do for a data set that was left with nothing."""
    if config.guard and index < len(config.datasets) - 1:
        least = regions.safe_square_px(config.patchsize, config.guard)
        if config.square_px < least:
            return (
                f"the guard band of {config.guard} px takes all its squares of "
                f"{config.square_px} px; raise --squaresize to {least} at least, or lower --guard"
            )
    if _has_polygons(config)[index]:
        return (
            f"no square of {config.square_px} px for it lies inside its polygons as a whole; "
            "draw them larger, or lower --patchsize here and in sample"
        )
    return "there are too few squares for its proportion; add tiles or raise its proportion"


def _rois_json(config: MakeRoiConfig, tiles: list[str]) -> bytes:
    content: dict[str, str | list[str]] = {"ROIS_ROOT_DIR": config.output_dir}
    named = {name.lower() for name in config.datasets}
    for dataset in ("train", "valid", *config.datasets):
        content[f"{dataset.upper()}_TILES"] = tiles if dataset.lower() in named else []
    return json.dumps(content, indent=2).encode()
