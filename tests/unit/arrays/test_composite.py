"""A mosaic takes the first date that can be used, clear dates before cloudy ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.composite import UNFILLED, FirstUsable, Layer, first_usable
from decloud_lib.errors import ShapeError


def image(value: int) -> np.ndarray:
    return np.full((1, 4, 2), value, dtype=np.int16)


def mask(*values: int) -> np.ndarray:
    return np.array([values], dtype=bool)


def test_the_first_image_with_data_wins() -> None:
    pixels, chosen = first_usable(
        [image(1), image(2)], [mask(1, 0, 1, 0), mask(1, 1, 0, 0)], nodata=-7
    )
    assert pixels[0, :, 0].tolist() == [1, 2, 1, -7]
    assert chosen[0].tolist() == [0, 1, 0, UNFILLED]
    assert pixels.dtype == np.int16


def test_a_clear_image_further_down_beats_a_cloudy_one_on_top() -> None:
    pixels, chosen = first_usable(
        [image(1), image(2)],
        [mask(1, 1, 1, 0), mask(1, 1, 0, 0)],
        nodata=-7,
        preferred=[mask(1, 0, 0, 1), mask(1, 1, 1, 1)],
    )
    assert pixels[0, :, 1].tolist() == [1, 2, 1, -7]
    assert chosen[0].tolist() == [0, 1, 0, UNFILLED]


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_each_pixel_follows_the_rule(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    usable = generator.random((count, 5, 6)) < 0.4
    clear = generator.random((count, 5, 6)) < 0.4
    stack = [np.full((5, 6, 1), number) for number in range(count)]
    _, chosen = first_usable(stack, list(usable), -1, list(clear))
    for row, col in np.ndindex(5, 6):
        best = [n for n in range(count) if usable[n, row, col] and clear[n, row, col]]
        any_data = [n for n in range(count) if usable[n, row, col]]
        assert chosen[row, col] == (best or any_data or [UNFILLED])[0]


def test_a_full_mosaic_says_so() -> None:
    mosaic = FirstUsable((1, 4), {"image": Layer(2, np.int16, -7)})
    mosaic.add(0, {"image": image(3)}, mask(1, 1, 0, 1))
    assert not mosaic.is_full
    mosaic.add(1, {"image": image(4)}, mask(1, 1, 1, 1))
    assert mosaic.is_full
    assert mosaic.pixels["image"][0, :, 0].tolist() == [3, 3, 4, 3]


def test_a_stack_without_its_masks_is_refused() -> None:
    with pytest.raises(ShapeError, match="one mask per image"):
        first_usable([image(1)], [], nodata=0)
