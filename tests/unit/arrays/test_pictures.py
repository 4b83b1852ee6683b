"""Stored values as pictures."""

import numpy as np
import pytest

from decloud_lib.arrays.encode import encode_sigma0
from decloud_lib.arrays.pictures import (
    CLOUD_RED,
    enlarged,
    grey,
    outlined,
    radar_colour,
    relief,
    true_colour,
    value_range,
    with_alpha,
)


def test_true_colour_spans_black_to_white_and_greys_no_data() -> None:
    dn = np.array([[[0, 0, 0], [2200, 2200, 2200], [9000, 1100, 0], [-10000] * 3]], np.int16)
    picture = true_colour(dn, white=0.22)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 1].tolist() == [255, 255, 255]
    assert picture[0, 2, 0] == 255
    assert 128 < picture[0, 2, 1] < 255
    assert picture[0, 3].tolist() == [96, 96, 96]


def test_radar_colour_rises_with_backscatter_and_greys_no_data() -> None:
    sigma0 = np.array([[[0.001, 0.0001], [0.1, 0.02], [0.0, 0.0]]], np.float32)
    picture = radar_colour(encode_sigma0(sigma0))
    assert picture[0, 0, 0] < picture[0, 1, 0]
    assert picture[0, 0, 1] < picture[0, 1, 1]
    assert picture[0, 2].tolist() == [96, 96, 96]


def test_the_darkest_shown_reflectance_can_be_chosen() -> None:
    dn = np.array([[[500, 500, 500], [400, 400, 400], [1500, 1500, 1500]]], np.int16)
    picture = true_colour(dn, black=0.05, white=0.15)
    assert picture[0, :2].tolist() == [[0] * 3, [0] * 3]
    assert picture[0, 2].min() >= 254


def test_grey_spans_its_range_and_survives_nan_and_a_single_value() -> None:
    picture = grey(np.array([[1.0, 2.0, 3.0, 9.0, np.nan]]), 1.0, 3.0)
    assert picture[0, :, 0].tolist() == [0, 127, 255, 255, 0]
    assert (picture[..., 0] == picture[..., 2]).all()
    assert grey(np.array([[4.0, 5.0]]), 4.0, 4.0)[0, :, 0].tolist() == [0, 255]


def test_percentiles_are_those_of_the_valid_pixels() -> None:
    values = np.arange(101.0).reshape(1, 101)
    valid = values <= 50
    assert value_range(values, valid, (2.0, 98.0)) == (1.0, 49.0)
    assert value_range(values, valid & False, (2.0, 98.0)) == (0.0, 1.0)


def test_light_falls_from_the_north_west() -> None:
    rows, cols = np.indices((9, 9), dtype=np.float64)
    towards, away = rows + cols, -(rows + cols)
    bright, _ = relief(towards, 0.0, 0.0, 10.0)
    dark, _ = relief(away, -100.0, -100.0, 10.0)
    flat, times = relief(np.zeros((9, 9)), 0.0, 1.0, 10.0)
    assert bright[4, 4].sum() > dark[4, 4].sum()
    assert times == 50.0
    # Level ground has the colour of its height.
    assert flat[4, 4].tolist() == [112, 146, 100]


def test_steep_ground_is_not_exaggerated() -> None:
    rows, _ = np.indices((9, 9), dtype=np.float64)
    assert relief(rows * 10.0, 0.0, 80.0, 10.0)[1] == 1.0
    assert relief(rows * 1.0, 0.0, 8.0, 10.0)[1] == pytest.approx(6.0)


def test_a_relief_of_one_pixel_and_of_voids_is_drawn() -> None:
    picture, _ = relief(np.array([[np.nan]]), 3.0, 3.0, 10.0)
    assert picture.shape == (1, 1, 3)


def test_a_mask_gets_a_red_edge_and_lets_the_picture_through() -> None:
    picture = np.full((7, 7, 3), 100, np.uint8)
    mask = np.zeros((7, 7), bool)
    mask[1:6, 1:6] = True
    marked = outlined(picture, mask)
    assert tuple(marked[1, 1]) == CLOUD_RED
    assert tuple(marked[5, 3]) == CLOUD_RED
    assert tuple(marked[0, 0]) == (100, 100, 100)
    assert marked[3, 3, 0] > 100 > marked[3, 3, 2]
    assert (picture == 100).all()


def test_what_is_not_visible_is_transparent_and_black() -> None:
    picture = np.full((1, 2, 3), 9, np.uint8)
    assert with_alpha(picture, np.array([[True, False]])).tolist() == [[[9, 9, 9, 255], [0] * 4]]


@pytest.mark.parametrize(("side", "size"), [(512, (512, 256)), (300, (256, 128)), (16, (64, 32))])
def test_small_pictures_are_enlarged_by_whole_numbers_only(
    side: int, size: tuple[int, int]
) -> None:
    picture = np.arange(64 * 32 * 3, dtype=np.uint8).reshape(64, 32, 3)
    large = enlarged(picture, side)
    assert large.shape == (*size, 3)
    assert np.array_equal(large[:: size[0] // 64, :: size[1] // 32], picture)
