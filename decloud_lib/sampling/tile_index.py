"""What is known of a prepared tile before any pixel is read: dates, cloud and validity by patch."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from decloud_lib.arrays.candidates import Catalogue
from decloud_lib.arrays.masks import cloud_percent, is_valid
from decloud_lib.arrays.regions import usable_cells, whole_squares
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.raster.read import open_raster
from decloud_lib.sampling.image_facts import check_grid
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.tile_survey import SurveyedImage, TileSurvey
from decloud_lib.types import Array, Grid, Window

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        """Return the grid that rasters of a kind must have: `s1`, `s2`, `s2_20m`..."""
        return self.grid.coarsened(2) if kind in {"s2_20m", "dem"} else self.grid

    def region(self, uri: str) -> Array:
        """Return (positions,) bool, True = all cells of the patch lie in a region raster.

        Raises
        ------
        GridMismatchError
            The raster is not on the grid of the elementary patches.
        ProductError
            It holds NaN, which says neither yes nor no.
        """
        with open_raster(uri) as reader:
            cells_grid = self.grid.coarsened(ELEMENTARY_PATCH_PX)
            check_grid(uri, reader.grid, cells_grid, self.s2[0].stack_10m)
            values = reader.read(Window(0, 0, *reader.grid.shape))[..., 0]
        try:
            cells = usable_cells(values, reader.nodata)
        except ValueError as error:
            raise ProductError(
                f"{uri}: {error}; expected 0 for what must not be used and 1 for what may: run "
                "make-roi again"
            ) from error
        return whole_squares(cells, self.patch_px // ELEMENTARY_PATCH_PX).ravel()


def index_tile(tile: str, files: TilesFile, patch_px: int) -> TileIndex:
    """Collect what is known of a tile, from its table where there is one.

    The table is compared with a listing of the tile's folders. Statistics rasters are read of new
    and changed images only, and the table is brought up to date where its place can be written;
    without a table all are read. The index is the same. A damaged image is left out with a warning.

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
        No prepared S2 product that can be used, or a tile smaller than a patch.
    ConfigError
        Elevations are configured and that of the tile is missing.
    GridMismatchError
        Rasters of the tile that do not share a grid.
    """
    survey = TileSurvey(tile, files, thorough=False)
    grid = survey.grid
    shape = (grid.height // patch_px, grid.width // patch_px)
    if not all(shape):
        raise ProductError(
            f"{tile}: {grid.height} x {grid.width} px are too few for a patch of {patch_px} px; "
            "lower --patchsize"
        )
    columns = _Columns(survey.counts, shape[0] * shape[1], patch_px // ELEMENTARY_PATCH_PX)
    for found in survey.batches():
        for item in found:
            columns.add(item)
    _save(survey)
    dem = survey.elevation.uri if survey.elevation else None
    s1, s2 = tuple(columns.s1), tuple(columns.s2)
    index = TileIndex(tile, grid, patch_px, shape, s1, s2, dem, columns.catalogue())
    _log(index, survey)
    return index


class _Columns:
    """The arrays of a catalogue while they are filled, image by image."""

    def __init__(self, images: tuple[int, int], positions: int, factor: int) -> None:
        n_s2, n_s1 = images
        self.s2: list[PreparedS2] = []
        self.s1: list[PreparedS1] = []
        self._factor = factor
        self._cloud_percent = np.empty((n_s2, positions))
        self._s2_valid = np.empty((n_s2, positions), bool)
        self._s1_valid = np.empty((n_s1, positions), bool)

    def add(self, item: SurveyedImage) -> None:
        """Add the next image in time of its sensor."""
        image, counts = item.image, item.counts
        valid = is_valid(counts.edge, self._factor).ravel()
        if isinstance(image, PreparedS1):
            self._s1_valid[len(self.s1)] = valid
            self.s1.append(image)
            return
        assert counts.cloud is not None
        self._s2_valid[len(self.s2)] = valid
        self._cloud_percent[len(self.s2)] = cloud_percent(counts.cloud, self._factor).ravel()
        self.s2.append(image)

    def catalogue(self) -> Catalogue:
        """Return the catalogue of the images that were added."""
        n_s2, n_s1 = len(self.s2), len(self.s1)
        return Catalogue(
            s2_time_ms=_milliseconds([image.acquired for image in self.s2]),
            s2_cloud_percent=self._cloud_percent[:n_s2],
            s2_valid=self._s2_valid[:n_s2],
            s1_time_ms=_milliseconds([image.acquired for image in self.s1]),
            s1_valid=self._s1_valid[:n_s1],
            s1_ascending=np.array([image.ascending for image in self.s1], dtype=bool),
        )


def _save(survey: TileSurvey) -> None:
    try:
        if survey.save_table():
            logger.info("%s: its table was brought up to date", survey.tile)
    except StorageError as error:
        # Whoever draws samples need not be allowed to write to the prepared data.
        logger.info("%s: its table is not brought up to date: %s", survey.tile, error)


def _milliseconds(moments: Sequence[datetime]) -> Array:
    step = timedelta(milliseconds=1)
    return np.array([(moment - _EPOCH) // step for moment in moments], dtype=np.int64)


def _log(index: TileIndex, survey: TileSurvey) -> None:
    found = index.catalogue
    logger.info(
        "%s: %d x %d positions, %d S2 dates (%.0f %% of the patches valid, mean cloud %.0f %%), "
        "%d S1 dates (%.0f %% valid); statistics read of %d images",
        index.tile,
        *index.shape,
        len(index.s2),
        100 * found.s2_valid.mean(),
        found.s2_cloud_percent.mean(),
        len(index.s1),
        100 * found.s1_valid.mean() if len(index.s1) else 0.0,
        survey.read,
    )
