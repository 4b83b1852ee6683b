"""Preparation of the elevation: the grid, voids, re-runs and refusals."""

import json

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import OutputConflictError, ProductError
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.prepare_dem import PrepareDemConfig, prepare_dem
from decloud_lib.types import Window
from tests.stages.delivered import LEFT, REAL, WITHOUT_REAL, write_tif

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


def test_voids_become_zero_and_are_counted(tmp_path, reference):
    elevation = np.full((64, 90), 12.6, np.float32)
    elevation[0, 0] = -9999
    elevation[1, :3] = np.nan
    dem = write_tif(tmp_path / "dem.tif", elevation, 20.0, nodata=-9999)
    output = str(tmp_path / "T31TEJ.tif")
    _prepare(str(dem), reference, output, resampling="nearest")
    metres, _ = _read(output)
    expected = np.full((64, 96), 13)
    expected[0, 0] = expected[1, :3] = expected[:, 90:] = 0
    np.testing.assert_array_equal(metres, expected)
    counts = json.loads((tmp_path / "T31TEJ.manifest.json").read_text())["counts"]
    assert counts == {"px": 64 * 96, "voids": 4 + 64 * 6}


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


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_elevation_is_prepared(tmp_path):
    dem = str(REAL / "DEM" / "T31UDS.tif")
    _prepare(dem, dem, str(tmp_path / "T31UDS.tif"))
    metres, _ = _read(str(tmp_path / "T31UDS.tif"))
    np.testing.assert_array_equal(metres, _read(dem)[0])
    assert 30 < metres.mean() < 50
