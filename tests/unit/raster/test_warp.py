"""Bringing a mosaic on another grid."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from decloud_lib.errors import ProductError
from decloud_lib.raster.mosaic import mosaic
from decloud_lib.raster.piece import read_piece
from decloud_lib.raster.warp import open_warped
from decloud_lib.types import Grid, Window
from tests.stages.delivered import LEFT, TOP, write_tif

GRID = Grid("EPSG:32631", LEFT, TOP, 20.0, 40, 30)
RAMP = np.add.outer(np.arange(40), np.arange(30)).astype(np.int16)


def _document(tmp_path, pixels, left=LEFT):
    path = write_tif(tmp_path / "dem.tif", pixels, 20.0, left=left)
    return mosaic([read_piece(str(path))], "bilinear")


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average", "nearest"])
def test_a_raster_on_the_grid_keeps_its_values(tmp_path, resampling):
    with open_warped(_document(tmp_path, RAMP), "dem.tif", GRID, resampling) as reader:
        assert reader.grid == GRID
        found = reader.read(Window(10, 5, 20, 25))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, RAMP[10:30, 5:])


def test_a_finer_grid_is_interpolated_and_the_outside_is_empty(tmp_path):
    fine = replace(GRID, pixel_m=10.0, height=100, width=60)
    with open_warped(_document(tmp_path, RAMP * 10), "dem.tif", fine, "bilinear") as reader:
        found = reader.read(Window(0, 0, 100, 60))
    assert found[20, 20] == pytest.approx(10 * (9.75 + 9.75))
    assert np.isnan(found[80:]).all()
    assert not np.isnan(found[:80]).any()


def test_methods_differ_where_they_should(tmp_path):
    step = np.where(np.arange(30) < 15, 0, 100).astype(np.int16) * np.ones((40, 1), np.int16)
    half = replace(GRID, left=LEFT + 10, width=29)
    row = {}
    for resampling in ("bilinear", "cubic", "nearest"):
        with open_warped(_document(tmp_path, step), "dem", half, resampling) as reader:
            row[resampling] = reader.read(Window(20, 0, 1, 29))[0]
    assert row["bilinear"][14] == row["cubic"][14] == 50
    assert set(row["nearest"]) == {0.0, 100.0}
    # The cubic kernel (Keys, -1/2) overshoots beside a step: by 1/16 of it here.
    assert row["cubic"][13] == pytest.approx(-100 / 16)
    assert row["bilinear"][13] == 0


def test_windows_and_threads_give_what_the_whole_gives(tmp_path):
    rough = np.random.default_rng(1).normal(0, 100, (400, 400)).astype(np.float32)
    document = _document(tmp_path, rough, left=LEFT - 4000)
    grid = Grid("EPSG:2154", 699000.0, 6349000.0, 20.0, 300, 250)
    with open_warped(document, "dem", grid, "cubic") as reader, ThreadPoolExecutor(4) as pool:
        whole = reader.read(Window(0, 0, 300, 250))
        windows = [Window(row, 0, min(70, 300 - row), 250) for row in range(0, 300, 70)]
        found = np.concatenate(list(pool.map(reader.read, windows)))
    assert np.isfinite(whole).mean() > 0.3
    np.testing.assert_array_equal(found, whole)


def test_a_grid_that_gdal_does_not_know_is_an_error(tmp_path):
    document = _document(tmp_path, RAMP)
    with (
        pytest.raises(ProductError, match=r"dem\.tif: cannot be brought on another grid"),
        open_warped(document, "dem.tif", replace(GRID, crs="EPSG:1"), "bilinear"),
    ):
        pass
