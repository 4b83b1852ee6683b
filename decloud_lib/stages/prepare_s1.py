"""Prepare Sentinel-1: encoded VV and VH in one raster, and its edge statistics."""

import logging
import time as clock
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import time

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.arrays.encode import encode_channel
from decloud_lib.arrays.masks import all_nodata, count_per_patch
from decloud_lib.bands import ELEMENTARY_PATCH_PX, S1_BANDS, S1_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import ASSUMED_TAG, TIME_TAG, tile_folder
from decloud_lib.raster.products.s1tiling import (
    AssumedHours,
    S1Pair,
    acquisition_time,
    find_pair,
)
from decloud_lib.raster.read import RasterReader, check_same_grid, open_raster
from decloud_lib.raster.streaming import read_ahead, strip_rows, strips
from decloud_lib.raster.write import RasterProfile, create_raster, write_raster
from decloud_lib.stages import PrepareResult
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
    assumed_hour_descending: time = Field(
        default=time(5, 45),
        description="Time of day, UTC, of descending passes whose time is masked and in no tag.",
    )
    assumed_hour_ascending: time = Field(
        default=time(17, 45),
        description="Time of day, UTC, of ascending passes whose time is masked and in no tag.",
    )


def prepare_s1(config: PrepareS1Config) -> PrepareResult:
    """Encode Sentinel-1 images of two polarisations and count their no-data pixels.

    Images are worked on one after the other, each in one pass over strips of rows, so memory does
    not depend on their size; see docs/data.md for the encoding and the files.

    Returns
    -------
    The encoded rasters that were made.

    Raises
    ------
    ProductError
        Half a pair, a name or a file that cannot be read.
    GridMismatchError
        The two polarisations do not lie on each other.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    made: list[str] = []
    reused = 0
    for uri in track(config.input_s1_vh, len(config.input_s1_vh), "prepare-s1", "image"):
        pair = find_pair(uri)
        folder = tile_folder(config.out_s1_dir, pair.name.tile)
        settings = {"input_s1_vh": (pair.vh.uri,), "out_s1_dir": storage.parent_of(folder)}
        planned = manifest.plan(
            "prepare_s1", config.model_copy(update=settings), (pair.vv, pair.vh)
        )
        output = storage.join(folder, pair.prepared_stem)
        manifest_uri = f"{output}.{manifest.NAME}"
        if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
            reused += 1
            continue
        # From here on the image is incomplete until its manifest is there again.
        storage.delete(manifest_uri)
        start = clock.monotonic()
        assumed = AssumedHours(config.assumed_hour_descending, config.assumed_hour_ascending)
        counts = _prepare(pair, f"{output}.tif", f"{output}_edge.tif", assumed)
        outputs = (f"{output}.tif", f"{output}_edge.tif")
        manifest.write(manifest_uri, planned, outputs, counts=counts)
        made.append(f"{output}.tif")
        logger.info("prepared %s in %.1f s", pair.name.stem, clock.monotonic() - start)
    logger.info("prepare-s1: %d made, %d were complete already", len(made), reused)
    return PrepareResult(tuple(made), reused)


@dataclass(frozen=True, slots=True)
class _Strip:
    """The encoded pixels of one strip and its counts."""

    pixels: Array
    edge_counts: Array


def _prepare(pair: S1Pair, output: str, edge_stats: str, assumed: AssumedHours) -> dict[str, int]:
    """Write the encoded raster and its statistics in one pass; return the counts."""
    edges: list[Array] = []
    with ExitStack() as stack:
        readers = [stack.enter_context(open_raster(entry.uri)) for entry in (pair.vv, pair.vh)]
        for reader in readers:
            _check_content(reader)
        grid = check_same_grid({reader.uri: reader.grid for reader in readers})
        acquired, is_assumed = acquisition_time(
            pair.name, readers[0].tags | readers[1].tags, assumed
        )
        tags = {
            TIME_TAG: acquired.isoformat(),
            ASSUMED_TAG: str(is_assumed).lower(),
            "ENCODING": "0 no data; 1..65535 = ln(sigma nought) in [-10, 3]",
            "SOURCES": ", ".join(storage.name_of(reader.uri) for reader in readers),
            "TIFFTAG_SOFTWARE": f"decloud {__version__}",
        }
        profile = RasterProfile(S1_BANDS, "uint16", S1_NODATA, _BLOCK_PX)
        writer = stack.enter_context(create_raster(output, grid, profile, tags))
        rows = strip_rows(
            (_BLOCK_PX, ELEMENTARY_PATCH_PX), [reader.block_shape[0] for reader in readers]
        )

        def encoded(window: Window) -> _Strip:
            planes = [encode_channel(reader.read(window)[..., 0]) for reader in readers]
            pixels = np.moveaxis(np.stack(planes), 0, -1)
            return _Strip(pixels, count_per_patch(all_nodata(pixels, S1_NODATA)))

        for window, strip in read_ahead(strips(grid, rows), encoded):
            writer.write(window, strip.pixels)
            edges.append(strip.edge_counts)
        counts = np.concatenate(edges)
        write_raster(
            edge_stats,
            grid.coarsened(ELEMENTARY_PATCH_PX),
            RasterProfile(("count",), "uint16", predictor=1),
            counts[..., np.newaxis],
            tags,
        )
    return {"patches": counts.size, "nodata_px": int(counts.sum()), "time_is_assumed": is_assumed}


def _check_content(reader: RasterReader) -> None:
    if not reader.dtype.startswith("float") or len(reader.bands) != 1:
        raise ProductError(
            f"{reader.uri}: found {len(reader.bands)} band(s) of {reader.dtype}, expected one of "
            "float32 with linear sigma nought: is this an S1Tiling image?"
        )
    if min(reader.grid.shape) < ELEMENTARY_PATCH_PX:
        raise ProductError(
            f"{reader.uri}: found {reader.grid.height} x {reader.grid.width} px, "
            f"expected at least one patch of {ELEMENTARY_PATCH_PX} px"
        )
