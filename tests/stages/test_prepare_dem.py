"""Preparation of the elevation: the grid, voids, re-runs and refusals."""

import json

import numpy as np
import pytest
from affine import Affine

from decloud_lib import storage
from decloud_lib.errors import DecloudError, OutputConflictError, ProductError, SettingsError
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.prepare_dem import PrepareDemConfig, prepare_dem
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.types import Grid, Window
from tests.elevations import sample_on, tile_name, write_copernicus, write_dem
from tests.stages.delivered import LEFT, REAL, S2_NAME, TOP, WITHOUT_REAL, write_theia, write_tif
from tests.web import serve_web

RAMP = np.add.outer(np.arange(64), np.arange(96)).astype(np.int16)


@pytest.fixture
def reference(tmp_path):
    return str(write_tif(tmp_path / "reference.tif", np.zeros((64, 96), np.int16), 20.0))


def _prepare(dem, reference, output, **options):
    return prepare_dem(PrepareDemConfig(dem=dem, reference=reference, output=output, **options))


def _read(uri):
    with open_raster(uri) as reader:
        return reader.read(Window(0, 0, *reader.grid.shape))[..., 0], reader


@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average", "nearest"])
def test_elevation_on_the_grid_keeps_its_values(bucket, tmp_path, reference, resampling):
    dem = storage.join(bucket, "raw", "T31TEJ.tif")
    storage.upload(write_tif(tmp_path / "dem.tif", RAMP, 20.0), dem)
    output = storage.join(bucket, "DEM", "T31TEJ.tif")
    assert _prepare(dem, reference, output, resampling=resampling).made == (output,)
    metres, reader = _read(output)
    assert (reader.dtype, reader.nodata, reader.bands) == ("int16", -32768, ("DEM",))
    np.testing.assert_array_equal(metres, RAMP)
    assert storage.stat(storage.join(bucket, "DEM", "T31TEJ.manifest.json"))


VOIDS = np.full((64, 90), 12.6, np.float32)
VOIDS[0, 0] = -9999
VOIDS[30:33, 40:42] = np.nan
HOLES, BEYOND = 1 + 6, 64 * 6


@pytest.mark.parametrize(
    ("voids", "hole", "outside", "counts"),
    [
        ("zero", 0, 0, {"filled": 0, "zero": HOLES + BEYOND, "kept": 0}),
        ("fill", 13, 0, {"filled": HOLES, "zero": BEYOND, "kept": 0}),
        ("keep", -32768, -32768, {"filled": 0, "zero": 0, "kept": HOLES + BEYOND}),
    ],
)
def test_voids_become_what_is_asked_for(tmp_path, reference, voids, hole, outside, counts):
    dem = write_tif(tmp_path / "dem.tif", VOIDS, 20.0, nodata=-9999)
    output = str(tmp_path / "T31TEJ.tif")
    _prepare(str(dem), reference, output, resampling="nearest", voids=voids)
    metres, reader = _read(output)
    expected = np.full((64, 96), 13)
    expected[0, 0] = expected[30:33, 40:42] = hole
    expected[:, 90:] = outside
    np.testing.assert_array_equal(metres, expected)
    assert reader.nodata == -32768
    tags = {"SOURCE": "dem.tif", "RESAMPLING": "nearest", "VOIDS": voids, "UNITS": "metres"}
    assert tags.items() <= reader.tags.items()
    told = json.loads((tmp_path / "T31TEJ.manifest.json").read_text())["counts"]
    kinds = {"px": 64 * 96, "voids": HOLES + BEYOND, "holes": HOLES, "beyond": BEYOND}
    assert told == kinds | counts | {"rasters": 1, "missing_tiles": 0}


def test_voids_are_refused_with_their_number_and_place(tmp_path, reference):
    elevation = VOIDS.copy()
    elevation[0, 0] = 5
    dem = write_tif(tmp_path / "dem.tif", elevation, 20.0, nodata=-9999)
    message = (
        r"dem\.tif: 390 of 6144 px have no elevation \(6 holes, 384 beyond the source\), "
        rf"the first at row 0, column 90 \(EPSG:32631 {LEFT + 90.5 * 20:.0f}, {TOP - 10:.0f}\)"
    )
    with pytest.raises(ProductError, match=message):
        _prepare(str(dem), reference, str(tmp_path / "o.tif"), voids="refuse")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dem.tif", "reference.tif"]
    whole = write_tif(tmp_path / "whole.tif", RAMP, 20.0)
    _prepare(str(whole), reference, str(tmp_path / "o.tif"), voids="refuse")
    np.testing.assert_array_equal(_read(str(tmp_path / "o.tif"))[0], RAMP)


def test_ground_below_the_sea_is_no_void(tmp_path, reference):
    dem = write_tif(tmp_path / "dem.tif", np.full((64, 96), -400, np.int16), 20.0)
    _prepare(str(dem), reference, str(tmp_path / "o.tif"))
    assert (_read(str(tmp_path / "o.tif"))[0] == -400).all()


def test_finer_elevation_is_brought_on_the_grid(tmp_path, reference):
    fine = np.kron(RAMP * 3, np.ones((2, 2), np.int16)).astype(np.int16)
    dem = write_tif(tmp_path / "dem.tif", fine, 10.0)
    _prepare(str(dem), reference, str(tmp_path / "o.tif"), resampling="average")
    np.testing.assert_array_equal(_read(str(tmp_path / "o.tif"))[0], RAMP * 3)


def test_complete_elevation_is_left_alone_whatever_the_product(tmp_path, reference):
    dem = str(write_tif(tmp_path / "dem.tif", RAMP, 20.0))
    output = str(tmp_path / "T31TEJ.tif")
    _prepare(dem, reference, output)
    other = write_tif(tmp_path / "other.tif", np.ones((64, 96), np.int16), 20.0)
    assert _prepare(dem, str(other), output).reused == 1
    shifted = write_tif(tmp_path / "third.tif", np.ones((64, 96), np.int16), 20.0, left=LEFT + 20)
    with pytest.raises(OutputConflictError, match="reference"):
        _prepare(dem, str(shifted), output)
    assert _prepare(dem, str(shifted), output, overwrite=True).made == (output,)


def test_elevation_of_another_place_is_refused(tmp_path, reference):
    dem = write_tif(tmp_path / "dem.tif", RAMP, 20.0, left=LEFT + 1e5)
    with pytest.raises(ProductError, match="holds no elevation anywhere"):
        _prepare(str(dem), reference, str(tmp_path / "o.tif"))
    assert not (tmp_path / "o.tif").exists()


def test_missing_and_odd_sources_are_named(tmp_path, reference):
    with pytest.raises(ProductError, match=r"none\.tif: there is no such file"):
        _prepare(str(tmp_path / "none.tif"), reference, str(tmp_path / "o.tif"))
    stack = write_tif(tmp_path / "stack.tif", np.zeros((2, 64, 96), np.int16), 20.0)
    with pytest.raises(ProductError, match="found 2 bands, expected elevation"):
        _prepare(str(stack), reference, str(tmp_path / "o.tif"))


def test_the_blocks_are_as_large_as_asked_for(tmp_path):
    reference = str(write_tif(tmp_path / "r.tif", np.zeros((300, 400), np.int16), 20.0))
    dem = str(write_tif(tmp_path / "dem.tif", np.ones((300, 400), np.int16), 20.0))
    for tilesize in (64, 256):
        output = str(tmp_path / f"{tilesize}.tif")
        _prepare(dem, reference, output, tilesize=tilesize)
        assert _read(output)[1].block_shape == (tilesize, tilesize)
    _prepare(dem, reference, str(tmp_path / "default.tif"))
    assert _read(str(tmp_path / "default.tif"))[1].block_shape == (128, 128)
    with pytest.raises(SettingsError, match="tilesize"):
        _prepare(dem, reference, output, tilesize=100)


def test_another_setting_is_a_conflict(tmp_path, reference):
    dem = str(write_tif(tmp_path / "dem.tif", RAMP, 20.0))
    output = str(tmp_path / "o.tif")
    _prepare(dem, reference, output)
    assert _prepare(dem, reference, output).reused == 1
    for other in ({"resampling": "cubic"}, {"voids": "keep"}, {"tilesize": 64}):
        with pytest.raises(OutputConflictError, match=next(iter(other))):
            _prepare(dem, reference, output, **other)
    write_tif(tmp_path / "dem.tif", RAMP + 1, 20.0)
    with pytest.raises(OutputConflictError, match=r"dem\.tif changed since"):
        _prepare(dem, reference, output)


def test_a_reference_of_10_m_gives_20_m(tmp_path, caplog):
    fine = str(write_tif(tmp_path / "fine.tif", np.zeros((129, 193), np.int16), 10.0))
    dem = str(write_tif(tmp_path / "dem.tif", RAMP, 20.0))
    with caplog.at_level("INFO"):
        _prepare(dem, fine, str(tmp_path / "o.tif"))
    metres, reader = _read(str(tmp_path / "o.tif"))
    assert (reader.grid.pixel_m, reader.grid.shape) == (20.0, (64, 96))
    np.testing.assert_array_equal(metres, RAMP)
    assert "fine.tif has pixels of 10 m" in caplog.text
    coarse = str(write_tif(tmp_path / "coarse.tif", np.zeros((20, 20), np.int16), 60.0))
    with pytest.raises(ProductError, match=r"coarse\.tif: pixels of 60 .*20 m stack"):
        _prepare(dem, coarse, str(tmp_path / "c.tif"))


def test_a_product_left_as_delivered_is_a_reference(tmp_path):
    write_theia(tmp_path / "raw")
    config = PrepareS2Config(
        in_image=[str(tmp_path / "raw" / S2_NAME)],
        out_s2_dir=str(tmp_path / "prepared"),
        mode="statistics-only",
    )
    prepare_s2(config)
    (view,) = (tmp_path / "prepared").rglob("*_delivered.json")
    dem = str(write_tif(tmp_path / "dem.tif", RAMP, 20.0))
    for part in ("stack_20m", "stack_10m"):
        output = str(tmp_path / f"{part}.tif")
        _prepare(dem, f"{view}#{part}", output)
        np.testing.assert_array_equal(_read(output)[0], RAMP)


#: Around 45 N, 3 E: four tiles of the Copernicus layout.
CORNERS = [(44, 2), (44, 3), (45, 2), (45, 3)]
CROSSING = Grid("EPSG:32631", 499000.0, 4984000.0, 20.0, 100, 110)


def _plane(lon, lat):
    return 800 * (lon - 2) + 300 * (lat - 44)


@pytest.fixture
def crossing(tmp_path):
    place = CROSSING.transform
    return str(write_dem(tmp_path / "crossing.tif", np.zeros(CROSSING.shape, np.int16), place))


def test_elevation_comes_from_the_web_when_nothing_is_named(tmp_path, crossing):
    default = PrepareDemConfig(reference=crossing, output="o.tif")
    assert default.dem == "https://copernicus-dem-30m.s3.amazonaws.com"
    write_copernicus(tmp_path / "dem", CORNERS, _plane)
    output = str(tmp_path / "T31TDK.tif")
    with serve_web(tmp_path / "dem") as server:
        _prepare(server.uri("").rstrip("/"), crossing, output)
        asked = len(server.requests)
        assert _prepare(server.uri("").rstrip("/"), crossing, output).reused == 1
        # Each tile is looked for, and its header read again.
        assert len(server.requests) - asked <= 4 * 4
    metres, _ = _read(output)
    expected = sample_on(_plane, "EPSG:4326", CROSSING)
    assert np.abs(metres - expected).max() <= 0.55
    inputs = json.loads((tmp_path / "T31TDK.manifest.json").read_text())["inputs"]
    assert [ref["uri"].endswith("_DEM.tif") for ref in inputs] == [True] * 4


def test_sea_of_the_copernicus_layout_is_zero_and_said(tmp_path, crossing, caplog):
    write_copernicus(tmp_path / "dem", [(44, 2), (45, 2)], _plane)
    output = str(tmp_path / "o.tif")
    _prepare(str(tmp_path / "dem"), crossing, output)
    metres, _ = _read(output)
    longitude = sample_on(lambda lon, _: lon, "EPSG:4326", CROSSING)
    np.testing.assert_array_equal(metres == 0, longitude > 3 - 1 / 240)
    counts = json.loads((tmp_path / "o.manifest.json").read_text())["counts"]
    assert (counts["holes"], counts["missing_tiles"]) == (0, 2)
    assert counts["beyond"] == (metres == 0).sum()
    assert f"has no tile {tile_name(44, 3)}, {tile_name(45, 3)}: open sea" in caplog.text


def test_open_sea_everywhere_is_zero_only_where_zero_is_asked_for(tmp_path, crossing, caplog):
    write_copernicus(tmp_path / "dem", [(50, 3)], _plane)
    dem, output = str(tmp_path / "dem"), str(tmp_path / "o.tif")
    for voids in ("fill", "keep", "refuse"):
        with pytest.raises(ProductError, match="if it is open sea, use voids = zero"):
            _prepare(dem, crossing, output, voids=voids)
    assert not (tmp_path / "o.tif").exists()
    _prepare(dem, crossing, output)
    assert "open sea everywhere" in caplog.text
    assert (_read(output)[0] == 0).all()


def test_a_tile_of_the_layout_near_the_grid_does_not_hide_open_sea(tmp_path, caplog):
    # The grid lies 300 m east of the only tile: near enough to be looked at.
    west = Grid("EPSG:32631", 500300.0, 4960000.0, 20.0, 32, 32)
    reference = write_dem(tmp_path / "r.tif", np.zeros(west.shape, np.int16), west.transform)
    write_copernicus(tmp_path / "dem", [(44, 2)], _plane)
    _prepare(str(tmp_path / "dem"), str(reference), str(tmp_path / "o.tif"))
    assert (_read(str(tmp_path / "o.tif"))[0] == 0).all()
    assert "open sea everywhere" in caplog.text


def test_a_damaged_source_leaves_nothing_behind(tmp_path, reference):
    dem = write_dem(tmp_path / "dem.tif", RAMP, Affine(20, 0, LEFT, 0, -20, TOP))
    dem.write_bytes(dem.read_bytes()[:-4000])
    with pytest.raises(ProductError, match=r"dem\.tif: .*cannot be read"):
        _prepare(str(dem), reference, str(tmp_path / "o.tif"))
    dem.write_text("<html>404</html>")
    with pytest.raises(ProductError, match=r"dem\.tif: cannot be opened as elevation"):
        _prepare(str(dem), reference, str(tmp_path / "o.tif"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dem.tif", "reference.tif"]


def test_a_server_that_fails_while_it_is_read_leaves_nothing_behind(
    tmp_path, crossing, monkeypatch
):
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    write_copernicus(tmp_path / "dem", CORNERS, _plane)
    output = str(tmp_path / "o.tif")
    with serve_web(tmp_path / "dem") as server:
        root = server.uri("").rstrip("/")
        _prepare(root, crossing, output)
        asked = len(server.requests)
        storage.delete(output)
        storage.delete(str(tmp_path / "o.manifest.json"))
        # All headers are answered, and nothing after them.
        server.troubles = [""] * (asked - 3)
        server.forever = "503"
        with pytest.raises(DecloudError):
            _prepare(root, crossing, output)
    assert not (tmp_path / "o.tif").exists()


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_elevation_is_prepared(tmp_path):
    dem = str(REAL / "DEM" / "T31UDS.tif")
    _prepare(dem, dem, str(tmp_path / "T31UDS.tif"))
    metres, _ = _read(str(tmp_path / "T31UDS.tif"))
    np.testing.assert_array_equal(metres, _read(dem)[0])
    assert 30 < metres.mean() < 50
