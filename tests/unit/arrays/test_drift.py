"""The population stability index: values by hand, and what must hold for all histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.drift import chance_level, merge_bins, population_stability
from decloud_lib.errors import ShapeError

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(lambda found: sum(found) > 0)


def test_the_index_is_that_of_the_formula() -> None:
    # Shares 0.5 and 0.5 against 0.25 and 0.75.
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    found = population_stability(np.array([500, 500]), np.array([250, 750]))
    assert found == pytest.approx(expected)
    assert found == pytest.approx(0.2747, abs=1e-4)


@given(counts=COUNTS, factor=st.integers(1, 9))
def test_the_same_distribution_has_no_index(counts: list[int], factor: int) -> None:
    counts = [count + 1 for count in counts]
    found = population_stability(np.array(counts), factor * np.array(counts))
    assert found == pytest.approx(0.0, abs=1e-9)


@given(
    pair=st.integers(2, 10).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(1, 99), min_size=n, max_size=n)] * 2)
    )
)
def test_the_index_is_symmetric_and_never_negative(pair: tuple[list[int], list[int]]) -> None:
    one, other = map(np.array, pair)
    found = population_stability(one, other)
    assert found >= 0
    assert found == pytest.approx(population_stability(other, one))


def test_an_empty_bin_gives_a_finite_index() -> None:
    assert 1 < population_stability(np.array([100, 0]), np.array([0, 100])) < 20


@given(
    pair=st.integers(1, 15).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 99), min_size=n, max_size=n)] * 2)
    )
)
def test_joined_bins_keep_their_sums_and_are_full(pair: tuple[list[int], list[int]]) -> None:
    expected, actual = map(np.array, pair)
    if not expected.sum() or not actual.sum():
        return
    one, other = merge_bins(expected, actual, 0.1)
    assert (one.sum(), other.sum()) == (expected.sum(), actual.sum())
    assert len(one) == 1 or (one >= 0.1 * expected.sum()).all()


def test_chance_stays_below_the_level_in_95_of_100_draws() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.1, 0.3, 0.2, 0.15, 0.25])
    draws = [
        population_stability(rng.multinomial(200, shares), rng.multinomial(80, shares))
        for _ in range(2000)
    ]
    below = np.mean(np.array(draws) < chance_level(5, 200, 80))
    assert 0.93 < below < 0.97


def test_histograms_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="same number"):
        population_stability(np.array([1, 2]), np.array([1, 2, 3]))
    with pytest.raises(ShapeError, match="without items"):
        population_stability(np.array([1, 2]), np.array([0, 0]))
