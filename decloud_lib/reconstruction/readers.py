"""Rasters read by window, also beyond their border, with a bounded number of open files."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.windows import read_mirrored
from decloud_lib.errors import GridMismatchError, MissingBandError
from decloud_lib.types import Array, Grid, Window, WindowReader

Opener = Callable[[str, tuple[str, ...]], AbstractContextManager[WindowReader]]


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


class ReaderPool:
    """The open rasters of one thread; GDAL's handles must not be shared between threads.

    Parameters
    ----------
    grid
        The 10 m grid of the scene. Each raster must have it, or the same ground with pixels that
        are `Image.factor` times larger.
    opener
        Opens a raster by its URI (the engine); also gets the names of bands that have none.
    limit
        How many rasters may be open at a time.
    """

    def __init__(self, grid: Grid, opener: Opener, limit: int = 96) -> None:
        self._grid = grid
        self._opener = opener
        self._limit = limit
        self._open: dict[tuple[str, tuple[str, ...]], WindowReader] = {}
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
        reader = self._reader(image)
        own = window.coarsened(image.factor) if image.factor > 1 else window
        pixels = read_mirrored(reader.read, reader.grid.shape, own)
        positions = _positions(reader.bands, image)
        if positions in ([], list(range(pixels.shape[2]))):
            return pixels
        return np.ascontiguousarray(pixels[:, :, positions])

    def close(self) -> None:
        """Close all rasters; to be called in the thread that read them."""
        self._open.clear()
        self._stack.close()

    def _reader(self, image: Image) -> WindowReader:
        key = (image.uri, image.stored_bands)
        if key not in self._open:
            if len(self._open) >= self._limit:
                self.close()
            reader = self._stack.enter_context(self._opener(image.uri, image.stored_bands))
            expected = self._grid.coarsened(image.factor) if image.factor > 1 else self._grid
            difference = reader.grid.difference(expected)
            if difference is not None:
                raise GridMismatchError(
                    f"{image.uri} lies on another grid than the image to rebuild: {difference}; "
                    "use products of the same tile"
                )
            self._open[key] = reader
        return self._open[key]


def _positions(names: tuple[str, ...], image: Image) -> list[int]:
    if missing := [band for band in image.bands if band not in names]:
        raise MissingBandError(
            f"{image.uri}: band {', '.join(missing)} missing; found {', '.join(names)}, "
            f"expected {', '.join(image.bands)}; prepare the product again"
        )
    return [names.index(band) for band in image.bands]
