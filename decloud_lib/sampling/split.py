"""Split by time: which dates are held out of training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from decloud_lib.types import Array

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class TimeSplit:
    """Days (UTC) whose images are targets of the validation and test sets only."""

    held_days: Array
    """(N,) int64, days since the epoch, ascending."""
    held_times_ms: Array
    """(M,) int64, times of all images of these days, ascending."""
    guard_ms: int
    """Training uses no image closer in time than this to a held-out one."""

    def is_held_out(self, times_ms: Array) -> Array:
        """Return (D,) bool: images of a held-out day."""
        held: Array = np.isin(times_ms // _DAY_MS, self.held_days)
        return held

    def may_train(self, times_ms: Array) -> Array:
        """Return (D,) bool: images that training may use, in any role."""
        if not len(self.held_times_ms):
            return np.ones(len(times_ms), dtype=bool)
        padded = np.concatenate([[-(2**62)], self.held_times_ms, [2**62]])
        at = np.searchsorted(self.held_times_ms, times_ms)
        gap = np.minimum(times_ms - padded[at], padded[at + 1] - times_ms)
        allowed: Array = ~self.is_held_out(times_ms) & (gap > self.guard_ms)
        return allowed


def split_by_time(
    target_times_ms: Iterable[Array], all_times_ms: Iterable[Array], every: int, guard_days: float
) -> TimeSplit:
    """Hold out every n-th day among those with a clear target.

    Parameters
    ----------
    target_times_ms
        Per tile, times of the images that could be targets. Days are counted over all tiles, so
        neighbouring tiles, which overlap, hold out the same days.
    all_times_ms
        Per tile, times of all images.
    every
        n, 2 or more. The first day held out is the (n // 2 + 1)-th, so that the held-out days lie
        between others rather than at the ends.
    guard_days
        See `TimeSplit.guard_ms`; 0 = only the days themselves.
    """
    days = np.unique(np.concatenate([np.zeros(0, np.int64), *target_times_ms]) // _DAY_MS)
    held = days[every // 2 :: every]
    times = np.unique(np.concatenate([np.zeros(0, np.int64), *all_times_ms]))
    held_times = times[np.isin(times // _DAY_MS, held)]
    return TimeSplit(held, held_times, round(guard_days * _DAY_MS))
