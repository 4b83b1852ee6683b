"""Gap filling without a network: interpolation in time, and the same fitted to the date."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.temporal import RADIUS_PX
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput
from decloud_lib.models.keys import kind_of
from decloud_lib.reconstruction.fit_inputs import STRIP_PX
from decloud_lib.reconstruction.five_dates import FITTED_KEYS
from decloud_lib.reconstruction.regional_fit import RegionalFit
from decloud_lib.types import Array, Window

_SCALE = np.float32(bands.S2_SCALE)
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
        # Bands are planes in memory, as those that are read and written.
        n_bands = len(self.contract.outputs[0].bands)
        estimates = np.empty((len(windows), n_bands, *windows[0].shape), np.float32)
        for reading, planes in zip(readings, estimates, strict=True):
            estimate = np.moveaxis(planes, 0, 2)
            for row in range(0, len(estimate), STRIP_PX):
                rows = slice(row, row + STRIP_PX)
                estimate[rows] = self._strip(reading, rows)
        return [np.moveaxis(estimates, 1, -1)]

    def _strip(self, reading: Mapping[str, Array], rows: slice) -> Array:
        """Return (rows, W, B) float32 of a few rows, which stay in the processor's cache."""
        date = next(key for key in self.contract.input_keys if key.endswith(("_t", "_target")))
        past, now, future = (
            _rows(reading[f"s2_timestamp_{name}"], rows)
            for name in ("tm1", date.rpartition("_")[2], "tp1")
        )
        # Differences are exact before they become short.
        since, span = (now - past).astype(np.float32), (future - past).astype(np.float32)
        ratio = np.divide(since, span, out=np.zeros_like(span), where=span != 0)
        before, after = (reading[key][rows].astype(np.float32) for key in ("s2_tm1", "s2_tp1"))
        estimate = self.rule(before, after, ratio)
        estimate *= _SCALE
        return estimate


def _rows(times: Array, rows: slice) -> Array:
    """Return some rows; a date that counts for the whole window has but one pixel."""
    return times if times.shape == (1, 1, 1) else times[rows]


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
