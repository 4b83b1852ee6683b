"""Pictures: they are made without global state, whatever the numbers."""

import io

import numpy as np
import pytest
from PIL import Image

from decloud_lib.analysis.charts import CellGrid, draw_bins, draw_cells, draw_counts, draw_timeline
from decloud_lib.analysis.maps import MapPanel, draw_footprints, draw_maps
from decloud_lib.types import Grid


def size(png):
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return picture.size


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (40, 2), (171, 171)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_maps_of_any_shape_fit_the_page(shape, count):
    grid = Grid("EPSG:32631", 499_980.0, 5_100_000.0, 640.0, *shape)
    values = np.full(shape, np.nan)
    values[0, 0] = 3
    width, height = size(draw_maps([MapPanel("a", values, "x")] * count, grid, "title"))

    assert 200 < width <= 1400
    assert 100 < height <= 1400


def test_maps_without_a_number_are_drawn():
    grid = Grid("EPSG:32631", 499_980.0, 5_100_000.0, 640.0, 2, 3)
    assert size(draw_maps([MapPanel("a", np.full((2, 3), np.nan), "x")], grid, "nothing"))


def test_the_pixels_of_a_map_have_the_colours_of_their_values():
    """The first row of an array is the north of the map."""
    grid = Grid("EPSG:32631", 0.0, 2000.0, 1000.0, 2, 1)
    png = draw_maps([MapPanel("a", np.array([[0.0], [1.0]]), "x", colours="gray")], grid, "t")
    with Image.open(io.BytesIO(png)) as picture:
        grey = np.asarray(picture.convert("L"))
    dark = np.argwhere(grey[:, : grey.shape[1] // 2] == 0)[:, 0]
    upper = np.bincount(dark, minlength=grey.shape[0])
    # The widest dark rows are those of the cell with 0, above the middle.
    assert np.mean(np.flatnonzero(upper > 0.8 * upper.max())) < grey.shape[0] / 2


def test_nothing_at_all_is_drawn_too():
    empty = np.zeros(0, np.int64)
    assert size(draw_counts(["a"], {"x": [float("nan")]}, "t"))
    assert size(draw_bins(["a"], {"x": np.zeros(1)}, ("x", "y"), "t"))
    assert size(
        draw_timeline({"S1": (empty, empty), "S2": (np.array([0]), np.array([2]))}, "n", "t")
    )
    none = np.zeros((1, 1), int)
    assert size(draw_cells(CellGrid(("r",), ("c",), none, none > 0, None, ("x", "y")), "t"))


def test_a_table_in_a_picture_can_be_turned():
    values = np.arange(6).reshape(2, 3)
    cells = CellGrid(("r", "s"), ("a", "b", "c"), values, values > 3, (1, 2), ("x", "y"))
    turned = cells.transposed()

    assert (turned.rows, turned.columns, turned.boxed) == (cells.columns, cells.rows, (2, 1))
    assert np.array_equal(turned.values, values.T)
    assert turned.transposed().axis == cells.axis
    assert size(draw_cells(turned, "t"))


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326"])
def test_a_single_footprint_is_drawn(crs):
    square = np.array([[[3.0, 46.0], [3.1, 46.0], [3.1, 45.9], [3.0, 45.9]]])
    assert size(draw_footprints(square, np.array([5]), crs, "t"))
