"""Pictures of the demo."""

from pathlib import Path

import numpy as np
from PIL import Image

from decloud_lib.demo.pictures import (
    Panel,
    central_window,
    draw_curves,
    draw_panels,
)
from decloud_lib.types import Grid, Window


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
