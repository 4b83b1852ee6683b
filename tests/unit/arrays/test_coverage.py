"""Cloud, validity and gaps per position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.candidates import Catalogue
from decloud_lib.arrays.coverage import (
    gap_histogram,
    gap_hours,
    mean_cloud_percent,
    median_over_dates,
)

HOUR = 3_600_000


def catalogue(s2_hours, cloud, s2_valid, s1_hours, s1_valid):
    return Catalogue(
        np.array(s2_hours, np.int64) * HOUR,
        np.array(cloud, float),
        np.array(s2_valid, bool),
        np.array(s1_hours, np.int64) * HOUR,
        np.array(s1_valid, bool).reshape(len(s1_hours), len(s2_valid[0])),
        np.zeros(len(s1_hours), bool),
    )


TWO = catalogue(
    [0, 100, 200],
    [[10, 50, 1], [30.5, 90, 2], [100, 0, 3]],
    [[1, 0, 1], [1, 0, 1], [0, 1, 1]],
    [-13, 98, 300],
    [[1, 0, 0], [0, 1, 0], [1, 1, 0]],
)


def test_the_mean_cloud_keeps_its_decimals_and_leaves_out_what_is_not_valid():
    nothing_valid = catalogue([0], [[40, 40]], [[0, 1]], [], [])

    assert mean_cloud_percent(TWO) == pytest.approx([20.25, 0.0, 2.0])
    assert np.isnan(mean_cloud_percent(nothing_valid)[0])
    assert mean_cloud_percent(nothing_valid)[1] == 40


def test_gaps_are_those_to_the_closest_valid_radar_image():
    found = gap_hours(TWO)

    assert found[:, 0] == pytest.approx([13, 113, np.nan], nan_ok=True)
    assert found[:, 1] == pytest.approx([np.nan, np.nan, 100], nan_ok=True)
    assert np.isnan(found[:, 2]).all()


def test_without_radar_there_is_no_gap():
    found = gap_hours(catalogue([0, 24], [[0], [0]], [[1], [1]], [], []))

    assert found.shape == (2, 1)
    assert np.isnan(found).all()
    assert not gap_histogram(found, 8, 12).any()


def test_a_bin_begins_with_its_lower_bound_and_the_last_is_open():
    hours = np.array([[0.0], [11.999], [12.0], [83.9], [84.0], [5000.0], [np.nan]])

    assert gap_histogram(hours, 8, 12)[:, 0].tolist() == [2, 1, 0, 0, 0, 0, 1, 2]


@given(st.lists(st.floats(0, 1e4) | st.just(float("nan")), min_size=1, max_size=30))
def test_each_gap_is_counted_once_and_the_median_is_numpys(values):
    hours = np.array(values)[:, None]
    numbers = hours[~np.isnan(hours)]

    assert gap_histogram(hours, 8, 12).sum() == len(numbers)
    median = median_over_dates(hours)[0]
    assert np.isnan(median) if not len(numbers) else median == np.median(numbers)
