"""Reading rasters by window: bands by name, georeferencing, and damaged files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine

from decloud_lib import storage
from decloud_lib.errors import GridMismatchError, MissingBandError, ProductError, ShapeError
from decloud_lib.raster.read import check_same_grid, open_raster, read_bands
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Grid, Window
from tests.stages.delivered import write_tif

GRID = Grid("EPSG:32631", 500040.0, 4900020.0, 10.0, 100, 80)
PIXELS = np.random.default_rng(0).integers(-100, 9000, (100, 80, 3)).astype(np.int16)
PROFILE = RasterProfile(("B2", "B8A", "B11"), "int16", -10000)


@pytest.fixture
def stack(bucket):
    uri = storage.join(bucket, "folder.v1", "stack.tif")
    write_raster(uri, GRID, PROFILE, PIXELS, {"PRODUCT": "p"})
    return uri


def test_a_stack_is_read_by_windows(stack):
    with open_raster(stack) as reader:
        assert reader.grid == GRID
        assert reader.bands == PROFILE.bands
        assert (reader.dtype, reader.nodata) == ("int16", -10000)
        assert reader.tags["PRODUCT"] == "p"
        found = reader.read(Window(7, 70, 60, 10))
        np.testing.assert_array_equal(found, PIXELS[7:67, 70:])
        ordered = read_bands(reader, ("B11", "B2"), Window(0, 0, 100, 80))
        np.testing.assert_array_equal(ordered, PIXELS[..., [2, 0]])


def test_a_missing_band_is_named_with_what_is_there(stack):
    message = "band B4 is missing; found B2, B8A, B11"
    with open_raster(stack) as reader, pytest.raises(MissingBandError, match=message):
        read_bands(reader, ("B2", "B4"), Window(0, 0, 1, 1))


class _Memory:
    """Another source of windows than a file."""

    grid, bands, nodata = GRID, PROFILE.bands, None

    def read(self, window):
        return PIXELS[window.row :, window.col :][: window.height, : window.width]


def test_bands_of_other_sources_are_ordered_too():
    window = Window(3, 4, 5, 6)
    found = read_bands(_Memory(), ("B11", "B8A"), window)
    np.testing.assert_array_equal(found, PIXELS[3:8, 4:10][..., [2, 1]])
    with pytest.raises(MissingBandError, match=r"^band B4 is missing"):
        read_bands(_Memory(), ("B4",), window)


@pytest.mark.parametrize("window", [Window(-1, 0, 2, 2), Window(0, 79, 1, 2), Window(99, 0, 2, 1)])
def test_windows_outside_are_refused(stack, window):
    with open_raster(stack) as reader, pytest.raises(ShapeError, match="reaches outside"):
        reader.read(window)


def test_one_reader_serves_several_threads(stack):
    windows = [Window(row, 0, 5, 80) for row in range(0, 100, 5)] * 5
    with open_raster(stack) as reader, ThreadPoolExecutor(4) as executor:
        for window, found in zip(windows, executor.map(reader.read, windows), strict=True):
            np.testing.assert_array_equal(found, PIXELS[window.row : window.row + 5])


def test_a_reader_can_be_opened_in_another_thread(stack):
    def read():
        with open_raster(stack) as reader:
            return reader.read(Window(0, 0, 100, 80))

    with ThreadPoolExecutor(1) as executor:
        np.testing.assert_array_equal(executor.submit(read).result(), PIXELS)


def test_a_band_is_read_into_an_array(stack):
    plane = np.zeros((4, 9), np.int16)
    with open_raster(stack) as reader:
        reader.read_plane(Window(2, 3, 4, 9), plane)
    np.testing.assert_array_equal(plane, PIXELS[2:6, 3:12, 0])


def test_a_closed_reader_refuses_to_read(stack):
    with open_raster(stack) as reader:
        pass
    with pytest.raises(ProductError, match="closed"):
        reader.read(Window(0, 0, 1, 1))


def test_bands_without_a_name_are_numbered(tmp_path):
    path = write_tif(tmp_path / "plain.tif", np.zeros((2, 8, 8), np.uint8))
    with open_raster(str(path)) as reader:
        assert reader.bands == ("1", "2")
        assert reader.nodata is None


def test_a_file_that_is_not_there_is_named(bucket):
    uri = storage.join(bucket, "nothing.tif")
    message = r"nothing\.tif: cannot be opened as a raster"
    with pytest.raises(ProductError, match=message), open_raster(uri):
        pass


def test_a_file_that_is_no_raster_is_named(bucket):
    uri = storage.join(bucket, "text.tif")
    storage.write_bytes(uri, b"no raster at all" * 100)
    message = r"text\.tif: cannot be opened as a raster"
    with pytest.raises(ProductError, match=message) as found, open_raster(uri):
        pass
    assert isinstance(found.value.__cause__, rasterio.errors.RasterioIOError)


def test_a_file_that_was_cut_short_is_named(bucket):
    uri = storage.join(bucket, "cut.tif")
    rng = np.random.default_rng(0)
    pixels = rng.integers(-(2**15), 2**15, (512, 512, 1)).astype(np.int16)
    grid = replace(GRID, height=512, width=512)
    write_raster(uri, grid, RasterProfile(("B2",), "int16", block_px=64), pixels)
    data = storage.read_bytes(uri)
    storage.write_bytes(uri, data[: len(data) // 2])
    with pytest.raises(ProductError, match=r"cut\.tif"), open_raster(uri) as reader:
        reader.read(Window(0, 0, 512, 512))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Affine(10, 0, 0, 0, -20, 0), "square pixels"),
        (Affine(10, 1, 0, 1, -10, 0), "rotation"),
        (Affine(10, 0, 0, 0, 10, 0), "north up"),
    ],
)
def test_other_georeferencing_is_refused(tmp_path, transform, message):
    path = tmp_path / "odd.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, **profile) as file:
        file.write(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ProductError, match=message), open_raster(str(path)):
        pass


def test_a_raster_without_projection_is_refused(tmp_path):
    path = tmp_path / "nowhere.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", transform=Affine(10, 0, 0, 0, -10, 0), **profile) as file:
        file.write(np.zeros((1, 8, 8), np.uint8))
    message = "no coordinate reference system"
    with pytest.raises(ProductError, match=message), open_raster(str(path)):
        pass


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_georeference_is_refused(tmp_path):
    path = tmp_path / "nowhere.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ProductError, match="has no georeference"), open_raster(str(path)):
        pass


def test_grids_are_compared_with_both_values():
    assert check_same_grid({"a": GRID, "b": replace(GRID)}) == GRID
    other = replace(GRID, left=500050.0, width=81)
    with pytest.raises(GridMismatchError) as found:
        check_same_grid({"a.tif": GRID, "b.tif": other})
    message = str(found.value)
    assert "a.tif and b.tif are not on one grid" in message
    assert "left 500040.0 against 500050.0, width 80 against 81" in message
