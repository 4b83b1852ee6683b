"""SAR-optical pairs within a gap, in the documented orders; the dates nearest to a date."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.composite import first_usable
from decloud_lib.arrays.pairing import Pair, nearest, ordered, pairs_within_gap
from decloud_lib.errors import ConfigError

DAY = 86_400_000
HOUR = 3_600_000
times = st.lists(st.integers(0, 100), min_size=1, max_size=8).map(
    lambda days: np.array(days, dtype=np.int64) * DAY
)

OPTICAL = np.array([0, 10]) * DAY
SAR = np.array([1, 9]) * DAY


@pytest.mark.parametrize(
    ("order", "reference", "first"),
    [("asc", None, Pair(0, 0)), ("des", None, Pair(1, 1)), ("abs", 6 * DAY, Pair(1, 1))],
)
def test_the_one_pixel_example_of_the_specification(
    order: str, reference: int | None, first: Pair
) -> None:
    pairs = pairs_within_gap(OPTICAL, SAR, 48 * HOUR, order, reference)  # type: ignore[arg-type]
    assert pairs[0] == first


def test_without_data_in_the_first_optical_image_the_second_pair_counts() -> None:
    pairs = pairs_within_gap(OPTICAL, SAR, 48 * HOUR, "asc")
    images = [np.array([[[-10000]]]), np.array([[[700]]])]
    stack = [images[pair.optical] for pair in pairs]
    _, chosen = first_usable(stack, [pixels[:, :, 0] != -10000 for pixels in stack], -10000)
    assert pairs[int(chosen[0, 0])] == Pair(optical=1, sar=1)


def test_no_pair_within_the_gap_gives_none() -> None:
    assert pairs_within_gap(OPTICAL, SAR, 23 * HOUR, "asc") == []


def test_a_pair_at_exactly_the_gap_counts() -> None:
    pairs = pairs_within_gap(np.array([0]), np.array([72 * HOUR]), 72 * HOUR, "asc")
    assert pairs == [Pair(0, 0)]
    assert pairs_within_gap(np.array([0]), np.array([72 * HOUR + 1]), 72 * HOUR, "asc") == []


def test_milliseconds_are_kept_apart_at_todays_dates() -> None:
    now = 1_602_500_328_497  # a float32 has steps of two minutes here
    pairs = pairs_within_gap(np.array([now]), np.array([now + 2, now - 1]), 1, "asc")
    assert pairs == [Pair(0, 1)]


def test_the_sar_images_of_an_optical_one_come_closest_first() -> None:
    pairs = pairs_within_gap(np.array([0]), np.array([5, -2, 1]), 10, "asc")
    assert [pair.sar for pair in pairs] == [2, 1, 0]


@given(times, times, st.integers(0, 40), st.sampled_from(["asc", "des", "abs"]))
def test_pairs_never_exceed_the_gap_and_none_is_forgotten(
    optical: np.ndarray, sar: np.ndarray, gap_days: int, order: str
) -> None:
    pairs = pairs_within_gap(optical, sar, gap_days * DAY, order, 50 * DAY)  # type: ignore[arg-type]
    gaps = np.abs(optical[:, None] - sar[None, :])
    assert {(pair.optical, pair.sar) for pair in pairs} == {
        (int(i), int(j)) for i, j in zip(*np.nonzero(gaps <= gap_days * DAY), strict=True)
    }
    assert len(pairs) == len(set(pairs))


@given(times)
def test_orders_are_permutations_that_sort(dates: np.ndarray) -> None:
    assert (np.diff(dates[ordered(dates, "asc")]) >= 0).all()
    assert (np.diff(dates[ordered(dates, "des")]) <= 0).all()
    assert (np.diff(np.abs(dates[ordered(dates, "abs", 40 * DAY)] - 40 * DAY)) >= 0).all()


def test_closest_first_needs_a_reference() -> None:
    with pytest.raises(ConfigError, match="reference"):
        ordered(np.array([1, 2]), "abs")


def test_the_nearest_dates_are_strictly_on_one_side_when_asked() -> None:
    dates = np.array([-9, -5, 0, 3, -1, 8]) * DAY
    assert nearest(dates, 0, 2, (-30 * DAY, -1)) == [4, 1]
    assert nearest(dates, 0, 12, (1, 30 * DAY)) == [3, 5]
    assert nearest(dates, 0, 12, (5 * DAY, 7 * DAY)) == []


@given(times, st.integers(1, 20))
def test_more_candidates_than_wanted_keep_the_closest_not_the_farthest(
    dates: np.ndarray, count: int
) -> None:
    kept = nearest(dates, 50 * DAY, count, (-200 * DAY, 200 * DAY))
    distances = np.sort(np.abs(dates - 50 * DAY))
    assert np.abs(dates[kept] - 50 * DAY).tolist() == distances[:count].tolist()
