"""Prepare Sentinel-2: stacks, masks and statistics from delivered L2A products."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.arrays.masks import count_per_patch
from decloud_lib.bands import ELEMENTARY_PATCH_PX, S2_10M_BANDS, S2_20M_STACK_BANDS, S2_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import (
    S2_PARTS,
    TIME_TAG,
    PreparedS2,
    s2_parts,
    tile_folder,
)
from decloud_lib.raster.products.theia import CLOUD_MASK, EDGE_MASK, TheiaProduct, open_product
from decloud_lib.raster.read import RasterReader, check_same_grid, open_raster
from decloud_lib.raster.streaming import read_ahead, strip_rows, strips
from decloud_lib.raster.write import RasterProfile, create_raster, write_raster
from decloud_lib.stages import PrepareResult
from decloud_lib.types import Array, Grid, Window

logger = logging.getLogger(__name__)


class PrepareS2Config(StageConfig):
    """Settings of `prepare_s2`."""

    in_image: tuple[str, ...] = Field(
        min_length=1, description="Theia L2A products: folders, or .zip archives read in place."
    )
    out_s2_dir: str = Field(
        description="Root of the prepared products; <TILE>/<product> is added, unless the path "
        "ends with the tile already."
    )
    tilesize: int = Field(
        default=256,
        ge=32,
        le=4096,
        multiple_of=32,
        description="Side of a GeoTIFF block of the 10 m rasters, pixels; half of it at 20 m.",
    )


def prepare_s2(config: PrepareS2Config) -> PrepareResult:
    """Write the stacks, masks and statistics of Sentinel-2 products.

    Values are not changed. Each product becomes a folder with six rasters and, last, a manifest;
    see docs/data.md for the files. Products are worked on one after the other, each in one pass
    over strips of rows, so memory does not depend on their size.

    Returns
    -------
    The folders that were made.

    Raises
    ------
    ProductError, MissingBandError
        A product that is incomplete, ambiguous or unreadable.
    GridMismatchError
        Its rasters do not lie on each other.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    made: list[str] = []
    reused = 0
    for uri in track(config.in_image, len(config.in_image), "prepare-s2", "product"):
        product = open_product(uri)
        tile_uri = tile_folder(config.out_s2_dir, product.name.tile)
        folder = storage.join(tile_uri, product.name.name)
        settings = {"in_image": (product.uri,), "out_s2_dir": storage.parent_of(tile_uri)}
        planned = manifest.plan("prepare_s2", config.model_copy(update=settings), product.entries)
        manifest_uri = storage.join(folder, manifest.NAME)
        if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
            reused += 1
            continue
        # From here on the folder is incomplete until its manifest is there again.
        storage.delete(manifest_uri)
        start = time.monotonic()
        outputs = s2_parts(folder, product.name)
        counts = _prepare(product, outputs, config.tilesize)
        parts = [getattr(outputs, part) for part in S2_PARTS]
        manifest.write(manifest_uri, planned, parts, counts=counts)
        made.append(folder)
        logger.info("prepared %s in %.1f s", product.name.name, time.monotonic() - start)
    logger.info("prepare-s2: %d made, %d were complete already", len(made), reused)
    return PrepareResult(tuple(made), reused)


@dataclass(frozen=True, slots=True)
class _Strip:
    """The pixels of one strip."""

    stack_10m: Array
    stack_20m: Array
    cloud: Array
    edge: Array


class _Sources:
    """The twelve open rasters of a product."""

    def __init__(self, product: TheiaProduct, stack: ExitStack) -> None:
        paths = product.bands | {CLOUD_MASK: product.cloud_mask, EDGE_MASK: product.edge_mask}
        self._readers = {
            role: stack.enter_context(open_raster(path)) for role, path in paths.items()
        }
        for role, reader in self._readers.items():
            _check_content(reader, "uint8" if role in (CLOUD_MASK, EDGE_MASK) else "int16")
        fine = (*S2_10M_BANDS, CLOUD_MASK, EDGE_MASK)
        self.grid_10m = check_same_grid({self._uri(role): self._grid(role) for role in fine})
        if min(self.grid_10m.shape) < ELEMENTARY_PATCH_PX:
            raise ProductError(
                f"{product.uri}: found {self.grid_10m.height} x {self.grid_10m.width} px, "
                f"expected at least one patch of {ELEMENTARY_PATCH_PX} px"
            )
        first_fine = self._uri(fine[0])
        self.grid_20m = check_same_grid(
            {f"{first_fine} at half the resolution": self.grid_10m.coarsened(2)}
            | {self._uri(role): self._grid(role) for role in S2_20M_STACK_BANDS}
        )
        self.block_rows = [
            reader.block_shape[0] * (1 if role in fine else 2)
            for role, reader in self._readers.items()
        ]

    def read(self, window: Window) -> _Strip:
        """Read a strip of the 10 m grid and the same ground of the 20 m grid."""
        coarse = Window(window.row // 2, 0, window.height // 2, self.grid_20m.width)
        return _Strip(
            self._stacked(S2_10M_BANDS, window),
            self._stacked(S2_20M_STACK_BANDS, coarse),
            self._readers[CLOUD_MASK].read(window),
            self._readers[EDGE_MASK].read(window),
        )

    def _stacked(self, roles: tuple[str, ...], window: Window) -> Array:
        planes = np.empty((len(roles), *window.shape), np.int16)
        for role, plane in zip(roles, planes, strict=True):
            self._readers[role].read_plane(window, plane)
        return np.moveaxis(planes, 0, -1)

    def _uri(self, role: str) -> str:
        return self._readers[role].uri

    def _grid(self, role: str) -> Grid:
        return self._readers[role].grid


def _check_content(reader: RasterReader, dtype: str) -> None:
    if reader.dtype != dtype or len(reader.bands) != 1:
        raise ProductError(
            f"{reader.uri}: found {len(reader.bands)} band(s) of {reader.dtype}, "
            f"expected one of {dtype}: is this a Theia L2A product?"
        )


class _Outputs:
    """The four rasters at full resolution that are being written."""

    def __init__(
        self, sources: _Sources, outputs: PreparedS2, block_px: int, stack: ExitStack
    ) -> None:
        self._tags = {
            TIME_TAG: outputs.acquired.isoformat(timespec="milliseconds"),
            "PRODUCT": outputs.name,
            "TIFFTAG_SOFTWARE": f"decloud {__version__}",
        }
        mask = partial(RasterProfile, dtype="uint8", block_px=block_px, predictor=1)
        reflectance = partial(RasterProfile, dtype="int16", nodata=S2_NODATA)
        plan = {
            outputs.stack_10m: reflectance(S2_10M_BANDS, block_px=block_px),
            outputs.stack_20m: reflectance(S2_20M_STACK_BANDS, block_px=block_px // 2),
            outputs.cloud_mask: mask(("CLM",)),
            outputs.edge_mask: mask(("EDG",)),
        }
        grids = (sources.grid_10m, sources.grid_20m, sources.grid_10m, sources.grid_10m)
        self._writers = [
            stack.enter_context(create_raster(uri, grid, profile, self._tags))
            for (uri, profile), grid in zip(plan.items(), grids, strict=True)
        ]
        self._stats_grid = sources.grid_10m.coarsened(ELEMENTARY_PATCH_PX)

    def write(self, window: Window, strip: _Strip) -> None:
        """Write one strip of all four rasters."""
        coarse = Window(window.row // 2, 0, *strip.stack_20m.shape[:2])
        windows = (window, coarse, window, window)
        pixels = (strip.stack_10m, strip.stack_20m, strip.cloud, strip.edge)
        for writer, area, values in zip(self._writers, windows, pixels, strict=True):
            if values.size:
                writer.write(area, values)

    def write_stats(self, uri: str, counts: Array) -> None:
        """Write a statistics raster: one pixel per elementary patch."""
        profile = RasterProfile(("count",), "uint16", predictor=1)
        write_raster(uri, self._stats_grid, profile, counts[..., np.newaxis], self._tags)


def _prepare(product: TheiaProduct, outputs: PreparedS2, block_px: int) -> dict[str, int]:
    """Write the six rasters in one pass; return the numbers of flagged pixels."""
    clouds: list[Array] = []
    edges: list[Array] = []
    with ExitStack() as stack:
        sources = _Sources(product, stack)
        written = _Outputs(sources, outputs, block_px, stack)
        rows = strip_rows((block_px, ELEMENTARY_PATCH_PX), sources.block_rows)
        for window, strip in read_ahead(strips(sources.grid_10m, rows), sources.read):
            written.write(window, strip)
            clouds.append(count_per_patch(strip.cloud[..., 0]))
            edges.append(count_per_patch(strip.edge[..., 0]))
        cloud_counts, edge_counts = np.concatenate(clouds), np.concatenate(edges)
        written.write_stats(outputs.cloud_stats, cloud_counts)
        written.write_stats(outputs.edge_stats, edge_counts)
    return {
        "patches": cloud_counts.size,
        "flagged_px": int(cloud_counts.sum()),
        "edge_px": int(edge_counts.sum()),
    }
