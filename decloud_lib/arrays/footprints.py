"""Which squares of a grid lie on the same ground as some boxes."""

import numpy as np

from decloud_lib.types import Array

#: Boxes that only share a border do not overlap; a fraction of a square's side.
_TOUCH = 1e-6


def touched_squares(
    boxes: Array, corner: tuple[float, float], side: float, shape: tuple[int, int]
) -> tuple[Array, Array]:
    """Find the squares of a grid that overlap with boxes.

    Parameters
    ----------
    boxes : (K, 4) float64: left, bottom, right, top
    corner
        Left and top of the grid.
    side
        Of a square, in the unit of the boxes.
    shape
        Rows and columns of squares.

    Returns
    -------
    box : (M,) int64, which box; ascending
    square : (M,) int64, row-major number of a square that it overlaps with
    """
    left, top = corner
    row_range = _range((top - boxes[:, 3]) / side, (top - boxes[:, 1]) / side, shape[0])
    col_range = _range((boxes[:, 0] - left) / side, (boxes[:, 2] - left) / side, shape[1])
    rows, cols = row_range[1] - row_range[0], col_range[1] - col_range[0]
    box = np.repeat(np.arange(len(boxes)), rows * cols)
    first = np.cumsum(rows * cols) - rows * cols
    row, col = np.divmod(np.arange(len(box)) - first[box], np.maximum(cols, 1)[box])
    return box, (row_range[0][box] + row) * shape[1] + col_range[0][box] + col


def _range(begin: Array, end: Array, count: int) -> tuple[Array, Array]:
    """Return first and one-past-last square between two distances, cut to the grid."""
    first = np.clip(np.floor(begin + _TOUCH).astype(np.int64), 0, count)
    last = np.clip(np.ceil(end - _TOUCH).astype(np.int64), 0, count)
    return first, np.maximum(first, last)
