"""Split by time: which days belong to the targets of which data set, and not to training."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from decloud_lib.types import Array

DAY_MS = 86_400_000
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:/(\d{4}-\d{2}-\d{2}))?")
_EPOCH = date(1970, 1, 1)

Days = tuple[date, date]
"""First and last day, UTC, inclusive."""


@dataclass(frozen=True, slots=True, eq=False)
class TimeSplit:
    """Days (UTC) whose images are targets of a data set, and that training does not use."""

    held_days: Mapping[str, Array]
    """Per data set (N,) int64, days since the epoch, ascending; other data sets take any day."""
    held_times_ms: Array
    """(M,) int64, times of all images of these days, ascending."""
    guard_ms: int
    """Training uses no image closer in time than this to a held-out one."""

    def may_be_target(self, data_set: str, times_ms: Array) -> Array:
        """Return (D,) bool: images that may be the target of a validation or test set."""
        if data_set not in self.held_days:
            return np.ones(len(times_ms), dtype=bool)
        held: Array = np.isin(times_ms // DAY_MS, self.held_days[data_set])
        return held

    def may_train(self, times_ms: Array) -> Array:
        """Return (D,) bool: images that training may use, in any role."""
        if not len(self.held_times_ms):
            return np.ones(len(times_ms), dtype=bool)
        padded = np.concatenate([[-(2**62)], self.held_times_ms, [2**62]])
        at = np.searchsorted(self.held_times_ms, times_ms)
        gap = np.minimum(times_ms - padded[at], padded[at + 1] - times_ms)
        held = np.isin(times_ms // DAY_MS, self.held_times_ms // DAY_MS)
        allowed: Array = ~held & (gap > self.guard_ms)
        return allowed


def split_in_turns(
    data_sets: Sequence[str], target_times_ms: Iterable[Array], every: int
) -> dict[str, Array]:
    """Hold out every n-th day among those with a clear target; the data sets take turns.

    Parameters
    ----------
    data_sets
        Names: the first held-out day belongs to the first one, the next day to the next one.
    target_times_ms
        Per tile, times of the images that could be targets. Days are counted over all tiles, so
        neighbouring tiles, which overlap, hold out the same days.
    every
        n, 2 or more. The first day held out is the (n // 2 + 1)-th, so that the held-out days lie
        between others rather than at the ends.

    Returns
    -------
    Per data set (N,) int64, days since the epoch.
    """
    days = np.unique(np.concatenate([np.zeros(0, np.int64), *target_times_ms]) // DAY_MS)
    held = days[every // 2 :: every]
    return {name: held[turn :: len(data_sets)] for turn, name in enumerate(data_sets)}


def split_by_ranges(ranges: Mapping[str, Sequence[Days]]) -> dict[str, Array]:
    """Hold out all days of some ranges.

    Parameters
    ----------
    ranges
        Per data set, first and last days; a data set without any is not split by time.

    Returns
    -------
    Per data set (N,) int64, days since the epoch.
    """
    return {
        name: np.unique(np.concatenate([_numbers(days) for days in found]))
        for name, found in ranges.items()
        if found
    }


def time_split(
    held_days: Mapping[str, Array], all_times_ms: Iterable[Array], guard_days: float
) -> TimeSplit:
    """Make the split of some held-out days.

    Parameters
    ----------
    held_days
        Per data set, days since the epoch.
    all_times_ms
        Per tile, times of all images.
    guard_days
        See `TimeSplit.guard_ms`; 0 = only the days themselves.
    """
    none = np.zeros(0, np.int64)
    held = np.unique(np.concatenate([none, *held_days.values()]))
    times = np.unique(np.concatenate([none, *all_times_ms]))
    held_times = times[np.isin(times // DAY_MS, held)]
    return TimeSplit(held_days, held_times, round(guard_days * DAY_MS))


def parse_days(text: str) -> Days:
    """Read `2018-07-01/2018-09-30` (both days inclusive) or one day.

    Raises
    ------
    ValueError
        Another text, or a last day before the first.
    """
    match = _RANGE.fullmatch(text.strip())
    expected = "expected FIRST/LAST as 2018-07-01/2018-09-30 (both inclusive), or one day"
    if match is None:
        raise ValueError(f"{text!r}: {expected}")
    try:
        first = date.fromisoformat(match[1])
        last = date.fromisoformat(match[2]) if match[2] else first
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; {expected}") from error
    if last < first:
        raise ValueError(f"{text!r}: ends before it begins; {expected}")
    return first, last


def _numbers(days: Days) -> Array:
    first, last = ((day - _EPOCH).days for day in days)
    return np.arange(first, last + 1, dtype=np.int64)
