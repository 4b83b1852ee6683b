"""Sources of models that look at two dates on each side of the image to rebuild."""

from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.composite import FirstUsable, Layer, of_chosen
from decloud_lib.reconstruction.readers import Image, ReaderPool
from decloud_lib.reconstruction.sources import Optical
from decloud_lib.types import Array, Window

_S2 = Layer(len(bands.S2_10M_BANDS), np.int16, bands.S2_NODATA)
_S1 = Layer(len(bands.S1_BANDS), np.uint16, bands.S1_NODATA)


@dataclass(frozen=True, slots=True)
class Seen:
    """An optical date, and the radar image that goes with it."""

    optical: Optical
    sar: Image | None


@dataclass(frozen=True, slots=True)
class ClearDates:
    """The two nearest clear dates of one side, pixel by pixel.

    Attributes
    ----------
    side : `tm` or `tp`
    dates : nearest first
    """

    side: str
    dates: tuple[Seen, ...]

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Compose the window; reads only the dates that can still fill a pixel.

        Returns
        -------
        `s2_<side>1` and `s2_<side>2`, no data where there is no such date; `s1_<side>1`, radar of
        the nearest one, 0 where there is none; `s2_timestamp_<side>1` and `2`, any where there is
        none.
        """
        nearest = FirstUsable(window.shape, {"s2": _S2, "s1": _S1})
        second = FirstUsable(window.shape, {"s2": _S2})
        for number, date in enumerate(self.dates):
            missing = second.open
            mask = date.optical.cloud_mask
            if mask is not None:
                missing &= pool.read(mask, window)[:, :, 0] == 0
            if not missing.any():
                continue
            pixels = pool.read(date.optical.image, window)
            usable = missing & (pixels > bands.S2_NODATA).all(axis=2)
            second.add(number, {"s2": pixels}, usable & ~nearest.open)
            if (usable & nearest.open).any():
                nearest.add(number, {"s2": pixels, "s1": _radar(pool, date, window)}, usable)
        return {
            f"s2_{self.side}1": nearest.pixels["s2"],
            f"s2_{self.side}2": second.pixels["s2"],
            f"s1_{self.side}1": nearest.pixels["s1"],
            f"s2_timestamp_{self.side}1": self._times(nearest.chosen),
            f"s2_timestamp_{self.side}2": self._times(second.chosen),
        }

    def _times(self, chosen: Array) -> Array:
        times = [date.optical.time_ms for date in self.dates] or [0]
        return of_chosen(times, chosen)[:, :, np.newaxis]


@dataclass(frozen=True, slots=True)
class Constant:
    """Stands for an image that there is none of."""

    key: str
    bands: int
    value: int
    dtype: str

    def read(self, pool: ReaderPool, window: Window) -> dict[str, Array]:
        """Fill the window with the value."""
        del pool
        return {self.key: np.full((*window.shape, self.bands), self.value, self.dtype)}


def _radar(pool: ReaderPool, date: Seen, window: Window) -> Array:
    if date.sar is None:
        return np.zeros((*window.shape, len(bands.S1_BANDS)), np.uint16)
    return pool.read(date.sar, window)
