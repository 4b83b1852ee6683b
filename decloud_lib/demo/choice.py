"""Choose which date to rebuild: a cloudy one with something to see on both sides in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from decloud_lib.arrays.masks import cloud_percent
from decloud_lib.errors import NoSampleError
from decloud_lib.raster.products.prepared import PreparedS2
from decloud_lib.raster.read import open_raster
from decloud_lib.types import Window

#: A date is worth showing with about this share of clouds: much to rebuild, something to compare.
WANTED_CLOUD_PERCENT = 60.0
CLOUDY_PERCENT = (25.0, 100.0)
NEIGHBOUR_PERCENT = 15.0
NEIGHBOUR_DAYS = 30


@dataclass(frozen=True)
class Cover:
    """How much of a prepared product is hidden."""

    product: PreparedS2
    cloud_percent: float
    """Share of pixels under cloud or shadow, 0 to 100."""
    edge_percent: float
    """Share of pixels outside the swath, 0 to 100."""


def measure_cover(product: PreparedS2) -> Cover:
    """Read the two statistics rasters of a product and average them."""
    shares = []
    for uri in (product.cloud_stats, product.edge_stats):
        with open_raster(uri) as reader:
            height, width = reader.grid.shape
            counts = reader.read(Window(0, 0, height, width))[..., 0]
        shares.append(float(cloud_percent(counts, 1).mean()))
    return Cover(product, shares[0], shares[1])


def choose_cloudy_date(covers: Sequence[Cover]) -> Cover:
    """Choose the date to rebuild.

    Parameters
    ----------
    covers
        All prepared dates, of one or several tiles.

    Returns
    -------
    The date with a cloud cover nearest to 60 % among those that have a nearly clear date within 30
    days before and after and no pixel outside the swath.

    Raises
    ------
    NoSampleError
        No date qualifies.
    """
    suited = [
        cover
        for cover in covers
        if CLOUDY_PERCENT[0] <= cover.cloud_percent <= CLOUDY_PERCENT[1]
        and cover.edge_percent == 0
        and _is_near(nearest_clear(covers, cover, after=False), cover)
        and _is_near(nearest_clear(covers, cover, after=True), cover)
    ]
    if not suited:
        raise NoSampleError(
            f"none of {len(covers)} dates has at least {CLOUDY_PERCENT[0]:.0f} % clouds and dates "
            f"with at most {NEIGHBOUR_PERCENT:.0f} % within {NEIGHBOUR_DAYS} days on both sides; "
            "give a longer series"
        )
    return min(
        suited,
        key=lambda cover: (
            abs(cover.cloud_percent - WANTED_CLOUD_PERCENT),
            cover.product.acquired,
        ),
    )


def nearest_clear(covers: Sequence[Cover], chosen: Cover, *, after: bool) -> Cover | None:
    """Return the nearest nearly clear date of the same tile before or after one; None: none."""
    sign = 1 if after else -1
    options = [
        cover
        for cover in covers
        if cover.cloud_percent <= NEIGHBOUR_PERCENT
        and cover.product.tile == chosen.product.tile
        and sign * (cover.product.acquired - chosen.product.acquired) > timedelta(0)
    ]
    return min(options, key=lambda cover: _distance(cover, chosen), default=None)


def _distance(one: Cover, other: Cover) -> timedelta:
    return abs(one.product.acquired - other.product.acquired)


def _is_near(found: Cover | None, chosen: Cover) -> bool:
    return found is not None and _distance(found, chosen) <= timedelta(days=NEIGHBOUR_DAYS)
