"""Cloud masks checked again with the dates around: what they missed counts as cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.haze import BLUE_RED, RISE, mostly, unmasked_cloud
from decloud_lib.reconstruction.five_dates import DATES
from decloud_lib.reconstruction.keep import CLOUD_KEY
from decloud_lib.types import Array

_DAY_MS = 86_400_000
_TARGET = "t"
_SCALE = np.float32(bands.S2_SCALE)
_BRIGHT = np.int16(np.iinfo(np.int16).max)
_RISE_DN = np.int16(RISE / bands.S2_SCALE)


def recheck(found: Mapping[str, Array]) -> None:
    """Count as cloud what is too bright in the blue beside the dates around.

    Parameters
    ----------
    found
        What was read of a window, by the keys of `five_dates`: single dates with their masks, or
        composed ones, which have none. Changed in place: masks hold more; of a composed date the
        second one of its side takes the place of what is too bright, without radar.
    """
    dates = [_Date.of(found, name) for name in DATES if _is_checked(found, name)]
    around = [date for date in dates if date.name != _TARGET]
    missed = {
        date.name: _missed(date, [item for item in around if item is not date]) for date in dates
    }
    for date in dates:
        where, mask = missed[date.name], found.get(f"s2_cld10m_{date.name}")
        if not where.any():
            continue
        if date.name == _TARGET:
            # Between pixels that are too bright lies the thin rest of the same cloud.
            where |= mostly(where, date.clear)
            _hide(found.get(CLOUD_KEY), where)
        _hide(mask, where)
    for side in ("tm", "tp"):
        if f"s2_cld10m_{side}1" not in found and f"s2_{side}2" in found:
            _move_up(found, side, missed[f"{side}1"], missed[f"{side}2"])


@dataclass(frozen=True, slots=True)
class _Date:
    name: str
    blue: Array
    """(H, W) int16 DN."""
    red: Array
    clear: Array
    """(H, W) bool."""
    time_ms: Array
    """(H, W) or (1, 1) int64."""

    @classmethod
    def of(cls, found: Mapping[str, Array], name: str) -> "_Date":
        image, mask = found[f"s2_{name}"], _mask(found, name)
        clear = image[..., 0] != bands.S2_NODATA
        if mask is not None:
            clear &= mask[..., 0] == 0
        blue, red = (image[..., band] for band in BLUE_RED)
        return cls(name, blue, red, clear, found[f"s2_timestamp_{name}"][..., 0])

    def at(self, pixels: Array) -> "_Date":
        """Return it at some pixels, (N,) flat positions: DN become reflectance, (N,) float32."""
        blue, red = (plane.reshape(-1)[pixels] * _SCALE for plane in (self.blue, self.red))
        time = self.time_ms.reshape(-1)
        time = time if time.size == 1 else time[pixels]
        return _Date(self.name, blue, red, self.clear.reshape(-1)[pixels], time)


def _missed(date: _Date, around: Sequence[_Date]) -> Array:
    """Return (H, W) bool: clear by its mask, but a cloud beside the dates around it.

    These do not hold the date that is rebuilt: so the darkest of them always stays.
    """
    found = np.zeros_like(date.clear)
    lowest = np.full(date.blue.shape, _BRIGHT, np.int16)
    for other in around:
        np.minimum(lowest, other.blue, out=lowest, where=other.clear)
    # What is expected is no less than the least: few pixels need a closer look.
    lowest = np.minimum(lowest, _BRIGHT - _RISE_DN) + _RISE_DN
    pixels = np.flatnonzero(date.clear & (date.blue > lowest))
    if pixels.size:
        found.reshape(-1)[pixels] = _is_missed(
            date.at(pixels), [item.at(pixels) for item in around]
        )
    return found


def _is_missed(date: _Date, around: Sequence[_Date]) -> Array:
    """Return (N,) bool of pixels that are clear by the mask; see `_missed`."""
    position = DATES.index(date.name)
    past = [item for item in around if DATES.index(item.name) < position]
    future = [item for item in around if DATES.index(item.name) > position]
    before, since = _nearest(past[::-1], date)
    after, until = _nearest(future, date)
    both = np.isfinite(since) & np.isfinite(until)
    # One side alone stands for the other.
    ratio = np.where(np.isinf(since), np.float32(1), np.float32(0))
    np.divide(since, since + until, out=ratio, where=both & (since > 0))
    expected = before + (after - before) * ratio[:, np.newaxis]
    seen = np.stack([date.blue, date.red], axis=1)
    return unmasked_cloud(seen, expected, np.minimum(since, until))


def _nearest(dates: Sequence[_Date], of: _Date) -> tuple[Array, Array]:
    """Return (N, 2) reflectance of the first clear date, and (N,) days to it, or infinity."""
    image = np.zeros((of.blue.size, 2), np.float32)
    days = np.full(of.blue.size, np.inf, np.float32)
    for date in dates:
        take = date.clear & np.isinf(days)
        distance = (np.abs(date.time_ms - of.time_ms) / _DAY_MS).astype(np.float32)
        np.copyto(days, distance, where=take)
        seen = np.stack([date.blue, date.red], axis=1)
        np.copyto(image, seen, where=take[:, np.newaxis])
    return image, days


def _mask(found: Mapping[str, Array], name: str) -> Array | None:
    mask = found.get(f"s2_cld10m_{name}")
    return found.get(CLOUD_KEY) if mask is None and name == _TARGET else mask


def _is_checked(found: Mapping[str, Array], name: str) -> bool:
    """Say whether a date was read; the one that is rebuilt only counts with a mask to change."""
    return f"s2_{name}" in found and (name != _TARGET or _mask(found, name) is not None)


def _hide(mask: Array | None, where: Array) -> None:
    if mask is not None:
        np.maximum(mask[..., 0], where, out=mask[..., 0], casting="unsafe")


def _move_up(found: Mapping[str, Array], side: str, nearest: Array, second: Array) -> None:
    """Let the second date of a side take the place of pixels of the nearest one."""
    if second.any():
        found[f"s2_{side}2"][second] = bands.S2_NODATA
    if not nearest.any():
        return
    for name in ("s2", "s2_timestamp"):
        here = nearest[..., np.newaxis]
        np.copyto(found[f"{name}_{side}1"], found[f"{name}_{side}2"], where=here)
    found[f"s1_{side}1"][nearest] = bands.S1_NODATA
