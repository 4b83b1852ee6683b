"""A raster seen on another grid, computed window by window."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from decloud_lib import storage
from decloud_lib.bands import DEM_NODATA
from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import RasterReader
from decloud_lib.types import Grid

ResamplingName = Literal["bilinear", "cubic", "average", "nearest"]


@contextmanager
def open_warped(uri: str, grid: Grid, resampling: ResamplingName) -> Iterator[RasterReader]:
    """Open a raster as float32 on a given grid; NaN where it holds nothing.

    Parameters
    ----------
    uri
        Any georeferenced raster.
    grid
        The grid to bring it on.
    resampling
        Method; on the raster's own grid each of them returns its own values.

    Raises
    ------
    ProductError
        Not a raster, or one without georeferencing.
    """
    with gdal_environment():
        try:
            with (
                rasterio.open(storage.gdal_path(uri)) as source,
                WarpedVRT(
                    source,
                    crs=grid.crs,
                    transform=grid.transform,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling[resampling],
                    src_nodata=_nodata_of(source),
                    nodata=float("nan"),
                    dtype="float32",
                ) as warped,
            ):
                reader = RasterReader(warped, uri)
                try:
                    yield reader
                finally:
                    reader.close()
        except RasterioError as error:
            raise ProductError(
                f"{uri}: cannot be brought on another grid ({error}); "
                "expected a georeferenced raster"
            ) from error


def _nodata_of(source: rasterio.DatasetReader) -> float | None:
    """Return the no-data value; elevation files often use -32768 without saying so."""
    if source.nodata is not None:
        return float(source.nodata)
    kind = np.dtype(source.dtypes[0]).kind
    return float("nan") if kind == "f" else float(DEM_NODATA) if kind == "i" else None
