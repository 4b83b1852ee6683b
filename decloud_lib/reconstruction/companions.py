"""Rasters beside an image: where each pixel comes from, its expected error, what went in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.masks import grow
from decloud_lib.arrays.windows import trim
from decloud_lib.models.contract import ModelContract
from decloud_lib.reconstruction.finish import Finish
from decloud_lib.reconstruction.keep import KeepClear
from decloud_lib.reconstruction.sources import PairMosaic, Source
from decloud_lib.types import Array, Window

QUALITY_BANDS = ("quality", "context_nodata", "days_before", "days_after")
#: In bands of days: no date. In an expected error: no data.
UNKNOWN = 65535
_DAY_MS = 86_400_000
_BEFORE, _AFTER = "s2_timestamp_tm1", "s2_timestamp_tp1"


class Quality(IntEnum):
    """Where a pixel of the output comes from."""

    NO_DATA = 0
    NETWORK = 1
    KEPT = 2
    BLENDED = 3
    INTERPOLATED = 4


@dataclass(frozen=True, slots=True)
class QualityOf:
    """Says of each 10 m pixel where it comes from; used as `Finish` is.

    Attributes
    ----------
    finish : the rule of no data, and the margin
    keep : what is kept of the date itself
    reach_px : how far the network looks around a pixel, 10 m pixels
    estimated : what an estimated pixel is: of a network, or interpolated
    now_ms : acquisition of the date, milliseconds since the epoch; None without one date
    """

    finish: Finish
    keep: KeepClear | None
    reach_px: int
    estimated: Quality
    now_ms: int | None

    def place(self, window: Window) -> Window:
        """Return the window."""
        return window

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, 4) uint16: the bands of `QUALITY_BANDS`.

        `Quality`; 1 where an input has no data within the network's reach, which the estimate may
        feel; days to the date before and after that the pixel is made of, rounded, 65535 = none
        (also where the observed pixel is kept whole).
        """
        del estimate
        nodata = self.finish.nodata(window, inputs)
        found = np.where(nodata, Quality.NO_DATA, self.estimated)
        if self.keep is not None:
            weight = self.keep.weight(window, inputs)
            found[weight > 0] = Quality.BLENDED
            found[(weight == 1) | (nodata & (weight > 0))] = Quality.KEPT
        near = grow(self.finish.missing(inputs), self.reach_px)
        context = trim(near, self.finish.margin_px, window.shape)
        made = (found != Quality.NO_DATA) & (found != Quality.KEPT)
        days = [self._days(key, window, inputs, made) for key in (_BEFORE, _AFTER)]
        return np.stack([found, context, *days], axis=2).astype(np.uint16)

    def _days(self, key: str, window: Window, inputs: Mapping[str, Array], made: Array) -> Array:
        if key not in inputs or self.now_ms is None:
            return np.full(window.shape, UNKNOWN)
        times = inputs[key][:, :, 0]
        if times.shape != (1, 1):  # one date for all pixels
            times = trim(times, self.finish.margin_px, window.shape)
        return np.where(made, np.rint(np.abs(times - self.now_ms) / _DAY_MS), UNKNOWN)


@dataclass(frozen=True, slots=True)
class UncertaintyOf:
    """Stores the expected absolute error that the network gives; used as `Finish` is.

    Attributes
    ----------
    finish : the rule of no data, and the pixels of the output that the error belongs to
    keep : what is kept of the date itself; there is no error there
    """

    finish: Finish
    keep: KeepClear | None

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in this output."""
        return self.finish.place(window)

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, C) uint16: reflectance x 10000, 0 where kept whole, 65535 = no data.

        Parameters
        ----------
        window
            Where the result belongs, 10 m pixels.
        estimate
            (H, W, C) float32 expected absolute error, reflectance, with the margin.
        inputs
            What the network took, by key.
        """
        shape = self.place(window).shape
        error = trim(estimate, self.finish.margin_px // self.finish.factor, shape)
        lost = self.finish.coarse(self.finish.nodata(window, inputs), shape)
        if self.keep is not None:
            kept = self.keep.coarse_weight(self.finish, window, inputs)[:, :, np.newaxis]
            error = np.where(kept == 1, 0.0, (1 - kept) * error)
            lost &= kept[:, :, 0] == 0
        scaled = np.clip(np.rint(error * np.float32(1 / bands.S2_SCALE)), 0, UNKNOWN - 1)
        return np.where(lost[:, :, np.newaxis], UNKNOWN, scaled).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class InputOf:
    """Stores one input as the network took it, in its own type; used as `Finish` is."""

    key: str
    dtype: str
    """Of the stored values."""
    finish: Finish
    """Only its margin and the size of its pixels count."""

    def place(self, window: Window) -> Window:
        """Return where a window of 10 m pixels lies in the input."""
        return self.finish.place(window)

    def __call__(self, window: Window, estimate: Array, inputs: Mapping[str, Array]) -> Array:
        """Return (H, W, C) stored values."""
        del estimate
        margin_px = self.finish.margin_px // self.finish.factor
        taken = trim(inputs[self.key], margin_px, self.place(window).shape)
        return taken.astype(self.dtype)


def with_dates(
    sources: Sequence[Source], contract: ModelContract
) -> tuple[list[Source], tuple[str, ...]]:
    """Let mosaics say which date each pixel is of, for `QualityOf`.

    Returns
    -------
    The sources, and the keys that are read beside the network's inputs.
    """
    dated = [
        replace(source, with_dates=True) if isinstance(source, PairMosaic) else source
        for source in sources
    ]
    given = {f"s2_timestamp_{item.suffix}" for item in dated if isinstance(item, PairMosaic)}
    return dated, tuple(sorted(given - set(contract.input_keys)))
