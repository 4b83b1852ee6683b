"""Draw the samples of all data sets of a call, and check the sets against each other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict

from decloud_lib import manifest, storage
from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.arrays.draw_rules import AnySample, DrawRule
from decloud_lib.arrays.layout import Conflicts
from decloud_lib.errors import NoSampleError
from decloud_lib.sampling.drawing import (
    HELD,
    TRAIN,
    DataSetSearch,
    DrawnSamples,
    dates_by_role,
    search_data_set,
)
from decloud_lib.sampling.leaks import Region, check_no_leak, check_no_repeats, without_ground_of
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.split import (
    DAY_MS,
    TimeSplit,
    parse_days,
    split_by_ranges,
    split_in_turns,
    time_split,
)
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.types import Array

logger = logging.getLogger(__name__)

_Regions = list[Region]


@dataclass(frozen=True, slots=True, eq=False)
class DataSetRequest:
    """One output: what it is asked to hold."""

    split: str
    """`train`, `valid` or `test`: the name of its regions."""
    number: int
    """Of several outputs of one split."""
    layout: AcquisitionsLayout
    layout_name: str
    output: str
    limit: int | None
    """Most samples."""
    rasters: dict[str, str]
    """Tile -> region raster."""
    rule: DrawRule = field(default_factory=AnySample)
    """How samples are chosen."""

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self.split} ({self.layout_name})"

    @property
    def manifest_uri(self) -> str:
        """Where the manifest lies."""
        return storage.join(self.output, manifest.NAME)


class DrawOptions(BaseModel):
    """How to draw; the fields are those of the stage's configuration."""

    model_config = ConfigDict(frozen=True)

    patchsize: int
    seed: int
    conflicts: Conflicts
    valid_every: int
    valid_dates: tuple[str, ...]
    test_dates: tuple[str, ...]
    guard_days: float
    check_leaks: bool


def draw_all(
    requests: Sequence[DataSetRequest], tiles: TilesFile, options: DrawOptions
) -> dict[str, DrawnSamples]:
    """Search and draw all data sets.

    Parameters
    ----------
    requests
        The data sets; days held out in turns follow the layout of the first.
    tiles
        Where the prepared tiles are.
    options
        How to draw.

    Returns
    -------
    Samples by output.

    Raises
    ------
    NoSampleError
        A data set that comes out empty.
    ConfigError
        A leak from one set into another.
    """
    names = sorted({tile for request in requests for tile in request.rasters})
    indexes = {tile: index_tile(tile, tiles, options.patchsize) for tile in names}
    regions: dict[str, _Regions] = {
        request.output: [
            (indexes[tile], indexes[tile].region(uri)) for tile, uri in request.rasters.items()
        ]
        for request in requests
    }
    split = _time_split(requests, list(regions.values()), options)
    if options.check_leaks:
        regions |= _kept_apart(requests, regions, split)
    drawn: dict[str, DrawnSamples] = {}
    for request in requests:
        search = _search(request, regions[request.output], split, options)
        generator = np.random.default_rng((options.seed, *request.split.encode(), request.number))
        drawn[request.output] = search.draw(request.limit, generator, request.rule)
        logger.info(
            "%s: %d of %d possible samples drawn, by %s\n%s",
            request.name,
            len(drawn[request.output]),
            search.total,
            request.rule,
            request.layout.summary(),
        )
    _check(requests, drawn, options)
    return drawn


def _check(
    requests: Sequence[DataSetRequest], drawn: dict[str, DrawnSamples], options: DrawOptions
) -> None:
    if options.conflicts == "all_pairs":
        for request in requests:
            check_no_repeats(drawn[request.output], request.name)
    if not options.check_leaks:
        return
    training = [drawn[request.output] for request in requests if request.split == TRAIN]
    held = [request for request in requests if request.split != TRAIN]
    for trained in training:
        for request in held:
            check_no_leak(trained, drawn[request.output], request.name)


def _search(
    request: DataSetRequest, regions: _Regions, split: TimeSplit | None, options: DrawOptions
) -> DataSetSearch:
    allowed: dict[str, dict[str, Array]] = {}
    if split is not None:
        allowed = {
            index.tile: dates_by_role(request.layout, index, split, request.split)
            for index, _ in regions
        }
    rule = (options.conflicts, options.seed)
    return search_data_set(request.name, request.layout, regions, allowed, rule)


def _kept_apart(
    requests: Sequence[DataSetRequest], regions: dict[str, _Regions], split: TimeSplit | None
) -> dict[str, _Regions]:
    """Leave out of training the ground that a neighbouring tile gives to another data set.

    Not where the other set has days of its own: these are held out in all tiles.
    """
    by_time = split.held_days if split is not None else {}
    held = [
        region
        for request in requests
        if request.split != TRAIN and request.split not in by_time
        for region in regions[request.output]
    ]
    found: dict[str, _Regions] = {}
    for request in requests:
        if request.split == TRAIN:
            found[request.output] = without_ground_of(regions[request.output], held)
            pairs = zip(regions[request.output], found[request.output], strict=True)
            for (index, before), (_, after) in pairs:
                if lost := int(np.count_nonzero(before) - np.count_nonzero(after)):
                    logger.warning(
                        "%s: %d of %d training positions lie on ground that a neighbouring tile "
                        "gives to validation or test: left out",
                        index.tile,
                        lost,
                        np.count_nonzero(before),
                    )
    return found


def _time_split(
    requests: Sequence[DataSetRequest], regions: Sequence[_Regions], options: DrawOptions
) -> TimeSplit | None:
    """Choose the held-out days; None = the data sets are split by place only."""
    ranges = {
        "valid": [parse_days(days) for days in options.valid_dates],
        "test": [parse_days(days) for days in options.test_dates],
    }
    everywhere: dict[str, Region] = {}
    for index, region in (item for found in regions for item in found):
        _, joined = everywhere.get(index.tile, (index, np.zeros_like(region)))
        everywhere[index.tile] = (index, joined | region)
    if options.valid_every:
        held = _days_in_turns(requests, list(everywhere.values()), options)
    elif any(ranges.values()):
        held = split_by_ranges(ranges)
    else:
        return None
    times = [index.catalogue.s2_time_ms for index, _ in everywhere.values()]
    split = time_split(held, times, options.guard_days)
    for name in held:
        # The days with an image: a range may be long.
        days = np.intersect1d(held[name], split.held_times_ms // DAY_MS)
        told = ", ".join(str(day) for day in days.astype("datetime64[D]"))
        logger.info("split by time: days held out for %s: %s", name, told or "none has an image")
    return split


def _days_in_turns(
    requests: Sequence[DataSetRequest], places: Sequence[Region], options: DrawOptions
) -> dict[str, Array]:
    """Choose among the clear target dates of the first layout, anywhere."""
    # Training alone holds out the same days, for the sets that are made later.
    names = [name for name in HELD if any(request.split == name for request in requests)]
    first, rule = requests[0], (options.conflicts, options.seed)
    searches = search_data_set("split", first.layout, places, {}, rule).searches
    targets = [
        index.catalogue.s2_time_ms[search.usable_dates(first.layout.target_name)]
        for (index, _), search in zip(places, searches, strict=True)
    ]
    held = split_in_turns(names or HELD[:1], targets, options.valid_every)
    if not all(len(days) for days in held.values()):
        needed = options.valid_every * (len(held) - 1) + options.valid_every // 2 + 1
        raise NoSampleError(
            f"split by time: fewer than {needed} days with a clear target of {first.layout_name}; "
            "lower --valid-every, or give more dates"
        )
    return held
