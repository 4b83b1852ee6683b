"""Rules that draw samples: they turn counts of samples into ranks, and list nothing.

A rule has a *size* (the samples of one pass) and gives the *ranks* of as many samples as are
wanted. All randomness comes from the generator that it is given, so equal seeds draw equal samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decloud_lib.arrays.ranks import distinct_ranks
from decloud_lib.types import Array

_MONTHS = frozenset(range(1, 13))


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The samples that can be drawn: how many there are per tile, position and reference date.

    Ranks count them in this order.
    """

    counts: Sequence[Array]
    """Per tile (positions, dates) int64."""
    times_ms: Sequence[Array]
    """Per tile (dates,) int64: time of each date, UTC milliseconds since the epoch."""

    @property
    def total(self) -> int:
        """Number of samples."""
        return sum(int(counts.sum()) for counts in self.counts)


class DrawRule(Protocol):
    """How the samples of a data set are chosen and put in order."""

    def size(self, population: Population) -> int:
        """Return the number of samples of one pass."""

    def ranks(self, population: Population, count: int, rng: np.random.Generator) -> Array:
        """Return (count,) int64 ranks in the order in which the samples are written.

        `count` is at most the size of a pass.
        """


@dataclass(frozen=True, slots=True)
class AnySample:
    """Each sample once, in random order."""

    def size(self, population: Population) -> int:
        """Return the number of all samples."""
        return population.total

    def ranks(self, population: Population, count: int, rng: np.random.Generator) -> Array:
        """Draw without replacement; see `DrawRule`."""
        return distinct_ranks(population.total, count, rng)


@dataclass(frozen=True, slots=True)
class ConstantPerPosition:
    """At most so many samples of each patch position, drawn once; all of them in random order."""

    most: int

    def size(self, population: Population) -> int:
        """Return the number of samples that the rule lets through."""
        return int(np.minimum(_by_position(population), self.most).sum())

    def ranks(self, population: Population, count: int, rng: np.random.Generator) -> Array:
        """Draw at each position without replacement, then among what was drawn."""
        there = _by_position(population)
        wanted = np.minimum(there, self.most)
        drawn = np.full((len(there), self.most), -1, dtype=np.int64)
        # Robert Floyd's algorithm (Bentley, "Programming pearls", CACM 30(9), 1987), one step for
        # all positions at a time: a number that was drawn before gives way to the largest new one.
        for step in range(min(self.most, int(wanted.max(initial=0)))):
            rows = np.flatnonzero(wanted > step)
            largest = there[rows] - wanted[rows] + step
            found = rng.integers(largest + 1)
            again = (drawn[rows, :step] == found[:, None]).any(axis=1)
            drawn[rows, step] = np.where(again, largest, found)
        ranks: Array = (drawn + (np.cumsum(there) - there)[:, None])[drawn >= 0]
        return ranks[distinct_ranks(len(ranks), count, rng)]


@dataclass(frozen=True, slots=True)
class EvenSeasons:
    """Each sample from a season that is chosen at random; small seasons come again and again.

    The season is that of the reference date. Within a season the samples come in random order, and
    each comes as often as the others, give or take once. Seasons without samples are left out.
    """

    seasons: tuple[tuple[int, ...], ...]
    """Months of each season; each month in exactly one."""

    def __post_init__(self) -> None:
        given = [month for season in self.seasons for month in season]
        if sorted(given) != sorted(_MONTHS):
            odd = sorted({m for m in given if given.count(m) > 1 or m not in _MONTHS})
            missing = sorted(_MONTHS - set(given))
            raise ValueError(
                f"expected each month 1..12 in exactly one season; missing {missing}, wrong or "
                f"given twice {odd}"
            )

    def size(self, population: Population) -> int:
        """Return the number of all samples: a pass is as long as without the rule."""
        return population.total

    def ranks(self, population: Population, count: int, rng: np.random.Generator) -> Array:
        """Choose a season for each sample, then the next one of the season."""
        columns = [[in_season(times, s) for times in population.times_ms] for s in self.seasons]
        sizes = [
            sum(
                int(counts[:, of].sum()) for counts, of in zip(population.counts, mine, strict=True)
            )
            for mine in columns
        ]
        season = rng.choice(np.flatnonzero(sizes), count) if any(sizes) else np.zeros(0, np.int64)
        ranks = np.zeros(len(season), dtype=np.int64)
        for number, (size, mine) in enumerate(zip(sizes, columns, strict=True)):
            places = np.flatnonzero(season == number)
            passes = [
                distinct_ranks(size, min(size, len(places) - begin), rng)
                for begin in range(0, len(places), max(size, 1))
            ]
            if passes:
                ranks[places] = _all_ranks(population, mine, np.concatenate(passes))
        return ranks


def parse_months(text: str) -> tuple[int, ...]:
    """Read the months of a season: `3-5`, `12-2` (over the turn of the year), or one, `7`.

    Raises
    ------
    ValueError
        Anything else.
    """
    first, _, last = text.strip().partition("-")
    try:
        begin, end = int(first), int(last or first)
    except ValueError:
        begin, end = 0, 0
    if not {begin, end} <= _MONTHS:
        raise ValueError(f"{text!r} are no months; expected for instance 3-5, 12-2 or 7")
    return tuple((begin - 1 + step) % 12 + 1 for step in range((end - begin) % 12 + 1))


def _by_position(population: Population) -> Array:
    """Return the number of samples of each position, of all tiles one after the other."""
    return np.concatenate([np.zeros(0, np.int64), *(c.sum(axis=1) for c in population.counts)])


def in_season(times_ms: Array, season: Sequence[int]) -> Array:
    """Return (dates,) bool: dates whose month is in a season."""
    months = times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    found: Array = np.isin(months, season)
    return found


def _all_ranks(population: Population, columns: Sequence[Array], ranks: Array) -> Array:
    """Turn ranks among the samples of some dates of each tile into ranks among all samples."""
    out, begin, before = np.zeros_like(ranks), 0, 0
    for counts, chosen in zip(population.counts, columns, strict=True):
        sizes = counts[:, chosen].ravel()
        ends = np.cumsum(sizes)
        mine = np.flatnonzero((ranks >= begin) & (ranks < begin + sizes.sum()))
        inside = ranks[mine] - begin
        cell = np.searchsorted(ends, inside, side="right")
        starts = (np.cumsum(counts).reshape(counts.shape) - counts)[:, chosen].ravel()
        out[mine] = before + starts[cell] + inside - (ends - sizes)[cell]
        begin, before = begin + int(sizes.sum()), before + int(counts.sum())
    return out
