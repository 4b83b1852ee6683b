"""Encoding of radar backscatter: the published table, and the way back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decloud_lib.arrays.encode import (
    decode_sigma0,
    dn_table,
    encode_channel,
    encode_sigma0,
    is_nodata,
)
from decloud_lib.errors import ShapeError

TABLE = {
    1e-4: 4031.90,
    1e-3: 15594.28,
    0.01: 27197.26,
    0.05: 35310.15,
    0.1: 38804.31,
    0.5: 46917.57,
    1.0: 50411.77,
    2.0: 53905.98,
    10.0: 62019.28,
    20.0: 65513.49,
    25.0: 65535.0,
    0.0: 0.0,
    -0.5: 1.0,
    4.5e-5: 1.0,
}


@pytest.mark.parametrize(("sigma0", "expected"), TABLE.items())
def test_backscatter_is_encoded_as_in_the_published_table(sigma0, expected):
    encoded = encode_channel(np.array([sigma0], np.float32))
    assert encoded.dtype == np.uint16
    assert abs(float(encoded[0]) - expected) <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0])
def test_what_is_no_number_is_no_data(value):
    assert encode_channel(np.array([value], np.float32))[0] == 0


def test_low_end_jumps_from_one_to_a_hundred():
    at_low = math.exp(-10)
    low, high = encode_channel(np.array([at_low * 0.9999, at_low * 1.0001], np.float32))
    assert low == 1
    assert abs(int(high) - 111) <= 1


def test_both_polarisations_keep_their_order_and_place():
    sigma0 = np.zeros((3, 5, 2), np.float32)
    sigma0[1, 2] = (0.1, 0.01)
    encoded = encode_sigma0(sigma0)
    assert encoded.shape == sigma0.shape
    assert encoded[1, 2].tolist() == [38804, 27197]
    assert np.count_nonzero(encoded) == 2


def test_long_arrays_are_encoded_as_their_pieces():
    sigma0 = np.random.default_rng(0).exponential(0.1, (300, 500)).astype(np.float32)
    whole = encode_channel(sigma0)
    rows = np.stack([encode_channel(row) for row in sigma0])
    np.testing.assert_array_equal(whole, rows)
    np.testing.assert_array_equal(encode_channel(sigma0[:, ::2]), whole[:, ::2])


def test_encoding_agrees_with_double_precision():
    sigma0 = np.exp(np.random.default_rng(0).uniform(-9.999, 2.999, 100_000)).astype(np.float32)
    exact = 1 + 65534 / 13 * (np.log(sigma0.astype(np.float64) + 1e-6) + 10)
    np.testing.assert_allclose(encode_channel(sigma0), exact, atol=0.51)


def test_other_band_counts_are_refused():
    with pytest.raises(ShapeError, match=r"\(4, 4, 3\).*expected \(H, W, 2\)"):
        encode_sigma0(np.zeros((4, 4, 3), np.float32))


@given(st.floats(2**-14, 20.0, width=32))
def test_decoding_returns_within_one_step(sigma0):
    value = np.array([sigma0], np.float32)
    decoded = decode_sigma0(encode_channel(value))
    # The 1e-6 of the encoding stays in the decoded value.
    step = 13 / 65534
    assert abs(math.log(decoded[0]) - math.log(sigma0 + 1e-6)) <= step


@given(st.integers(112, 65535))
def test_encoding_returns_each_decoded_integer_within_one(value):
    decoded = decode_sigma0(np.array([value], np.uint16))
    again = encode_channel(decoded - np.float32(1e-6))
    assert abs(int(again[0]) - value) <= 1


def test_no_data_stays_no_data():
    np.testing.assert_array_equal(decode_sigma0(np.zeros((2, 2), np.uint16)), 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_data_is_what_is_encoded_as_no_data(dtype):
    tiny, huge = np.finfo(dtype).tiny, np.finfo(dtype).max
    values = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, tiny, -tiny, tiny / 4, 1.0, huge, -huge]
    sigma0 = np.array(values, dtype)
    expected = [True] * 6 + [False] * 6
    assert is_nodata(sigma0).tolist() == expected


@given(arrays(np.float32, (5, 7), elements=st.floats(width=32)))
def test_no_data_agrees_with_the_encoding(sigma0):
    np.testing.assert_array_equal(is_nodata(sigma0), encode_channel(sigma0) == 0)


def test_the_table_of_reflectance_keeps_no_data_apart():
    table = dn_table(1.0, -1000.0, 0)
    assert table[[0, 1, 1000, 1001, 11000, 65535]].tolist() == [-10000, -999, 0, 1, 10000, 32767]
    assert dn_table(0.5, 0.0, 0)[[3, 20000]].tolist() == [2, 10000]
    assert dn_table(1.0, -60000.0, 0)[1] == -9999
    assert np.count_nonzero(table == -10000) == 1
