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
    DataSetSearch,
    DrawnSamples,
    check_no_leak,
    check_no_repeats,
    dates_by_role,
    search_data_set,
)
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.split import TimeSplit, split_by_time
from decloud_lib.sampling.tile_index import TileIndex, index_tile
from decloud_lib.types import Array

logger = logging.getLogger(__name__)

TRAIN = "train"
_Regions = list[tuple[TileIndex, Array]]


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
    guard_days: float
    check_leaks: bool


def draw_all(
    requests: Sequence[DataSetRequest], tiles: TilesFile, options: DrawOptions
) -> dict[str, DrawnSamples]:
    """Search and draw all data sets.

    Parameters
    ----------
    requests
        The data sets; a split by time follows the layout of the first.
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
    split = _time_split(requests[0], list(regions.values()), options)
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
        training = request.split == TRAIN
        allowed = {
            index.tile: dates_by_role(request.layout, index, split, training=training)
            for index, _ in regions
        }
    rule = (options.conflicts, options.seed)
    return search_data_set(request.name, request.layout, regions, allowed, rule)


def _time_split(
    first: DataSetRequest, regions: Sequence[_Regions], options: DrawOptions
) -> TimeSplit | None:
    """Choose the held-out days among the clear target dates of the first layout, anywhere."""
    if not options.valid_every:
        return None
    everywhere: dict[str, tuple[TileIndex, Array]] = {}
    for index, region in (item for found in regions for item in found):
        _, joined = everywhere.get(index.tile, (index, np.zeros_like(region)))
        everywhere[index.tile] = (index, joined | region)
    places = list(everywhere.values())
    rule = (options.conflicts, options.seed)
    searches = search_data_set("split", first.layout, places, {}, rule).searches
    targets = [
        index.catalogue.s2_time_ms[search.usable_dates(first.layout.target_name)]
        for (index, _), search in zip(places, searches, strict=True)
    ]
    times = [index.catalogue.s2_time_ms for index, _ in places]
    split = split_by_time(targets, times, options.valid_every, options.guard_days)
    if not len(split.held_days):
        raise NoSampleError(
            f"split by time: fewer than {options.valid_every // 2 + 1} days with a clear target of "
            f"{first.layout_name}; lower --valid-every, or give more dates"
        )
    days = ", ".join(str(day) for day in split.held_days.astype("datetime64[D]"))
    logger.info("split by time: held-out days %s", days)
    return split
