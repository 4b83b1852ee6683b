"""What training must not share with validation and test, also across neighbouring tiles."""

from dataclasses import replace

import numpy as np
import pytest

from decloud_lib.acquisitions import load_layout
from decloud_lib.errors import ConfigError
from decloud_lib.sampling.drawing import search_data_set
from decloud_lib.sampling.ground import same_ground
from decloud_lib.sampling.leaks import check_no_leak, check_no_repeats, without_ground_of
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.tile_index import index_tile
from tests.prepared_tiles import Tile, season, write_tile

LAYOUT = "AL-CRGA-OS2-clear-neighbours"
EAST = (499_980.0 + 2.5 * 640, 5_100_000.0 + 320)


def made(folder, name="T31TEJ", **changes):
    optical, radar = season()
    tiles, _ = write_tile(folder, Tile(optical, radar, name=name, **changes))
    return index_tile(name, read_tiles(tiles), 64)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two tiles of 2 x 3 positions; the second begins in the middle of the first's last column."""
    root = tmp_path_factory.mktemp("prepared")
    return made(root / "a"), made(root / "b", "T31TFJ", corner=EAST)


def drawn(index, chosen, historic=False):
    region = np.zeros(6, dtype=bool)
    region[list(chosen)] = True
    rule = ("historic" if historic else "all_pairs", 0)
    search = search_data_set("x", load_layout(LAYOUT), [(index, region)], {}, rule)
    return search.draw(None, np.random.default_rng(0))


def test_positions_on_the_same_ground_are_found_across_tiles(pair):
    first, second = pair
    which, found = same_ground(second, np.arange(6), first)
    # The second tile lies half a square further north.
    assert list(zip(which.tolist(), found.tolist(), strict=True)) == [(0, 2), (3, 2), (3, 5)]
    which, found = same_ground(first, np.arange(6), second)
    assert list(zip(which.tolist(), found.tolist(), strict=True)) == [(2, 0), (2, 3), (5, 3)]


def test_a_target_of_a_neighbouring_tile_is_a_leak(pair):
    first, second = pair
    check_no_leak(drawn(first, {0, 1, 3, 4}), drawn(second, range(6)), "valid")
    check_no_leak(drawn(first, range(6)), drawn(second, {1, 2, 4, 5}), "valid")
    with pytest.raises(ConfigError, match=r"leak: a target of valid of 2020.*position 5 of T31TEJ"):
        check_no_leak(drawn(first, {0, 5}), drawn(second, range(6)), "valid")


def at(catalogue, shift_ms):
    return replace(catalogue, s2_time_ms=catalogue.s2_time_ms + shift_ms)


@pytest.mark.parametrize(
    ("hours", "is_leak"), [(0.01, True), (5.9, True), (-5.9, True), (23.8, False)]
)
def test_an_overpass_may_lie_on_both_sides_of_midnight(pair, hours, is_leak):
    """The tiles of one overpass differ by seconds; at 158 degrees east that is about midnight."""
    first, second = pair
    to_midnight = -(10 * 60 + 50) * 60_000 - 500
    early = replace(first, catalogue=at(first.catalogue, to_midnight - 5_000))
    late = replace(
        second, catalogue=at(second.catalogue, to_midnight - 5_000 + round(hours * 3_600_000))
    )
    samples = drawn(early, {2, 5}), drawn(late, {0, 3})
    if is_leak:
        with pytest.raises(ConfigError, match="leak"):
            check_no_leak(*samples, "valid")
    else:
        check_no_leak(*samples, "valid")


def test_ground_of_a_neighbour_is_left_out(pair):
    first, second = pair
    everywhere, one = np.ones(6, dtype=bool), np.arange(6) == 0
    ((index, left),) = without_ground_of([(first, everywhere)], [(second, everywhere)])
    assert index is first
    assert left.tolist() == [True, True, False, True, True, False]
    ((_, left),) = without_ground_of([(first, everywhere)], [(second, one)])
    assert left.tolist() == [True, True, False, True, True, True]
    ((_, left),) = without_ground_of([(first, everywhere)], [(first, everywhere)])
    assert left.all()


def test_a_tile_of_the_next_zone_shares_ground_too(tmp_path):
    """The same place, told in the coordinates of two zones."""
    first = made(tmp_path / "a", corner=(735_000.0, 5_000_000.0))
    second = made(tmp_path / "b", "T32TLQ", crs="EPSG:32632", corner=(264_500.0, 5_000_300.0))
    which, found = same_ground(second, np.arange(6), first)
    assert 0 < len(which) < 36
    with pytest.raises(ConfigError, match="leak"):
        check_no_leak(drawn(first, set(found)), drawn(second, set(which)), "valid")
    far = made(tmp_path / "c", "T32TLR", crs="EPSG:32632", corner=(364_500.0, 5_000_300.0))
    assert len(same_ground(far, np.arange(6), first)[0]) == 0


def test_within_a_tile_position_and_day_decide(pair):
    first, _ = pair
    check_no_leak(drawn(first, {0, 1}), drawn(first, {2, 3}), "valid")
    with pytest.raises(
        ConfigError, match=r"position 1 of T31TEJ, and SENTINEL2A_2020\d+.*is 'tm1'"
    ):
        check_no_leak(drawn(first, {0, 1}), drawn(first, {1, 2}), "valid")


def test_an_image_twice_in_a_sample_is_told(pair):
    good = drawn(pair[0], range(6))
    check_no_repeats(good, "train")
    good.rows["s2"][3, 0] = good.rows["s2"][3, 2]
    with pytest.raises(ConfigError, match="train: 'tm1' and 'target' hold the same S2 image"):
        check_no_repeats(good, "train")
