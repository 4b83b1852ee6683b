"""Several rasters as one: seams, marks of no data, pixel sizes, projections."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine

from decloud_lib.errors import ProductError
from decloud_lib.raster.mosaic import mosaic
from decloud_lib.raster.piece import covered, placed, read_piece
from decloud_lib.raster.warp import open_warped
from decloud_lib.types import Grid, Window
from tests.elevations import sample, sample_on, write_copernicus, write_dem

LEFT, TOP = 500000.0, 4900000.0
PLACE = Affine(20, 0, LEFT, 0, -20, TOP)
GRID = Grid("EPSG:32631", LEFT, TOP, 20.0, 60, 80)
ROUGH = np.random.default_rng(3).normal(300, 80, (60, 80)).astype(np.float32)
METHODS = ["bilinear", "cubic", "average", "nearest"]


def _shown(paths, grid, resampling="bilinear"):
    pieces = [placed(read_piece(str(path)), grid) for path in paths]
    document = mosaic([piece for piece in pieces if piece], resampling)
    with open_warped(document, "dem", grid, resampling) as reader:
        return reader.read(Window(0, 0, *grid.shape))


@pytest.mark.parametrize("resampling", METHODS)
def test_tiles_are_one_raster_without_seams(tmp_path, resampling):
    step = ROUGH.copy()
    step[:, 37:] += 4000
    whole = write_dem(tmp_path / "whole.tif", step, PLACE)
    parts = [
        write_dem(
            tmp_path / f"{row}_{col}.tif", step[rows, cols], PLACE @ Affine.translation(col, row)
        )
        for row, rows in ((0, slice(0, 23)), (23, slice(23, 60)))
        for col, cols in ((0, slice(0, 37)), (37, slice(37, 80)))
    ]
    fine = replace(GRID, left=LEFT + 133, top=TOP - 77, pixel_m=10.0, height=100, width=140)
    lambert = Grid("EPSG:2154", 700200.0, 6349600.0, 20.0, 30, 50)
    for grid in (fine, lambert, replace(GRID, pixel_m=50.0, height=24, width=32)):
        expected = _shown([whole], grid, resampling)
        assert np.isfinite(expected).mean() > 0.4
        np.testing.assert_array_equal(_shown(parts, grid, resampling), expected)


def test_what_a_tile_lacks_another_one_gives(tmp_path):
    first, second = ROUGH.copy(), ROUGH.copy()
    first[:, 50:] = np.nan
    second[:, :40] = -9999
    paths = [
        write_dem(tmp_path / "a.tif", first, PLACE, nodata=np.nan),
        write_dem(tmp_path / "b.tif", second, PLACE, nodata=-9999),
    ]
    for order in (paths, paths[::-1]):
        np.testing.assert_array_equal(_shown(order, GRID, "cubic"), ROUGH)


@pytest.mark.parametrize(
    ("dtype", "void", "nodata"),
    [
        ("float32", np.nan, None),
        ("float32", np.nan, -9999.0),
        ("float32", -9999.0, -9999.0),
        ("float32", -9999.0, None),
        ("float32", -32768.0, None),
        ("float32", -3.4028234663852886e38, -3.4028234663852886e38),
        ("float64", -32767.0, -32767.0),
        ("int16", -32768, -32768),
        ("int16", -32768, None),
        ("int16", -9999, None),
        ("int32", -9999, -9999),
        ("uint16", 65535, 65535),
        ("uint8", 0, 0),
    ],
)
def test_marks_of_no_data_do_not_spread(tmp_path, dtype, void, nodata):
    pixels = np.full((60, 80), 100, dtype)
    pixels[30, 40] = void
    path = write_dem(tmp_path / "dem.tif", pixels, PLACE, nodata=nodata)
    found = _shown([path], GRID, "nearest")
    assert np.argwhere(np.isnan(found)).tolist() == [[30, 40]]
    between = _shown([path], replace(GRID, left=LEFT + 10, width=79), "bilinear")
    assert set(between[np.isfinite(between)]) == {100.0}


def test_a_mask_scale_and_offset_of_the_file_count(tmp_path):
    pixels = np.full((60, 80), 1200, np.int16)
    path = write_dem(tmp_path / "dem.tif", pixels, PLACE)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (5.0,)
        mask = np.full((60, 80), 255, np.uint8)
        mask[10, :7] = 0
        file.write_mask(mask)
    found = _shown([path], GRID, "nearest")
    assert np.isnan(found[10, :7]).all()
    assert np.isfinite(found).sum() == found.size - 7
    np.testing.assert_allclose(found[np.isfinite(found)], 125.0)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_tiles_with_wider_pixels_join_exactly(tmp_path, resampling):
    def plane(lon, lat):
        return 900 * (lon - 2) + 500 * (lat - 49) + 7

    paths = write_copernicus(tmp_path, [(49, 2), (49, 3), (50, 2), (50, 3)], plane)
    grid = Grid("EPSG:32631", 498000.0, 5540630.0, 20.0, 200, 200)
    found = _shown(paths, grid, resampling)
    expected = sample_on(plane, "EPSG:4326", grid)
    assert expected.max() - expected.min() > 40
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_ground_across_the_antimeridian_is_whole(tmp_path):
    def plane(lon, lat):
        return 100 * (lon % 360) + 50 * lat

    paths = write_copernicus(tmp_path, [(-17, 179), (-17, -180)], plane)
    grid = Grid("EPSG:32760", 818500.0, 8170000.0, 20.0, 150, 250)
    found = _shown(paths, grid)
    expected = sample_on(plane, "EPSG:4326", grid)
    longitude = sample_on(lambda lon, _: lon % 360, "EPSG:4326", grid)
    assert longitude.min() < 180 < longitude.max()
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_another_projection_keeps_a_plane(tmp_path):
    def plane(x, y):
        return 0.02 * (x - 700000) - 0.05 * (y - 6349000) + 400

    place = Affine(30, 0, 699000, 0, -30, 6351000)
    pixels = sample(plane, place, (120, 130)).astype(np.float32)
    path = write_dem(tmp_path / "dem.tif", pixels, place, "EPSG:2154")
    for resampling in ("bilinear", "cubic"):
        grid = replace(GRID, left=500300.0, top=4899300.0, height=50, width=60)
        found = _shown([path], grid, resampling)
        np.testing.assert_allclose(found, sample_on(plane, "EPSG:2154", grid), atol=0.01)


def test_a_rotated_raster_alone_is_taken_and_beside_another_refused(tmp_path):
    place = PLACE @ Affine.translation(-40, 0) @ Affine.rotation(-20) @ Affine.scale(2)
    path = write_dem(tmp_path / "turned.tif", np.full((90, 90), 55, np.int16), place)
    small = replace(GRID, height=20, width=20)
    found = _shown([path], small)
    assert set(found[np.isfinite(found)]) == {55.0}
    other = write_dem(tmp_path / "z.tif", ROUGH, PLACE)
    with pytest.raises(ProductError, match=r"turned\.tif: is rotated"):
        _shown([path, other], small)


def test_two_projections_are_named(tmp_path):
    one = write_dem(tmp_path / "one.tif", ROUGH, PLACE)
    place = Affine(0.001, 0, 2.9, 0, -0.001, 44.3)
    other = write_dem(tmp_path / "other.tif", np.zeros((200, 200), np.int16), place, "EPSG:4326")
    with pytest.raises(
        ProductError, match=r"one\.tif is in EPSG:32631 and .*other\.tif in EPSG:43"
    ):
        _shown([one, other], GRID)


def test_rasters_elsewhere_are_left_out(tmp_path):
    far = write_dem(tmp_path / "far.tif", ROUGH, PLACE @ Affine.translation(5000, 0))
    assert placed(read_piece(str(far)), GRID) is None
    touching = write_dem(tmp_path / "near.tif", ROUGH, PLACE @ Affine.translation(80, 0))
    assert placed(read_piece(str(touching)), GRID) is not None


def test_what_is_covered_follows_the_edge_of_the_source(tmp_path):
    place = PLACE @ Affine.translation(20, 10)
    piece = read_piece(str(write_dem(tmp_path / "dem.tif", ROUGH[:30, :40], place)))
    found = covered([piece], GRID)
    expected = np.zeros((60, 80), bool)
    expected[10:40, 20:60] = True
    np.testing.assert_array_equal(found, expected)
    assert not covered([], GRID).any()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_no_elevation_is_refused(tmp_path):
    path = tmp_path / "dem.tif"
    path.write_text("<!DOCTYPE html><html>not found</html>")
    with pytest.raises(ProductError, match=r"dem\.tif: cannot be opened as elevation .*GeoTIFF"):
        read_piece(str(path))
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(ProductError, match="cannot be opened as elevation"):
        read_piece(str(path))
    path.unlink()
    write_dem(path, ROUGH, Affine.identity(), crs=None)
    with pytest.raises(ProductError, match="no coordinate reference system"):
        read_piece(str(path))
    write_dem(path, ROUGH.astype(np.complex64), PLACE)
    with pytest.raises(ProductError, match="holds complex64"):
        read_piece(str(path))
    write_dem(path, ROUGH, PLACE)
    with rasterio.open(path, "r+") as file:
        file.units = ("ft",)
    with pytest.raises(ProductError, match="in feet"):
        read_piece(str(path))


def test_a_file_that_is_cut_short_is_named(tmp_path):
    path = write_dem(tmp_path / "dem.tif", ROUGH, PLACE)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ProductError, match=r"cannot be read .*dem\.tif"):
        _shown([path], GRID)
