"""Prepare Sentinel-1: encoded VV and VH in one raster, and its edge statistics."""

import logging
import time as clock
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.arrays.masks import all_nodata, count_per_patch
from decloud_lib.bands import ELEMENTARY_PATCH_PX, S1_BANDS, S1_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.raster.products.prepared import ASSUMED_TAG, TIME_TAG, tile_folder
from decloud_lib.raster.products.s1tiling import AssumedHours, S1Pair, acquisition_time, find_pair
from decloud_lib.raster.radar import RadarReader, open_pair
from decloud_lib.raster.streaming import read_ahead, strip_rows, strips
from decloud_lib.raster.views import VIEW_END, View, write_view
from decloud_lib.raster.write import Codec, RasterProfile, create_raster, write_raster
from decloud_lib.stages import Mode, PrepareResult, Work
from decloud_lib.stages.quarantine import work_through
from decloud_lib.types import Array, Window

logger = logging.getLogger(__name__)

_BLOCK_PX = 256


class PrepareS1Config(StageConfig):
    """Settings of `prepare_s1`."""

    input_s1_vh: tuple[str, ...] = Field(
        min_length=1,
        description="S1Tiling images: the VH (or VV) file of each date; its pair lies beside it.",
    )
    out_s1_dir: str = Field(
        description="Root of the prepared images; <TILE> is added, unless the path ends with it."
    )
    mode: Mode = Field(
        default="convert",
        description="convert writes encoded images; statistics-only leaves the images as they were "
        "delivered, to be read there.",
    )
    assumed_hour_descending: time = Field(
        default=time(5, 45),
        description="Time of day, UTC, of descending passes whose time is masked and in no tag.",
    )
    assumed_hour_ascending: time = Field(
        default=time(17, 45),
        description="Time of day, UTC, of ascending passes whose time is masked and in no tag.",
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
    def assumed(self) -> AssumedHours:
        """Return the rule for masked times."""
        return AssumedHours(self.assumed_hour_descending, self.assumed_hour_ascending)


def prepare_s1(config: PrepareS1Config) -> PrepareResult:
    """Encode Sentinel-1 images of two polarisations and count their no-data pixels.

    Images are worked on one after the other, each in one pass over strips of rows, so memory does
    not depend on their size; see docs/data.md for the encoding and the files. An image that fails,
    for instance because its other polarisation was not delivered, does not stop the others.

    Returns
    -------
    The encoded rasters that were made; in the mode statistics-only the views of the images.

    Raises
    ------
    ProductError
        Half a pair, a name or a file that cannot be read.
    GridMismatchError
        The two polarisations do not lie on each other.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    one = partial(_prepare_one, config)
    return work_through(config.input_s1_vh, one, "s1", config.quarantine)


def plan_s1(config: PrepareS1Config, uri: str) -> Work:
    """Say what the preparation of one image comes from and leads to; opens no raster.

    Raises
    ------
    ProductError
        The name is not that of an image as delivered, or half of the pair is missing.
    """
    pair = find_pair(uri)
    folder = tile_folder(config.out_s1_dir, pair.name.tile)
    settings = {"input_s1_vh": (pair.vh.uri,), "out_s1_dir": storage.parent_of(folder)}
    planned = manifest.plan("prepare_s1", config.model_copy(update=settings), (pair.vv, pair.vh))
    stem = storage.join(folder, pair.prepared_stem)
    image = f"{stem}{VIEW_END}" if config.mode == "statistics-only" else f"{stem}.tif"
    return Work(f"{stem}.{manifest.NAME}", planned, (image, f"{stem}_edge.tif"))


def _prepare_one(config: PrepareS1Config, uri: str) -> str | None:
    """Prepare one image; return its URI, None where it was complete already."""
    work = plan_s1(config, uri)
    if manifest.is_current(work.manifest_uri, work.planned, overwrite=config.overwrite):
        return None
    start = clock.monotonic()
    pair = find_pair(uri)
    image, edge_stats = work.outputs
    with work.begun(), open_pair(pair) as reader:
        acquired, is_assumed = acquisition_time(pair.name, reader.tags, config.assumed)
        facts = _Facts(pair, acquired, is_assumed)
        if config.mode == "convert":
            edges = _convert(config, reader, image, facts.tags())
        else:
            edges = _count(reader)
            inputs = work.planned.inputs
            view = View(
                source=pair.vh.uri, settings=None, acquired=acquired,
                time_is_assumed=is_assumed, inputs=inputs,
            )  # fmt: skip
            write_view(image, view)
        profile = RasterProfile(("count",), "uint16", predictor=1, codec=config.codec)
        grid = reader.grid.coarsened(ELEMENTARY_PATCH_PX)
        write_raster(edge_stats, grid, profile, edges[..., np.newaxis], facts.tags())
    counts = {"patches": edges.size, "nodata_px": int(edges.sum()), "time_is_assumed": is_assumed}
    manifest.write(work.manifest_uri, work.planned, work.outputs, counts=counts)
    logger.info("prepared %s in %.1f s", pair.name.stem, clock.monotonic() - start)
    return image


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the metadata of the outputs tell."""

    pair: S1Pair
    acquired: datetime
    time_is_assumed: bool

    def tags(self) -> dict[str, str]:
        files = (self.pair.vv.uri, self.pair.vh.uri)
        return {
            TIME_TAG: self.acquired.isoformat(),
            ASSUMED_TAG: str(self.time_is_assumed).lower(),
            "ENCODING": "0 no data; 1..65535 = ln(sigma nought) in [-10, 3]",
            "SOURCES": ", ".join(storage.name_of(uri) for uri in files),
            "TIFFTAG_SOFTWARE": f"decloud {__version__}",
        }


def _convert(
    config: PrepareS1Config, reader: RadarReader, output: str, tags: dict[str, str]
) -> Array:
    """Write the encoded image; return its no-data pixels per elementary patch."""
    profile = RasterProfile(S1_BANDS, "uint16", S1_NODATA, _BLOCK_PX, config.codec, cog=config.cog)
    rows = strip_rows((_BLOCK_PX, ELEMENTARY_PATCH_PX), reader.block_rows)
    edges: list[Array] = []
    with create_raster(output, reader.grid, profile, tags) as writer:
        for window, pixels in read_ahead(strips(reader.grid, rows), reader.read):
            writer.write(window, pixels)
            edges.append(count_per_patch(all_nodata(pixels, S1_NODATA)))
    return np.concatenate(edges)


def _count(reader: RadarReader) -> Array:
    """Return the no-data pixels per elementary patch."""
    rows = strip_rows((ELEMENTARY_PATCH_PX,), reader.block_rows)

    def counted(window: Window) -> Array:
        return count_per_patch(reader.nodata_mask(window))

    found = read_ahead(strips(reader.grid, rows), counted)
    return np.concatenate([counts for _, counts in found])
