"""Named bands of a raster on its grid, by window, straight from a folder, bucket or archive."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from threading import Lock, get_ident
from typing import Protocol

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from decloud_lib import storage
from decloud_lib.errors import GridMismatchError, MissingBandError, ProductError, ShapeError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.types import Array, Grid, Window, WindowReader

#: What images may be. GDAL looks at a file's content and not at its name: without this list a text
#: that names other files (a VRT) would be followed wherever it leads.
IMAGE_DRIVERS = ("GTiff", "JP2OpenJPEG")
# The grid of each raster is checked: it is an error that says so.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


class ImageReader(WindowReader, Protocol):
    """An open image: a raster, or a part of a product that is left as it was delivered."""

    @property
    def uri(self) -> str:
        """What was opened, as the caller named it."""

    @property
    def dtype(self) -> str:
        """Name of the data type."""

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Return (H, W, C) pixels of a window, of the named bands; of all where None."""


class RasterReader:
    """An open raster; an `ImageReader`.

    One reader may be shared by several threads: reads are done one after the other under a lock.
    Threads that should read at the same time open a reader each.

    Attributes
    ----------
    uri : str
        What was opened, as the caller named it.
    grid : Grid
        Georeferencing.
    bands : tuple of str
        Band descriptions; where there are none the names it was opened with, else `"1"`, `"2"`...
    dtype : str
        Name of the data type.
    nodata : float or None
        The no-data tag.
    tags : dict of str to str
        Metadata of the file.
    block_shape : tuple of int
        Rows and columns of an internal block, pixels.
    """

    def __init__(self, dataset: DatasetReader, uri: str, unnamed: tuple[str, ...] = ()) -> None:
        self._dataset = dataset
        self._lock = Lock()
        self._thread = get_ident()
        self._remote = any(kind in dataset.name for kind in ("/vsis3/", "/vsicurl/"))
        self.uri = uri
        self.grid = _grid_of(dataset, uri)
        self.bands: tuple[str, ...] = tuple(
            name or str(index) for index, name in enumerate(dataset.descriptions, start=1)
        )
        if not any(dataset.descriptions) and len(unnamed) == dataset.count:
            self.bands = unnamed
        self.dtype: str = dataset.dtypes[0]
        self.nodata: float | None = dataset.nodata
        self.tags: dict[str, str] = dataset.tags()
        self.block_shape: tuple[int, int] = dataset.block_shapes[0]

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Read the pixels of a window that lies inside the grid.

        Parameters
        ----------
        window
            Pixels of this raster.
        names
            Bands in the wanted order; all in file order where None.

        Returns
        -------
        (H, W, C) array of the file's data type; a view whose bands are contiguous planes.

        Raises
        ------
        ShapeError
            The window reaches outside the raster.
        MissingBandError
            A band is not in the file.
        ProductError
            The file is damaged.
        """
        indexes = None if names is None else [_position(self, name) + 1 for name in names]
        return np.moveaxis(self._read(window, indexes, None), 0, -1)

    def read_plane(self, window: Window, plane: Array) -> None:
        """Read the first band into an existing (H, W) array of the file's type; see `read`."""
        self._read(window, 1, plane)

    def check_inside(self, window: Window) -> None:
        """Raise `ShapeError` where a window reaches outside the grid."""
        rows, cols = window.row + window.height, window.col + window.width
        if min(window.row, window.col) < 0 or rows > self.grid.height or cols > self.grid.width:
            size = f"{self.grid.height} x {self.grid.width} px"
            raise ShapeError(f"{self.uri}: {window} reaches outside the raster of {size}")

    def close(self) -> None:
        """Close the file, when a read in another thread has ended; later ones raise."""
        with self._lock:
            self._dataset.close()

    def _read(self, window: Window, indexes: int | list[int] | None, out: Array | None) -> Array:
        self.check_inside(window)
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        # Options that were set by another thread may not reach this one.
        foreign = self._remote and get_ident() != self._thread
        try:
            with self._lock, gdal_environment() if foreign else nullcontext():
                return np.asarray(self._dataset.read(indexes, out=out, window=area))
        except RasterioError as error:
            raise ProductError(damaged(self.uri, window, error)) from error


class RasterOpener(Protocol):
    """Opens a raster file: `open_raster`, or that of another engine."""

    def __call__(
        self, uri: str, *, unnamed: tuple[str, ...] = ()
    ) -> AbstractContextManager[RasterReader]:
        """Open the file at a URI; `unnamed` names the bands of a file that has no names."""


@contextmanager
def open_raster(
    uri: str, *, unnamed: tuple[str, ...] = (), drivers: Sequence[str] = IMAGE_DRIVERS
) -> Iterator[RasterReader]:
    """Open a raster for reading by windows.

    Parameters
    ----------
    uri
        `s3://...`, a local path, or a path that GDAL itself understands (`/vsizip/...`).
    unnamed
        Names of the bands where the file has none (files of the existing system) and as many.
    drivers
        Formats that are accepted.

    Raises
    ------
    ProductError
        No such file, not a raster, damaged, or not on a north-up grid of square pixels.
    """
    with gdal_environment():
        try:
            # What `rasterio.open` makes; it takes a single driver only.
            dataset = DatasetReader(storage.gdal_path(uri), driver=list(drivers))
        except RasterioError as error:
            raise ProductError(
                f"{uri}: cannot be opened as a raster ({error}); "
                "check that the file is there and was delivered completely"
            ) from error
        with dataset:
            reader = RasterReader(dataset, uri, unnamed)
            try:
                yield reader
            finally:
                reader.close()


def read_bands(reader: WindowReader, names: Sequence[str], window: Window) -> Array:
    """Read bands by name, in the order of `names`.

    Returns
    -------
    (H, W, len(names)) array

    Raises
    ------
    MissingBandError
        A name that the source does not hold; says which ones it has.
    """
    if isinstance(reader, RasterReader):
        return reader.read(window, names)
    positions = [_position(reader, name) for name in names]
    return reader.read(window)[..., positions]


def check_same_grid(grids: Mapping[str, Grid]) -> Grid:
    """Check that rasters share one grid, and return it.

    Parameters
    ----------
    grids
        What each raster is, in words for the message, and its grid; at least one.

    Raises
    ------
    GridMismatchError
        Two grids differ; the message holds both values of each thing that differs.
    """
    (first_name, first), *others = grids.items()
    for name, grid in others:
        difference = first.difference(grid)
        if difference:
            raise GridMismatchError(
                f"{first_name} and {name} are not on one grid: {difference}; "
                "expected the same projection, corner, pixel size and size"
            )
    return first


def _position(reader: WindowReader, name: str) -> int:
    try:
        return reader.bands.index(name)
    except ValueError:
        where = f"{reader.uri}: " if isinstance(reader, RasterReader) else ""
        raise MissingBandError(
            f"{where}band {name} is missing; found {', '.join(reader.bands)}"
        ) from None


def _grid_of(dataset: DatasetReader, uri: str) -> Grid:
    transform = dataset.transform
    if transform.is_identity:
        raise ProductError(f"{uri}: has no georeference; expected a raster that lies on a grid")
    square = abs(transform.a + transform.e) <= 1e-9 * abs(transform.a)
    if transform.a <= 0 or not square or transform.b or transform.d:
        found = f"pixels of {transform.a:g} x {transform.e:g}, rotation {transform.b:g}"
        raise ProductError(f"{uri}: {found}; expected square pixels and north up: warp it first")
    if dataset.crs is None:
        raise ProductError(
            f"{uri}: has no coordinate reference system; expected a georeferenced file"
        )
    return Grid(
        crs=_crs_name(dataset.crs.to_wkt()),
        left=transform.c,
        top=transform.f,
        pixel_m=transform.a,
        height=dataset.height,
        width=dataset.width,
    )


@lru_cache(maxsize=32)
def _crs_name(wkt: str) -> str:
    """Return `EPSG:<code>` where there is one: two spellings of a system must compare equal."""
    try:
        code = CRS.from_wkt(wkt).to_epsg()
    except CRSError:
        return wkt
    return f"EPSG:{code}" if code else wkt


def damaged(uri: str, window: Window, error: Exception) -> str:
    """Say in words that a window of a file cannot be read."""
    cause = error.__cause__ or error
    return f"{uri}: {window} cannot be read ({cause}); is the file damaged or cut short?"
