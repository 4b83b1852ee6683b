"""How many samples each layout finds in the regions of each data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decloud_lib.analysis.charts import draw_counts
from decloud_lib.analysis.ground import NamedLayout, Places
from decloud_lib.analysis.parts import Cell, Figure, Part, Table
from decloud_lib.analysis.rules import CountRules, Seasons
from decloud_lib.arrays.draw_rules import ConstantPerPosition, in_season
from decloud_lib.progress import track
from decloud_lib.sampling.drawing import DataSetSearch, search_data_set
from decloud_lib.types import Array


def count_part(
    layouts: Sequence[NamedLayout], regions: Mapping[str, Places], rules: CountRules
) -> Part:
    """Count the samples of layouts.

    Parameters
    ----------
    layouts
        The layouts.
    regions
        Data sets and their ground.
    rules
        How to count.
    """
    jobs = [(layout, dataset) for layout in layouts for dataset in regions]
    counted = {
        (layout.name, dataset): _count(layout, regions[dataset], rules)
        for layout, dataset in track(jobs, len(jobs), "samples per layout", "count")
    }
    constant = () if rules.per_position is None else (f"at most {rules.per_position} per position",)
    columns = ("layout", "data set", "samples", *constant, "positions with samples", "positions")
    rows = tuple(
        (layout, dataset, *_cells(found, len(columns) + len(rules.seasons.names) - 2))
        for (layout, dataset), found in counted.items()
    )
    note = (
        "Positions are patches side by side that lie wholly in the region. Seasons are those of "
        "the reference image. Empty: the layout needs Sentinel-1 and the tiles have none."
    )
    table = Table("counts", "Samples per layout", (*columns, *rules.seasons.names), rows, note)
    series = {
        dataset: [_total(counted[layout.name, dataset]) for layout in layouts]
        for dataset in regions
    }
    figure = Figure(
        "counts",
        "Samples per layout",
        "All combinations of images that fulfil a layout, over all positions and reference dates.",
        draw_counts([layout.name for layout in layouts], series, "Samples per layout"),
    )
    numbers = {
        layout.name: {dataset: counted[layout.name, dataset] for dataset in regions}
        for layout in layouts
    }
    rule = (
        "No Sentinel-2 image stands twice in a sample, siblings excepted."
        if rules.conflicts == "all_pairs"
        else "An image may stand twice in a sample, as in the existing system."
    )
    return Part(
        "counts",
        "Sample counts",
        f"{_ground(regions)} {rule}",
        (table,),
        (figure,),
        numbers={"layouts": numbers},
    )


def samples_by_season(found: DataSetSearch, seasons: Seasons) -> Array:
    """Return (seasons,) int64 samples by the season of the reference date."""
    total = np.zeros(len(seasons.months), np.int64)
    for search in found.searches:
        per_date = search.counts.sum(axis=0)
        for number, months in enumerate(seasons.months):
            total[number] += per_date[in_season(search.catalogue.s2_time_ms, months)].sum()
    return total


def search_layout(layout: NamedLayout, places: Places, rules: CountRules) -> DataSetSearch | None:
    """Search a layout in the ground of a data set; None where it needs S1 and no tile has any."""
    if layout.needs_s1 and not any(index.s1 for index, _ in places):
        return None
    rule = (rules.conflicts, rules.seed)
    return search_data_set(layout.name, layout.layout, places, {}, rule)


def _count(layout: NamedLayout, places: Places, rules: CountRules) -> dict[str, Any] | None:
    """Return plain numbers; None where the layout needs S1 and there is none."""
    found = search_layout(layout, places, rules)
    if found is None:
        return None
    per_tile = [search.counts.sum(axis=1) for search in found.searches]
    counted: dict[str, Any] = {
        "samples": found.total,
        "positions_with_samples": int(sum(np.count_nonzero(one) for one in per_tile)),
        "positions": sum(len(one) for one in per_tile),
        "seasons": dict(
            zip(
                rules.seasons.names,
                samples_by_season(found, rules.seasons).tolist(),
                strict=True,
            )
        ),
        "tiles": {
            index.tile: int(one.sum()) for index, one in zip(found.indexes, per_tile, strict=True)
        },
    }
    if rules.per_position is not None:
        rule = ConstantPerPosition(rules.per_position)
        counted["limited_samples"] = rule.size(found.population)
        counted["per_position"] = rules.per_position
    return counted


def _cells(found: dict[str, Any] | None, width: int) -> tuple[Cell, ...]:
    if found is None:
        return (None,) * width
    limited = (found["limited_samples"],) if "limited_samples" in found else ()
    return (
        found["samples"],
        *limited,
        found["positions_with_samples"],
        found["positions"],
        *found["seasons"].values(),
    )


def _total(found: dict[str, Any] | None) -> float:
    return float("nan") if found is None else float(found["samples"])


def _ground(regions: Mapping[str, Places]) -> str:
    told = [
        f"{dataset}: {sum(int(region.sum()) for _, region in places):,} positions in "
        f"{', '.join(index.tile for index, _ in places)}"
        for dataset, places in regions.items()
    ]
    patch = next((index.patch_px for places in regions.values() for index, _ in places), 0)
    return f"Patches of {patch} px (10 m). {'; '.join(told)}."
