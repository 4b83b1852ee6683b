import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.comparison import (
    NOMINAL,
    Calibration,
    bootstrap,
    compare,
    cover_class,
    season,
)


def test_the_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(30.0, 2.0, 400)
    found = bootstrap(values)
    half = 1.96 * values.std() / 20.0
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.mean - half, abs=0.03)
    assert found.high == pytest.approx(found.mean + half, abs=0.03)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    found = [bootstrap(rng.exponential(1.0, 60), seed) for seed in range(300)]
    held = np.mean([item.low <= 1.0 <= item.high for item in found])
    assert 0.89 < held < 0.98


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_the_interval_lies_between_the_values(values: list[float]) -> None:
    found = bootstrap(np.array(values))
    slack = 1e-9 * (1.0 + max(map(abs, values)))
    assert min(values) - slack <= found.low <= found.high + slack <= max(values) + 2 * slack


def test_images_without_a_score_are_left_out() -> None:
    found = bootstrap(np.array([1.0, np.nan, 3.0, np.inf]))
    assert (found.n, found.mean) == (2, 2.0)
    assert bootstrap(np.array([np.nan])).n == 0


def test_pairs_show_what_two_means_hide() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(30.0, 5.0, 50)
    better = hard + rng.normal(0.2, 0.1, 50)
    found = compare(better, hard)
    assert found.difference.low > 0.1
    assert found.share_higher > 0.9
    assert bootstrap(better).low < bootstrap(hard).high
    back = compare(hard, better)
    assert back.difference.mean == pytest.approx(-found.difference.mean)
    assert back.share_higher == pytest.approx(1.0 - found.share_higher)
    assert compare(hard, hard).share_higher == 0.5


def test_classes_of_cloud_cover() -> None:
    cover = np.array([0.0, 1.0, 1.1, 25.0, 50.0, 74.0, 100.0, np.nan])
    expected = ["0-1 %", "0-1 %", "1-25 %", "1-25 %", "25-50 %", "50-75 %", "75-100 %", ""]
    assert cover_class(cover).tolist() == expected


@pytest.mark.parametrize("year", [1969, 1970, 2020, 2024])
def test_seasons(year: int) -> None:
    dates = [np.datetime64(f"{year}-{month:02}-15") for month in range(1, 13)]
    seconds = np.array([date.astype("datetime64[s]").astype(float) for date in dates])
    expected = ["DJF"] * 2 + ["MAM"] * 3 + ["JJA"] * 3 + ["SON"] * 3 + ["DJF"]
    assert season(seconds).tolist() == expected
    assert season(np.array([np.nan])).tolist() == [""]


def test_errors_that_follow_the_law_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.002, 0.05, (4, 64, 64, 4))
    error = rng.laplace(0.0, scale)
    found = Calibration()
    for part in range(4):
        found.add(error[part], scale[part])
    assert found.n == scale.size
    for share in NOMINAL:
        assert found.coverage()[share] == pytest.approx(share, abs=0.01)
    rows = found.bins()
    assert sum(n for n, _, _ in rows) == scale.size
    for n, expected, absolute in rows:
        assert absolute == pytest.approx(expected, rel=6.0 / np.sqrt(n))


def test_errors_twice_as_large_are_seen() -> None:
    rng = np.random.default_rng(4)
    scale = np.full((100, 100), 0.01)
    found = Calibration()
    counted = np.arange(10_000).reshape(100, 100) % 2 == 0
    found.add(rng.laplace(0.0, 2.0 * scale), scale, counted)
    assert found.n == 5000
    # Half the errors are below 2 ln 2 scales; an interval of one half holds 1 - sqrt(1/2).
    assert found.coverage()[0.5] == pytest.approx(1 - 0.5**0.5, abs=0.02)
    ((_, expected, absolute),) = found.bins()
    assert absolute / expected == pytest.approx(2.0, rel=0.1)
