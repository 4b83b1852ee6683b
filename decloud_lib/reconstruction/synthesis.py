"""Which images a monthly synthesis is made of, and the network's sources made of them."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.pairing import nearest
from decloud_lib.errors import ConfigError, ModelFolderError, NoSampleError
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.raster.read import open_raster
from decloud_lib.reconstruction.inputs import milliseconds, times_ms
from decloud_lib.reconstruction.sources import (
    SarMosaic,
    Single,
    Source,
    dem_image,
    s1_image,
    s2_image,
)
from decloud_lib.types import Window

logger = logging.getLogger(__name__)

#: How many Sentinel-1 images may fill a pixel beside one Sentinel-2 image, closest on top.
S1_PER_S2 = 6
_MIDDLE_DAY = 15
_KEY = re.compile(r"(s1|s2)_t(\d+)|dem")


@dataclass(frozen=True, slots=True)
class Scored:
    """A product and how much of it can be used, by its statistics."""

    product: PreparedS2
    cloud_fraction: float
    """0..1."""
    nodata_fraction: float
    """0..1."""


@dataclass(frozen=True, slots=True)
class MonthRule:
    """Which products count for a month."""

    year: int
    month: int
    max_days: float
    """A date lies closer than this to the 15th, 00:00 UTC, days."""
    max_nodata: float
    """A product has less than this fraction without data, 0..1."""

    @property
    def middle(self) -> datetime:
        """The 15th, 00:00 UTC."""
        return datetime(self.year, self.month, _MIDDLE_DAY, tzinfo=UTC)


def dates_of(contract: ModelContract) -> int:
    """Return how many dates a synthesis network takes.

    Raises
    ------
    ModelFolderError
        It is no synthesis network.
    """
    keys = contract.input_keys
    count = sum(key.startswith("s2_t") for key in keys)
    expected = {f"s2_t{number}" for number in range(count)}
    if not count or not expected <= set(keys) or not all(_KEY.fullmatch(key) for key in keys):
        raise ModelFolderError(
            f"model {contract.name} takes {', '.join(keys)}; a monthly synthesis takes s2_t0, "
            "s2_t1 ... (and s1_t0 ..., dem): use one of the models monthly_synthesis_*"
        )
    return count


def score(products: Sequence[PreparedS2]) -> list[Scored]:
    """Read the statistics of products.

    Raises
    ------
    ProductError
        Statistics that cannot be read.
    """
    return [
        Scored(product, _fraction(product.cloud_stats), _fraction(product.edge_stats))
        for product in products
    ]


def choose_month(candidates: Sequence[Scored], rule: MonthRule, count: int) -> list[PreparedS2]:
    """Choose the images of a month, as many as the network takes.

    Parameters
    ----------
    candidates
        Products with their statistics; their order counts where exactly `count` qualify.
    rule
        Which of them qualify.
    count
        How many the network takes.

    Returns
    -------
    `count` products: of more the least cloudy, by cloudiness; of fewer all of them, by cloudiness,
    with copies of the least cloudy in front.

    Raises
    ------
    NoSampleError
        None qualifies; says what was there.
    """
    limit = timedelta(days=rule.max_days)
    near = [item for item in candidates if abs(item.product.acquired - rule.middle) < limit]
    found = [item for item in near if item.nodata_fraction < rule.max_nodata]
    if not found:
        raise NoSampleError(
            f"no S2 date for {rule.year}-{rule.month:02d}: {len(near)} of {len(candidates)} "
            f"products lie within {rule.max_days:g} days of the 15th, none of them has less than "
            f"{rule.max_nodata:.0%} without data; prepare more dates, or raise --max-days or "
            "--max-nodata"
        )
    if len(found) == count:
        return [item.product for item in found]
    clearest = sorted(found, key=lambda item: item.cloud_fraction)
    copies = [clearest[0]] * max(count - len(clearest), 0)
    return [item.product for item in (*copies, *clearest)][:count]


def synthesis_sources(
    contract: ModelContract,
    dates: Sequence[PreparedS2],
    s1: Sequence[PreparedS1],
    dem: str | None,
) -> list[Source]:
    """Make the sources of all inputs of a synthesis network.

    Parameters
    ----------
    contract
        What the network takes.
    dates
        As `choose_month` returns them.
    s1
        Radar images of the tile; beside each date its six closest are laid over each other.
    dem
        Elevation.

    Raises
    ------
    ConfigError
        The network takes radar images or elevation that were not given.
    """
    sources: list[Source] = []
    for number, product in enumerate(dates):
        sources.append(Single(f"s2_t{number}", s2_image(product.stack_10m)))
        if f"s1_t{number}" in contract.input_keys:
            images = closest_s1(product, s1)
            if not images:
                raise ConfigError(
                    f"model {contract.name} needs SAR images; give --s1-dir or --il-s1"
                )
            sources.append(SarMosaic(f"s1_t{number}", tuple(s1_image(item.uri) for item in images)))
    if "dem" in contract.input_keys:
        if dem is None:
            raise ConfigError(f"model {contract.name} needs an elevation raster; give --dem")
        sources.append(Single("dem", dem_image(dem)))
    return sources


def closest_s1(product: PreparedS2, s1: Sequence[PreparedS1]) -> list[PreparedS1]:
    """Return the radar images that fill a date, closest first."""
    ever = (-(2**62), 2**62)
    order = nearest(times_ms(s1), milliseconds(product.acquired), S1_PER_S2, ever)
    return [s1[position] for position in order]


def _fraction(uri: str) -> float:
    """Return the share of pixels that a statistics raster counts."""
    with open_raster(uri) as reader:
        counts = reader.read(Window(0, 0, *reader.grid.shape))[..., 0]
    return float(np.mean(counts) / bands.ELEMENTARY_PATCH_PX**2)
