"""Tables as text and CSV, and values as JSON."""

import json

import numpy as np
import pytest

from decloud_lib.analysis.parts import Table, map_raster, shown_cell
from decloud_lib.analysis.writing import plain
from decloud_lib.types import Grid

TABLE = Table(
    "fruit",
    "Fruit",
    ("name", "pieces", "weight"),
    (("apples, red", 12000, 1.23456), ("pears", 7, None), ("plums", 0, float("nan"))),
    "In the cellar.",
    marked=(1,),
)


def test_a_table_is_aligned_text_with_marked_rows():
    assert TABLE.text().splitlines() == [
        "Fruit",
        "  name         pieces  weight",
        "  apples, red  12,000   1.235",
        "* pears             7",
        "  plums             0",
        "In the cellar.",
    ]


def test_a_table_as_csv_keeps_all_digits():
    assert TABLE.csv().splitlines() == [
        "name,pieces,weight",
        '"apples, red",12000,1.23456',
        "pears,7,",
        "plums,0,nan",
    ]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [(None, ""), (1234567, "1,234,567"), (0.123456, "0.1235"), (41159.4, "41,159"), ("a", "a")],
)
def test_cells_are_short(cell, shown):
    assert shown_cell(cell) == shown


def test_what_json_does_not_have_becomes_null():
    found = plain({"a": [1.5, float("nan")], "b": {"c": float("inf")}, "d": ("x", None, True)})

    assert json.dumps(found, allow_nan=False)
    assert found == {"a": [1.5, None], "b": {"c": None}, "d": ["x", None, True]}


def test_a_map_has_no_data_where_its_type_can_hold_it():
    grid = Grid("EPSG:32631", 0.0, 0.0, 640.0, 2, 3)
    values = np.arange(6).reshape(2, 3)
    floating = map_raster("a", grid, {"x": values, "y": values / 2}, "float32")
    whole = map_raster("a", grid, {"x": values}, "uint16")

    assert floating.pixels.shape == (2, 3, 2)
    assert floating.pixels.dtype == np.float32
    assert np.isnan(floating.profile.nodata)
    assert floating.profile.bands == ("x", "y")
    assert whole.profile.nodata is None
