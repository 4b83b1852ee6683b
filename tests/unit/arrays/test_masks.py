"""Masks: counts per patch, what is derived from them, and box morphology."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from decloud_lib.arrays.masks import (
    all_nodata,
    close_mask,
    cloud_percent,
    count_per_patch,
    erode_mask,
    grow,
    is_valid,
)
from decloud_lib.errors import ShapeError

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def test_a_mask_of_two_by_three_patches_is_counted():
    mask = np.zeros((128, 192), np.uint8)
    mask[:64, 64:128] = 7
    mask[127, 191] = 1
    counts = count_per_patch(mask)
    assert counts.dtype == np.uint16
    assert counts.tolist() == [[0, 4096, 0], [0, 0, 1]]


@pytest.mark.parametrize(("shape", "expected"), [((191, 64), (2, 1)), ((10980, 65), (171, 1))])
def test_what_lies_beyond_the_last_whole_patch_is_not_counted(shape, expected):
    mask = np.ones(shape, bool)
    counts = count_per_patch(mask)
    assert counts.shape == expected
    assert (counts == 4096).all()


@pytest.mark.parametrize(("patch_px", "positions"), [(64, 171), (128, 85), (256, 42), (512, 21)])
def test_a_full_tile_has_the_known_numbers_of_positions(patch_px, positions):
    counts = np.zeros((10980 // 64, 10980 // 64), np.uint16)
    assert is_valid(counts, patch_px // 64).shape == (positions, positions)
    assert cloud_percent(counts, patch_px // 64).shape == (positions, positions)


def test_cloud_of_a_working_patch_is_the_mean_of_its_four_cells():
    counts = np.array([[4096, 0, 9], [1024, 1024, 9], [9, 9, 9]], np.uint16)
    percent = cloud_percent(counts, 2)
    assert percent.shape == (1, 1)
    assert percent[0, 0] == pytest.approx((100 + 0 + 25 + 25) / 4)


def test_one_edge_pixel_invalidates_a_working_patch():
    counts = np.zeros((2, 4), np.uint16)
    counts[1, 3] = 1
    assert is_valid(counts, 2).tolist() == [[True, False]]
    assert is_valid(counts, 1).sum() == 7


def test_counts_need_two_axes():
    with pytest.raises(ShapeError, match=r"expected \(H, W\)"):
        count_per_patch(np.zeros((64, 64, 1), bool))
    with pytest.raises(ShapeError, match="factor 0"):
        cloud_percent(np.zeros((2, 2), np.uint16), 0)


def test_no_data_means_all_bands():
    pixels = np.zeros((2, 2, 2), np.float32)
    pixels[0, 0, 0] = pixels[1, 1] = -10000
    assert all_nodata(pixels, -10000).tolist() == [[False, False], [False, True]]
    pixels[0, 1] = np.nan
    assert all_nodata(pixels, float("nan")).tolist() == [[False, True], [False, False]]


@given(MASKS, st.integers(0, 6))
def test_growing_is_a_dilation_by_a_box(mask, radius_px):
    box = np.ones((2 * radius_px + 1,) * 2, bool)
    np.testing.assert_array_equal(grow(mask, radius_px), ndimage.binary_dilation(mask, box))
    eroded = ndimage.binary_erosion(mask, box, border_value=1)
    np.testing.assert_array_equal(erode_mask(mask, radius_px), eroded)


@given(MASKS, st.integers(0, 6))
def test_closing_only_adds_and_keeps_what_it_made(mask, radius_px):
    closed = close_mask(mask, radius_px)
    assert (closed >= mask).all()
    np.testing.assert_array_equal(close_mask(closed, radius_px), closed)


def test_closing_fills_specks_and_leaves_holes():
    mask = np.ones((40, 40), bool)
    mask[5:9, 5:9] = False
    mask[20:32, 20:32] = False
    closed = close_mask(mask, 5)
    assert closed[5:9, 5:9].all()
    assert not closed[20:32, 20:32].any()
