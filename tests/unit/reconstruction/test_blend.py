"""Windows that overlap fade into each other; every pixel is handed on once, from top to bottom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.arrays.windows import partition
from decloud_lib.reconstruction.blend import Blended, Own
from decloud_lib.types import Array, Window


class Canvas:
    def __init__(self, shape: tuple[int, int]) -> None:
        self.pixels = np.zeros((*shape, 2), np.int16)
        self.times = np.zeros(shape, int)

    def write(self, window: Window, pixels: Array) -> None:
        assert pixels.shape[:2] == window.shape
        assert min(window.row, window.col) >= 0
        rows = slice(window.row, window.row + window.height)
        cols = slice(window.col, window.col + window.width)
        self.pixels[rows, cols] = pixels
        self.times[rows, cols] += 1


def blended(image: Array, window_px: int, overlap: int, *, offsets: bool = False) -> Canvas:
    """Pass the windows of an image, optionally each with an offset of its own."""
    shape = image.shape[:2]
    canvas = Canvas(shape)
    padded = np.pad(image, ((overlap, overlap), (overlap, overlap), (0, 0)), "symmetric")
    with Blended(canvas, shape, overlap, -10000) as mixed:
        for number, window in enumerate(partition(shape, window_px)):
            area = window.expanded(overlap)
            rows = slice(window.row, window.row + area.height)
            cols = slice(window.col, window.col + area.width)
            pixels = padded[rows, cols].copy()
            if offsets:
                pixels[pixels != -10000] += np.int16(100 * (number % 2))
            mixed.write(area, pixels)
    return canvas


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 60)),
    window=st.integers(9, 80),
    overlap=st.integers(1, 4),
)
def test_windows_that_agree_give_the_image_itself(
    shape: tuple[int, int], window: int, overlap: int
) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 9000, (*shape, 2)).astype(np.int16)
    image[rng.random(shape) < 0.2] = -10000
    overlap = min(overlap, *shape)
    canvas = blended(image, window, overlap)
    assert (canvas.times == 1).all()
    assert (canvas.pixels == image).all()


def test_windows_that_differ_leave_no_step() -> None:
    flat = np.full((64, 128, 2), 1000, np.int16)
    found = blended(flat, 32, 8, offsets=True).pixels[..., 0].astype(int)
    assert {found[:, 4].max(), found[:, 44].max()} == {1000, 1100}
    assert np.abs(np.diff(found, axis=1)).max() <= 100 / 16 + 1
    assert np.abs(np.diff(found, axis=0)).max() <= 100 / 16 + 1


def write_and_fail(canvas: Canvas) -> None:
    with Blended(canvas, (40, 40), 2, -10000) as mixed:
        mixed.write(Window(-2, -2, 44, 44), np.ones((44, 44, 2), np.int16))
        raise OSError("broken")


def test_nothing_is_handed_on_after_an_error() -> None:
    canvas = Canvas((40, 40))
    with pytest.raises(OSError, match="broken"):
        write_and_fail(canvas)
    assert (canvas.times == 0).all()


def test_what_cannot_be_mixed_is_cut() -> None:
    canvas = Canvas((4, 4))
    pixels = np.arange(128, dtype=np.int16).reshape(8, 8, 2)
    Own(canvas, 2).write(Window(-2, -2, 8, 8), pixels)
    assert (canvas.pixels == pixels[2:6, 2:6]).all()
