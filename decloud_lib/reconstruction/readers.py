"""Images read by window, also beyond their border, with a bounded number of open files."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.windows import read_mirrored
from decloud_lib.errors import MissingBandError
from decloud_lib.raster.compose import Composition, Engine, Mosaic, Raster
from decloud_lib.types import Array, Grid, Window, WindowReader


@dataclass(frozen=True, slots=True)
class Image:
    """One raster and what is wanted of it."""

    uri: str
    bands: tuple[str, ...]
    """Names of the wanted bands, in the wanted order; empty = all, in file order."""
    stored_bands: tuple[str, ...]
    """Order of the bands in files that carry no band names (files of the historic system)."""
    factor: int = 1
    """Side of a pixel in pixels of the 10 m grid: 1 or 2."""
    fill: int | None = None
    """What stands where the raster does not reach; None = it must cover the whole grid."""

    def on(self, grid: Grid) -> Raster:
        """Return the raster on the grid of a scene, or on that of its own resolution."""
        own = grid.coarsened(self.factor) if self.factor > 1 else grid
        return Raster(self.uri, self.stored_bands, own, self.fill)


class ReaderPool:
    """The open images of one thread; their handles must not be shared between threads.

    Parameters
    ----------
    grid
        The 10 m grid of the scene. Each raster must have it, or the same ground with pixels that
        are `Image.factor` times larger; one with a `fill` may cover a part of it.
    engine
        Opens what is read.
    limit
        How many rasters may be open at a time.
    """

    def __init__(self, grid: Grid, engine: Engine, limit: int = 96) -> None:
        self._grid = grid
        self._engine = engine
        self._limit = limit
        self._open: dict[Composition, WindowReader] = {}
        self._stack = ExitStack()

    def read(self, image: Image, window: Window) -> Array:
        """Return the wanted bands of a window, mirrored beyond the border.

        Parameters
        ----------
        image
            What to read.
        window
            In pixels of the 10 m grid; may reach outside. For an image with a factor its corners
            are multiples of the factor.

        Returns
        -------
        (H / factor, W / factor, C) pixels, dtype of the file.

        Raises
        ------
        GridMismatchError
            The raster covers other ground or has another resolution.
        MissingBandError
            A wanted band is not in the file.
        """
        return self._read(image.on(self._grid), image, window)

    def read_mosaic(self, images: tuple[Image, ...], window: Window) -> Array:
        """Return a window of images of one kind laid over each other, first on top; see `read`."""
        return self._read(
            Mosaic(tuple(image.on(self._grid) for image in images)), images[0], window
        )

    def close(self) -> None:
        """Close all rasters; to be called in the thread that read them."""
        self._open.clear()
        self._stack.close()

    def _read(self, composition: Composition, image: Image, window: Window) -> Array:
        reader = self._reader(composition)
        own = window.coarsened(image.factor) if image.factor > 1 else window
        pixels = read_mirrored(reader.read, reader.grid.shape, own)
        positions = _positions(reader.bands, image)
        if positions in ([], list(range(pixels.shape[2]))):
            return pixels
        return np.ascontiguousarray(pixels[:, :, positions])

    def _reader(self, composition: Composition) -> WindowReader:
        if composition not in self._open:
            held = sum(len(other.rasters) for other in self._open)
            if held and held + len(composition.rasters) > self._limit:
                self.close()
            self._open[composition] = self._stack.enter_context(self._engine(composition))
        return self._open[composition]


def _positions(names: tuple[str, ...], image: Image) -> list[int]:
    if missing := [band for band in image.bands if band not in names]:
        raise MissingBandError(
            f"{image.uri}: band {', '.join(missing)} missing; found {', '.join(names)}, "
            f"expected {', '.join(image.bands)}; prepare the product again"
        )
    return [names.index(band) for band in image.bands]
