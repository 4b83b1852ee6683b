"""What is known of a prepared tile before any pixel is read: dates, cloud and validity by patch."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from decloud_lib import storage
from decloud_lib.arrays.candidates import Catalogue
from decloud_lib.arrays.masks import cloud_percent, is_valid
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.errors import ConfigError, GridMismatchError, ProductError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2, list_s1, list_s2
from decloud_lib.raster.read import open_raster
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.types import Array, Grid, Window

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Small rasters that are read at the same time; the wait is for the bucket, not for the processor.
_READERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class TileIndex:
    """A prepared tile, cut into patch positions (row-major)."""

    tile: str
    grid: Grid
    """Of the 10 m rasters."""
    patch_px: int
    """Side of a patch, 10 m pixels."""
    shape: tuple[int, int]
    """Rows and columns of positions."""
    s1: tuple[PreparedS1, ...]
    s2: tuple[PreparedS2, ...]
    dem: str | None
    catalogue: Catalogue
    """Of all positions; row i of an array belongs to `s2[i]` or `s1[i]`."""

    def window(self, position: int) -> Window:
        """Return the 10 m pixels of a position."""
        row, col = divmod(position, self.shape[1])
        size = self.patch_px
        return Window(row * size, col * size, size, size)

    def grid_of(self, kind: str) -> Grid:
        """Return the grid that rasters of a kind must have: `s1`, `s2`, `s2_20m` or `dem`."""
        return self.grid.coarsened(2) if kind in {"s2_20m", "dem"} else self.grid

    def region(self, uri: str) -> Array:
        """Return (positions,) bool, True = all cells of the patch lie in a region raster.

        Raises
        ------
        GridMismatchError
            The raster is not on the grid of the elementary patches.
        """
        cells = _read_cells(uri, self.grid)
        return is_valid(cells == 0, self.patch_px // ELEMENTARY_PATCH_PX).ravel()


def index_tile(tile: str, files: TilesFile, patch_px: int) -> TileIndex:
    """Read the statistics of a tile.

    Parameters
    ----------
    tile
        Name with the leading T.
    files
        Where the prepared data are.
    patch_px
        Side of a patch, 10 m pixels, a multiple of 64.

    Raises
    ------
    ProductError
        No prepared S2 product, or a tile smaller than a patch.
    ConfigError
        Elevations are configured and that of the tile is missing.
    GridMismatchError
        Rasters of the tile that do not share a grid.
    """
    s2 = list_s2(files.s2_root, tile)
    s1 = list_s1(files.s1_root, tile) if files.s1_root else []
    if not s2:
        raise ProductError(
            f"{files.s2_root}: no prepared Sentinel-2 product of {tile}; run prepare-s2 first"
        )
    with open_raster(s2[0].stack_10m) as reader:
        grid = reader.grid
    dem = _dem(tile, files, grid)
    factor = patch_px // ELEMENTARY_PATCH_PX
    shape = (grid.height // patch_px, grid.width // patch_px)
    if not all(shape):
        raise ProductError(
            f"{tile}: {grid.height} x {grid.width} px are too few for a patch of {patch_px} px; "
            "lower --patchsize"
        )

    def valid(counts: Array) -> Array:
        return is_valid(counts, factor)

    def cloud(counts: Array) -> Array:
        return cloud_percent(counts, factor)

    catalogue = Catalogue(
        s2_time_ms=_milliseconds([image.acquired for image in s2]),
        s2_cloud_percent=_table([image.cloud_stats for image in s2], grid, shape, cloud),
        s2_valid=_table([image.edge_stats for image in s2], grid, shape, valid).astype(bool),
        s1_time_ms=_milliseconds([image.acquired for image in s1]),
        s1_valid=_table([image.edge_stats for image in s1], grid, shape, valid).astype(bool),
        s1_ascending=np.array([image.ascending for image in s1], dtype=bool),
    )
    found = TileIndex(tile, grid, patch_px, shape, tuple(s1), tuple(s2), dem, catalogue)
    _log(found)
    return found


def _dem(tile: str, files: TilesFile, grid: Grid) -> str | None:
    if files.dem_root is None:
        return None
    uri = storage.join(files.dem_root, f"{tile}.tif")
    if storage.stat(uri) is None:
        raise ConfigError(
            f"{uri}: the elevation of {tile} is missing; run prepare-dem, or leave DEM_ROOT_DIR "
            "out of the tiles JSON"
        )
    with open_raster(uri) as reader:
        _check_grid(uri, reader.grid, grid.coarsened(2))
    return uri


def _table(
    uris: Sequence[str], grid: Grid, shape: tuple[int, int], reduce: Callable[[Array], Array]
) -> Array:
    """Return (images, positions): a number per patch of each statistics raster."""

    def row(uri: str) -> Array:
        return reduce(_read_cells(uri, grid)).ravel()

    with ThreadPoolExecutor(_READERS) as pool:
        rows = list(pool.map(row, uris))
    return np.array(rows).reshape(len(uris), shape[0] * shape[1])


def _read_cells(uri: str, grid: Grid) -> Array:
    """Return (h, w): a raster with one pixel per elementary patch of the 10 m grid."""
    with open_raster(uri) as reader:
        _check_grid(uri, reader.grid, grid.coarsened(ELEMENTARY_PATCH_PX))
        return reader.read(Window(0, 0, *reader.grid.shape))[..., 0]


def _check_grid(uri: str, found: Grid, expected: Grid) -> None:
    difference = found.difference(expected)
    if difference:
        raise GridMismatchError(
            f"{uri}: not on the grid of the tile's Sentinel-2 images: {difference} (expected); "
            "prepare it again from the same tile"
        )


def _milliseconds(moments: Sequence[datetime]) -> Array:
    step = timedelta(milliseconds=1)
    return np.array([(moment - _EPOCH) // step for moment in moments], dtype=np.int64)


def _log(index: TileIndex) -> None:
    found = index.catalogue
    logger.info(
        "%s: %d x %d positions, %d S2 dates (%.0f %% of the patches valid, mean cloud %.0f %%), "
        "%d S1 dates (%.0f %% valid)",
        index.tile,
        *index.shape,
        len(index.s2),
        100 * found.s2_valid.mean(),
        found.s2_cloud_percent.mean(),
        len(index.s1),
        100 * found.s1_valid.mean() if len(index.s1) else 0.0,
    )
