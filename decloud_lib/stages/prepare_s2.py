"""Prepare Sentinel-2: stacks, masks and statistics from delivered L2A products."""

import logging
import time
from contextlib import ExitStack
from functools import partial

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.arrays.masks import count_per_patch
from decloud_lib.bands import ELEMENTARY_PATCH_PX, S2_10M_BANDS, S2_20M_STACK_BANDS, S2_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.raster.optical import OpticalReader, Strip, open_delivered
from decloud_lib.raster.products.families import open_optical
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings
from decloud_lib.raster.products.prepared import (
    S2_PARTS,
    S2_STATS,
    TIME_TAG,
    PreparedS2,
    s2_parts,
    s2_view,
    tile_folder,
)
from decloud_lib.raster.streaming import read_ahead, strip_rows, strips
from decloud_lib.raster.views import View, write_view
from decloud_lib.raster.write import Codec, RasterProfile, create_raster, write_raster
from decloud_lib.stages import Mode, PrepareResult, Work
from decloud_lib.stages.quarantine import work_through
from decloud_lib.types import Array, Window

logger = logging.getLogger(__name__)


class PrepareS2Config(OpticalSettings, StageConfig):
    """Settings of `prepare_s2`."""

    in_image: tuple[str, ...] = Field(
        min_length=1,
        description="L2A products: Theia or ESA folders, their .zip read in place, or STAC items.",
    )
    out_s2_dir: str = Field(
        description="Root of the prepared products; <TILE>/<product> is added, unless the path "
        "ends with the tile already."
    )
    mode: Mode = Field(
        default="convert",
        description="convert writes stacks and masks; statistics-only leaves the product as it was "
        "delivered, to be read there.",
    )
    tilesize: int = Field(
        default=256,
        ge=32,
        le=4096,
        multiple_of=32,
        description="Side of a GeoTIFF block of the 10 m rasters, pixels; half of it at 20 m.",
    )
    codec: Codec = Field(
        default="ZSTD", description="Compression; DEFLATE is slower, for readers without ZSTD."
    )
    cog: bool = Field(default=False, description="Write cloud-optimised GeoTIFFs with overviews.")
    quarantine: str | None = Field(
        default=None,
        description="Folder for the reasons of products that fail; without it they are an error "
        "when all others are done.",
    )

    @property
    def settings(self) -> OpticalSettings:
        """Return how the products are read."""
        return OpticalSettings(**self.model_dump(include=set(OpticalSettings.model_fields)))


def prepare_s2(config: PrepareS2Config) -> PrepareResult:
    """Write the stacks, masks and statistics of Sentinel-2 products.

    Theia's values are not changed; those of ESA become the same integers, reflectance x 10000 with
    -10000 for no data. The cloud mask keeps what counts as cloud. Each product becomes a folder
    with six rasters and, last, a manifest; see docs/data.md for the files. Products are worked on
    one after the other, each in one pass over strips of rows, so memory does not depend on their
    size. A product that fails does not stop the others.

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
    one = partial(_prepare_one, config)
    return work_through(config.in_image, one, "s2", config.quarantine)


def plan_s2(config: PrepareS2Config, uri: str) -> Work:
    """Say what the preparation of one product comes from and leads to; opens no raster.

    Raises
    ------
    ProductError, MissingBandError
        A product that is incomplete, ambiguous or unreadable.
    """
    return _plan(config, open_optical(uri, config.settings))


def _plan(config: PrepareS2Config, product: OpticalProduct) -> Work:
    tile_uri = tile_folder(config.out_s2_dir, product.name.tile)
    folder = storage.join(tile_uri, product.name.name)
    settings = {"in_image": (product.uri,), "out_s2_dir": storage.parent_of(tile_uri)}
    planned = manifest.plan("prepare_s2", config.model_copy(update=settings), product.entries)
    parts = s2_parts(folder, product.name, product.reflectance)
    images = [getattr(parts, part) for part in S2_PARTS]
    if config.mode == "statistics-only":
        images = [s2_view(folder, product.name)]
    outputs = (*images, *(getattr(parts, part) for part in S2_STATS))
    return Work(storage.join(folder, manifest.NAME), planned, outputs)


def _prepare_one(config: PrepareS2Config, uri: str) -> str | None:
    """Prepare one product; return its folder, None where it was complete already."""
    product = open_optical(uri, config.settings)
    work = _plan(config, product)
    if manifest.is_current(work.manifest_uri, work.planned, overwrite=config.overwrite):
        return None
    start = time.monotonic()
    folder = storage.parent_of(work.manifest_uri)
    parts = s2_parts(folder, product.name, product.reflectance)
    tags = _tags(product, config.settings)
    # Opens all files in both modes: a product that cannot be read later is no use.
    with work.begun(), open_delivered(product, config.settings) as reader:
        if config.mode == "convert":
            cloud, edge = _convert(config, reader, parts, tags)
        else:
            cloud, edge = _count(reader)
            view = View(
                source=product.uri, settings=config.settings,
                acquired=product.name.acquired, inputs=work.planned.inputs,
            )  # fmt: skip
            write_view(work.outputs[0], view)
        profile = RasterProfile(("count",), "uint16", predictor=1, codec=config.codec)
        grid = reader.grid_10m.coarsened(ELEMENTARY_PATCH_PX)
        for stats, numbers in ((parts.cloud_stats, cloud), (parts.edge_stats, edge)):
            write_raster(stats, grid, profile, numbers[..., np.newaxis], tags)
    flagged, outside = int(cloud.sum()), int(edge.sum())
    counts = {"patches": cloud.size, "flagged_px": flagged, "edge_px": outside}
    manifest.write(work.manifest_uri, work.planned, work.outputs, counts=counts)
    logger.info("prepared %s in %.1f s", product.name.name, time.monotonic() - start)
    return folder


def _tags(product: OpticalProduct, settings: OpticalSettings) -> dict[str, str]:
    counted = (
        f"SCL classes {', '.join(map(str, sorted(settings.cloud_classes)))}"
        if product.cloud_mask is None
        else f"CLM bits {settings.cloud_bits:08b}"
    )
    return {
        TIME_TAG: product.name.acquired.isoformat(timespec="milliseconds"),
        "PRODUCT": product.name.name,
        "FAMILY": product.family,
        "REFLECTANCE": product.reflectance,
        "CLOUD": counted,
        **product.facts,
        "TIFFTAG_SOFTWARE": f"decloud {__version__}",
    }


class _Outputs:
    """The four rasters at full resolution that are being written."""

    def __init__(
        self,
        config: PrepareS2Config,
        reader: OpticalReader,
        outputs: PreparedS2,
        tags: dict[str, str],
        stack: ExitStack,
    ) -> None:
        fine, coarse = reader.grid_10m, reader.grid_20m
        profile = partial(RasterProfile, codec=config.codec, cog=config.cog)
        mask = partial(
            profile, dtype="uint8", block_px=config.tilesize, predictor=1,
            overview_resampling="NEAREST",
        )  # fmt: skip
        reflectance = partial(profile, dtype="int16", nodata=S2_NODATA)
        plan = {
            outputs.stack_10m: (fine, reflectance(S2_10M_BANDS, block_px=config.tilesize)),
            outputs.stack_20m: (
                coarse, reflectance(S2_20M_STACK_BANDS, block_px=config.tilesize // 2),
            ),
            outputs.cloud_mask: (fine, mask(("CLM",))),
            outputs.edge_mask: (fine, mask(("EDG",))),
        }  # fmt: skip
        self._writers = [
            stack.enter_context(create_raster(uri, grid, how, tags))
            for uri, (grid, how) in plan.items()
        ]

    def write(self, window: Window, strip: Strip) -> None:
        """Write one strip of all four rasters."""
        coarse = Window(window.row // 2, 0, *strip.stack_20m.shape[:2])
        windows = (window, coarse, window, window)
        masks = (strip.cloud[..., np.newaxis], strip.edge[..., np.newaxis])
        pixels = (strip.stack_10m, strip.stack_20m, *masks)
        for writer, area, values in zip(self._writers, windows, pixels, strict=True):
            if values.size:
                writer.write(area, values)


def _convert(
    config: PrepareS2Config, reader: OpticalReader, outputs: PreparedS2, tags: dict[str, str]
) -> tuple[Array, Array]:
    """Write stacks and masks in one pass; return the cloud and edge pixels per patch."""
    clouds: list[Array] = []
    edges: list[Array] = []
    rows = strip_rows((config.tilesize, ELEMENTARY_PATCH_PX), reader.block_rows)
    with ExitStack() as stack:
        written = _Outputs(config, reader, outputs, tags, stack)
        for window, strip in read_ahead(strips(reader.grid_10m, rows), reader.read):
            written.write(window, strip)
            clouds.append(count_per_patch(strip.cloud))
            edges.append(count_per_patch(strip.edge))
    return np.concatenate(clouds), np.concatenate(edges)


def _count(reader: OpticalReader) -> tuple[Array, Array]:
    """Return the cloud and edge pixels per elementary patch."""
    rows = strip_rows((ELEMENTARY_PATCH_PX,), reader.mask_block_rows)

    def counted(window: Window) -> tuple[Array, Array]:
        return count_per_patch(reader.cloud(window)), count_per_patch(reader.edge(window))

    found = [counts for _, counts in read_ahead(strips(reader.grid_10m, rows), counted)]
    clouds, edges = zip(*found, strict=True)
    return np.concatenate(clouds), np.concatenate(edges)
