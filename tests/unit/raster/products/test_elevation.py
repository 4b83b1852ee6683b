"""Where elevation comes from: files, folders, the Copernicus layout, in all places."""

import re
import socket

import numpy as np
import pytest
from affine import Affine

from decloud_lib import storage
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.mosaic import mosaic
from decloud_lib.raster.products.elevation import find_elevation, tile_names
from decloud_lib.raster.warp import open_warped
from decloud_lib.types import Grid, Window
from tests.elevations import sample_on, tile_name, write_copernicus, write_dem
from tests.web import serve_web

#: Around 45 N, 3 E: four tiles of the layout.
GRID = Grid("EPSG:32631", 499000.0, 4984000.0, 20.0, 100, 110)
CORNERS = [(44, 2), (44, 3), (45, 2), (45, 3)]
ROUGH = np.random.default_rng(3).normal(300, 80, (100, 110)).astype(np.float32)
PLACE = Affine(20, 0, GRID.left, 0, -20, GRID.top)


def plane(lon, lat):
    """Return metres."""
    return 800 * (lon - 2) + 300 * (lat - 44)


def _shown(elevation, grid=GRID):
    document = mosaic(elevation.pieces, "bilinear")
    with open_warped(document, elevation.uri, grid, "bilinear") as reader:
        return reader.read(Window(0, 0, *grid.shape))


@pytest.fixture(params=["folder", "s3", "web"])
def place(request, tmp_path):
    """Give a folder to write to, and what gives the URI under which its files are then read."""
    folder = tmp_path / "dem"
    folder.mkdir()
    if request.param == "folder":
        yield folder, lambda: str(folder)
    elif request.param == "web":
        with serve_web(folder) as server:
            yield folder, lambda: server.uri("").rstrip("/")
    else:
        bucket = request.getfixturevalue("s3")

        def uploaded():
            storage.upload_folder(folder, f"{bucket}/dem")
            return f"{bucket}/dem"

        yield folder, uploaded


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (GRID, CORNERS),
        # Pixels reach half a pixel, and their weights some more, beyond the square degree.
        (Grid("EPSG:32631", 520000.0, 4960000.0, 20.0, 50, 50), [(44, 3)]),
        (Grid("EPSG:32730", 499000.0, 9990000.0, 20.0, 50, 120), [(-1, -4), (-1, -3)]),
        (Grid("EPSG:32760", 818500.0, 8170000.0, 20.0, 150, 250), [(-17, 179), (-17, -180)]),
        (Grid("EPSG:32631", 499980.0, 9100020.0, 20.0, 5490, 5490), None),
    ],
)
def test_names_follow_from_the_ground(grid, expected):
    names = tile_names(grid)
    assert list(names) == sorted(names)
    if expected is None:
        # 81 to 82 degrees north: a tile of Sentinel-2 spans seven degrees of longitude.
        assert names == tuple(
            sorted(tile_name(lat, lon) for lat in (80, 81) for lon in range(2, 11))
        )
    else:
        assert names == tuple(sorted(tile_name(*corner) for corner in expected))


def test_the_copernicus_layout_is_read_everywhere(place):
    folder, uri = place
    paths = write_copernicus(folder, [*CORNERS, (50, 3)], plane)
    found = find_elevation(uri(), GRID)
    names = [path.parent.name for path in paths[:4]]
    assert [storage.name_of(entry.uri) for entry in found.entries] == [f"{n}.tif" for n in names]
    assert found.missing == ()
    np.testing.assert_allclose(_shown(found), sample_on(plane, "EPSG:4326", GRID), atol=0.05)


def test_a_tile_that_does_not_exist_is_sea(place):
    folder, uri = place
    write_copernicus(folder, [(44, 2), (45, 2)], plane)
    found = find_elevation(uri(), GRID)
    assert found.missing == (tile_name(44, 3), tile_name(45, 3))
    shown = _shown(found)
    longitude = sample_on(lambda lon, _: lon, "EPSG:4326", GRID)
    # A tile ends half a pixel before its square does.
    np.testing.assert_array_equal(np.isnan(shown), longitude > 3 - 1 / 240)


def test_open_sea_everywhere_is_told_from_a_wrong_place(place):
    folder, uri = place
    write_copernicus(folder, [(50, 3)], plane)
    (folder / "tileList.txt").write_text(f"{tile_name(50, 3)}\n")
    found = find_elevation(uri(), GRID)
    assert (found.pieces, found.entries) == ((), ())
    assert len(found.missing) == 4


def test_tiles_of_the_layout_side_by_side_are_found(tmp_path):
    write_copernicus(tmp_path, [(44, 2), (45, 2)], plane, flat=True)
    found = find_elevation(str(tmp_path), GRID)
    assert len(found.pieces) == len(found.missing) == 2


def test_a_web_address_without_tiles_is_refused(tmp_path):
    with serve_web(tmp_path) as server, pytest.raises(ProductError, match="neither Copernicus_DSM"):
        find_elevation(server.uri("wrong"), GRID)


def test_a_folder_of_other_tiles_is_one_source(place):
    folder, uri = place
    write_dem(folder / "a.tif", ROUGH[:, :50], PLACE)
    write_dem(folder / "east" / "b.TIF", ROUGH[:, 50:], PLACE @ Affine.translation(50, 0))
    write_dem(folder / "far.tif", ROUGH, PLACE @ Affine.translation(9000, 0))
    write_dem(folder / "too" / "deep" / "c.tif", ROUGH * 0, PLACE)
    (folder / "readme.txt").write_text("tiles")
    root = uri()
    if storage.is_web(root):
        with pytest.raises(ProductError, match="neither Copernicus_DSM"):
            find_elevation(root, GRID)
        return
    found = find_elevation(f"{root}/", GRID)
    assert [entry.uri for entry in found.entries] == [f"{root}/a.tif", f"{root}/east/b.TIF"]
    np.testing.assert_array_equal(_shown(found), ROUGH)
    assert find_elevation(root, GRID).entries == found.entries


def test_one_file_is_read_everywhere(place):
    folder, uri = place
    write_dem(folder / "dem.tif", ROUGH, PLACE, tiled=True, blockxsize=64, blockysize=64)
    found = find_elevation(f"{uri()}/dem.tif", GRID)
    assert [entry.uri for entry in found.entries] == [f"{uri()}/dem.tif"]
    np.testing.assert_array_equal(_shown(found), ROUGH)


def test_what_is_not_there_is_named(place):
    _, uri = place
    with pytest.raises(ProductError, match=r"none\.tif: there is no such file"):
        find_elevation(f"{uri()}/none.tif", GRID)


def test_a_folder_without_rasters_is_named(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(ProductError, match=r"no folder with rasters \(\.tif"):
        find_elevation(str(tmp_path), GRID)


def test_one_bad_tile_of_a_folder_is_named(tmp_path):
    write_dem(tmp_path / "a.tif", ROUGH, PLACE)
    (tmp_path / "b.tif").write_text("<html>")
    with pytest.raises(ProductError, match=r"b\.tif: cannot be opened as elevation"):
        find_elevation(str(tmp_path), GRID)
    (tmp_path / "b.tif").write_bytes(b"")
    with pytest.raises(ProductError, match=r"b\.tif: cannot be opened as elevation"):
        find_elevation(str(tmp_path), GRID)


def test_without_network_the_way_out_is_told():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(StorageError, match=re.escape(uri) + r".*cannot be .*\(--dem\)"):
            find_elevation(uri, GRID)


def test_a_server_that_answers_otherwise_than_404_is_no_sea(tmp_path):
    write_copernicus(tmp_path, CORNERS, plane)
    with serve_web(tmp_path) as server:
        server.forever = "403"
        with pytest.raises(StorageError, match="403"):
            find_elevation(server.uri("").rstrip("/"), GRID)
