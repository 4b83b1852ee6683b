"""Statistics of bands that are seen piece by piece, against numpy on the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.statistics import Moments, ValueCounts, band_statistics, valid_values

TYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")


def expected(whole, nodata):
    values = whole.astype(np.float64).ravel()
    values = values[np.isfinite(values) & (values != nodata)]
    if not values.size:
        return (0, *[np.nan] * 4)
    return (values.size, values.min(), values.max(), values.mean(), values.std())


def found(statistics):
    return [
        (one.valid, one.minimum, one.maximum, one.mean, one.std) for one in statistics.summaries()
    ]


@given(
    dtype=st.sampled_from(TYPES),
    seed=st.integers(0, 1000),
    heights=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    spread=st.sampled_from([0, 3, 90]),
)
def test_pieces_together_give_what_the_whole_gives(dtype, seed, heights, spread):
    rng = np.random.default_rng(seed)
    pieces = [rng.integers(30, 31 + spread, (height, 3, 2)).astype(dtype) for height in heights]
    if dtype.startswith("float"):
        for piece in pieces:
            piece[rng.random(piece.shape) < 0.2] = np.nan
    whole = np.concatenate(pieces)
    statistics, other = band_statistics(dtype, 2), band_statistics(dtype, 2)
    for number, piece in enumerate(pieces):
        (statistics if number % 2 else other).add(piece, 33)
    statistics.merge(other)

    for band, one in enumerate(found(statistics)):
        assert one == pytest.approx(expected(whole[..., band], 33), nan_ok=True, abs=1e-9)


def test_small_integers_are_counted_and_others_are_not():
    assert isinstance(band_statistics("int16", 1), ValueCounts)
    assert isinstance(band_statistics("int32", 1), Moments)
    assert isinstance(band_statistics("float32", 1), Moments)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_a_band_without_a_value_has_no_statistics(dtype):
    statistics = band_statistics(dtype, 2)
    statistics.add(np.stack([np.full((2, 2), 7), np.full((2, 2), 9)], axis=-1).astype(dtype), 7)

    assert found(statistics)[0] == pytest.approx((0, *[np.nan] * 4), nan_ok=True)
    assert found(statistics)[1] == (4, 9, 9, 9, 0)


def test_negative_values_and_extremes_are_counted():
    statistics = ValueCounts("int16", 1)
    statistics.add(np.array([-32768, 32767, -10000, 0], np.int16).reshape(2, 2, 1), -10000)

    assert found(statistics)[0][:3] == (3, -32768, 32767)


def test_the_deviation_of_large_values_is_not_lost():
    statistics = Moments(1)
    for value in (1e9, 1e9 + 1, 1e9 + 2):
        statistics.add(np.full((1, 1, 1), value), None)

    assert found(statistics)[0][4] == pytest.approx(np.sqrt(2 / 3))


@pytest.mark.parametrize(
    ("most", "edges", "counts"),
    [
        (100, [-2, -1, 0, 1, 2, 3], [[1, 0, 0, 2, 1], [0, 0, 4, 0, 0]]),
        (3, [-2, 0, 2, 4], [[1, 2, 1], [0, 4, 0]]),
        (1, [-2, 3], [[4], [4]]),
    ],
)
def test_bins_hold_whole_values(most, edges, counts):
    statistics = ValueCounts("int16", 2)
    statistics.add(np.array([[-2, 0], [1, 0], [1, 0], [2, 0]], np.int16).reshape(2, 2, 2), None)
    found_edges, found_counts = statistics.histogram(most)

    assert found_edges.tolist() == edges
    assert found_counts.tolist() == counts


def test_nothing_has_an_empty_histogram():
    edges, counts = ValueCounts("uint8", 2).histogram(10)

    assert len(edges) == 2
    assert counts.tolist() == [[0], [0]]


def test_valid_values_are_finite_and_not_the_mark():
    values = np.array([1.0, np.nan, np.inf, -9.0, 2.0])

    assert valid_values(values, -9).tolist() == [1, 2]
    assert valid_values(values, None).tolist() == [1, -9, 2]
