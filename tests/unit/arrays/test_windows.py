"""Windows cover an extent once; margins are mirrored at the edge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.windows import (
    mirrored,
    pad,
    partition,
    partition_evenly,
    read_mirrored,
    rounded_up,
    trim,
)
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array, Window

sides = st.integers(1, 70)


def cut(image: Array, window: Window) -> Array:
    assert window.row >= 0
    assert window.col >= 0
    pixels = image[window.row : window.row + window.height, window.col : window.col + window.width]
    assert pixels.shape[:2] == window.shape
    return pixels


@given(height=sides, width=sides, window_px=st.integers(1, 80))
def test_windows_cover_each_pixel_once(height: int, width: int, window_px: int) -> None:
    counts = np.zeros((height, width), dtype=int)
    windows = partition((height, width), window_px)
    for window in windows:
        cut(counts, window)[:] += 1
    assert (counts == 1).all()
    assert windows == sorted(windows, key=lambda window: (window.row, window.col))


@given(height=sides, width=sides, per=st.integers(1, 9), multiple=st.sampled_from([1, 2, 4, 32]))
def test_even_windows_differ_by_one_multiple_at_most(
    height: int, width: int, per: int, multiple: int
) -> None:
    counts = np.zeros((height, width), dtype=int)
    windows = partition_evenly((height, width), per * multiple, multiple)
    assert len(windows) == len(partition((height, width), per * multiple)), "not one more"
    for window in windows:
        cut(counts, window)[:] += 1
        assert window.row % multiple == window.col % multiple == 0
    assert (counts == 1).all()
    whole = [rounded_up(window, multiple) for window in windows]
    for found in ({window.height for window in whole}, {window.width for window in whole}):
        assert max(found) <= per * multiple
        assert max(found) - min(found) <= multiple


def test_even_windows_of_no_multiple_are_refused() -> None:
    with pytest.raises(ShapeError, match="windows of 10 px, in steps of 4 px"):
        partition_evenly((20, 20), 10, 4)


@given(height=sides, width=sides, margin=st.integers(0, 90))
def test_trim_undoes_pad(height: int, width: int, margin: int) -> None:
    image = np.arange(height * width * 2).reshape(height, width, 2)
    padded = pad(image, margin)
    assert padded.shape == (height + 2 * margin, width + 2 * margin, 2)
    assert (trim(padded, margin) == image).all()


@given(height=sides, width=sides, margin=st.integers(0, 150))
def test_mirror_is_numpys_symmetric_one(height: int, width: int, margin: int) -> None:
    image = np.arange(height * width).reshape(height, width, 1)
    expected = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    assert (pad(image, margin) == expected).all()


@given(row=st.integers(-40, 40), col=st.integers(-40, 40), height=sides, width=sides, size=sides)
def test_a_window_anywhere_is_a_cut_of_the_endless_mirrored_image(
    row: int, col: int, height: int, width: int, size: int
) -> None:
    image = np.arange(size * size).reshape(size, size, 1)
    endless = np.pad(image, ((40, 110), (40, 110), (0, 0)), mode="symmetric")
    window = Window(row, col, height, width)
    found = read_mirrored(lambda inside: cut(image, inside), (size, size), window)
    assert (found == endless[40 + row :, 40 + col :][:height, :width]).all()


@given(size=st.integers(1, 40), start=st.integers(-30, 30), length=st.integers(1, 40))
def test_coarse_and_fine_mirrors_show_the_same_ground(size: int, start: int, length: int) -> None:
    fine = mirrored(Window(2 * start, 0, 2 * length, 1), (2 * size, 1))
    coarse = mirrored(Window(start, 0, length, 1), (size, 1))
    rows = (fine.rows + fine.inside.row)[::2] // 2
    assert (rows == coarse.rows + coarse.inside.row).all()


def test_edge_windows_are_computed_at_a_multiple_of_the_stride() -> None:
    windows = partition((70, 130), 64)
    assert [rounded_up(window, 4).shape for window in windows] == [
        (64, 64),
        (64, 64),
        (64, 4),
        (8, 64),
        (8, 64),
        (8, 4),
    ]


def test_trim_keeps_the_wanted_part_of_a_larger_result() -> None:
    pixels = np.arange(100).reshape(10, 10)
    assert trim(pixels, 2, (3, 5)).tolist() == pixels[2:5, 2:7].tolist()


@pytest.mark.parametrize(("margin", "shape"), [(6, None), (2, (9, 3)), (2, (3, 9))])
def test_trim_refuses_to_keep_more_than_there_is(
    margin: int, shape: tuple[int, int] | None
) -> None:
    with pytest.raises(ShapeError, match="out of 10 x 10"):
        trim(np.zeros((10, 10)), margin, shape)


@pytest.mark.parametrize(("shape", "window_px"), [((0, 5), 4), ((5, 0), 4), ((5, 5), 0)])
def test_an_empty_partition_is_refused(shape: tuple[int, int], window_px: int) -> None:
    with pytest.raises(ShapeError):
        partition(shape, window_px)


def test_the_wrong_pixels_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected"):
        mirrored(Window(-1, 0, 3, 3), (4, 4)).apply(np.zeros((4, 4, 1)))


def test_an_empty_image_cannot_be_mirrored() -> None:
    with pytest.raises(ShapeError, match="cannot mirror"):
        mirrored(Window(0, 0, 3, 3), (0, 4))
