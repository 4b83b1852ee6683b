"""Interpolation between clear dates, fitted to what is visible of a date, region by region.

A first pass over the image gathers sums on a coarse grid of cells, a second one applies
coefficients that change smoothly from cell to cell (`arrays.fit_grid`). Memory does not depend on
the size of the image, and windows leave no seams.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays import fitting
from decloud_lib.arrays.fit_grid import CELL_PX, FitGrid, FittedGrid
from decloud_lib.arrays.fitting import FitSums
from decloud_lib.arrays.temporal import RADIUS_PX, Neighbours, Side, between
from decloud_lib.arrays.windows import partition
from decloud_lib.models.contract import ModelContract, ModelOutput
from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.reconstruction import stream
from decloud_lib.reconstruction.five_dates import COMPOSED_KEYS
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.types import Array, Window

_SCALE = np.float32(bands.S2_SCALE)
_STRIP_PX = 32
"""A multiple of 16, so that any of these strips holds all folds."""
BLOCK_ENOUGH_PX, ENOUGH_PX = 8192, 16384
"""As many trusted pixels of a block, and of a cell, are enough. On synthetic scenes, half of them
hidden, looking at all of them is 0.03 to 0.1 dB better and takes four times as long."""


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
        """What is read: see `five_dates.composed_sources`."""
        return COMPOSED_KEYS

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
        pairs = zip(windows, readings, strict=True)
        return [np.stack([self._one(window, reading) for window, reading in pairs])]

    def _one(self, window: Window, reading: Mapping[str, Array]) -> Array:
        assert self._fitted is not None
        inside, seen = self._inside(window, reading)
        estimate = np.zeros((*window.shape, len(bands.S2_10M_BANDS)), np.float32)
        row, col = inside.row - window.row, inside.col - window.col
        for strip in _strips(seen):
            first = inside.row + strip.top - strip.above
            around = Window(first, inside.col, *strip.neighbours.found.shape)
            found = self._fitted.apply(strip.neighbours, strip.radar_change, around)
            found += strip.neighbours.linear
            rows = slice(row + strip.top, row + strip.top + strip.height)
            estimate[rows, col : col + inside.width] = found[strip.own]
        return estimate

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
        step = max(int(np.count_nonzero(sure)) // BLOCK_ENOUGH_PX, 1)
        strips = list(_strips(reading, step))
        rows = np.concatenate([np.arange(strip.top, strip.top + strip.height) for strip in strips])
        parts = zip(*(strip.features() for strip in strips), strict=True)
        features, linear = (np.concatenate(part) for part in parts)
        usable, sure = usable[rows], sure[rows]
        difference = np.where(
            usable[..., None], reading["s2_t"][rows] * _SCALE - linear, np.float32(0)
        )
        return fitting.trusted_sums(features, difference, (usable, sure), (block.row, block.col))

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
class _Strip:
    """A few rows, with those around that means are taken of."""

    top: int
    """First row."""
    height: int
    above: int
    """How many rows lie above the first one."""
    neighbours: Neighbours
    radar_change: Array

    @property
    def own(self) -> slice:
        """Its rows among those that it holds."""
        return slice(self.above, self.above + self.height)

    def features(self) -> tuple[Array, Array]:
        """Return the features and the linear estimate of its own rows."""
        features = fitting.fit_features(self.neighbours, self.radar_change)
        return features[self.own], self.neighbours.linear[self.own]


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


def _strips(reading: Mapping[str, Array], step: int = 1) -> Iterator[_Strip]:
    """Yield a few rows at a time; every second, third ... of these strips.

    What is made of them stays in the processor's cache, which is three times as fast.
    """
    height = len(reading["s2_tm1"])
    for top in range(0, height, step * _STRIP_PX):
        end = min(top + _STRIP_PX, height)
        first, last = max(top - RADIUS_PX, 0), min(end + RADIUS_PX, height)
        part = {
            key: _cut(pixels, slice(first, last), slice(None)) for key, pixels in reading.items()
        }
        yield _Strip(top, end - top, top - first, *_around(part))


def _around(reading: Mapping[str, Array]) -> tuple[Neighbours, Array]:
    """Return the clear images around the date, and how radar changed between them."""
    now = reading["s2_timestamp_t"]
    past, future = (
        _side(reading, suffix, np.abs(reading[f"s2_timestamp_{suffix}1"] - now)[..., 0])
        for suffix in ("tm", "tp")
    )
    neighbours = between(past, future)
    scale = np.float32(bands.S1_SCALE)
    before, current, after = (reading[f"s1_{name}"] for name in ("tm1", "t", "tp1"))
    change = before - after.astype(np.float32)
    change *= neighbours.ratio
    change += current
    change -= before
    change *= scale
    unknown = (before == 0) | (current == 0) | (after == 0)
    if unknown.any():
        change[unknown] = 0.0
    return neighbours, change


def _side(reading: Mapping[str, Array], suffix: str, distance: Array) -> Side:
    nearest, second = reading[f"s2_{suffix}1"], reading[f"s2_{suffix}2"]
    found = nearest[..., 0] != bands.S2_NODATA
    known = _reflectance(nearest, found)
    more = second[..., 0] != bands.S2_NODATA
    beyond = _reflectance(second, more)
    if not more.all():
        beyond = np.where(more[..., None], beyond, known)
    return Side(known, beyond, distance, found)


def _reflectance(stored: Array, where: Array) -> Array:
    """Return reflectance; 0 where there is none."""
    if where.all():
        return np.multiply(stored, _SCALE, dtype=np.float32)
    return np.where(where[..., None], stored * _SCALE, np.float32(0))
