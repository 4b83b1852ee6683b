"""Gap filling without a network: interpolation in time, and the same fitted to the date.

The fit is regional: a first pass over the image gathers sums on a coarse grid of cells, a second
one applies coefficients that change smoothly from cell to cell (`arrays.fit_grid`). Memory does not
depend on the size of the image, and windows leave no seams.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays import fitting
from decloud_lib.arrays.fit_grid import CELL_PX, FitGrid, FittedGrid
from decloud_lib.arrays.fitting import FitSums
from decloud_lib.arrays.temporal import RADIUS_PX, Neighbours, Side, between
from decloud_lib.arrays.windows import partition
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput
from decloud_lib.models.keys import kind_of
from decloud_lib.reconstruction import stream
from decloud_lib.reconstruction.five_dates import COMPOSED_KEYS, FITTED_KEYS
from decloud_lib.reconstruction.pipeline import Reader
from decloud_lib.types import Array, Window

_SCALE = np.float32(bands.S2_SCALE)
_STRIP_PX = 16
Rule = Callable[[Array, Array, Array], Array]


def _linear(before: Array, after: Array, ratio: Array) -> Array:
    # In the array of the later image, which nobody needs any more.
    after -= before
    after *= ratio
    after += before
    return after


def _nearest(before: Array, after: Array, ratio: Array) -> Array:
    return np.where(ratio > 0.5, after, before)


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Interpolates at each pixel between two mosaics, with the dates that the pixel has in them."""

    contract: ModelContract
    rule: Rule
    """(before, after, ratio) -> estimate; the ratio is 0 at the date before and 1 at that after. It
    may use the memory of what it is given."""

    @property
    def input_keys(self) -> tuple[str, ...]:
        """What is read."""
        return self.contract.input_keys

    @property
    def outputs(self) -> tuple[ModelOutput, ...]:
        """What is estimated."""
        return self.contract.outputs

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        """Estimate a batch; see `network.Estimator`."""
        del windows
        return [np.stack([self._one(reading) for reading in readings])]

    def _one(self, reading: Mapping[str, Array]) -> Array:
        date = next(key for key in self.contract.input_keys if key.endswith(("_t", "_target")))
        past, now, future = (
            reading[f"s2_timestamp_{name}"] for name in ("tm1", date.rpartition("_")[2], "tp1")
        )
        # Differences are exact before they become short.
        since, span = (now - past).astype(np.float32), (future - past).astype(np.float32)
        ratio = np.divide(since, span, out=np.zeros_like(span), where=span != 0)
        before, after = (reading[key].astype(np.float32) for key in ("s2_tm1", "s2_tp1"))
        estimate = self.rule(before, after, ratio)
        estimate *= _SCALE
        return estimate


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
        jobs = [cell.expanded(fitting.RIM_PX) for cell in cells]
        grid = FitGrid(self._shape)
        found = stream.gathered(readers, self._sums, jobs, "fit to the date")
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
        for top, neighbours, features in _strips(seen):
            height = len(features)
            strip = Window(inside.row + top, inside.col, height, inside.width)
            rows, cols = slice(row + top, row + top + height), slice(col, col + inside.width)
            estimate[rows, cols] = neighbours.linear + self._fitted.apply(features, strip)
        return estimate

    def _sums(self, window: Window, reading: Mapping[str, Array]) -> FitSums:
        """Return the sums of one cell over the pixels that can be trusted.

        Which ones they are is told by a first fit to the cell alone.
        """
        inside, seen = self._inside(window, reading)
        strips = [
            (features, neighbours.found, neighbours.linear)
            for _, neighbours, features in _strips(seen)
        ]
        features, found, linear = (np.concatenate(parts) for parts in zip(*strips, strict=True))
        image = seen["s2_t"]
        shown = (seen["s2_cld10m_t"][..., 0] == 0) & (image > bands.S2_NODATA).all(axis=-1)
        usable = shown & found
        difference = np.where(usable[..., None], image * _SCALE - linear, np.float32(0))
        sure = fitting.sure_pixels(usable)
        cell = window.expanded(-fitting.RIM_PX)
        rows = slice(cell.row - inside.row, cell.row - inside.row + cell.height)
        cols = slice(cell.col - inside.col, cell.col - inside.col + cell.width)
        return fitting.trusted_sums(
            features[rows, cols],
            difference[rows, cols],
            (usable[rows, cols], sure[rows, cols]),
            (cell.row, cell.col),
        )

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


def _cut(pixels: Array, rows: slice, cols: slice) -> Array:
    """Return a part of an input; a date that counts for the whole window has but one pixel."""
    return pixels if pixels.shape == (1, 1, 1) else pixels[rows, cols]


def _strips(reading: Mapping[str, Array]) -> Iterator[tuple[int, Neighbours, Array]]:
    """Yield first row, clear images and features of a few rows at a time.

    What is made of them stays in the processor's cache, which is three times as fast.
    """
    height = len(reading["s2_tm1"])
    for top in range(0, height, _STRIP_PX):
        end = min(top + _STRIP_PX, height)
        first, last = max(top - RADIUS_PX, 0), min(end + RADIUS_PX, height)
        cols = slice(None)
        part = {key: _cut(pixels, slice(first, last), cols) for key, pixels in reading.items()}
        neighbours, radar_change = _around(part)
        features = fitting.fit_features(neighbours, radar_change)
        yield top, neighbours.rows(top - first, end - first), features[top - first : end - first]


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
    known = (before > 0) & (current > 0) & (after > 0)
    expected = before + (after.astype(np.float32) - before) * neighbours.ratio
    return neighbours, np.where(known, (current - expected) * scale, np.float32(0))


def _side(reading: Mapping[str, Array], suffix: str, distance: Array) -> Side:
    nearest, second = reading[f"s2_{suffix}1"], reading[f"s2_{suffix}2"]
    found = nearest[..., 0] != bands.S2_NODATA
    more = second[..., :1] != bands.S2_NODATA
    known = np.where(found[..., None], nearest * _SCALE, np.float32(0))
    return Side(known, np.where(more, second * _SCALE, known), distance, found)


def _contract(name: str, keys: tuple[str, ...], target: str, reach_px: int) -> ModelContract:
    return ModelContract(
        name=name,
        inputs=tuple(
            ModelInput(
                key=key, bands=kind.bands, factor=kind.factor, dtype=kind.dtype, scale=kind.scale
            )
            for key in keys
            for kind in [kind_of(key)]
        ),
        outputs=(
            ModelOutput(target_key=target, tensor="s2_estim", bands=bands.S2_10M_BANDS, factor=1),
        ),
        stride=1,
        reach_px=reach_px,
        margin_px=reach_px,
        in_context=name == _FITTED,
    )


def _mosaic_keys(date: str) -> tuple[str, ...]:
    return ("s2_tm1", "s2_tp1", *(f"s2_timestamp_{name}" for name in ("tm1", date, "tp1")))


_FITTED = "gapfilling_fitted"
_RULES = {
    "crga_os1_gapfilling": ("t", _linear),
    "crga_os2_gapfilling": ("target", _linear),
    "nearest_date": ("target", _nearest),
}
_ALIASES = {"linear_gap_filling": "crga_os2_gapfilling"}
#: What needs no network, by name.
CONTRACTS = {
    **{name: _contract(name, _mosaic_keys(d), f"s2_{d}", 0) for name, (d, _) in _RULES.items()},
    _FITTED: _contract(_FITTED, FITTED_KEYS, "s2_t", RADIUS_PX),
}
CONTRACTS |= {alias: CONTRACTS[name] for alias, name in _ALIASES.items()}


def closed_form(
    contract: ModelContract, shape: tuple[int, int]
) -> Interpolation | RegionalFit | None:
    """Return what estimates without a network; None where the contract is that of a network."""
    if contract.name == _FITTED:
        return RegionalFit(contract, shape)
    if contract.name in _RULES:
        return Interpolation(contract, _RULES[contract.name][1])
    return None
