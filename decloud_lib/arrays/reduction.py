"""A large image made small while it is read strip by strip."""

from collections.abc import Callable

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

#: Samples along each side of a reduced pixel that its mean is made of, at least.
_SAMPLES = 4


def reduced_shape(shape: tuple[int, int], side_px: int) -> tuple[int, int]:
    """Return the size of an image whose longer side becomes `side_px`; it is never enlarged."""
    longer = max(shape)
    if longer <= side_px:
        return shape
    height, width = (max(1, round(size * side_px / longer)) for size in shape)
    return height, width


class Reducer:
    """Collects the mean of the pixels that fall on each pixel of a smaller image.

    Where an image is reduced many times over, every second, third... row and column is taken: at
    least 4 x 4 samples are left in each pixel, and the work is that of reading.
    """

    def __init__(
        self, shape: tuple[int, int], side_px: int, convert: Callable[[Array], Array]
    ) -> None:
        """Start with nothing.

        Parameters
        ----------
        shape
            Height and width of the large image.
        side_px
            Longer side of the small one.
        convert
            Turns (h, w, C) stored values into what is averaged; NaN in a band: the pixel does not
            count.
        """
        self._large = shape
        self.shape = reduced_shape(shape, side_px)
        times = min(large / small for large, small in zip(shape, self.shape, strict=True))
        self._step = max(1, int(times) // _SAMPLES)
        self._convert = convert
        self._sums: Array | None = None
        self._counts = np.zeros((*self.shape, 1), np.int64)

    def add(self, first_row: int, pixels: Array) -> None:
        """Take a strip of full width.

        Parameters
        ----------
        first_row
            Where the strip lies in the large image.
        pixels : (H, W, C)
            Stored values.

        Raises
        ------
        ShapeError
            Another width than that of the large image.
        """
        if pixels.ndim != 3 or pixels.shape[1] != self._large[1]:
            raise ShapeError(f"found a strip of shape {pixels.shape}, width {self._large[1]} px")
        rows = np.arange(first_row, first_row + pixels.shape[0])
        rows = rows[rows % self._step == 0]
        if rows.size == 0:
            return
        thinned = pixels[rows[0] - first_row :: self._step, :: self._step]
        values = np.array(self._convert(thinned), np.float64)
        valid: Array = np.logical_not(np.isnan(values).any(axis=-1, keepdims=True))
        values[~valid[..., 0]] = 0.0
        columns = np.arange(0, self._large[1], self._step)
        columns = np.asarray(columns * self.shape[1] // self._large[1])
        rows = np.asarray(rows * self.shape[0] // self._large[0])
        if self._sums is None:
            self._sums = np.zeros((*self.shape, values.shape[-1]))
        # Two strips may share a row of the small image.
        targets = rows[_starts(rows)]
        self._sums[targets] += _summed(values, rows, columns)
        self._counts[targets] += _summed(valid.astype(np.int64), rows, columns)

    def mean(self) -> Array:
        """Return (h, w, C) float64; NaN where no valid pixel was added."""
        if self._sums is None:
            raise ShapeError("no strip was added")
        means = self._sums / np.maximum(self._counts, 1)
        return np.asarray(np.where(self._counts > 0, means, np.nan))


def fitted(image: Array, shape: tuple[int, int]) -> Array:
    """Bring an image to another size by the nearest pixel.

    Parameters
    ----------
    image : (H, W) or (H, W, C)
        Any type.
    shape
        Height and width of the result.
    """
    rows, cols = (
        np.arange(wanted) * found // wanted
        for wanted, found in zip(shape, image.shape[:2], strict=True)
    )
    return np.asarray(image[rows][:, cols])


def _summed(values: Array, rows: Array, columns: Array) -> Array:
    """Sum neighbours that belong to the same row and column of the small image."""
    by_row = np.add.reduceat(values, _starts(rows), axis=0)
    return np.add.reduceat(by_row, _starts(columns), axis=1)


def _starts(groups: Array) -> Array:
    return np.flatnonzero(np.diff(groups, prepend=-1))
