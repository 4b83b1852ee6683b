"""The tiles JSON."""

import json

import pytest

from decloud_lib import storage
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from tests.prepared_tiles import Optical, Radar, Tile, write_tile

TABLE = "T31TEJ.parquet"


def _prepare(bucket, folder, *tiles, radar=True, dem=True):
    """Write small prepared tiles and bring them to the bucket."""
    for name in tiles:
        images = [Radar(1)] if radar else []
        write_tile(folder, Tile([Optical(0)], images, (1, 1), name, with_dem=dem, regions={}))
    for part in ("S2_PREPARE", "S1_PREPARE", "DEM_PREPARE"):
        if (folder / part).is_dir():
            storage.upload_folder(folder / part, storage.join(bucket, part))


def _make(root):
    output = storage.join(root, "tiles.json")
    result = make_tiles(MakeTilesConfig(prepared=root, output=output))
    assert result.output == output
    return result.tiles, json.loads(storage.read_text(output))


def test_all_prepared_tiles_and_roots_are_named(bucket, tmp_path):
    _prepare(bucket, tmp_path / "made", "T31TEJ", "T31TCJ")
    tiles, content = _make(bucket)
    assert tiles == ("T31TCJ", "T31TEJ")
    assert content == {
        "S2_ROOT_DIR": storage.join(bucket, "S2_PREPARE"),
        "S1_ROOT_DIR": storage.join(bucket, "S1_PREPARE"),
        "DEM_ROOT_DIR": storage.join(bucket, "DEM_PREPARE"),
        "TABLE_ROOT_DIR": storage.join(bucket, "TABLES"),
        "TILES": ["T31TCJ", "T31TEJ"],
    }
    for tile in tiles:
        assert storage.exists(storage.join(bucket, "TABLES", f"{tile}.parquet"))


def test_roots_without_data_are_left_out(bucket, tmp_path, caplog):
    _prepare(bucket, tmp_path / "made", "T31TEJ", radar=False)
    _prepare(bucket, tmp_path / "made", "T31TCJ", radar=False, dem=False)
    storage.write_bytes(storage.join(bucket, "S2_PREPARE", "T31TGJ", "stray.tif"), b"")
    _, content = _make(bucket)
    assert sorted(content) == ["S2_ROOT_DIR", "TABLE_ROOT_DIR", "TILES"]
    assert content["TILES"] == ["T31TCJ", "T31TEJ"]
    assert "no elevation of T31TCJ" in caplog.text
    assert "no radar images of T31TCJ, T31TEJ" in caplog.text


def test_the_files_are_left_alone_when_nothing_changed(bucket, tmp_path):
    _prepare(bucket, tmp_path / "made", "T31TEJ")
    _make(bucket)
    places = [storage.join(bucket, *parts) for parts in (("tiles.json",), ("TABLES", TABLE))]
    before = [storage.stat(place) for place in places]
    _make(bucket)
    assert [storage.stat(place) for place in places] == before
    _prepare(bucket, tmp_path / "more", "T31TCJ")
    _make(bucket)
    assert storage.stat(places[0]) != before[0]


def test_a_damaged_image_is_left_out_and_named(bucket, tmp_path):
    _prepare(bucket, tmp_path / "made", "T31TEJ")
    write_tile(tmp_path / "bad", Tile([Optical(5)], [], (1, 1), "T31TEJ", with_dem=False))
    (stats,) = (tmp_path / "bad").rglob("*_CLM_R1_stats.tif")
    stats.write_bytes(b"")
    storage.upload_folder(tmp_path / "bad" / "S2_PREPARE", storage.join(bucket, "S2_PREPARE"))
    output = storage.join(bucket, "tiles.json")
    result = make_tiles(MakeTilesConfig(prepared=bucket, output=output))
    assert result.tiles == ("T31TEJ",)
    (left_out,) = result.left_out
    assert stats.name in left_out.reason


def test_a_stack_of_another_size_is_refused_with_both_values(bucket, tmp_path):
    _prepare(bucket, tmp_path / "made", "T31TEJ")
    write_tile(tmp_path / "bad", Tile([Optical(5)], [], (2, 1), "T31TEJ", with_dem=False))
    storage.upload_folder(tmp_path / "bad" / "S2_PREPARE", storage.join(bucket, "S2_PREPARE"))
    with pytest.raises(GridMismatchError, match="height 2 against 1"):
        _make(bucket)


def test_no_prepared_product_is_an_error(bucket):
    with pytest.raises(ProductError, match="no prepared Sentinel-2 product found"):
        _make(bucket)
