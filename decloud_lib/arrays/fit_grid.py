"""A fit that varies over an image: sums on a coarse grid, coefficients that change smoothly.

First pass: `put` the sums of each cell, from top to bottom. Then `solve` once. Second pass:
`apply` to each window. Sums, 60 kB per cell with four bands, are kept of three rows of cells only.
"""

import numpy as np

from decloud_lib.arrays import fitting
from decloud_lib.arrays.fit_planes import IMAGES, FitPlanes
from decloud_lib.arrays.fitting import FitSums
from decloud_lib.arrays.temporal import local_mean
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array, Window

CELL_PX = 512


class FitGrid:
    """Sums of an image, cell by cell; a row of cells is fitted as soon as the next one is known.

    Parameters
    ----------
    shape
        Rows and columns of the image, pixels.
    cell_px
        Side of a cell, pixels, a multiple of 16 so that every cell holds all folds.
    """

    def __init__(self, shape: tuple[int, int], cell_px: int = CELL_PX) -> None:
        if min(shape) < 1 or cell_px < 1 or cell_px % (2 * fitting.FOLD_BLOCK_PX):
            raise ShapeError(
                f"an image of {shape} px in cells of {cell_px} px; expected at least one pixel and "
                f"cells of a multiple of {2 * fitting.FOLD_BLOCK_PX} px"
            )
        self.cell_px = cell_px
        self.cells = (-(-shape[0] // cell_px), -(-shape[1] // cell_px))
        self._sums: dict[tuple[int, int], FitSums] = {}
        self._nothing: FitSums | None = None
        self._solved: list[Array] = []

    def put(self, pixel: tuple[int, int], sums: FitSums) -> None:
        """Add the sums over a part of the cell that holds a pixel.

        Raises
        ------
        ShapeError
            It lies in a row of cells above the last one.
        """
        cell = (pixel[0] // self.cell_px, pixel[1] // self.cell_px)
        if self._sums and cell[0] < (last := max(self._sums)[0]):
            raise ShapeError(
                f"sums of row {cell[0]} of the cells came after those of row {last}; expected "
                "them from top to bottom"
            )
        if self._nothing is None:
            parts = (sums.gram, sums.cross, sums.energy)
            self._nothing = FitSums(*(np.zeros_like(part) for part in parts))
        self._solve_before(cell[0] - 1)
        self._sums[cell] = self._sums[cell] + sums if cell in self._sums else sums

    def solve(self) -> "FittedGrid":
        """Fit each cell with its eight neighbours, which count half and a quarter."""
        self._solve_before(self.cells[0])
        return FittedGrid(np.stack(self._solved), self.cell_px)

    def _solve_before(self, end: int) -> None:
        """Fit the rows before one, and drop the sums that no other row needs."""
        for row in range(len(self._solved), end):
            pooled = (self._pooled(row, name) for name in ("gram", "cross", "energy"))
            self._solved.append(fitting.solve(FitSums(*pooled)))
            for cell in [cell for cell in self._sums if cell[0] < row]:
                del self._sums[cell]

    def _pooled(self, row: int, name: str) -> Array:
        """Return (cols, ...) sums of a row of cells with their neighbours."""
        above, own, below = (self._row(number, name) for number in (row - 1, row, row + 1))
        column = own + 0.5 * (above + below)
        padded = np.pad(column, ((1, 1), *((0, 0),) * (column.ndim - 1)))
        return np.asarray(column + 0.5 * (padded[:-2] + padded[2:]))

    def _row(self, row: int, name: str) -> Array:
        """Return (cols, ...) sums of the cells of a row; 0 where nothing was added."""
        cells = ((row, col) for col in range(self.cells[1]))
        return np.stack([getattr(self._sums.get(cell, self._nothing), name) for cell in cells])


class FittedGrid:
    """Coefficients at the middle of each cell, in between interpolated bilinearly.

    Attributes
    ----------
    coefficients : (rows, cols, F, B) float64
        0 where a cell had too little to be fitted.
    """

    def __init__(self, coefficients: Array, cell_px: int) -> None:
        self.coefficients = coefficients
        self._placed = _by_place(coefficients)
        self._cell_px = cell_px

    def apply(self, planes: FitPlanes, window: Window) -> Array:
        """Return the (H, B, W) float32 correction of the linear estimate in a window.

        Parameters
        ----------
        planes
            Of the window.
        window
            Where it lies; inside the image.

        Notes
        -----
        A mean of features times coefficients is the mean of their products: averaged are the few
        products, not the many features.
        """
        products = self._products(planes.values, window)
        n_bands = self.coefficients.shape[3]
        correction = products[:, :n_bands]
        correction += local_mean(products[:, n_bands:], planes.found)
        return correction

    def _products(self, values: Array, window: Window) -> Array:
        """Return (H, 2 B, W) float32: what counts at the pixel, and as a mean around it."""
        down, below = self._place(window.row, window.height, self._placed.shape[0])
        left, share = self._place(window.col, window.width, self._placed.shape[1])
        placed = self._placed[:, left[0] : left[-1] + 2]
        upper, lower = (placed[rows] for rows in (down, np.minimum(down + 1, len(placed) - 1)))
        # (H, cols, 2 B, planes): of each row, at the middle of each column of cells.
        mixed = upper + (lower - upper) * below[:, None, None, None]
        products = np.empty((window.height, placed.shape[2], window.width), np.float32)
        left = left - left[0]
        for cell in range(int(left[-1]) + 1):
            cols = slice(*np.searchsorted(left, (cell, cell + 1)))
            part, here = values[:, :, cols], products[:, :, cols]
            np.matmul(mixed[:, cell], part, out=here)
            if cell + 1 < mixed.shape[1]:
                step = np.matmul(mixed[:, cell + 1] - mixed[:, cell], part)
                step *= share[cols]
                here += step
        return products

    def _place(self, start: int, size: int, cells: int) -> tuple[Array, Array]:
        """Return the cell before each pixel of an axis, and how far it lies towards the next."""
        position = (np.arange(start, start + size) + 0.5) / self._cell_px - 0.5
        position = np.clip(position, 0.0, cells - 1)
        before = np.minimum(position.astype(np.int64), max(cells - 2, 0))
        return before, (position - before).astype(np.float32)


def _by_place(coefficients: Array) -> Array:
    """Return (rows, cols, 2 B, planes) float32 for `FitPlanes`.

    What counts at the pixel, and what counts as the mean of the estimates around it.
    """
    n_bands = coefficients.shape[-1]
    local = IMAGES * n_bands
    turned = np.swapaxes(coefficients, -1, -2)
    constant, here, around, radar = np.split(turned, [1, 1 + local, 1 + 2 * local], axis=-1)
    nothing = np.zeros_like(constant)
    placed = [
        np.concatenate([constant, _of_images(here), radar], axis=-1),
        np.concatenate([nothing, _of_images(around), np.zeros_like(radar)], axis=-1),
    ]
    return np.concatenate(placed, axis=-2).astype(np.float32)


def _of_images(coefficients: Array) -> Array:
    """Turn what belongs to differences of the images to the linear estimate into their own."""
    split = coefficients.reshape(*coefficients.shape[:-1], IMAGES, -1).copy()
    split[..., 0, :] -= split[..., 1:, :].sum(axis=-2)
    return split.reshape(coefficients.shape)
