"""Prepare the elevation: rasters of elevation, brought on the 20 m grid of a tile."""

import dataclasses
import logging
from functools import partial

import numpy as np
from pydantic import Field

from decloud_lib import __version__, manifest, storage
from decloud_lib.bands import DEM_BANDS, DEM_NODATA
from decloud_lib.config import StageConfig
from decloud_lib.errors import ProductError
from decloud_lib.progress import track
from decloud_lib.raster.mosaic import mosaic
from decloud_lib.raster.piece import covered
from decloud_lib.raster.products.elevation import COPERNICUS_GLO30, Elevation, find_elevation
from decloud_lib.raster.streaming import read_ahead, strips
from decloud_lib.raster.views import open_image
from decloud_lib.raster.voids import VoidCounts, VoidPolicy, VoidTreatment
from decloud_lib.raster.warp import ResamplingName, open_warped
from decloud_lib.raster.write import RasterProfile, create_raster
from decloud_lib.stages import PrepareResult
from decloud_lib.stages.quarantine import work_through
from decloud_lib.types import Grid

logger = logging.getLogger(__name__)

#: Counted up when the same settings and inputs lead to another output.
_VERSION = 2
_ROWS = 512
_PIXEL_M = 20.0
_FINE_PIXEL_M = 10.0


class PrepareDemConfig(StageConfig):
    """Settings of `prepare_dem`."""

    dem: str = Field(
        default=COPERNICUS_GLO30,
        description="Elevation, metres: a georeferenced raster or a mosaic (.vrt), here, in a "
        "bucket or in the web; a folder of tiles; or the root of the Copernicus GLO-30 layout.",
    )
    reference: str = Field(
        description="Image with the wanted grid: a prepared 20 m stack, or a 10 m one."
    )
    output: str = Field(description="Where to write the elevation: .../<TILE>.tif.")
    resampling: ResamplingName = Field(
        default="bilinear", description="How elevations between the source's pixels are made."
    )
    voids: VoidPolicy = Field(
        default="zero",
        description="What becomes of pixels without elevation: 0 m; fill: holes are interpolated "
        "from at most 100 px away, the rest is 0 m; keep: no data (-32768); refuse: an error.",
    )
    tilesize: int = Field(
        default=128, ge=16, le=4096, multiple_of=16, description="Block of the GeoTIFF, pixels."
    )
    quarantine: str | None = Field(
        default=None,
        description="Folder for the reason of a failure; without it a failure is an error.",
    )

    @property
    def name(self) -> str:
        """Return what the elevation is called: the tile, as the output's name has it."""
        return storage.name_of(self.output).removesuffix(".tif")


def prepare_dem(config: PrepareDemConfig) -> PrepareResult:
    """Bring elevation on a tile's 20 m grid, as whole metres.

    Pixels without elevation (voids, ground beyond the source, open sea that the Copernicus layout
    has no tile for) are treated as `voids` says and counted in the manifest by kind.

    Raises
    ------
    ProductError
        No such source, a file that is no raster of elevation, tiles in two projections, a source
        that covers the tile nowhere, or voids that are refused.
    StorageError
        A bucket or server that cannot be reached.
    OutputConflictError
        A complete output of other settings or inputs is there and `overwrite` is off.
    """
    one = partial(_prepare_one, config)
    return work_through((config.dem,), one, "dem", config.quarantine, config.name)


def _prepare_one(config: PrepareDemConfig, dem: str) -> str | None:
    """Prepare the elevation; return its URI, None where it was complete already."""
    grid = _wanted_grid(config.reference)
    elevation = find_elevation(dem, grid)
    planned = manifest.plan("prepare_dem", config, elevation.entries, _VERSION)
    # The reference counts by its grid: another product of the same tile changes nothing.
    settings = planned.config | {"reference": dataclasses.asdict(grid)}
    planned = planned.model_copy(update={"config": settings})
    manifest_uri = f"{config.output.removesuffix('.tif')}.{manifest.NAME}"
    if manifest.is_current(manifest_uri, planned, overwrite=config.overwrite):
        logger.info("prepare-dem: %s was complete already", config.output)
        return None
    storage.delete(manifest_uri)
    counts = _prepare(config, elevation, grid)
    manifest.write(manifest_uri, planned, (config.output,), counts=_told(counts, elevation))
    logger.info(
        "prepare-dem: wrote %s from %d rasters; of %d px without elevation %d became 0 m, %d were "
        "interpolated, %d stay without data",
        *(config.output, len(elevation.pieces), counts.voids),
        *(counts.zero, counts.filled, counts.kept),
    )
    return config.output


def _wanted_grid(reference: str) -> Grid:
    """Return the 20 m grid of an image; that of a 10 m one is made twice as coarse."""
    with open_image(reference) as image:
        grid = image.grid
    if grid.pixel_m == _FINE_PIXEL_M:
        logger.info("prepare-dem: %s has pixels of 10 m: elevation at 20 m", reference)
        grid = grid.coarsened(2)
    if grid.pixel_m != _PIXEL_M:
        raise ProductError(
            f"{reference}: pixels of {grid.pixel_m:g} ({grid.crs}); elevation is prepared for the "
            "20 m stack of a tile: give that, or the 10 m one"
        )
    return grid


def _prepare(config: PrepareDemConfig, elevation: Elevation, grid: Grid) -> VoidCounts:
    """Write the elevation strip by strip; return the numbers of voids."""
    if elevation.missing:
        logger.warning(
            "prepare-dem: %s has no tile %s: open sea, or ground that is not released",
            config.dem,
            ", ".join(elevation.missing),
        )
    if not elevation.pieces:
        return _write_sea(config, elevation, grid)
    treatment = VoidTreatment(
        config.voids, lambda window: covered(elevation.pieces, grid.cropped(window))
    )
    document = mosaic(elevation.pieces, config.resampling)
    windows = strips(grid, _ROWS)
    with (
        open_warped(document, config.dem, grid, config.resampling) as source,
        create_raster(config.output, grid, _profile(config), _tags(config)) as writer,
    ):
        ahead = track(read_ahead(windows, source.read), len(windows), "prepare-dem", "strip")
        for window, metres in treatment.strips(ahead):
            writer.write(window, metres)
        _check(config, elevation, grid, treatment.counts)
    return treatment.counts


def _write_sea(config: PrepareDemConfig, elevation: Elevation, grid: Grid) -> VoidCounts:
    """Write 0 m everywhere, if the source says that there is sea."""
    px = grid.height * grid.width
    counts = VoidCounts(px=px, voids=px, beyond=px, zero=px, first=(0, 0))
    _check(config, elevation, grid, counts)
    with create_raster(config.output, grid, _profile(config), _tags(config)) as writer:
        for window in strips(grid, _ROWS):
            writer.write(window, np.zeros((*window.shape, 1), np.int16))
    return counts


def _check(config: PrepareDemConfig, elevation: Elevation, grid: Grid, counts: VoidCounts) -> None:
    """Refuse voids where they are refused, and a source that holds nothing of the tile."""
    if counts.voids == counts.px:
        sea = bool(elevation.missing) and not counts.holes
        if sea and config.voids == "zero":
            logger.warning("prepare-dem: %s: open sea everywhere, so 0 m", config.output)
            return
        raise ProductError(
            f"{config.dem}: holds no elevation anywhere on the grid of {config.reference} "
            f"({grid.crs}, bounds {grid.bounds}); "
            + ("if it is open sea, use voids = zero" if sea else "is it of another place?")
        )
    if config.voids == "refuse" and counts.first is not None:
        row, col = counts.first
        x, y = grid.transform @ (col + 0.5, row + 0.5)
        raise ProductError(
            f"{config.dem}: {counts.voids} of {counts.px} px have no elevation ({counts.holes} "
            f"holes, {counts.beyond} beyond the source), the first at row {row}, column {col} "
            f"({grid.crs} {x:.0f}, {y:.0f}); use voids = zero, fill or keep, or another source"
        )


def _profile(config: PrepareDemConfig) -> RasterProfile:
    return RasterProfile(DEM_BANDS, "int16", DEM_NODATA, config.tilesize)


def _tags(config: PrepareDemConfig) -> dict[str, str]:
    return {
        "SOURCE": storage.name_of(config.dem),
        "RESAMPLING": config.resampling,
        "VOIDS": config.voids,
        "UNITS": "metres",
        "TIFFTAG_SOFTWARE": f"decloud {__version__}",
    }


def _told(counts: VoidCounts, elevation: Elevation) -> dict[str, int]:
    """Return what the manifest says."""
    names = ("px", "voids", "holes", "beyond", "filled", "zero", "kept")
    found = {name: int(getattr(counts, name)) for name in names}
    return found | {"rasters": len(elevation.pieces), "missing_tiles": len(elevation.missing)}
