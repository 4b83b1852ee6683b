"""Interpolation between clear dates, fitted to what is visible of a date, region by region.

A first pass over the image gathers sums on a coarse grid of cells, a second one applies
coefficients that change smoothly from cell to cell (`arrays.fit_grid`). Memory does not depend on
the size of the image, and windows leave no seams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays import fitting
from decloud_lib.arrays.fit_grid import CELL_PX, FitGrid, FittedGrid
from decloud_lib.arrays.fit_planes import FitPlanes
from decloud_lib.arrays.fitting import FitSums
from decloud_lib.arrays.temporal import RADIUS_PX
from decloud_lib.arrays.windows import partition
from decloud_lib.models.contract import ModelContract, ModelOutput
from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.reconstruction import stream
from decloud_lib.reconstruction.fit_inputs import STRIP_PX, fill_planes, room_for
from decloud_lib.reconstruction.five_dates import COMPOSED_KEYS
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.types import Array, Window

_SCALE = np.float32(bands.S2_SCALE)
BLOCK_ENOUGH_PX, ENOUGH_PX = 4096, 8192
"""As many trusted pixels of a block, and of a cell, are enough. On four synthetic scenes, half of
each hidden, twice as many are 0.08 dB better on average and take 1.6 times as long; all of them are
0.15 dB better and take five times as long."""
LEARN_STRIP_PX = 16
"""Rows of a strip that is learned from; the least that holds all folds. Few and thin ones tell more
than one that is as large as all of them."""


class RegionalFit:
    """Interpolation corrected by a fit to what is visible of the date.

    `learn` must have seen the whole image before windows are estimated.

    Parameters
    ----------
    contract
        Of the estimate.
    shape
        Rows and columns of the image, pixels.
    """

    def __init__(self, contract: ModelContract, shape: tuple[int, int]) -> None:
        self.contract = contract
        self._shape = shape
        self._fitted: FittedGrid | None = None

    @property
    def input_keys(self) -> tuple[str, ...]:
        """What is read to learn: see `five_dates.composed_sources`."""
        return COMPOSED_KEYS

    @property
    def applied_keys(self) -> tuple[str, ...]:
        """What is read to estimate: not the date itself, of which all is known by then."""
        return tuple(key for key in COMPOSED_KEYS if key not in ("s2_t", "s2_cld10m_t"))

    @property
    def outputs(self) -> tuple[ModelOutput, ...]:
        """What is estimated."""
        return self.contract.outputs

    def learn(
        self,
        readers: Sequence[Reader[Window, stream.Inputs]],
        cells: Sequence[Window] | None = None,
    ) -> None:
        """Gather the sums of the whole image, and fit.

        Parameters
        ----------
        readers
            One per thread; each also sums up what it reads.
        cells
            Only these cells, to see how long it takes.
        """
        cells = cells or partition(self._shape, CELL_PX)
        grid = FitGrid(self._shape)
        found = stream.gathered(readers, self._sums, cells, "fit to the date")
        for cell, sums in zip(cells, found, strict=True):
            grid.put((cell.row, cell.col), sums)
        self._fitted = grid.solve()

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        """Estimate a batch; see `network.Estimator`."""
        # Bands are planes in memory, as those that are read and written.
        estimates = np.zeros(
            (len(windows), len(bands.S2_10M_BANDS), *windows[0].shape), dtype=np.float32
        )
        for window, reading, estimate in zip(windows, readings, estimates, strict=True):
            self._estimate(window, reading, estimate.swapaxes(0, 1))
        return [np.moveaxis(estimates, 1, -1)]

    def _estimate(self, window: Window, reading: Mapping[str, Array], estimate: Array) -> None:
        """Fill in the (H, B, W) estimate of a window."""
        assert self._fitted is not None
        inside, seen = self._inside(window, reading)
        room = room_for(inside.width)
        for strip in _strips(inside.shape, STRIP_PX):
            tile = _tile(strip, inside.shape)
            planes = tile.planes(seen, room)
            correction = self._fitted.apply(planes, _moved(tile.around, inside))
            rows, cols = _slices(_moved(_moved(tile.own, inside), window, -1))
            np.add(correction[tile.inner], planes.linear[tile.inner], out=estimate[rows, :, cols])

    def _sums(self, reader: Reader[Window, stream.Inputs], cell: Window) -> FitSums:
        """Return the sums of one cell: of as many of its blocks as show enough of the date."""
        found: list[FitSums] = []
        for block in _blocks(cell):
            found.append(self._block_sums(block, reader.read(block)))
            if sum(sums.count for sums in found) >= ENOUGH_PX:
                break
        return reduce(add, found)

    def _block_sums(self, block: Window, reading: Mapping[str, Array]) -> FitSums:
        """Return the sums of one block over the pixels that can be trusted.

        Which ones they are is told by a first fit to the block alone. Where more is visible than is
        needed, some strips of the block stand for all.
        """
        usable = _usable(reading)
        sure = fitting.sure_pixels(usable)
        inner = self._inner(block)
        usable, sure = _only(usable, inner), _only(sure, inner)
        folds = fitting.fold_numbers(usable.shape, (block.row, block.col))
        step = max(int(np.count_nonzero(sure)) // BLOCK_ENOUGH_PX, 1)
        room = room_for(block.width)
        parts = []
        for strip in _strips(block.shape, LEARN_STRIP_PX)[::step]:
            rows, _ = _slices(strip)
            shown = usable[rows]
            features, difference = _shown(reading, strip, shown, room)
            parts.append((features, difference, sure[rows][shown], folds[rows][shown]))
        features, difference, trusted, numbers = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        return fitting.trusted_sums(features, difference, trusted, numbers, fitting.FEW_PENALTIES)

    def _inner(self, block: Window) -> tuple[slice, slice]:
        """Return the pixels of a block whose surroundings are in it, or do not exist."""
        sides = zip((block.row, block.col), block.shape, self._shape, strict=True)
        rows, cols = (
            slice(
                fitting.RIM_PX if start else 0,
                max(size - (fitting.RIM_PX if start + size < whole else 0), 0),
            )
            for start, size, whole in sides
        )
        return rows, cols

    def _inside(
        self, window: Window, reading: Mapping[str, Array]
    ) -> tuple[Window, dict[str, Array]]:
        """Drop what was mirrored beyond the border: means there are over what exists."""
        top, left = max(window.row, 0), max(window.col, 0)
        bottom = min(window.row + window.height, self._shape[0])
        right = min(window.col + window.width, self._shape[1])
        rows = slice(top - window.row, bottom - window.row)
        cols = slice(left - window.col, right - window.col)
        seen = {key: _cut(pixels, rows, cols) for key, pixels in reading.items()}
        return Window(top, left, bottom - top, right - left), seen


def _blocks(cell: Window) -> list[Window]:
    """Return the blocks of a cell in the order in which they are looked at.

    The first ones of neighbouring cells lie on opposite sides, so that on average they lie in the
    middle, where the coefficients of a cell count.
    """
    blocks = partition(cell.shape, BLOCK_PX)
    first = 2 * (cell.row // CELL_PX % 2) + cell.col // CELL_PX % 2
    ordered = sorted(range(len(blocks)), key=lambda number: number ^ first)
    return [
        replace(
            blocks[number], row=cell.row + blocks[number].row, col=cell.col + blocks[number].col
        )
        for number in ordered
    ]


def _cut(pixels: Array, rows: slice, cols: slice) -> Array:
    """Return a part of an input; a date that counts for the whole window has but one pixel."""
    return pixels if pixels.shape == (1, 1, 1) else pixels[rows, cols]


@dataclass(frozen=True, slots=True)
class _Tile:
    """A small part of a reading, with the pixels around it that means are taken of.

    What is made of it stays in the processor's cache, which is three times as fast.
    """

    own: Window
    around: Window

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """Its own pixels in (H, C, W) planes of all its pixels."""
        rows, cols = _slices(_moved(self.own, self.around, -1))
        return rows, slice(None), cols

    def planes(self, reading: Mapping[str, Array], room: Array) -> FitPlanes:
        """Return what a fit predicts from; valid until the room is used again."""
        rows, cols = _slices(self.around)
        return fill_planes({key: _cut(pixels, rows, cols) for key, pixels in reading.items()}, room)


def _tile(own: Window, shape: tuple[int, int]) -> _Tile:
    top, left = max(own.row - RADIUS_PX, 0), max(own.col - RADIUS_PX, 0)
    bottom = min(own.row + own.height + RADIUS_PX, shape[0])
    right = min(own.col + own.width + RADIUS_PX, shape[1])
    return _Tile(own, Window(top, left, bottom - top, right - left))


def _strips(shape: tuple[int, int], rows: int) -> list[Window]:
    height, width = shape
    return [Window(row, 0, min(rows, height - row), width) for row in range(0, height, rows)]


def _moved(window: Window, by: Window, sign: int = 1) -> Window:
    return replace(window, row=window.row + sign * by.row, col=window.col + sign * by.col)


def _slices(window: Window) -> tuple[slice, slice]:
    return (
        slice(window.row, window.row + window.height),
        slice(window.col, window.col + window.width),
    )


def _shown(
    reading: Mapping[str, Array], strip: Window, shown: Array, room: Array
) -> tuple[Array, Array]:
    """Return (N, F) features and (N, B) differences to the linear estimate of the pixels shown."""
    found = np.flatnonzero(shown.any(axis=0)) if shown.any() else np.zeros(1, np.int64)
    first, last = int(found[0]), int(found[-1])
    tile = _tile(replace(strip, col=first, width=last + 1 - first), reading["s2_t"].shape[:2])
    planes = tile.planes(reading, room)
    rows, cols = _slices(tile.own)
    parts = (planes.features()[tile.inner], planes.linear[tile.inner])
    features, linear = (np.moveaxis(part, 1, 2)[shown[:, cols]] for part in parts)
    seen = reading["s2_t"][rows, cols][shown[:, cols]]
    return features, seen * _SCALE - linear


def _usable(reading: Mapping[str, Array]) -> Array:
    """Return the (H, W) bool pixels where the date shows the ground and another one too."""
    found = [reading[key][..., 0] != bands.S2_NODATA for key in ("s2_tm1", "s2_tp1")]
    clear = reading["s2_cld10m_t"][..., 0] == 0
    valid = (reading["s2_t"] > bands.S2_NODATA).all(axis=-1)
    return np.asarray(clear & valid & (found[0] | found[1]))


def _only(mask: Array, part: tuple[slice, slice]) -> Array:
    """Return a mask that is False elsewhere."""
    kept = np.zeros_like(mask)
    kept[part] = mask[part]
    return kept
