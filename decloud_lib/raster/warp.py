"""A raster seen on another grid, computed window by window."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import RasterReader
from decloud_lib.types import Array, Grid, Window

ResamplingName = Literal["bilinear", "cubic", "average", "nearest"]

#: How far a point may be from where it should be, target pixels. GDAL computes the exact place of
#: a few points of a row and checks that those between lie so near; 0.01 costs no more than 0.125.
_TOLERANCE_PX = 0.01


class WarpedReader:
    """An open mosaic on a grid; may be read in another thread."""

    def __init__(self, reader: RasterReader) -> None:
        self._reader = reader
        self.grid = reader.grid

    def read(self, window: Window) -> Array:
        """Return (H, W) float32 of a window inside the grid; NaN where there is nothing.

        Raises
        ------
        ProductError
            A source file is damaged, or its server does not answer any more.
        """
        # The options of the thread that opened it do not reach this one.
        with gdal_environment():
            return self._reader.read(window)[..., 0]


@contextmanager
def open_warped(
    document: str, uri: str, grid: Grid, resampling: ResamplingName
) -> Iterator[WarpedReader]:
    """Open a mosaic as float32 on a given grid.

    Parameters
    ----------
    document
        Text of `mosaic.mosaic`.
    uri
        What it is called in messages.
    grid
        The grid to bring it on.
    resampling
        Method; on the raster's own grid each of them returns its own values. Where the grid is
        coarser than the raster, `bilinear` and `cubic` weigh all pixels in their reach, so that
        none is left out.

    Raises
    ------
    ProductError
        It cannot be brought on this grid.
    """
    with gdal_environment():
        try:
            with (
                DatasetReader(document, driver=["VRT"]) as source,
                WarpedVRT(
                    source,
                    crs=grid.crs,
                    transform=grid.transform,
                    height=grid.height,
                    width=grid.width,
                    resampling=Resampling[resampling],
                    nodata=float("nan"),
                    dtype="float32",
                    tolerance=_TOLERANCE_PX,
                ) as warped,
            ):
                reader = RasterReader(warped, uri)
                try:
                    yield WarpedReader(reader)
                finally:
                    reader.close()
        except (RasterioError, CRSError, CPLE_BaseError) as error:
            raise ProductError(
                f"{uri}: cannot be brought on another grid ({str(error)[:300]}); "
                "expected a georeferenced raster"
            ) from error
