"""Which date the demo rebuilds."""

from datetime import UTC, datetime, timedelta

import pytest

from decloud_lib.demo.choice import Cover, choose_cloudy_date, nearest_clear
from decloud_lib.errors import NoSampleError
from decloud_lib.raster.products.names import S2Name
from decloud_lib.raster.products.prepared import s2_parts

START = datetime(2020, 6, 1, 10, 50, tzinfo=UTC)


def cover(day: int, cloud: float, edge: float = 0.0, tile: str = "T31TCJ") -> Cover:
    acquired = START + timedelta(days=day)
    name = S2Name("S2A", tile, acquired, f"day-{day}")
    return Cover(s2_parts(f"root/day-{day}", name), cloud, edge)


def test_the_cover_nearest_to_sixty_percent_wins() -> None:
    covers = [cover(0, 0), cover(5, 90), cover(10, 55), cover(15, 70), cover(20, 0)]
    assert choose_cloudy_date(covers).cloud_percent == 55


def test_a_date_without_a_clear_one_on_both_sides_is_passed_over() -> None:
    covers = [cover(0, 60), cover(5, 0), cover(10, 95), cover(15, 0), cover(20, 60)]
    assert choose_cloudy_date(covers).cloud_percent == 95


def test_a_clear_date_too_far_away_does_not_count() -> None:
    covers = [cover(0, 0), cover(31, 60), cover(36, 0)]
    with pytest.raises(NoSampleError, match=r"none of 3 dates .* give a longer series"):
        choose_cloudy_date(covers)


def test_a_date_cut_by_the_swath_is_passed_over() -> None:
    covers = [cover(0, 0), cover(5, 60, edge=3.0), cover(10, 30), cover(15, 0)]
    assert choose_cloudy_date(covers).cloud_percent == 30


def test_the_neighbours_are_the_nearest_clear_dates() -> None:
    covers = [cover(0, 0), cover(5, 2), cover(8, 50), cover(10, 60), cover(14, 1), cover(20, 0)]
    chosen = choose_cloudy_date(covers)
    assert chosen.cloud_percent == 60
    before = nearest_clear(covers, chosen, after=False)
    after = nearest_clear(covers, chosen, after=True)
    assert (before, after) == (covers[1], covers[4])


def test_dates_of_another_tile_are_no_neighbours() -> None:
    covers = [cover(0, 0, tile="T31TDH"), cover(5, 60), cover(10, 0)]
    assert nearest_clear(covers, covers[1], after=False) is None
    with pytest.raises(NoSampleError, match="none of 3 dates"):
        choose_cloudy_date(covers)
