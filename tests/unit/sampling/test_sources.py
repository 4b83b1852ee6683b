"""The tiles JSON and the ROI JSON: what is read, what is tolerated, what is refused."""

import json
import logging

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ConfigError, ProductError
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.sampling.sources import read_rois, read_tiles
from decloud_lib.sampling.tile_index import index_tile
from tests.prepared_tiles import Optical, Tile, grid_of, write_tile


@pytest.fixture
def regions(bucket):
    """Give what writes a ROI JSON, with a raster for each name."""

    def write(rasters, **content):
        for name in rasters:
            storage.write_bytes(storage.join(bucket, "ROI", f"{name}.tif"), b"raster")
        uri = storage.join(bucket, "rois.json")
        content = {"ROIS_ROOT_DIR": storage.join(bucket, "ROI")} | content
        storage.write_bytes(uri, json.dumps(content).encode())
        return uri

    return write


def test_a_tile_that_is_not_listed_contributes_nothing_and_says_so(regions, caplog):
    caplog.set_level(logging.INFO)
    rois = read_rois(regions(["T31TEJ_train", "T31TCJ_train"], TRAIN_TILES=["T31TEJ"]))
    found = rois.rasters("train", ("T31TEJ", "T31TCJ"))
    assert list(found) == ["T31TEJ"]
    assert "T31TCJ: has no region for train and contributes nothing to it" in caplog.text


def test_a_listed_tile_that_is_not_prepared_is_warned_of(regions, caplog):
    rois = read_rois(regions(["T31TEJ_valid1"], VALID1_TILES=["T31TEJ", "T31TDH"]))
    assert list(rois.rasters("valid1", ("T31TEJ",))) == ["T31TEJ"]
    assert "T31TDH: has a region for valid1 but is not a prepared tile" in caplog.text
    with pytest.raises(ConfigError, match="expected a common tile"):
        rois.rasters("valid1", ("T31TCJ",))


@pytest.mark.parametrize("name", ["train", "test", "valid1", "year-2", "a_tiles_b", "TILES"])
def test_any_data_set_can_be_named(regions, name):
    keys = {f"{name.upper()}_TILES": ["T31TEJ"]}
    rois = read_rois(regions([f"T31TEJ_{name}"], **keys))
    assert storage.name_of(rois.rasters(name, ("T31TEJ",))["T31TEJ"]) == f"T31TEJ_{name}.tif"


def test_capitals_of_a_data_set_do_not_matter(regions):
    rois = read_rois(regions(["T31TEJ_Summer"], SUMMER_TILES=["T31TEJ"]))
    for name in ("summer", "Summer", "SUMMER"):
        uri = rois.rasters(name, ("T31TEJ",))["T31TEJ"]
        assert storage.name_of(uri) == "T31TEJ_Summer.tif"


def test_keys_that_are_not_known_are_tolerated(regions):
    uri = regions(["T31TEJ_train"], TRAIN_TILES=["T31TEJ"], COMMENT={"by": "hand"}, VERSION=2)
    assert read_rois(uri).datasets == {"train": ("T31TEJ",)}


def test_a_missing_raster_or_data_set_is_named(regions):
    rois = read_rois(regions([], TRAIN_TILES=["T31TEJ"], VALID_TILES=[]))
    with pytest.raises(ConfigError, match=r"T31TEJ_train\.tif: the region raster is missing"):
        rois.rasters("train", ("T31TEJ",))
    for name in ("valid", "test"):
        with pytest.raises(ConfigError, match=f"{name.upper()}_TILES is missing or empty"):
            rois.rasters(name, ("T31TEJ",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"ROIS_ROOT_DIR": 3}, "ROIS_ROOT_DIR is missing"),
        ({"TRAIN_TILES": "T31TEJ"}, "TRAIN_TILES: expected a list of tile names, found 'T31TEJ'"),
        ({"TRAIN_TILES": [1]}, r"TRAIN_TILES: expected a list of tile names, found \[1\]"),
    ],
)
def test_a_rois_file_of_another_form_is_refused(regions, content, message):
    with pytest.raises(ConfigError, match=message):
        read_rois(regions([], **content))


@pytest.mark.parametrize("read", [read_rois, read_tiles])
def test_what_is_no_json_object_is_refused(bucket, read):
    uri = storage.join(bucket, "file.json")
    with pytest.raises(ConfigError, match="there is no such file; run make-"):
        read(uri)
    for text, message in (("[]", "expected a JSON object, found list"), ("{", "not a usable")):
        storage.write_bytes(uri, text.encode())
        with pytest.raises(ConfigError, match=message):
            read(uri)


def test_a_tiles_file_says_which_key_is_wrong(bucket):
    uri = storage.join(bucket, "tiles.json")
    storage.write_bytes(uri, b'{"S2_ROOT_DIR": "a", "TILES": []}')
    with pytest.raises(ConfigError, match=r"TILES: .*expected S2_ROOT_DIR, TILES"):
        read_tiles(uri)
    storage.write_bytes(uri, b'{"S2_ROOT_DIR": "a", "TILES": ["T31TEJ"], "MORE": 1}')
    assert read_tiles(uri).tiles == ("T31TEJ",)


@pytest.fixture
def index(tmp_path):
    """Give a tile of 2 x 3 elementary patches, with patches of one."""
    tiles, _ = write_tile(tmp_path, Tile([Optical(0)], [], with_dem=False))
    return index_tile("T31TEJ", read_tiles(tiles), 64)


def write_region(tmp_path, values, nodata=None):
    grid = grid_of(Tile([], [])).coarsened(64)
    values = np.asarray(values)[..., np.newaxis]
    uri = str(tmp_path / "region.tif")
    profile = RasterProfile(("train",), values.dtype.name, nodata, predictor=1)
    write_raster(uri, grid, profile, values)
    return uri


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_what_is_not_zero_may_be_used(tmp_path, index, dtype):
    uri = write_region(tmp_path, np.array([[0, 1, 7], [100, 0, 2]], dtype))
    assert index.region(uri).tolist() == [False, True, True, True, False, True]


def test_cells_without_a_value_may_not_be_used(tmp_path, index):
    values = np.array([[0, 1, 255], [255, 1, 0]], np.uint8)
    assert index.region(write_region(tmp_path, values, 255)).sum() == 2


def test_nan_says_neither_yes_nor_no(tmp_path, index):
    values = np.array([[0, 1, np.nan], [1, 1, 0]], np.float32)
    with pytest.raises(ProductError, match=r"region\.tif: 1 of 6 values are NaN; expected 0"):
        index.region(write_region(tmp_path, values))
