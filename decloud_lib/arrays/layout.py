"""Search of the samples of an acquisition layout: counted first, then taken by rank.

For a fixed reference image a role's window is a range of dates (they are sorted), so the number of
its candidates is a difference of two running sums; a sample is a row of the join of these ranges.
The conflict rule (no image twice in a sample) is counted by inclusion and exclusion over the pairs
of roles whose windows meet, so nothing is listed to be counted
(docs/decisions/0004-search-as-joins.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np

from decloud_lib.arrays.candidates import Catalogue, Role, SearchLayout, sample_dtype
from decloud_lib.arrays.joins import Chunk, JoinPlan, Partition, Places
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

Conflicts = Literal["all_pairs", "historic"]

#: Positions that are worked on together. Random bounds are drawn per chunk: part of the seed.
CHUNK_POSITIONS = 2048
#: Samples that are listed together, so that memory does not depend on how many there are.
_BLOCK_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SearchOptions:
    """How to search.

    Attributes
    ----------
    conflicts
        `all_pairs`: no S2 image twice in a sample, siblings excepted. `historic`: no rule at all,
        which reproduces the counts of the existing system.
    entropy
        Seed of random cloud bounds, non-negative integers.
    allowed
        Per role name (D2,) bool: the dates that may play the role; a role that is not named may use
        all dates. For splits by time.
    """

    conflicts: Conflicts = "all_pairs"
    entropy: tuple[int, ...] = (0,)
    allowed: Mapping[str, Array] = field(default_factory=dict)


class LayoutSearch:
    """All samples of one layout in one catalogue.

    Samples have ranks 0..total-1, ordered by position, reference date, then the dates of the roles
    in layout order.

    Parameters
    ----------
    catalogue
        The images; search only in `catalogue.at(positions)` to keep to a region of interest.
    layout
        What a sample consists of.
    options
        Conflict rule, seed, allowed dates.
    """

    def __init__(
        self, catalogue: Catalogue, layout: SearchLayout, options: SearchOptions | None = None
    ) -> None:
        self.catalogue, self.layout = catalogue, layout
        self.options = options or SearchOptions()
        self._ranges = tuple(_date_range(catalogue, role) for role in layout.roles)
        rivals, allowed = self._rival_pairs(), dict(self.options.allowed)
        self._plan = JoinPlan(layout, self._ranges, rivals, allowed, self.options.entropy)
        self._terms = self._conflict_terms()
        self.counts = np.zeros((catalogue.n_positions, len(catalogue.s2_time_ms)), dtype=np.int64)
        for first in range(0, catalogue.n_positions, CHUNK_POSITIONS):
            counted = self._chunk(first).count(self._terms)
            self.counts[first : first + CHUNK_POSITIONS] = counted.T
        self._ends = np.cumsum(self.counts.ravel())

    @property
    def total(self) -> int:
        """Number of samples."""
        return int(self._ends[-1]) if self._ends.size else 0

    def take(self, ranks: Array) -> Array:
        """Return the samples of some ranks, in the order of the ranks.

        Parameters
        ----------
        ranks : (K,) int, each in 0..total-1

        Returns
        -------
        (K,) structured array, see `sample_dtype`
        """
        ranks = np.asarray(ranks, dtype=np.int64)
        if ranks.size and (ranks.min() < 0 or ranks.max() >= self.total):
            raise ShapeError(f"sample ranks must lie in 0..{self.total - 1}; found {ranks.max()}")
        order = np.argsort(ranks, kind="stable")
        ordered, out = ranks[order], np.zeros(len(ranks), dtype=sample_dtype(self.layout))
        rows = np.searchsorted(self._ends, ordered, side="right")
        inside = ordered - (self._ends[rows] - self.counts.ravel()[rows])
        wanted, first_use = np.unique(rows, return_index=True)
        last_use = np.append(first_use[1:], len(rows))
        for part, chunk, places in self._pieces(wanted, whole=False):
            used = slice(first_use[part.start], last_use[part.stop - 1])
            of_row = np.searchsorted(wanted[part], rows[used])
            out[order[used]] = chunk.pick(places, of_row, inside[used])
        return out

    def blocks(self) -> Iterator[Array]:
        """Yield all samples in the order of their ranks, in pieces of bounded size."""
        for _, chunk, places in self._pieces(np.flatnonzero(self.counts.ravel()), whole=True):
            yield chunk.join(places)

    def image_uses(self) -> tuple[Array, Array]:
        """Count how often each image stands in a sample, in any role, without listing samples.

        Returns
        -------
        s2 : (D2, P) int64
        s1 : (D1, P) int64
        """
        s2 = np.zeros(self.catalogue.s2_valid.shape, dtype=np.int64)
        s1 = np.zeros(self.catalogue.s1_valid.shape, dtype=np.int64)
        for first in range(0, self.catalogue.n_positions, CHUNK_POSITIONS):
            chunk = self._chunk(first)
            for number, role in enumerate(self.layout.roles):
                used, here = chunk.uses(number, self._terms), slice(first, first + CHUNK_POSITIONS)
                if not role.s2:
                    s1[:, here] += used
                    continue
                s2[:, here] += used
                if role.s1:
                    nearest, _ = chunk.conditions.nearest(role.ascending)
                    dates, positions = np.nonzero(used)
                    at = (nearest[dates, positions], positions)
                    np.add.at(s1[:, here], at, used[dates, positions])
        return s2, s1

    def usable_dates(self, role_name: str) -> Array:
        """Return (D2,) bool: dates that fulfil a role's own conditions at one position or more."""
        (role,) = (role for role in self.layout.roles if role.name == role_name)
        found = np.zeros(len(self.catalogue.s2_time_ms), dtype=bool)
        for first in range(0, self.catalogue.n_positions, CHUNK_POSITIONS):
            found |= self._chunk(first).conditions.steps(role)[-1][1].any(axis=1)
        return found

    def tally(self) -> dict[str, dict[str, int]]:
        """Count, per role, how many (image, position) pairs each condition leaves.

        The last entry of a role counts the (reference, position) pairs, among those whose reference
        fulfils its own conditions, for which the role has a candidate in its window.
        """
        found: dict[str, dict[str, int]] = {role.name: {} for role in self.layout.roles}
        reference = [role.name for role in self.layout.roles].index(self.layout.reference)
        for first in range(0, self.catalogue.n_positions, CHUNK_POSITIONS):
            chunk = self._chunk(first)
            is_reference = chunk.block_count((reference,)) > 0
            for number, role in enumerate(self.layout.roles):
                masks = [
                    *chunk.conditions.steps(role),
                    ("in window", is_reference & (chunk.block_count((number,)) > 0)),
                ]
                for name, mask in masks:
                    counted = found[role.name].get(name, 0)
                    found[role.name][name] = counted + int(np.count_nonzero(mask))
        return found

    def _pieces(self, rows: Array, *, whole: bool) -> Iterator[tuple[slice, Chunk, Places]]:
        """Cut rows (position x dates + reference) into pieces that fit into memory.

        Parameters
        ----------
        rows : (N,) int64, ascending
        whole
            All samples of a row are listed; else all but their last role.
        """
        n_dates, done = self.counts.shape[1], 0
        while done < len(rows):
            first = int(rows[done] // n_dates) // CHUNK_POSITIONS * CHUNK_POSITIONS
            stop = int(np.searchsorted(rows, (first + CHUNK_POSITIONS) * n_dates))
            chunk = self._chunk(first)
            positions, references = np.divmod(rows[done:stop], n_dates)
            places = (positions - first, references)
            sizes = self.counts.ravel()[rows[done:stop]] if whole else chunk.prefix_sizes(places)
            ends, begin = np.cumsum(sizes), 0
            while begin < len(sizes):
                most = ends[begin] - sizes[begin] + _BLOCK_SAMPLES
                end = max(begin + 1, int(np.searchsorted(ends, most, side="right")))
                piece = slice(begin, end)
                part = slice(done + begin, done + end)
                yield part, chunk, (places[0][piece], places[1][piece])
                begin = end
            done = stop

    def _chunk(self, first: int) -> Chunk:
        positions = slice(first, first + CHUNK_POSITIONS)
        return Chunk(self.catalogue.at(positions), self._plan, first)

    def _rival_pairs(self) -> tuple[tuple[int, int], ...]:
        """List the pairs of roles that could hold the same S2 image and must not."""
        if self.options.conflicts == "historic":
            return ()
        optical = [number for number, role in enumerate(self.layout.roles) if role.s2]
        return tuple(
            pair
            for pair in combinations(optical, 2)
            if not self.layout.may_share(*(self.layout.roles[i].name for i in pair))
            and self._ever_meet(pair)
        )

    def _ever_meet(self, block: Sequence[int]) -> bool:
        lows, highs = zip(*(self._ranges[i] for i in block), strict=True)
        return bool(np.any(np.maximum.reduce(lows) < np.minimum.reduce(highs)))

    def _conflict_terms(self) -> dict[Partition, int]:
        """Expand the product over rival pairs of (1 - [same image]) into partitions of the roles.

        A partition stands for the joins in which the roles of each block hold one common image.
        """
        finest = tuple((number,) for number in range(len(self.layout.roles)))
        terms: dict[Partition, int] = {finest: 1}
        for first, second in self._plan.rivals:
            for partition, sign in list(terms.items()):
                merged = _merge(partition, first, second)
                if all(len(block) == 1 or self._ever_meet(block) for block in merged):
                    terms[merged] = terms.get(merged, 0) - sign
        return {partition: sign for partition, sign in terms.items() if sign}


def search(
    catalogue: Catalogue, layout: SearchLayout, options: SearchOptions | None = None
) -> Array:
    """Return all samples of a layout; see `LayoutSearch` for large catalogues.

    Returns
    -------
    (N,) structured array, see `sample_dtype`
    """
    found = list(LayoutSearch(catalogue, layout, options).blocks())
    return np.concatenate([np.zeros(0, dtype=sample_dtype(layout)), *found])


def count_samples(
    catalogue: Catalogue, layout: SearchLayout, options: SearchOptions | None = None
) -> int:
    """Count the samples of a layout without listing them."""
    return LayoutSearch(catalogue, layout, options).total


def _date_range(catalogue: Catalogue, role: Role) -> tuple[Array, Array]:
    """Return (references,) first and one-past-last candidate date of each reference image."""
    times = catalogue.s2_time_ms if role.s2 else catalogue.s1_time_ms
    begin, end = role.window_ms
    low = np.searchsorted(times, catalogue.s2_time_ms + begin, side="left")
    return low, np.searchsorted(times, catalogue.s2_time_ms + end, side="right")


def _merge(partition: Partition, first: int, second: int) -> Partition:
    """Join the two blocks that hold two roles."""
    joined = tuple(sorted({i for b in partition if first in b or second in b for i in b}))
    return tuple(sorted([*(b for b in partition if first not in b and second not in b), joined]))
