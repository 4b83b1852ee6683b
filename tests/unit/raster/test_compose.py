"""Compositions with rasterio: mosaics, parts of a grid, what cannot be placed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import GridMismatchError
from decloud_lib.raster.compose import Mosaic, Raster, open_composition
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Array, Grid, Window

GRID = Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, 20, 24)
WHOLE = Window(0, 0, 20, 24)


def add(folder: Path, name: str, pixels: Array, grid: Grid = GRID, **more: object) -> Raster:
    uri = f"{folder}/{name}.tif"
    bands = ("VV", "VH")[: pixels.shape[2]]
    write_raster(uri, grid, RasterProfile(bands, str(pixels.dtype), block_px=16), pixels)
    return Raster(uri, grid=GRID, **more)  # type: ignore[arg-type]


def noise(seed: int, shape: tuple[int, int] = (20, 24)) -> Array:
    return np.random.default_rng(seed).integers(1, 65536, (*shape, 2)).astype(np.uint16)


def read(composition: Raster | Mosaic) -> Array:
    with open_composition(composition) as reader:
        assert reader.grid == GRID
        return reader.read(WHOLE)


def test_a_pixel_is_transparent_where_all_bands_are_zero(tmp_path: Path) -> None:
    top, below = noise(1), noise(2)
    top[:5] = 0
    top[5:9, :, 0] = 0  # one polarisation is data
    found = read(Mosaic((add(tmp_path, "top", top), add(tmp_path, "below", below))))
    np.testing.assert_array_equal(found[:5], below[:5])
    np.testing.assert_array_equal(found[5:], top[5:])
    assert found.dtype == np.uint16


@pytest.mark.parametrize(("row", "col"), [(0, 0), (4, 6), (-3, -5), (12, 17)])
def test_a_part_stands_where_it_lies_and_nothing_elsewhere(
    tmp_path: Path, row: int, col: int
) -> None:
    pixels = noise(3, (10, 12))
    part = add(tmp_path, "part", pixels, GRID.cropped(Window(row, col, 10, 12)), fill=0)
    expected = np.zeros((40, 44, 2), np.uint16)
    expected[row + 10 : row + 20, col + 10 : col + 22] = pixels
    np.testing.assert_array_equal(read(part), expected[10:30, 10:34])


def test_coarse_pixels_are_repeated_on_a_finer_grid(tmp_path: Path) -> None:
    coarse = noise(4, (10, 12))
    found = read(add(tmp_path, "coarse", coarse, GRID.coarsened(2), fill=0))
    np.testing.assert_array_equal(found, coarse.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    "change",
    [{"left": 300004.0}, {"crs": "EPSG:32632"}, {"left": 900000.0}, {"pixel_m": 15.0}],
    ids=["half a pixel", "projection", "elsewhere", "pixel size"],
)
def test_what_does_not_fall_on_the_grid_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    other = add(tmp_path, "other", noise(5), replace(GRID, **change), fill=0)  # type: ignore[arg-type]
    with pytest.raises(GridMismatchError, match="lies on another grid than the image to rebuild"):
        read(other)


def test_what_has_no_value_for_the_rest_must_cover_the_grid(tmp_path: Path) -> None:
    part = add(tmp_path, "part", noise(6, (19, 24)), replace(GRID, height=19))
    with pytest.raises(GridMismatchError, match="height 19 against 20"):
        read(part)
