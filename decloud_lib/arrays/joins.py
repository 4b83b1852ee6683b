"""Joins of the candidates of each role, for a run of positions.

For a fixed reference image a role's window is a range of dates (they are sorted), so the number of
its candidates is a difference of two running sums, and its candidates are a slice of one list.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.candidates import Catalogue, Conditions, SearchLayout, sample_dtype
from decloud_lib.types import Array

Partition = tuple[tuple[int, ...], ...]
"""The roles of a layout in groups; the roles of a group hold one common image."""
Places = tuple[Array, Array]
"""Rows of samples: (rows,) position of the chunk, and (rows,) reference."""


@dataclass(frozen=True, slots=True, eq=False)
class JoinPlan:
    """What a layout and the dates of a catalogue say, whatever the position."""

    layout: SearchLayout
    ranges: tuple[tuple[Array, Array], ...]
    """Per role, (references,) first and one-past-last date of the window of each reference."""
    rivals: tuple[tuple[int, int], ...]
    """Pairs of roles that must not hold the same S2 image, and could."""
    allowed: Mapping[str, Array]
    """Per role name (D2,) bool: the dates that may play it."""
    entropy: tuple[int, ...]
    """Seed of random cloud bounds."""


class Chunk:
    """Counts and samples of a run of positions.

    Parameters
    ----------
    catalogue
        Images at these positions.
    plan
        What is the same for all chunks.
    first
        Number of the first position; part of the seed of random cloud bounds.
    """

    def __init__(self, catalogue: Catalogue, plan: JoinPlan, first: int) -> None:
        self.conditions = Conditions(catalogue, plan.layout.roles, plan.allowed)
        self._plan, self._first = plan, first
        self._roles, self._ranges = plan.layout.roles, plan.ranges
        self._draws = [self._draw(number) for number in range(len(self._roles))]
        self._block_counts: dict[tuple[int, ...], Array] = {}
        self._listings: dict[int, tuple[Array, Array, Array]] = {}

    def count(self, terms: Mapping[Partition, int]) -> Array:
        """Return (references, positions) int64: the number of samples."""
        shape = self.conditions.catalogue.s2_valid.shape
        total = np.zeros(shape, dtype=np.int64)
        for partition, sign in terms.items():
            product = np.full(shape, sign, dtype=np.int64)
            for block in partition:
                product *= self.block_count(block)
            total += product
        return total

    def block_count(self, block: tuple[int, ...]) -> Array:
        """Return (references, positions) int64: images that all roles of a block would take."""
        if block not in self._block_counts:
            mask, (low, high), bound = self._candidates(block)
            if bound is not None:
                count = self._count_drawn(mask, (low, high), bound)
            else:
                running = _running_sum(mask)
                count = running[high] - running[low]
            self._block_counts[block] = count
        return self._block_counts[block]

    def uses(self, number: int, terms: Mapping[Partition, int]) -> Array:
        """Return (dates, positions) int64: the samples in which each image plays a role.

        Parameters
        ----------
        number
            Which role; its dates are those of S2, for an S1-only role those of S1.
        terms
            As for `count`: for a reference, the samples with one given image in a role are the
            product of what the other roles have to choose from.
        """
        total = np.zeros(self.conditions.masks[number].shape, dtype=np.int64)
        for partition, sign in terms.items():
            weight = np.full(self.conditions.catalogue.s2_valid.shape, sign, dtype=np.int64)
            own = next(block for block in partition if number in block)
            for block in partition:
                if block != own:
                    weight *= self.block_count(block)
            total += self._summed_over_references(own, weight)
        return total

    def join(self, places: Places) -> Array:
        """List the samples of some rows, in their order."""
        return self._samples(places, *self._joined(places, len(self._roles)))

    def pick(self, places: Places, row: Array, inside: Array) -> Array:
        """Take samples of some rows; their last role is listed only where it is needed.

        Parameters
        ----------
        places
            The rows.
        row : (K,) int64, which of the rows; ascending
        inside : (K,) int64, rank among the samples of the row; ascending within a row
        """
        last = len(self._roles) - 1
        of_row, chosen = self._joined(places, last)
        sizes = self._choices(places, of_row, chosen)
        ends = np.append(0, np.cumsum(sizes))
        first = np.searchsorted(of_row, np.arange(len(places[0])))
        rank = ends[first][row] + inside
        prefix = np.searchsorted(ends, rank, side="right") - 1
        needed, at = np.unique(prefix, return_inverse=True)
        few = [column[needed] for column in chosen]
        joined_row, joined = self._join_role(last, places, of_row[needed], few)
        starts = np.cumsum(sizes[needed]) - sizes[needed]
        taken = starts[at] + rank - ends[prefix]
        return self._samples(places, joined_row[taken], [column[taken] for column in joined])

    def prefix_sizes(self, places: Places) -> Array:
        """Return (rows,) int64: at most so many combinations of all roles but the last."""
        size = np.ones(len(places[0]), dtype=np.int64)
        for number in range(len(self._roles) - 1):
            size *= self.block_count((number,))[places[1], places[0]]
        return size

    def _joined(self, places: Places, count: int) -> tuple[Array, list[Array]]:
        """Join the first roles; return which row each combination is of, and its images."""
        row, chosen = np.arange(len(places[0])), list[Array]()
        for number in range(count):
            row, chosen = self._join_role(number, places, row, chosen)
        return row, chosen

    def _choices(self, places: Places, row: Array, chosen: list[Array]) -> Array:
        """Count what the last role can choose from beside each combination of the others."""
        last = len(self._roles) - 1
        position, reference = places[0][row], places[1][row]
        size = self.block_count((last,))[reference, position]
        mask, (low, high), bound = self._candidates((last,))
        cloud = self.conditions.catalogue.s2_cloud_percent
        rivals = [first for first, second in self._plan.rivals if second == last]
        for number, rival in enumerate(rivals):
            image = chosen[rival]
            taken = mask[image, position] & (low[reference] <= image) & (image < high[reference])
            if bound is not None:
                taken &= cloud[image, position] >= bound[reference, position]
            for earlier in rivals[:number]:
                # Siblings that hold one image take it away once.
                taken &= chosen[earlier] != image
            size = size - taken
        return size

    def _samples(self, places: Places, row: Array, chosen: list[Array]) -> Array:
        """Return the samples of joined rows."""
        position = places[0][row]
        out = np.full(len(row), -1, dtype=sample_dtype(self._plan.layout))
        out["position"] = position + self._first
        for number, role in enumerate(self._roles):
            if not role.s2:
                out["s1"][:, number] = chosen[number]
                continue
            out["s2"][:, number] = chosen[number]
            if role.s1:
                nearest, _ = self.conditions.nearest(role.ascending)
                out["s1"][:, number] = nearest[chosen[number], position]
        return out

    def _candidates(
        self, block: tuple[int, ...]
    ) -> tuple[Array, tuple[Array, Array], Array | None]:
        """Return which images all roles of a block would take.

        Returns
        -------
        (dates, positions) bool mask; per reference, the first and one-past-last date; per
        (reference, position), the lower cloud bound that was drawn, or None.
        """
        lows, highs = zip(*(self._ranges[i] for i in block), strict=True)
        low = np.maximum.reduce(lows)
        high = np.maximum(np.minimum.reduce(highs), low)
        mask = np.logical_and.reduce([self.conditions.masks[i] for i in block])
        drawn = [draw for i in block if (draw := self._draws[i]) is not None]
        return mask, (low, high), np.maximum.reduce(drawn) if drawn else None

    def _summed_over_references(self, block: tuple[int, ...], weight: Array) -> Array:
        """Add up (references, positions) weights over the references that reach each image."""
        mask, (low, high), bound = self._candidates(block)
        dates = np.arange(len(mask))
        # Both bounds grow with the reference, so the references that reach a date are a range too.
        first = np.searchsorted(high, dates, side="right")
        last = np.maximum(np.searchsorted(low, dates, side="right"), first)
        if bound is None:
            running = _running_sum(weight)
            return np.where(mask, running[last] - running[first], 0)
        cloud, total = self.conditions.catalogue.s2_cloud_percent, np.zeros(mask.shape, np.int64)
        for level in np.unique(bound):
            running = _running_sum(np.where(bound == level, weight, 0))
            total += np.where(mask & (cloud >= level), running[last] - running[first], 0)
        return total

    def _join_role(
        self, number: int, rows: Places, row: Array, chosen: list[Array]
    ) -> tuple[Array, list[Array]]:
        """Put each candidate of one more role beside each row; drop rows that break a rule."""
        positions, references = rows
        (low, high), (running, offsets, dates) = self._ranges[number], self._listing(number)
        start = running[low[references], positions]
        size = (running[high[references], positions] - start)[row]
        begin = (offsets[positions] + start)[row]
        keep = np.repeat(np.arange(len(row)), size)
        inside = np.arange(len(keep)) - np.repeat(np.cumsum(size) - size, size)
        new = dates[begin[keep] + inside].astype(np.int32)
        good = np.ones(len(keep), dtype=bool)
        draw = self._draws[number]
        if draw is not None:
            at = row[keep]
            cloud = self.conditions.catalogue.s2_cloud_percent[new, positions[at]]
            good &= cloud >= draw[references[at], positions[at]]
        for first, second in self._plan.rivals:
            if second == number:
                good &= chosen[first][keep] != new
        keep, new = keep[good], new[good]
        return row[keep], [*(column[keep] for column in chosen), new]

    def _listing(self, number: int) -> tuple[Array, Array, Array]:
        """Return a role's candidates: running sums, first of each position, dates by position."""
        if number not in self._listings:
            mask = self.conditions.masks[number]
            running = _running_sum(mask)
            _, dates = np.nonzero(mask.T)  # ordered by position, then date
            self._listings[number] = running, np.cumsum(running[-1]) - running[-1], dates
        return self._listings[number]

    def _draw(self, number: int) -> Array | None:
        """Draw a role's lower cloud bound for each (reference, position); None = it is fixed."""
        role = self._roles[number]
        if role.random_min_cloud is None or role.cloud_percent is None:
            return None
        catalogue, (lowest, highest) = self.conditions.catalogue, role.random_min_cloud
        rng = np.random.default_rng((*self._plan.entropy, number, self._first))
        drawn = rng.integers(lowest, highest, size=catalogue.s2_valid.shape, endpoint=True)
        return np.minimum(drawn.astype(np.float64), role.cloud_percent[1])

    def _count_drawn(self, mask: Array, dates: tuple[Array, Array], bound: Array) -> Array:
        """Count where the lower cloud bound differs by (reference, position)."""
        count = np.zeros(bound.shape, dtype=np.int64)
        cloud = self.conditions.catalogue.s2_cloud_percent
        for level in np.unique(bound):
            running = _running_sum(mask & (cloud >= level))
            count += np.where(bound == level, running[dates[1]] - running[dates[0]], 0)
        return count


def _running_sum(values: Array) -> Array:
    """Return (dates + 1, positions) int64: the sum (of a mask: how many) before each date."""
    out = np.zeros((values.shape[0] + 1, values.shape[1]), dtype=np.int64)
    np.cumsum(values, axis=0, out=out[1:])
    return out
