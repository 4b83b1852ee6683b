"""Windows that overlap, for models whose estimate depends on the whole window.

A fit inside a network sees one window; that of the next window differs by its uncertainty. So each
window is estimated beyond its border, and where two overlap one fades into the other.
"""

from types import TracebackType
from typing import Protocol, Self

import numpy as np

from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.types import Array, Window

#: How far windows are estimated beyond their border, 10 m pixels: they fade over twice that.
OVERLAP_PX = 8


class Writer(Protocol):
    """Where finished windows go."""

    def write(self, window: Window, pixels: Array) -> None:
        """Write (H, W, C) pixels."""


class Blended:
    """Takes windows that overlap by twice `overlap_px`, and hands on their weighted mean.

    A context: what is left is handed on at its end, unless that is an error.

    Parameters
    ----------
    writer
        Takes the rows of the image, from top to bottom.
    shape
        Rows and columns of the image.
    overlap_px
        How far each window reaches beyond its own area; at the border of the image it is cut.
    nodata
        Value of pixels without data: they have no weight.
    """

    def __init__(
        self, writer: Writer, shape: tuple[int, int], overlap_px: int, nodata: float
    ) -> None:
        self._writer = writer
        self._shape = shape
        self._overlap = overlap_px
        self._nodata = nodata
        self._first = 0  # row of the image that the sums begin with
        self._sums: Array | None = None
        self._weights: Array = np.zeros((0, shape[1]), np.float32)
        self._dtype: np.dtype[np.generic] = np.dtype(np.int16)

    def write(self, window: Window, pixels: Array) -> None:
        """Add a window; windows come row by row.

        Parameters
        ----------
        window
            With the overlap, so it may reach outside the image.
        pixels
            (H, W, C) of it.
        """
        self._dtype = pixels.dtype
        self._hand_on(max(window.row, 0) // BLOCK_PX * BLOCK_PX, pixels.shape[2])
        top, left = max(-window.row, 0), max(-window.col, 0)
        bottom = min(window.height, self._shape[0] - window.row)
        right = min(window.width, self._shape[1] - window.col)
        seen = pixels[top:bottom, left:right]
        weight = self._weight(window)[top:bottom, left:right]
        weight = np.where((seen == self._nodata).all(axis=2), np.float32(0), weight)
        self._grow(window.row + bottom, pixels.shape[2])
        assert self._sums is not None
        rows = slice(window.row + top - self._first, window.row + bottom - self._first)
        cols = slice(window.col + left, window.col + right)
        self._sums[rows, cols] += seen * weight[..., None]
        self._weights[rows, cols] += weight

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hand on what is left."""
        if error is None and self._sums is not None:
            self._hand_on(self._shape[0], self._sums.shape[2])

    def _weight(self, window: Window) -> Array:
        """Return (H, W) float32: two neighbours together have the weight 1."""
        down, across = (
            _ramp(start, size, whole, self._overlap)
            for start, size, whole in zip(
                (window.row, window.col), window.shape, self._shape, strict=True
            )
        )
        return down[:, None] * across[None, :]

    def _grow(self, end: int, bands: int) -> None:
        missing = end - self._first - len(self._weights)
        if self._sums is None:
            self._sums = np.zeros((0, self._shape[1], bands), np.float32)
        if missing > 0:
            more = np.zeros((missing, *self._sums.shape[1:]), np.float32)
            self._sums = np.concatenate([self._sums, more])
            self._weights = np.concatenate([self._weights, more[..., 0]])

    def _hand_on(self, row: int, bands: int) -> None:
        """Hand on the rows before one of the image: nothing is added to them any more."""
        count = row - self._first
        if count <= 0:
            return
        self._grow(row, bands)
        assert self._sums is not None
        known = self._weights[:count, :, None] > 0
        mean = self._sums[:count] / np.where(known, self._weights[:count, :, None], 1)
        pixels = np.where(known, np.rint(mean), self._nodata).astype(self._dtype)
        self._writer.write(Window(self._first, 0, count, self._shape[1]), pixels)
        self._sums, self._weights = self._sums[count:].copy(), self._weights[count:].copy()
        self._first = row


class Own:
    """Hands on the own area of windows that overlap, for what cannot be mixed, such as classes."""

    def __init__(self, writer: Writer, overlap_px: int) -> None:
        self._writer = writer
        self._overlap = overlap_px

    def write(self, window: Window, pixels: Array) -> None:
        """Write a window without its overlap."""
        own = slice(self._overlap, -self._overlap)
        self._writer.write(window.expanded(-self._overlap), pixels[own, own])


def _ramp(start: int, size: int, whole: int, overlap: int) -> Array:
    """Return (size,) float32 weights along one axis; no fading at the border of the image."""
    position = np.arange(size, dtype=np.float32) + 0.5
    weights = np.ones(size, np.float32)
    if start + overlap > 0:
        weights = np.minimum(weights, position / (2 * overlap))
    if start + size - overlap < whole:
        weights = np.minimum(weights, (size - position) / (2 * overlap))
    return weights
