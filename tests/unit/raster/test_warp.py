"""Bringing a raster on another grid."""

from dataclasses import replace

import numpy as np
import pytest

from decloud_lib.errors import ProductError
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.warp import open_warped
from decloud_lib.types import Grid, Window
from tests.stages.delivered import LEFT, TOP, write_tif

GRID = Grid("EPSG:32631", LEFT, TOP, 20.0, 40, 30)
RAMP = np.add.outer(np.arange(40), np.arange(30)).astype(np.int16)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average", "nearest"])
def test_a_raster_on_the_grid_keeps_its_values(tmp_path, resampling):
    path = write_tif(tmp_path / "dem.tif", RAMP, 20.0)
    with open_warped(str(path), GRID, resampling) as reader:
        assert (reader.grid, reader.dtype) == (GRID, "float32")
        found = reader.read(Window(10, 5, 20, 25))[..., 0]
    np.testing.assert_array_equal(found, RAMP[10:30, 5:])


def test_a_finer_grid_is_interpolated_and_the_outside_is_empty(tmp_path):
    path = write_tif(tmp_path / "dem.tif", RAMP * 10, 20.0)
    fine = replace(GRID, pixel_m=10.0, height=100, width=60)
    with open_warped(str(path), fine, "bilinear") as reader:
        found = reader.read(Window(0, 0, 100, 60))[..., 0]
    assert found[20, 20] == pytest.approx(10 * (9.75 + 9.75))
    assert np.isnan(found[80:]).all()
    assert not np.isnan(found[:80]).any()


def test_voids_that_are_not_marked_do_not_spread(tmp_path):
    pixels = np.full((40, 30), 100, np.int16)
    pixels[20, 15] = -32768
    path = write_tif(tmp_path / "dem.tif", pixels, 20.0)
    with open_warped(str(path), replace(GRID, left=LEFT + 10), "bilinear") as reader:
        found = reader.read(Window(0, 0, 40, 29))
    assert found[~np.isnan(found)].min() == 100


def test_another_projection_is_brought_over(tmp_path):
    path = write_tif(tmp_path / "dem.tif", np.full((400, 400), 7, np.int16), 20.0, left=LEFT - 4000)
    with open_raster(str(path)) as reader:
        assert reader.grid.crs == "EPSG:32631"
    lambert = Grid("EPSG:2154", 700000.0, 6300000.0, 20.0, 8, 8)
    with open_warped(str(path), lambert, "bilinear") as reader:
        assert np.isnan(reader.read(Window(0, 0, 8, 8))).all()


def test_a_file_that_is_no_raster_is_named(tmp_path):
    (tmp_path / "dem.tif").write_text("no")
    message = r"dem\.tif: cannot be brought on another grid"
    warped = open_warped(str(tmp_path / "dem.tif"), GRID, "bilinear")
    with pytest.raises(ProductError, match=message), warped:
        pass
