"""Images composed of rasters: what both engines read by window, and how rasterio does it.

A composition says what is wanted; an engine opens it as an `ImageReader`. `raster.otb` is the other
engine. Both give the same pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Literal, TypeVar

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from decloud_lib import storage
from decloud_lib.arrays.composite import FirstUsable, Layer
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import IMAGE_DRIVERS, ImageReader, RasterReader
from decloud_lib.raster.views import is_part, open_image
from decloud_lib.types import Array, Grid, Window

EngineName = Literal["rasterio", "otb"]
ResamplingName = Literal["nearest", "bicubic"]

Part = TypeVar("Part")

#: What a mosaic takes as no data: that of Sentinel-1 images.
TRANSPARENT = 0
_ALIGNED_PX = 1e-3
_RESAMPLING = {"nearest": Resampling.nearest, "bicubic": Resampling.cubic}


@dataclass(frozen=True, slots=True)
class Raster:
    """One raster, or an image inside a view."""

    uri: str
    unnamed: tuple[str, ...] = ()
    """Names of the bands of a file that has none."""
    grid: Grid | None = None
    """Where its pixels are wanted; as they are stored where None."""
    fill: int | None = None
    """What stands where the raster does not reach; None = it must lie on `grid` itself."""
    resampling: ResamplingName = "nearest"
    """How it is brought on the grid. Bicubic is for grids that are no coarser than the raster."""

    @property
    def rasters(self) -> tuple["Raster", ...]:
        """The rasters behind it."""
        return (self,)


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Rasters on one grid, first on top; a pixel that is 0 in all bands is transparent."""

    parts: tuple[Raster, ...]

    @property
    def rasters(self) -> tuple[Raster, ...]:
        """The rasters behind it."""
        return self.parts


Composition = Raster | Mosaic
Engine = Callable[[Composition], AbstractContextManager[ImageReader]]
Leaf = Callable[[Raster], AbstractContextManager[ImageReader]]


def engine(name: EngineName) -> Engine:
    """Return the engine of this name.

    Raises
    ------
    ConfigError
        The Orfeo ToolBox is not installed; says how to get it.
    """
    if name == "rasterio":
        return open_composition
    # Loaded on demand: most machines do not have it.
    from decloud_lib.raster import otb

    return otb.engine()


@contextmanager
def open_composition(composition: Composition, leaf: Leaf | None = None) -> Iterator[ImageReader]:
    """Open a composition with rasterio.

    Parameters
    ----------
    composition
        What to read.
    leaf
        Opens a single raster on its grid.

    Raises
    ------
    GridMismatchError
        A raster lies elsewhere and cannot be placed.
    ProductError
        A raster is not there or damaged.
    """
    leaf = leaf or open_placed
    if isinstance(composition, Raster):
        with leaf(composition) as reader:
            yield reader
        return
    with ExitStack() as stack:
        yield MosaicReader(composition.parts, lambda part: stack.enter_context(leaf(part)))


@contextmanager
def open_placed(raster: Raster) -> Iterator[ImageReader]:
    """Open a raster on its grid with rasterio."""
    with open_image(raster.uri, raster.unnamed) as reader:
        if not must_be_placed(raster, reader):
            yield reader
            return
        with _warped(raster, reader.bands) as placed:
            yield placed


def must_be_placed(raster: Raster, reader: ImageReader) -> bool:
    """Say whether a raster has to be brought on another grid than its own.

    Raises
    ------
    GridMismatchError
        That would need another projection, or pixels that do not fall on each other (nearest), or
        nothing of it lies there, or it has no value for what it does not cover.
    """
    if raster.grid is None or (difference := reader.grid.difference(raster.grid)) is None:
        return False
    possible = raster.fill is not None and not is_part(raster.uri)
    if not possible or not _can_be_placed(reader.grid, raster.grid, raster.resampling):
        raise GridMismatchError(
            f"{raster.uri} lies on another grid than the image to rebuild: {difference}; "
            "use products of the same tile"
        )
    return True


def _can_be_placed(stored: Grid, wanted: Grid, resampling: ResamplingName) -> bool:
    left, bottom, right, top = stored.bounds
    other = wanted.bounds
    overlap = left < other[2] and other[0] < right and bottom < other[3] and other[1] < top
    if stored.crs != wanted.crs or not overlap:
        return False
    if resampling == "bicubic":
        return stored.pixel_m >= wanted.pixel_m
    ratio = stored.pixel_m / wanted.pixel_m
    shifts = ((stored.left - wanted.left), (wanted.top - stored.top))
    return all(
        abs(pixels - round(pixels)) < _ALIGNED_PX
        for pixels in (ratio, *(shift / wanted.pixel_m for shift in shifts))
    )


@contextmanager
def _warped(raster: Raster, bands: tuple[str, ...]) -> Iterator[ImageReader]:
    grid = raster.grid
    assert grid is not None
    with gdal_environment():
        try:
            with (
                DatasetReader(storage.gdal_path(raster.uri), driver=list(IMAGE_DRIVERS)) as source,
                WarpedVRT(
                    source,
                    crs=grid.crs,
                    transform=grid.transform,
                    height=grid.height,
                    width=grid.width,
                    resampling=_RESAMPLING[raster.resampling],
                    nodata=raster.fill,
                ) as warped,
            ):
                reader = RasterReader(warped, raster.uri, bands)
                try:
                    yield reader
                finally:
                    reader.close()
        except RasterioError as error:
            raise ProductError(f"{raster.uri}: cannot be read on another grid ({error})") from error


class MosaicReader(Generic[Part]):
    """Reads the parts of a mosaic from the top down, and no more of them than fill the window.

    Parameters
    ----------
    parts
        First on top, at least one.
    open_part
        Opens a part when it is first needed.
    """

    def __init__(self, parts: Sequence[Part], open_part: Callable[[Part], ImageReader]) -> None:
        self._parts = parts
        self._open = lru_cache(maxsize=None)(open_part)
        top = self._open(parts[0])
        self.uri, self.grid, self.bands, self.dtype = top.uri, top.grid, top.bands, top.dtype
        self.nodata: float | None = TRANSPARENT

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Return (H, W, C) pixels of a window; 0 where no part has any."""
        names = self.bands if names is None else names
        layer = Layer(len(names), np.dtype(self.dtype).type, TRANSPARENT)
        mosaic = FirstUsable(window.shape, {"image": layer})
        for number, part in enumerate(self._parts):
            pixels = self._open(part).read(window, names)
            mosaic.add(number, {"image": pixels}, ~all_nodata(pixels, TRANSPARENT))
            if mosaic.is_full:
                break
        return mosaic.pixels["image"]
