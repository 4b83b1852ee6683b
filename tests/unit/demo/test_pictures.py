"""Pictures of the demo."""

from pathlib import Path

import numpy as np
from PIL import Image

from decloud_lib.arrays.encode import encode_sigma0
from decloud_lib.demo.pictures import (
    Panel,
    central_window,
    draw_curves,
    draw_panels,
    radar_colour,
    true_colour,
)
from decloud_lib.types import Grid, Window


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


def test_the_central_window_lies_inside_and_in_the_middle() -> None:
    grid = Grid("EPSG:32631", 0.0, 0.0, 10.0, 100, 64)
    assert central_window(grid, 50) == Window(25, 7, 50, 50)
    assert central_window(grid, 512) == Window(0, 0, 100, 64)


def test_panels_and_curves_become_png(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    path = tmp_path / "new" / "panels.png"
    draw_panels([Panel("a", picture), Panel("b", picture)], path, columns=2)
    with Image.open(path) as image:
        assert image.width > image.height
    assert draw_curves({"x": [(1.0, 0.5), (2.0, 0.4)]}, "loss").startswith(b"\x89PNG")
