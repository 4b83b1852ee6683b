"""A fit that varies over an image: sums on a coarse grid, coefficients that change smoothly.

First pass: `add` each block of the image, in any order. Then `solve` once. Second pass: `apply` to
each window. Memory depends on the number of cells, 65 kB each with four bands.
"""

import numpy as np

from decloud_lib.arrays import fitting
from decloud_lib.arrays.fitting import FitSums
from decloud_lib.arrays.temporal import Neighbours, local_mean
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array, Window

CELL_PX = 512


class FitGrid:
    """Sums of a whole image, cell by cell.

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

    def add(self, features: Array, difference: Array, visible: Array, window: Window) -> None:
        """Add one block; blocks must not overlap. See `fitting.accumulate`."""
        for row in self._cells_of(window.row, window.height):
            for col in self._cells_of(window.col, window.width):
                rows = self._part(row, window.row, window.height)
                cols = self._part(col, window.col, window.width)
                origin = (window.row + rows.start, window.col + cols.start)
                found = fitting.accumulate(
                    features[rows, cols], difference[rows, cols], visible[rows, cols], origin
                )
                self.put(origin, found)

    def put(self, pixel: tuple[int, int], sums: FitSums) -> None:
        """Add the sums over a part of the cell that holds a pixel."""
        cell = (pixel[0] // self.cell_px, pixel[1] // self.cell_px)
        self._sums[cell] = self._sums[cell] + sums if cell in self._sums else sums

    def solve(self) -> "FittedGrid":
        """Fit each cell with its eight neighbours, which count half and a quarter."""
        pooled = FitSums(*(_pooled(self._stacked(name)) for name in ("gram", "cross", "energy")))
        rows = [
            fitting.solve(FitSums(pooled.gram[row], pooled.cross[row], pooled.energy[row]))
            for row in range(self.cells[0])
        ]
        return FittedGrid(np.stack(rows), self.cell_px)

    def _stacked(self, name: str) -> Array:
        first = getattr(next(iter(self._sums.values())), name)
        stacked = np.zeros((*self.cells, *first.shape))
        for cell, sums in self._sums.items():
            stacked[cell] = getattr(sums, name)
        return stacked

    def _cells_of(self, start: int, size: int) -> range:
        return range(start // self.cell_px, (start + size - 1) // self.cell_px + 1)

    def _part(self, cell: int, start: int, size: int) -> slice:
        first = max(cell * self.cell_px - start, 0)
        return slice(first, min((cell + 1) * self.cell_px - start, size))


class FittedGrid:
    """Coefficients at the middle of each cell, in between interpolated bilinearly.

    Attributes
    ----------
    coefficients : (rows, cols, F, B) float64
        0 where a cell had too little to be fitted.
    """

    def __init__(self, coefficients: Array, cell_px: int) -> None:
        self.coefficients = coefficients
        self._spread = _by_place(coefficients)
        self._cell_px = cell_px

    def apply(self, neighbours: Neighbours, radar_change: Array, window: Window) -> Array:
        """Return the (H, W, B) float32 correction of the linear estimate in a window.

        Parameters
        ----------
        neighbours, radar_change
            Of the window, see `fitting.fit_features`.
        window
            Where it lies; inside the image.

        Notes
        -----
        A mean of features times coefficients is the mean of their products: averaged are the few
        products, not the many features.
        """
        plain = fitting.plain_features(neighbours, radar_change)
        rows = np.ascontiguousarray(np.moveaxis(plain, 2, 1))
        row_weights = self._weights(window.row, window.height, self.coefficients.shape[0])
        col_weights = self._weights(window.col, window.width, self.coefficients.shape[1])
        products = np.zeros(
            (window.height, 3 * self.coefficients.shape[3], window.width), np.float32
        )
        for col, across in col_weights.items():
            cols = _extent(across)
            mixed = sum(
                down[:, None, None] * self._spread[row, col] for row, down in row_weights.items()
            )
            products[..., cols] += np.matmul(mixed, rows[..., cols]) * across[cols]
        here, local, radar = np.split(np.moveaxis(products, 1, 2), 3, axis=2)
        if neighbours.found.all():  # as mostly: one mean for both
            return here + local_mean(local + radar, neighbours.found)
        everywhere = np.ones_like(neighbours.found)
        return here + local_mean(local, neighbours.found) + local_mean(radar, everywhere)

    def _weights(self, start: int, size: int, cells: int) -> dict[int, Array]:
        """Return the weight of each cell that counts, along one axis of the window."""
        position = (np.arange(start, start + size) + 0.5) / self._cell_px - 0.5
        position = np.clip(position, 0.0, cells - 1)
        near = np.maximum(0.0, 1.0 - np.abs(position[None, :] - np.arange(cells)[:, None]))
        return {cell: near[cell].astype(np.float32) for cell in range(cells) if near[cell].any()}


def _by_place(coefficients: Array) -> Array:
    """Return (rows, cols, 3 B, plain features) float32: what counts at the pixel, as the mean of
    the estimates around it, and as the mean of radar.
    """
    n_bands = coefficients.shape[-1]
    turned = np.swapaxes(coefficients, -1, -2).astype(np.float32)
    local = 5 * n_bands
    constant, here, around, radar = np.split(turned, [1, 1 + local, 1 + 2 * local], axis=-1)
    placed = np.zeros(
        (*coefficients.shape[:2], 3, n_bands, 1 + local + radar.shape[-1]), np.float32
    )
    placed[:, :, 0, :, :1] = constant
    placed[:, :, 0, :, 1 : 1 + local] = here
    placed[:, :, 1, :, 1 : 1 + local] = around
    placed[:, :, 2, :, 1 + local :] = radar
    return placed.reshape(*coefficients.shape[:2], 3 * n_bands, -1)


def _pooled(part: Array) -> Array:
    for axis in (0, 1):
        before, after = np.zeros_like(part), np.zeros_like(part)
        moved, source = np.moveaxis(before, axis, 0), np.moveaxis(part, axis, 0)
        moved[1:] = source[:-1]
        np.moveaxis(after, axis, 0)[:-1] = source[1:]
        part = part + 0.5 * (before + after)
    return part


def _extent(weights: Array) -> slice:
    positions = np.flatnonzero(weights)
    return slice(int(positions[0]), int(positions[-1]) + 1)
