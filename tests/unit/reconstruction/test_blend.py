"""Windows that overlap fade into each other; every pixel is handed on once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.arrays.windows import partition
from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.reconstruction.blend import Blended, Own, WholeBlocks
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
    mixed = Blended(canvas, shape, overlap, -10000)
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
    window=st.integers(1, 80),
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


def test_the_mean_is_that_of_all_windows_that_touch_a_pixel() -> None:
    rng = np.random.default_rng(2)
    shape, overlap = (70, 90), 4
    sums, weights = np.zeros((*shape, 2)), np.zeros((*shape, 1))
    canvas = Canvas(shape)
    mixed = Blended(canvas, shape, overlap, -10000)
    for window in partition(shape, 24):
        area = window.expanded(overlap)
        pixels = rng.integers(0, 9000, (*area.shape, 2)).astype(np.int16)
        pixels[rng.random(area.shape) < 0.3] = -10000
        mixed.write(area, pixels)
        rise = (np.arange(2 * overlap) + 0.5) / (2 * overlap)
        for row, col in np.ndindex(*area.shape):
            place = area.row + row, area.col + col
            if min(place) < 0 or place[0] >= shape[0] or place[1] >= shape[1]:
                continue
            weight = 1.0 if (pixels[row, col] != -10000).all() else 0.0
            for at, size, start, whole in zip(
                (row, col), area.shape, (window.row, window.col), shape, strict=True
            ):
                if start > 0 and at < 2 * overlap:
                    weight *= rise[at]
                if start + 24 < whole and at >= size - 2 * overlap:
                    weight *= rise[size - 1 - at]
            sums[place] += weight * pixels[row, col]
            weights[place] += weight
    mean = np.where(weights > 0, np.rint(sums / np.maximum(weights, 1e-9)), -10000)
    assert np.abs(canvas.pixels - mean).max() <= 1, "one unit where the mean lies between two"


def test_what_no_other_window_touches_is_handed_on_at_once() -> None:
    canvas = Canvas((64, 96))
    mixed = Blended(canvas, (64, 96), 2, -10000)
    mixed.write(Window(-2, -2, 36, 36), np.ones((36, 36, 2), np.int16))
    assert canvas.times.sum() == canvas.times[:30, :30].sum() == 30 * 30
    mixed.write(Window(-2, 30, 36, 36), np.ones((36, 36, 2), np.int16))
    assert canvas.times.sum() == canvas.times[:30, :62].sum() == 30 * 62


class Blocks(Canvas):
    def write(self, window: Window, pixels: Array) -> None:
        assert window.row % BLOCK_PX == 0 == window.col % BLOCK_PX
        assert window == Window(window.row, window.col, BLOCK_PX, BLOCK_PX).inside(self.times.shape)
        super().write(window, pixels)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    window=st.integers(100, 700),
)
def test_blocks_are_handed_on_whole_and_once(shape: tuple[int, int], window: int) -> None:
    image = np.random.default_rng(1).integers(0, 9000, (*shape, 2)).astype(np.int16)
    canvas = Blocks(shape)
    blocks = WholeBlocks(canvas, shape)
    for area in partition(shape, window):
        rows = slice(area.row, area.row + area.height)
        blocks.write(area, image[rows, area.col : area.col + area.width])
    assert (canvas.times == 1).all()
    assert (canvas.pixels == image).all()


def test_what_cannot_be_mixed_is_cut() -> None:
    canvas = Canvas((4, 4))
    pixels = np.arange(128, dtype=np.int16).reshape(8, 8, 2)
    Own(canvas, 2).write(Window(-2, -2, 8, 8), pixels)
    assert (canvas.pixels == pixels[2:6, 2:6]).all()
