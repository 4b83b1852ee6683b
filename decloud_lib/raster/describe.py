"""How any raster is stored, and its pixels by strips, at full resolution or of an overview.

Other than `raster.read`, which is for images on grids that can be worked with, this takes rasters
as they come: in degrees, with oblong pixels, without a coordinate reference system.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from decloud_lib import storage
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import IMAGE_DRIVERS
from decloud_lib.types import Array

_STRIP_BYTES = 32 << 20
"""Of a strip, at most, unless a single row of blocks is more."""
#: What GDAL adds to each GeoTIFF, and tells nobody anything.
_EMPTY_TAGS = {"AREA_OR_POINT"}


@dataclass(frozen=True, slots=True)
class StoredRaster:
    """What the header of a raster says."""

    uri: str
    driver: str
    """GDAL's name of the format."""
    bands: tuple[str, ...]
    """Band descriptions; `"1"`, `"2"`... where there are none."""
    dtype: str
    nodata: float | None
    """The no-data tag."""
    height: int
    width: int
    """Pixels."""
    crs: str | None
    """`EPSG:<code>`, WKT, or None where the file names none."""
    left: float
    top: float
    """Upper-left corner, CRS units."""
    pixel: tuple[float, float]
    """Width and height of a pixel, CRS units."""
    unit: str
    """Of the CRS: `metre`, `degree`, or empty."""
    block_shape: tuple[int, int]
    """Rows and columns of an internal block, pixels."""
    codec: str
    """`ZSTD`, `DEFLATE`, `JPEG2000`...; `none`."""
    overviews: tuple[int, ...]
    """How many times smaller each overview is."""
    tags: dict[str, str]
    """Metadata of the file."""


class PlainRaster:
    """An open raster; made by `open_plain`. For one thread."""

    def __init__(self, dataset: DatasetReader, uri: str, unnamed: tuple[str, ...] = ()) -> None:
        self._dataset = dataset
        self.stored = _stored(dataset, uri)
        if not any(dataset.descriptions) and len(unnamed) == dataset.count:
            self.stored = replace(self.stored, bands=unnamed)

    def strips(self, names: Sequence[str] | None = None) -> Iterator[tuple[int, Array]]:
        """Yield the raster from top to bottom in strips of full width.

        Parameters
        ----------
        names
            Bands in the wanted order; all in file order where None.

        Yields
        ------
        The first row, and (H, W, C) pixels of the file's data type.

        Raises
        ------
        MissingBandError
            A band is not in the file.
        ProductError
            The file is damaged.
        """
        stored = self.stored
        indexes = [self._position(name) + 1 for name in names or stored.bands]
        row_bytes = stored.width * len(stored.bands) * np.dtype(stored.dtype).itemsize
        block_rows = stored.block_shape[0]
        rows = max(1, _STRIP_BYTES // (row_bytes * block_rows)) * block_rows
        for start in range(0, stored.height, rows):
            area = RasterioWindow(0, start, stored.width, min(rows, stored.height - start))
            try:
                planes = self._dataset.read(indexes, window=area)
            except RasterioError as error:
                raise self._damaged(error) from error
            yield start, np.moveaxis(planes, 0, -1)

    def _position(self, name: str) -> int:
        bands = self.stored.bands
        if name not in bands:
            raise MissingBandError(
                f"{self.stored.uri}: band {name} is missing; found {', '.join(bands)}"
            )
        return bands.index(name)

    def _damaged(self, error: RasterioError) -> ProductError:
        cause = error.__cause__ or error
        return ProductError(
            f"{self.stored.uri}: its pixels cannot be read ({cause}); is the file damaged or cut "
            "short? deliver it again"
        )


@contextmanager
def open_plain(
    uri: str,
    *,
    unnamed: tuple[str, ...] = (),
    at_least_px: int | None = None,
) -> Iterator[PlainRaster]:
    """Open any raster.

    Parameters
    ----------
    uri
        `s3://...`, a local path, or a path that GDAL itself understands (`/vsizip/...`).
    unnamed
        Names of the bands where the file has none (files of the existing system) and as many.
    at_least_px
        Open the smallest overview whose longer side has so many pixels, where there is one.

    Raises
    ------
    ProductError
        No such file, not a GeoTIFF or JPEG 2000 image, or damaged.
    """
    with gdal_environment(), ExitStack() as stack:
        try:
            dataset = stack.enter_context(_open(uri))
            if at_least_px is not None:
                level = _overview(dataset, at_least_px)
                if level is not None:
                    dataset = stack.enter_context(_open(uri, overview_level=level))
        except RasterioError as error:
            raise ProductError(
                f"{uri}: cannot be opened as a raster ({error}); "
                "check that the file is there and was delivered completely"
            ) from error
        yield PlainRaster(dataset, uri, unnamed)


def _open(uri: str, **options: int) -> DatasetReader:
    with warnings.catch_warnings():
        # It is told that there is no coordinate reference system.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return DatasetReader(storage.gdal_path(uri), driver=list(IMAGE_DRIVERS), **options)


def _overview(dataset: DatasetReader, at_least_px: int) -> int | None:
    longer = max(dataset.shape)
    fitting = [i for i, times in enumerate(dataset.overviews(1)) if longer // times >= at_least_px]
    return fitting[-1] if fitting else None


def _stored(dataset: DatasetReader, uri: str) -> StoredRaster:
    transform, crs = dataset.transform, dataset.crs
    compression = dataset.compression
    codec = compression.name.upper() if compression is not None else "none"
    return StoredRaster(
        uri=uri,
        driver=dataset.driver,
        bands=tuple(name or str(i) for i, name in enumerate(dataset.descriptions, start=1)),
        dtype=dataset.dtypes[0],
        nodata=dataset.nodata,
        height=dataset.height,
        width=dataset.width,
        crs=_crs_name(crs) if crs is not None else None,
        left=transform.c,
        top=transform.f,
        pixel=(transform.a, abs(transform.e)),
        unit=_unit_of(crs) if crs is not None else "",
        block_shape=dataset.block_shapes[0],
        codec="JPEG2000" if dataset.driver.startswith("JP2") else codec,
        overviews=tuple(dataset.overviews(1)),
        tags={key: text for key, text in dataset.tags().items() if key not in _EMPTY_TAGS},
    )


def _crs_name(crs: CRS) -> str:
    try:
        code = crs.to_epsg()
    except CRSError:
        code = None
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def _unit_of(crs: CRS) -> str:
    if crs.is_geographic:
        return "degree"
    try:
        return str(crs.linear_units).lower().removesuffix("s")
    except CRSError:
        return ""
