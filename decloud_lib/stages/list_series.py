"""List tiles and periods of prepared products as work for the reconstruction, one task each."""

import logging
from collections import defaultdict
from datetime import date, timedelta
from typing import Self

from pydantic import Field, model_validator

from decloud_lib import storage
from decloud_lib.config import StageConfig
from decloud_lib.errors import NoSampleError
from decloud_lib.raster.products.prepared import list_s2

logger = logging.getLogger(__name__)
_EPOCH = date(1970, 1, 1)


class ListSeriesConfig(StageConfig):
    """Settings of `list_series`."""

    s2_dir: str = Field(description="Prepared S2 products of all tiles: S2_PREPARE (URI).")
    out_dir: str = Field(
        description="Root of the images (URI); each task has `<tile>/<first>_<last>` below it."
    )
    tiles: tuple[str, ...] = Field(default=(), description="Only these tiles. Default: all.")
    start: date | None = Field(default=None, description="First day to rebuild (UTC).")
    end: date | None = Field(default=None, description="Last day to rebuild (UTC), included.")
    days: int = Field(
        default=30,
        ge=1,
        le=3660,
        description="Length of the period of one task, days. Periods do not move when dates are "
        "added, so a later run finds what is there.",
    )

    @model_validator(mode="after")
    def _period_in_order(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


def list_series(config: ListSeriesConfig) -> list[dict[str, str]]:
    """List the tiles and periods in which there are dates.

    Returns
    -------
    One item per task: `tile`, and the arguments `s2_dir`, `out_dir`, `start` and `end` of
    `reconstruct_series`; by tile, then by time.

    Raises
    ------
    NoSampleError
        No date lies in the period.
    """
    products = list_s2(config.s2_dir)
    periods: dict[tuple[str, int], list[date]] = defaultdict(list)
    for product in products:
        day = product.acquired.date()
        if config.tiles and product.tile not in config.tiles:
            continue
        if (config.start or day) <= day <= (config.end or day):
            periods[product.tile, (day - _EPOCH).days // config.days].append(day)
    if not periods:
        tiles = ", ".join(sorted({product.tile for product in products})) or "none"
        raise NoSampleError(
            f"{config.s2_dir}: no date from {config.start or 'the first'} to "
            f"{config.end or 'the last'} of {', '.join(config.tiles) or 'any tile'}; found "
            f"{len(products)} products, tiles {tiles}; check --s2-dir, --tiles, --start and --end"
        )
    logger.info("list-series: %d tasks below %s", len(periods), config.s2_dir)
    return [_task(config, tile, number) for tile, number in sorted(periods)]


def _task(config: ListSeriesConfig, tile: str, number: int) -> dict[str, str]:
    first = _EPOCH + timedelta(days=number * config.days)
    last = first + timedelta(days=config.days - 1)
    is_tile = storage.name_of(config.s2_dir) == tile
    return {
        "tile": tile,
        "s2_dir": config.s2_dir if is_tile else storage.join(config.s2_dir, tile),
        "out_dir": storage.join(config.out_dir, tile, f"{first}_{last}"),
        "start": str(max(first, config.start or first)),
        "end": str(min(last, config.end or last)),
    }
