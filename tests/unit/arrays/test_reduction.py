"""Large images made small, strip by strip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.reduction import Reducer, fitted, reduced_shape
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array


def as_numbers(pixels: Array) -> Array:
    return pixels.astype(np.float64)


def reduce_by_strips(image: Array, side_px: int, rows: int) -> Array:
    reducer = Reducer(image.shape[:2], side_px, as_numbers)
    for start in range(0, image.shape[0], rows):
        reducer.add(start, image[start : start + rows])
    return reducer.mean()


def test_each_pixel_is_the_mean_of_its_ground() -> None:
    image = np.arange(16.0).reshape(4, 4, 1)
    assert reduce_by_strips(image, 2, 4)[..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(1, 2),
)
def test_strips_of_any_height_give_the_same(
    height: int, width: int, side_px: int, rows: int, bands: int
) -> None:
    image = np.random.default_rng(0).integers(0, 100, (height, width, bands))
    whole = reduce_by_strips(image, side_px, height)
    assert whole.shape == (*reduced_shape((height, width), side_px), bands)
    np.testing.assert_allclose(reduce_by_strips(image, side_px, rows), whole)
    assert not np.isnan(whole).any()
    assert image.min() <= whole.min()
    assert whole.max() <= image.max()


def test_an_image_that_is_small_enough_stays_as_it_is() -> None:
    image = np.arange(30.0).reshape(5, 6, 1)
    assert np.array_equal(reduce_by_strips(image, 6, 2), image)


def test_pixels_without_data_do_not_count() -> None:
    image = np.array([[[1.0], [np.nan]], [[3.0], [np.nan]]])
    wide = np.concatenate([image, np.full((2, 2, 1), np.nan)], axis=1)
    means = reduce_by_strips(wide, 2, 1)
    assert means[0, 0, 0] == 2.0
    assert np.isnan(means[0, 1, 0])


def test_few_samples_of_a_large_image_are_enough_for_its_mean() -> None:
    image = np.random.default_rng(0).normal(10.0, 1.0, (640, 640, 1))
    means = reduce_by_strips(image, 16, 100)
    assert means.shape == (16, 16, 1)
    # 16 samples at least: a standard deviation of a quarter at most.
    assert means.std() < 0.27


def test_another_width_is_refused() -> None:
    with pytest.raises(ShapeError, match="width 8 px"):
        Reducer((8, 8), 4, as_numbers).add(0, np.zeros((2, 7, 1)))
    with pytest.raises(ShapeError, match="no strip"):
        Reducer((8, 8), 4, as_numbers).mean()


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((10980, 10980), 512, (512, 512)),
        ((100, 50), 50, (50, 25)),
        ((64, 32), 512, (64, 32)),
        ((5000, 3), 100, (100, 1)),
    ],
)
def test_the_longer_side_gets_the_wanted_size(
    shape: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    assert reduced_shape(shape, side) == expected


def test_an_image_is_brought_to_another_size_by_the_nearest_pixel() -> None:
    image = np.array([[1, 2], [3, 4]])
    assert fitted(image, (4, 4))[0].tolist() == [1, 1, 2, 2]
    assert fitted(fitted(image, (4, 4)), (2, 2)).tolist() == image.tolist()
