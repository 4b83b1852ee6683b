"""Prepare the elevation: any elevation raster, brought on the 20 m grid of a tile."""

import dataclasses
import logging

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.bands import DEM_BANDS, DEM_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.progress import track
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.streaming import read_ahead, strips
from decloud_lib.raster.warp import ResamplingName, open_warped
from decloud_lib.raster.write import RasterProfile, create_raster
from decloud_lib.stages import PrepareResult
from decloud_lib.types import Array, Grid

logger = logging.getLogger(__name__)

_BLOCK_PX = 128
_ROWS = 512
#: Lower values are voids that the source did not mark.
_LOWEST_M = -12000.0


class PrepareDemConfig(StageConfig):
    """Settings of `prepare_dem`."""

    dem: str = Field(description="Elevation, metres: any georeferenced raster that GDAL opens.")
    reference: str = Field(description="Raster with the wanted grid: a prepared 20 m stack.")
    output: str = Field(description="Where to write the elevation: .../<TILE>.tif.")
    resampling: ResamplingName = Field(
        default="bilinear", description="How elevations between the source's pixels are made."
    )


def prepare_dem(config: PrepareDemConfig) -> PrepareResult:
    """Bring elevation on a tile's 20 m grid, as whole metres.

    Voids, the sea where the source has none, and ground beyond the source become 0 and are counted
    in the manifest.

    Raises
    ------
    ProductError
        A file that is no raster, or a source that does not cover the tile anywhere.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    source = storage.stat(config.dem)
    if source is None:
        raise ProductError(f"{config.dem}: there is no such file; expected an elevation raster")
    with open_raster(config.reference) as reference:
        grid = reference.grid
    planned = manifest.plan("prepare_dem", config, (source,))
    # The reference counts by its grid: another product of the same tile changes nothing.
    settings = planned.config | {"reference": dataclasses.asdict(grid)}
    planned = planned.model_copy(update={"config": settings})
    manifest_uri = f"{config.output.removesuffix('.tif')}.{manifest.NAME}"
    if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
        logger.info("prepare-dem: %s was complete already", config.output)
        return PrepareResult((), 1)
    storage.delete(manifest_uri)
    voids = _prepare(config, grid)
    manifest.write(
        manifest_uri,
        planned,
        (config.output,),
        counts={"px": grid.height * grid.width, "voids": voids},
    )
    logger.info("prepare-dem: wrote %s; %d void pixels became 0 m", config.output, voids)
    return PrepareResult((config.output,), 0)


def _prepare(config: PrepareDemConfig, grid: Grid) -> int:
    """Write the elevation strip by strip; return the number of voids."""
    voids = 0
    windows = strips(grid, _ROWS)
    profile = RasterProfile(DEM_BANDS, "int16", DEM_NODATA, _BLOCK_PX)
    tags = {
        "SOURCE": storage.name_of(config.dem),
        "UNITS": "metres",
        "TIFFTAG_SOFTWARE": f"decloud {__version__}",
    }
    with (
        open_warped(config.dem, grid, config.resampling) as source,
        create_raster(config.output, grid, profile, tags) as writer,
    ):
        if len(source.bands) != 1:
            raise ProductError(f"{config.dem}: found {len(source.bands)} bands, expected elevation")
        ahead = read_ahead(windows, source.read)
        for window, elevation in track(ahead, len(windows), "prepare-dem", "strip"):
            metres, found = _whole_metres(elevation)
            voids += found
            writer.write(window, metres)
        if voids == grid.height * grid.width:
            raise ProductError(
                f"{config.dem}: holds no elevation anywhere on the grid of {config.reference} "
                f"({grid.crs}, bounds {grid.bounds}); is it of another place?"
            )
    return voids


def _whole_metres(elevation: Array) -> tuple[Array, int]:
    """Round to int16 with voids as 0; return it and the number of voids."""
    void = ~(elevation > _LOWEST_M)
    metres = np.rint(np.where(void, 0.0, elevation))
    return np.clip(metres, -32767, 32767).astype(np.int16), int(void.sum())
