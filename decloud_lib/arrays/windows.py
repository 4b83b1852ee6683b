"""Cutting an extent into windows, and what lies beyond its border.

Beyond the border an image is mirrored *at its edge*, the outermost pixel repeated: 1 0 | 0 1.
Mirroring at the edge, not at the centre of the outermost pixel, keeps 10 m and 20 m rasters of one
ground on each other: pixel k of the coarse grid still covers pixels 2k and 2k+1 of the fine one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array, Window


def partition(shape: tuple[int, int], window_px: int) -> list[Window]:
    """Cut an extent into windows, row by row, each pixel in exactly one of them.

    Parameters
    ----------
    shape
        Height and width of the extent, pixels.
    window_px
        Side of a window, pixels; the last window of a row or column is smaller where the side of
        the extent is no multiple of it.

    Raises
    ------
    ShapeError
        The extent is empty or the window has no pixel.
    """
    height, width = shape
    if height < 1 or width < 1 or window_px < 1:
        raise ShapeError(f"cannot cut {height} x {width} px into windows of {window_px} px")
    return [
        Window(row, col, min(window_px, height - row), min(window_px, width - col))
        for row in range(0, height, window_px)
        for col in range(0, width, window_px)
    ]


def partition_evenly(shape: tuple[int, int], window_px: int, multiple_px: int) -> list[Window]:
    """Cut an extent into windows of about the same size, row by row, none of them a small rest.

    Parameters
    ----------
    shape
        Height and width of the extent, pixels.
    window_px
        Largest side of a window, pixels; a multiple of `multiple_px`.
    multiple_px
        Sides differ by one multiple at most; the last one is cut where the extent ends.

    Raises
    ------
    ShapeError
        The extent is empty, or the window is no multiple.
    """
    if min(shape) < 1 or min(window_px, multiple_px) < 1 or window_px % multiple_px:
        raise ShapeError(
            f"cannot cut {shape[0]} x {shape[1]} px into windows of {window_px} px, in steps of "
            f"{multiple_px} px"
        )
    rows, cols = (_even_cuts(size, window_px // multiple_px, multiple_px) for size in shape)
    return [Window(row, col, height, width) for row, height in rows for col, width in cols]


def rounded_up(window: Window, multiple_px: int) -> Window:
    """Return the window with sides raised to the next multiple, same first pixel.

    An edge window is computed at this size, not at that of a full window: a network gets at most
    four shapes per scene, and nothing is computed only to be thrown away.
    """
    return Window(
        window.row,
        window.col,
        -(-window.height // multiple_px) * multiple_px,
        -(-window.width // multiple_px) * multiple_px,
    )


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How a window that may reach outside an image is made from the pixels inside."""

    inside: Window
    """What to read; lies inside the image."""
    rows: Array
    """(H,) int64, for each row of the window its row in `inside`."""
    cols: Array
    """(W,) int64, for each column of the window its column in `inside`."""

    def apply(self, pixels: Array) -> Array:
        """Spread (h, w, C) pixels of `inside` over the window: (H, W, C), same dtype."""
        if pixels.shape[:2] != self.inside.shape:
            raise ShapeError(f"found {pixels.shape[:2]} px, expected {self.inside.shape}")
        # Band by band, as GDAL lays pixels out, and the border alone one by one.
        planes = np.moveaxis(pixels, 2, 0)
        found = np.empty((len(planes), self.rows.size, self.cols.size), pixels.dtype)
        rows, cols = _in_order(self.rows), _in_order(self.cols)
        found[:, rows, cols] = planes[:, _source(self.rows, rows), _source(self.cols, cols)]
        for border in _beside(cols, self.cols.size):
            found[:, rows, border] = np.take(
                planes[:, _source(self.rows, rows)], self.cols[border], axis=2
            )
        for border in _beside(rows, self.rows.size):
            whole = np.take(planes, self.rows[border], axis=1)
            found[:, border] = np.take(whole, self.cols, axis=2)
        return np.moveaxis(found, 0, 2)


def mirrored(window: Window, shape: tuple[int, int]) -> Mirrored:
    """Say which pixels of an image fill a window that may reach outside it, by any amount.

    Parameters
    ----------
    window
        The window, in pixels of the image; may be larger than the image.
    shape
        Height and width of the image, pixels.
    """
    rows = _mirrored_axis(window.row, window.height, shape[0])
    cols = _mirrored_axis(window.col, window.width, shape[1])
    top, left = int(rows.min()), int(cols.min())
    inside = Window(top, left, int(rows.max()) - top + 1, int(cols.max()) - left + 1)
    return Mirrored(inside, rows - top, cols - left)


def read_mirrored(read: Callable[[Window], Array], shape: tuple[int, int], window: Window) -> Array:
    """Read a window that may reach outside an image, mirrored at the edge.

    Parameters
    ----------
    read
        Returns (H, W, C) pixels of a window inside the image.
    shape
        Height and width of the image, pixels.
    window
        The window; may reach outside by any amount.

    Returns
    -------
    (H, W, C) pixels, dtype of the image.
    """
    if window.row >= 0 and window.col >= 0:
        inside = window.row + window.height <= shape[0] and window.col + window.width <= shape[1]
        if inside:
            return read(window)
    plan = mirrored(window, shape)
    return plan.apply(read(plan.inside))


def pad(pixels: Array, margin_px: int) -> Array:
    """Surround (H, W, C) pixels by a mirrored margin: (H + 2 margin, W + 2 margin, C)."""
    shape = (pixels.shape[0], pixels.shape[1])
    return mirrored(Window(0, 0, *shape).expanded(margin_px), shape).apply(pixels)


def trim(pixels: Array, margin_px: int, shape: tuple[int, int] | None = None) -> Array:
    """Remove the margin: a view of the pixels that start at (margin, margin).

    Parameters
    ----------
    pixels
        (H, W, C) or (H, W), any dtype.
    margin_px
        Pixels to drop at the top and at the left.
    shape
        Height and width to keep; by default the margin is dropped on all four sides. An edge
        window is smaller than what was computed for it.

    Raises
    ------
    ShapeError
        Less is there than should be kept.
    """
    height, width = shape or (pixels.shape[0] - 2 * margin_px, pixels.shape[1] - 2 * margin_px)
    if min(height, width, margin_px) < 0 or (
        margin_px + height > pixels.shape[0] or margin_px + width > pixels.shape[1]
    ):
        raise ShapeError(
            f"cannot keep {height} x {width} px behind a margin of {margin_px} px "
            f"out of {pixels.shape[0]} x {pixels.shape[1]} px"
        )
    return pixels[margin_px : margin_px + height, margin_px : margin_px + width]


def _even_cuts(size: int, most: int, multiple_px: int) -> list[tuple[int, int]]:
    """Return start and length of the parts of an axis, each of `most` multiples at most."""
    steps = -(-size // multiple_px)
    count = -(-steps // most)
    least, larger = divmod(steps, count)  # larger ones first: those of one size follow each other
    starts = [(part * least + min(part, larger)) * multiple_px for part in range(count + 1)]
    return [(start, min(end, size) - start) for start, end in pairwise(starts)]


def _in_order(positions: Array) -> slice:
    """Return the first part of an axis that follows the image, as most of it does."""
    rising = np.append(np.diff(positions) == 1, False)
    start = int(rising.argmax())
    after = rising[start:]
    return slice(start, start + int((~after).argmax()) + 1)


def _source(positions: Array, part: slice) -> slice:
    return slice(int(positions[part.start]), int(positions[part.stop - 1]) + 1)


def _beside(part: slice, size: int) -> tuple[slice, slice]:
    return slice(0, part.start), slice(part.stop, size)


def _mirrored_axis(start: int, length: int, size: int) -> Array:
    if size < 1 or length < 1:
        raise ShapeError(f"cannot mirror {length} px out of an image of {size} px")
    # One period holds the image and its mirror image: 0 1 .. size-1 size-1 .. 1 0.
    position = np.arange(start, start + length, dtype=np.int64) % (2 * size)
    return np.where(position < size, position, 2 * size - 1 - position)
