"""Draw samples from the searches of all tiles."""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.arrays.candidates import sample_dtype
from decloud_lib.arrays.draw_rules import AnySample, DrawRule, Population
from decloud_lib.arrays.layout import Conflicts, LayoutSearch, SearchOptions
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.sampling.split import TimeSplit
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array

#: The data set that must not see the targets of the others.
TRAIN = "train"
#: The others.
HELD = ("valid", "test")
#: Samples of a data set that are held in memory, 0.2 kB each; with patches of 64 px their pixels
#: take a terabyte.
MOST_SAMPLES = 5_000_000


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSamples:
    """Samples of one data set, in the order in which they are written."""

    layout: AcquisitionsLayout
    indexes: tuple[TileIndex, ...]
    tile: Array
    """(N,) int: which of `indexes`."""
    rows: Array
    """(N,) structured: position of the tile, and per acquisition the S2 and S1 image."""
    found: int
    """How many there were to draw from."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class DataSetSearch:
    """The samples of one layout for one data set, over all tiles."""

    name: str
    layout: AcquisitionsLayout
    indexes: tuple[TileIndex, ...]
    positions: tuple[Array, ...]
    """Per tile, (K,) int: positions in the region of the data set."""
    searches: tuple[LayoutSearch, ...]

    @property
    def total(self) -> int:
        """Number of samples."""
        return sum(search.total for search in self.searches)

    @property
    def population(self) -> Population:
        """How many samples there are per tile, position and reference date."""
        return Population(
            tuple(search.counts for search in self.searches),
            tuple(index.catalogue.s2_time_ms for index in self.indexes),
        )

    def draw(
        self, limit: int | None, rng: np.random.Generator, rule: DrawRule | None = None
    ) -> DrawnSamples:
        """Draw samples; without a rule each sample once, in random order.

        Parameters
        ----------
        limit
            Most samples; a whole pass of the rule where None.
        rng
            Where the randomness comes from.
        rule
            How samples are chosen.

        Raises
        ------
        NoSampleError
            There is none; tells what each condition left.
        ConfigError
            There are more than can be drawn at a time, and no limit was given.
        """
        total = self.total
        if total == 0:
            raise NoSampleError(self._nothing_found())
        population, rule = self.population, rule or AnySample()
        one_pass = rule.size(population)
        count = one_pass if limit is None else min(limit, one_pass)
        if count > MOST_SAMPLES:
            raise ConfigError(
                f"{self.name}: {total} samples are possible and {limit or 'all'} are wanted; "
                f"expected {MOST_SAMPLES} at most: limit their number (--maxntrain, --maxnvalid, "
                "--maxntest)"
            )
        ranks = rule.ranks(population, count, rng)
        ends = np.cumsum([search.total for search in self.searches])
        tile = np.searchsorted(ends, ranks, side="right")
        rows = np.zeros(len(ranks), dtype=sample_dtype(self.layout.to_search()))
        for number, search in enumerate(self.searches):
            mine = tile == number
            taken = search.take(ranks[mine] - (ends[number] - search.total))
            taken["position"] = self.positions[number][taken["position"]]
            rows[mine] = taken
        return DrawnSamples(self.layout, self.indexes, tile, rows, total)

    def _nothing_found(self) -> str:
        tally: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for search in self.searches:
            for role, steps in search.tally().items():
                for step, count in steps.items():
                    tally[role][step] += count
        told = "; ".join(
            f"{role}: " + ", ".join(f"{step} {count}" for step, count in steps.items())
            for role, steps in tally.items()
        )
        where = ", ".join(
            f"{index.tile} ({len(positions)} of {index.shape[0] * index.shape[1]} positions, "
            f"{len(index.s2)} S2 and {len(index.s1)} S1 dates)"
            for index, positions in zip(self.indexes, self.positions, strict=True)
        )
        if not any(map(len, self.positions)):
            return (
                f"no sample for {self.name} in {where}: its regions hold no whole patch; give it "
                "more of the ground (make-roi), or make smaller patches (--patchsize)"
            )
        return (
            f"no sample for {self.name} in {where}. What each condition left, counted in images "
            f"per position: {told}. Loosen the condition at which a number falls to 0, or give "
            "more dates"
        )


def search_data_set(
    name: str,
    layout: AcquisitionsLayout,
    regions: Sequence[tuple[TileIndex, Array]],
    allowed: Mapping[str, Mapping[str, Array]],
    rule: tuple[Conflicts, int],
) -> DataSetSearch:
    """Search the samples of a layout in the regions of a data set.

    Parameters
    ----------
    name
        Name of the data set, for messages.
    layout
        What a sample consists of.
    regions
        Tiles and, per tile, (positions,) bool.
    allowed
        Per tile, the dates that may play each role; see `SearchOptions.allowed`.
    rule
        Conflict rule, and seed of random cloud bounds.
    """
    plan, (conflicts, seed) = layout.to_search(), rule
    positions, searches = [], []
    for index, region in regions:
        chosen = np.flatnonzero(region)
        entropy = (seed, zlib.crc32(index.tile.encode()))
        options = SearchOptions(conflicts, entropy, allowed.get(index.tile, {}))
        searches.append(LayoutSearch(index.catalogue.at(chosen), plan, options))
        positions.append(chosen)
    indexes = tuple(index for index, _ in regions)
    return DataSetSearch(name, layout, indexes, tuple(positions), tuple(searches))


def dates_by_role(
    layout: AcquisitionsLayout, index: TileIndex, split: TimeSplit, data_set: str
) -> dict[str, Array]:
    """Return, per acquisition, the dates of a tile that a data set of a split by time may use.

    Training uses no held-out date in any role; the other sets only their own ones as target.
    """
    times = index.catalogue.s2_time_ms
    if data_set == TRAIN:
        return dict.fromkeys(layout.names, split.may_train(times))
    return {layout.target_name: split.may_be_target(data_set, times)}
