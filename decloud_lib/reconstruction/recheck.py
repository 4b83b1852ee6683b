"""Cloud masks checked again with the dates around: what they missed counts as cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.haze import BLUE_RED, mostly, unmasked_cloud
from decloud_lib.reconstruction.five_dates import DATES
from decloud_lib.reconstruction.keep import CLOUD_KEY
from decloud_lib.types import Array

_DAY_MS = 86_400_000
_TARGET = "t"


def recheck(found: Mapping[str, Array]) -> None:
    """Count as cloud what is too bright in the blue beside the dates around.

    Parameters
    ----------
    found
        What was read of a window, by the keys of `five_dates`: single dates with their masks, or
        composed ones, which have none. Changed in place: masks hold more; of a composed date the
        second one of its side takes the place of what is too bright, without radar.
    """
    dates = [_Date.of(found, name) for name in DATES if f"s2_{name}" in found]
    missed = {date.name: _missed(dates, number) for number, date in enumerate(dates)}
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
    image: Array
    """(H, W, 2) int16 DN, blue and red."""
    clear: Array
    """(H, W) bool."""
    time_ms: Array
    """(H, W) or (1, 1) int64."""

    @classmethod
    def of(cls, found: Mapping[str, Array], name: str) -> "_Date":
        image, mask = found[f"s2_{name}"], found.get(f"s2_cld10m_{name}")
        clear = image[..., 0] != bands.S2_NODATA
        if mask is not None:
            clear &= mask[..., 0] == 0
        return cls(name, image[..., BLUE_RED], clear, found[f"s2_timestamp_{name}"][..., 0])


def _missed(dates: Sequence[_Date], number: int) -> Array:
    """Return (H, W) bool: clear by its mask, but a cloud beside the dates around it."""
    date = dates[number]
    # Not beside the date itself, which is replaced: the darkest of the others always stays.
    past, future = (
        [other for other in part if other.name != _TARGET]
        for part in (dates[:number][::-1], dates[number + 1 :])
    )
    before, since = _nearest(past, date)
    after, until = _nearest(future, date)
    both = np.isfinite(since) & np.isfinite(until)
    # One side alone stands for the other.
    ratio = np.where(np.isinf(since), np.float32(1), np.float32(0))
    np.divide(since, since + until, out=ratio, where=both & (since > 0))
    expected = before + (after - before) * ratio[..., np.newaxis]
    seen = date.image * np.float32(bands.S2_SCALE)
    # Without a date around, infinitely many days have passed: nothing is too bright.
    return date.clear & unmasked_cloud(seen, expected, np.minimum(since, until))


def _nearest(dates: Sequence[_Date], of: _Date) -> tuple[Array, Array]:
    """Return (H, W, 2) reflectance of the first clear date, and (H, W) days to it, or infinity."""
    image = np.zeros(of.image.shape, np.float32)
    days = np.full(of.clear.shape, np.inf, np.float32)
    for date in dates:
        take = date.clear & np.isinf(days)
        distance = (np.abs(date.time_ms - of.time_ms) / _DAY_MS).astype(np.float32)
        np.copyto(days, distance, where=take)
        np.copyto(image, date.image * np.float32(bands.S2_SCALE), where=take[..., np.newaxis])
    return image, days


def _hide(mask: Array | None, where: Array) -> None:
    if mask is not None:
        np.maximum(mask[..., 0], where, out=mask[..., 0], casting="unsafe")


def _move_up(found: Mapping[str, Array], side: str, nearest: Array, second: Array) -> None:
    """Let the second date of a side take the place of pixels of the nearest one."""
    found[f"s2_{side}2"][second] = bands.S2_NODATA
    for name in ("s2", "s2_timestamp"):
        here = nearest[..., np.newaxis]
        np.copyto(found[f"{name}_{side}1"], found[f"{name}_{side}2"], where=here)
    found[f"s1_{side}1"][nearest] = bands.S1_NODATA
