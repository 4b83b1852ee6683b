"""The tiles JSON."""

import json

import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from tests.stages.delivered import S2_NAME

PARTS = ("FRE_10m", "FRE_20m", "CLM_R1", "EDG_R1", "CLM_R1_stats", "EDG_R1_stats")


def _prepare(root, *tiles):
    for tile in tiles:
        name = S2_NAME.replace("T31TEJ", tile)
        for part in PARTS:
            uri = storage.join(root, "S2_PREPARE", tile, name, f"{name}_{part}.tif")
            storage.write_bytes(uri, b"")


def _make(root):
    output = storage.join(root, "tiles.json")
    result = make_tiles(MakeTilesConfig(prepared=root, output=output))
    assert result.output == output
    return result.tiles, json.loads(storage.read_text(output))


def test_all_prepared_tiles_and_roots_are_named(bucket):
    _prepare(bucket, "T31TEJ", "T31TCJ")
    for tile in ("T31TEJ", "T31TCJ"):
        storage.write_bytes(storage.join(bucket, "S1_PREPARE", tile, "a.tif"), b"")
        storage.write_bytes(storage.join(bucket, "DEM_PREPARE", f"{tile}.tif"), b"")
    tiles, content = _make(bucket)
    assert tiles == ("T31TCJ", "T31TEJ")
    assert content == {
        "S2_ROOT_DIR": storage.join(bucket, "S2_PREPARE"),
        "S1_ROOT_DIR": storage.join(bucket, "S1_PREPARE"),
        "DEM_ROOT_DIR": storage.join(bucket, "DEM_PREPARE"),
        "TILES": ["T31TCJ", "T31TEJ"],
    }


def test_roots_without_data_are_left_out(bucket, caplog):
    _prepare(bucket, "T31TEJ", "T31TCJ")
    storage.write_bytes(storage.join(bucket, "DEM_PREPARE", "T31TEJ.tif"), b"")
    storage.write_bytes(storage.join(bucket, "S2_PREPARE", "T31TGJ", "stray.tif"), b"")
    _, content = _make(bucket)
    assert sorted(content) == ["S2_ROOT_DIR", "TILES"]
    assert content["TILES"] == ["T31TCJ", "T31TEJ"]
    assert "no elevation of T31TCJ" in caplog.text
    assert "no radar images of T31TCJ, T31TEJ" in caplog.text


def test_the_file_is_left_alone_when_nothing_changed(bucket):
    _prepare(bucket, "T31TEJ")
    _make(bucket)
    before = storage.stat(storage.join(bucket, "tiles.json"))
    _make(bucket)
    assert storage.stat(storage.join(bucket, "tiles.json")) == before
    _prepare(bucket, "T31TCJ")
    _make(bucket)
    assert storage.stat(storage.join(bucket, "tiles.json")) != before


def test_no_prepared_product_is_an_error(bucket):
    with pytest.raises(ProductError, match="no prepared Sentinel-2 product found"):
        _make(bucket)
