"""Advice on a layout: samples for a grid of S1-S2 gaps and time windows, and what to take."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from decloud_lib.acquisitions import AcquisitionsLayout
from decloud_lib.acquisitions.variants import Windows, around_hours, reach_hours, vary
from decloud_lib.analysis.charts import CellGrid, draw_cells
from decloud_lib.analysis.counts import samples_by_season, search_layout
from decloud_lib.analysis.ground import DataSetGround, NamedLayout
from decloud_lib.analysis.parts import Figure, Part, Raster, Table, map_raster
from decloud_lib.analysis.rules import CountRules
from decloud_lib.errors import ConfigError
from decloud_lib.progress import track
from decloud_lib.sampling.drawing import DataSetSearch

#: Of a table in a picture; with more it is turned.
_MOST_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a combination must reach to be recommended."""

    samples: int
    """At least so many."""
    seasons: int
    """Spread over at least so many seasons of the reference date."""
    season_percent: float
    """A season counts from this share of the samples, %."""
    positions_percent: float
    """At least this share of the positions has a sample, %."""
    first: Literal["gap", "windows"] = "gap"
    """What is made small first."""

    def rule(self) -> str:
        """Say the rule in words."""
        orders = {
            "gap": "the smallest gap, and of these the shortest windows",
            "windows": "the shortest windows, and of these the smallest gap",
        }
        return (
            f"Of the combinations with at least {self.samples:,} samples, in at least "
            f"{self.seasons} seasons (each with {self.season_percent:g} % of the samples or more) "
            f"and at {self.positions_percent:g} % of the positions or more: {orders[self.first]}. "
            "Of windows those are shorter that reach less far, then those whose target is closer."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """A gap and windows, and what they give."""

    gap_hours: float | None
    """None where no acquisition has both sensors."""
    windows: Windows
    layout: AcquisitionsLayout
    samples: int = 0
    seasons: int = 0
    positions_percent: float = 0.0

    @property
    def size(self) -> tuple[float, tuple[float, float]]:
        """Return the gap and the extent of the windows, both to be small."""
        return self.gap_hours or 0.0, (reach_hours(self.layout), around_hours(self.layout))

    def meets(self, wanted: Wanted) -> bool:
        """Say whether it reaches what is wanted."""
        return (
            self.samples >= wanted.samples
            and self.seasons >= wanted.seasons
            and self.positions_percent >= wanted.positions_percent
        )


@dataclass(frozen=True, slots=True)
class AdviceGrid:
    """What is tried."""

    gaps: tuple[float, ...]
    """Hours."""
    windows: tuple[Windows, ...]

    def combinations(self, layout: AcquisitionsLayout) -> list[Combination]:
        """Return all combinations for a layout, gap by gap."""
        paired = any(layout.has_s1(name) and layout.has_s2(name) for name in layout.names)
        gaps: tuple[float | None, ...] = tuple(sorted(set(self.gaps))) if paired else (None,)
        return [
            Combination(gap, windows, vary(layout, gap, windows))
            for gap in gaps
            for windows in self.windows
        ]


def advice_part(
    layout: NamedLayout,
    ground: DataSetGround,
    rules: CountRules,
    grid: AdviceGrid,
    wanted: Wanted,
) -> Part:
    """Count the samples of variants of a layout and recommend one.

    Parameters
    ----------
    layout
        The layout that is varied.
    ground
        Tiles and regions.
    rules
        How samples are counted.
    grid
        Gaps and windows that are tried.
    wanted
        What the recommended variant must reach.

    Raises
    ------
    ConfigError
        The layout needs Sentinel-1 and no tile has any.
    """
    asked = grid.combinations(layout.layout)
    tried: list[Combination] = []
    rasters: list[Raster] = []
    for combination in track(asked, len(asked), f"variants of {layout.name}", "variant"):
        found = search_layout(NamedLayout(layout.name, combination.layout), ground.places, rules)
        if found is None:
            raise ConfigError(
                f"{layout.name} asks for Sentinel-1, and the tiles have none; prepare it, or "
                "take a layout of Sentinel-2 only"
            )
        counted = _counted(combination, found, rules, wanted)
        rasters += _rasters(counted, found)
        tried.append(counted)
    best = recommended(tried, wanted)
    files = {}
    if best is not None:
        text = json.dumps(best.layout.to_json(), indent=2)
        files[f"{layout.name}-advised.json"] = text
    return Part(
        "advice",
        f"Advice on {layout.name}",
        wanted.rule(),
        (_table(layout, tried, best, wanted),),
        (_figure(layout, tried, best, wanted),),
        tuple(rasters),
        files,
        {
            "layout": layout.name,
            "rule": wanted.rule(),
            "verdict": _verdict(tried, best, wanted),
            "recommended": None if best is None else tried.index(best),
            "combinations": [
                {
                    "gap_hours": one.gap_hours,
                    "windows": one.windows.name,
                    "samples": one.samples,
                    "seasons": one.seasons,
                    "positions_percent": one.positions_percent,
                    "meets": one.meets(wanted),
                }
                for one in tried
            ],
        },
    )


def recommended(tried: Sequence[Combination], wanted: Wanted) -> Combination | None:
    """Return the combination to take by `Wanted.rule`; None where none reaches what is wanted."""

    def order(one: Combination) -> tuple[object, object]:
        gap, extent = one.size
        return (gap, extent) if wanted.first == "gap" else (extent, gap)

    return min((one for one in tried if one.meets(wanted)), key=order, default=None)


def _counted(
    combination: Combination, found: DataSetSearch, rules: CountRules, wanted: Wanted
) -> Combination:
    by_season = samples_by_season(found, rules.seasons)
    least = found.total * wanted.season_percent / 100
    positions = np.concatenate([search.counts.sum(axis=1) for search in found.searches])
    return replace(
        combination,
        samples=found.total,
        seasons=int(np.count_nonzero((by_season >= least) & (by_season > 0))),
        positions_percent=float(100 * np.count_nonzero(positions) / max(len(positions), 1)),
    )


def _rasters(combination: Combination, found: DataSetSearch) -> list[Raster]:
    """Return a map of the samples per position for each tile."""
    name = "_".join(
        [
            *([] if combination.gap_hours is None else [f"gap{combination.gap_hours:g}"]),
            combination.windows.stem,
        ]
    )
    maps = []
    for index, positions, search in zip(
        found.indexes, found.positions, found.searches, strict=True
    ):
        counts = np.full(index.catalogue.n_positions, np.nan)
        counts[positions] = search.counts.sum(axis=1)
        grid = index.grid.coarsened(index.patch_px)
        bands = {"samples": counts.reshape(index.shape)}
        maps.append(map_raster(f"count_{name}_{index.tile}", grid, bands, "float64"))
    return maps


def _verdict(tried: Sequence[Combination], best: Combination | None, wanted: Wanted) -> str:
    if best is not None:
        return (
            f"Recommended: {_named(best)}, with {best.samples:,} samples in {best.seasons} seasons "
            f"at {best.positions_percent:.0f} % of the positions."
        )
    most = max(tried, key=lambda one: one.samples)
    return (
        f"None of {len(tried)} combinations reaches that. Most samples: {_named(most)}, with "
        f"{most.samples:,} samples (wanted {wanted.samples:,}) in {most.seasons} seasons (wanted "
        f"{wanted.seasons}) at {most.positions_percent:.0f} % of the positions (wanted "
        f"{wanted.positions_percent:g} %). Ask for less, or try longer windows and gaps."
    )


def _named(one: Combination) -> str:
    gap = "" if one.gap_hours is None else f"gap {one.gap_hours:g} h, "
    return f"{gap}windows {one.windows.name}"


def _table(
    layout: NamedLayout, tried: Sequence[Combination], best: Combination | None, wanted: Wanted
) -> Table:
    rows = tuple(
        (
            one.gap_hours,
            one.windows.name,
            one.samples,
            one.seasons,
            one.positions_percent,
            "yes" if one.meets(wanted) else "no",
        )
        for one in tried
    )
    columns = ("gap, h", "windows", "samples", "seasons", "positions, %", "reaches what is wanted")
    marked = () if best is None else (tried.index(best),)
    note = (
        f"{_verdict(tried, best, wanted)} Windows: x, all so many times as long; a-b d, inner and "
        "outer radius in days."
    )
    return Table("advice", f"Variants of {layout.name}", columns, rows, note, marked)


def _figure(
    layout: NamedLayout, tried: Sequence[Combination], best: Combination | None, wanted: Wanted
) -> Figure:
    gaps = list(dict.fromkeys(one.gap_hours for one in tried))
    names = list(dict.fromkeys(one.windows.name for one in tried))
    shape = (len(gaps), len(names))
    cells = CellGrid(
        rows=tuple("any" if gap is None else f"{gap:g}" for gap in gaps),
        columns=tuple(names),
        values=np.array([one.samples for one in tried]).reshape(shape),
        strong=np.array([one.meets(wanted) for one in tried]).reshape(shape),
        boxed=None if best is None else divmod(tried.index(best), len(names)),
        axis=("time windows", "largest S1-S2 gap, hours"),
    )
    if len(names) > _MOST_COLUMNS:
        cells = cells.transposed()
    title = f"Samples of {layout.name} by gap and windows"
    caption = "Bold: reaches what is wanted; framed: recommended."
    picture = draw_cells(cells, title)
    return Figure("advice", title, caption, picture)
