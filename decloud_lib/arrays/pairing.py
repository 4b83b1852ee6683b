"""Which dates belong together: SAR-optical pairs within a gap, and the dates nearest to a date.

Times are (N,) int64 milliseconds since the epoch; results are positions in the given arrays.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.types import Array

Order = Literal["asc", "des", "abs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One optical image and a SAR image taken at about the same time."""

    optical: int
    """Position of the optical image."""
    sar: int
    """Position of the SAR image."""


def ordered(times_ms: Array, order: Order, reference_ms: int | None = None) -> list[int]:
    """Order dates: oldest first (`asc`), latest first (`des`), closest to a reference (`abs`).

    Parameters
    ----------
    times_ms
        (N,) int64 milliseconds.
    order
        The order; equally close dates come oldest first.
    reference_ms
        The time that `abs` refers to.

    Raises
    ------
    ConfigError
        `abs` without a reference.
    """
    times = np.asarray(times_ms, dtype=np.int64)
    if order == "asc":
        return [int(index) for index in np.argsort(times, kind="stable")]
    if order == "des":
        return [int(index) for index in np.argsort(-times, kind="stable")]
    if reference_ms is None:
        raise ConfigError("the order 'abs' (closest first) needs a reference time; found none")
    return [int(index) for index in np.lexsort((times, np.abs(times - reference_ms)))]


def pairs_within_gap(
    optical_ms: Array,
    sar_ms: Array,
    max_gap_ms: int,
    order: Order,
    reference_ms: int | None = None,
) -> list[Pair]:
    """List all SAR-optical pairs in the order in which a pixel tries them.

    The optical images follow `order`; each comes with all SAR images within the gap, closest
    first. A pixel takes the first pair in which both images have data.

    Parameters
    ----------
    optical_ms, sar_ms
        (N,) and (M,) int64 milliseconds.
    max_gap_ms
        Largest absolute difference of a pair, milliseconds; a pair at exactly this gap counts.
    order, reference_ms
        As for `ordered`.

    Returns
    -------
    The pairs; empty when no SAR image lies within the gap of an optical one.
    """
    optical, sar = np.asarray(optical_ms, dtype=np.int64), np.asarray(sar_ms, dtype=np.int64)
    found: list[Pair] = []
    for index in ordered(optical, order, reference_ms):
        time_ms = int(optical[index])
        found += [
            Pair(index, other)
            for other in ordered(sar, "abs", time_ms)
            if abs(int(sar[other]) - time_ms) <= max_gap_ms
        ]
    return found


def nearest(times_ms: Array, reference_ms: int, count: int, span_ms: tuple[int, int]) -> list[int]:
    """Choose the dates closest to a reference, closest first.

    Parameters
    ----------
    times_ms
        (N,) int64 milliseconds.
    reference_ms
        The time they should be close to.
    count
        How many to keep at most.
    span_ms
        First and last difference to the reference that count, both included; negative = before.
    """
    times = np.asarray(times_ms, dtype=np.int64)
    low, high = span_ms
    inside = [
        index
        for index in ordered(times, "abs", reference_ms)
        if low <= int(times[index]) - reference_ms <= high
    ]
    return inside[:count]
