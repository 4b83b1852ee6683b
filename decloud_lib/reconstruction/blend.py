"""Windows that overlap, for models whose estimate depends on the whole window.

A fit inside a network sees one window; that of the next window differs by its uncertainty. So each
window is estimated beyond its border, and where two overlap one fades into the other.
"""

from typing import Protocol

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

    A pixel is handed on as soon as no other window touches it: only what overlaps is kept, along
    the right side of the last window, and below a row of windows over the whole width.

    Parameters
    ----------
    writer
        Takes each pixel of the image once.
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
        self._row: int | None = None
        # Sums of pixels and, in the last channel, of weights.
        self._left = self._above = self._below = np.zeros((0, shape[1], 1), np.float32)

    def write(self, window: Window, pixels: Array) -> None:
        """Add a window; windows come row by row, from left to right.

        Parameters
        ----------
        window
            With the overlap, so it may reach outside the image.
        pixels
            (H, W, C) of it.
        """
        area = window.inside(self._shape)
        sums = self._weighted(window, area, pixels)
        if window.row != self._row:
            self._row, self._above = window.row, self._below
            self._below = np.zeros((2 * self._overlap, self._shape[1], sums.shape[2]), np.float32)
            self._left = sums[:, :0]
        sums[:, : self._left.shape[1]] += self._left
        width = self._next(window.col, window.width, self._shape[1]) - area.col
        # Copies, so that the whole window does not stay in memory.
        self._left, sums = sums[:, width:].copy(), sums[:, :width]
        cols = slice(area.col, area.col + width)
        sums[: len(self._above)] += self._above[: len(sums), cols]
        height = self._next(window.row, window.height, self._shape[0]) - area.row
        self._below[: len(sums) - height, cols] = sums[height:]
        if height and width:
            found = self._mean(sums[:height], pixels.dtype)
            self._writer.write(Window(area.row, area.col, height, width), found)

    def _next(self, start: int, size: int, whole: int) -> int:
        """Return where the next window begins along one axis, inside the image; its end if none."""
        own_end = start + size - self._overlap
        return whole if own_end >= whole else max(own_end - self._overlap, 0)

    def _weighted(self, window: Window, area: Window, pixels: Array) -> Array:
        """Return (h, w, C + 1) float32 of the part inside the image: weighted pixels, weights."""
        top, left = area.row - window.row, area.col - window.col
        inside = slice(top, top + area.height), slice(left, left + area.width)
        seen, weight = pixels[inside], self._weight(window)[inside]
        sums = np.empty((*area.shape, pixels.shape[2] + 1), np.float32)
        sums[..., -1] = np.where((seen == self._nodata).all(axis=2), np.float32(0), weight)
        np.multiply(seen, sums[..., -1:], out=sums[..., :-1])
        return sums

    def _weight(self, window: Window) -> Array:
        """Return (H, W) float32: two neighbours together have the weight 1."""
        down, across = (
            _ramp(start, size, whole, self._overlap)
            for start, size, whole in zip(
                (window.row, window.col), window.shape, self._shape, strict=True
            )
        )
        return down[:, None] * across[None, :]

    def _mean(self, sums: Array, dtype: np.dtype[np.generic]) -> Array:
        known = sums[..., -1:] > 0
        mean = sums[..., :-1] / np.where(known, sums[..., -1:], 1)
        return np.where(known, np.rint(mean, out=mean), self._nodata).astype(dtype)


class WholeBlocks:
    """Hands on whole blocks of a raster, each as soon as all its pixels have come.

    What is written is compressed block by block, and a block that is left and taken up again costs
    twice. Blocks that several windows touch are kept until then.

    Parameters
    ----------
    writer
        Takes each block once; those of the last row and column are cut.
    shape
        Rows and columns of the raster.
    """

    def __init__(self, writer: Writer, shape: tuple[int, int]) -> None:
        self._writer = writer
        self._shape = shape
        self._begun: dict[Window, Array] = {}
        self._missing: dict[Window, int] = {}

    def write(self, window: Window, pixels: Array) -> None:
        """Take (H, W, C) pixels; each pixel comes once."""
        for row in range(window.row // BLOCK_PX, -(-(window.row + window.height) // BLOCK_PX)):
            for col in range(window.col // BLOCK_PX, -(-(window.col + window.width) // BLOCK_PX)):
                square = Window(row * BLOCK_PX, col * BLOCK_PX, BLOCK_PX, BLOCK_PX)
                self._fill(square.inside(self._shape), window, pixels)

    def _fill(self, block: Window, window: Window, pixels: Array) -> None:
        top, left = max(block.row, window.row), max(block.col, window.col)
        bottom = min(block.row + block.height, window.row + window.height)
        right = min(block.col + block.width, window.col + window.width)
        part = pixels[
            top - window.row : bottom - window.row, left - window.col : right - window.col
        ]
        if part.shape[:2] == block.shape:
            self._writer.write(block, part)
            return
        if block not in self._begun:
            self._begun[block] = np.empty((*block.shape, pixels.shape[2]), pixels.dtype)
            self._missing[block] = block.height * block.width
        rows = slice(top - block.row, bottom - block.row)
        self._begun[block][rows, left - block.col : right - block.col] = part
        self._missing[block] -= part.shape[0] * part.shape[1]
        if not self._missing[block]:
            del self._missing[block]
            self._writer.write(block, self._begun.pop(block))


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
