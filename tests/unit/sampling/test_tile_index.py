"""The index of a tile follows the prepared images, with and without the tile's table."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decloud_lib import storage
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.sampling.tile_table import read_table
from tests.prepared_tiles import Optical, Radar, Tile, write_tile

NAME = "T31TEJ"


def images():
    rng = np.random.default_rng(1)
    optical = [Optical(5 * day, rng.integers(0, 4097, (2, 3))) for day in range(4)]
    return optical, [Radar(4 * day, edge=day % 2) for day in range(5)]


@pytest.fixture
def place(tmp_path):
    """Write a prepared tile; return its root and the files with a table."""
    optical, radar = images()
    tiles, _ = write_tile(tmp_path, Tile(optical, radar))
    return tmp_path, with_table(tiles, tmp_path / "TABLES")


def with_table(tiles, folder):
    content = json.loads(storage.read_text(str(tiles)))
    content["TABLE_ROOT_DIR"] = str(folder)
    storage.write_bytes(str(tiles), json.dumps(content).encode())
    return read_tiles(str(tiles))


def facts(index):
    """All that an index says, in a form that can be compared."""
    found = index.catalogue
    arrays = {name: getattr(found, name).tolist() for name in found.__slots__}
    return index.grid, index.shape, index.s1, index.s2, index.dem, arrays


def plain(files):
    """What the rasters say."""
    return facts(index_tile(NAME, files.model_copy(update={"table_root": None}), 64))


def said(caplog):
    """How many images' statistics were read, by call."""
    texts = [record.message for record in caplog.records if "statistics read of" in record.message]
    caplog.clear()
    return [int(text.split("statistics read of ")[1].split()[0]) for text in texts]


def table_of(root):
    return root / "TABLES" / f"{NAME}.parquet"


def test_the_table_says_what_the_rasters_say_and_nothing_is_read_again(place, caplog):
    root, files = place
    caplog.set_level("INFO")
    expected = plain(files)
    assert said(caplog) == [9]
    for read in (9, 0, 0):
        assert facts(index_tile(NAME, files, 64)) == expected
        assert said(caplog) == [read]
    written = table_of(root).stat().st_mtime_ns
    index_tile(NAME, files, 128)
    assert said(caplog) == [0]
    assert table_of(root).stat().st_mtime_ns == written


def test_a_new_product_is_the_only_one_that_is_read(place, caplog):
    root, files = place
    caplog.set_level("INFO")
    before = index_tile(NAME, files, 64)
    write_tile(root / "more", Tile([Optical(7, 100)], [Radar(30)]))
    for part in ("S1_PREPARE", "S2_PREPARE"):
        shutil.copytree(root / "more" / part, root / part, dirs_exist_ok=True)
    caplog.clear()
    index = index_tile(NAME, files, 64)
    assert said(caplog) == [2]
    assert (len(index.s2), len(index.s1)) == (len(before.s2) + 1, len(before.s1) + 1)
    assert index.catalogue.s2_cloud_percent[2].tolist() == [100 * 100 / 4096] * 6
    assert facts(index) == plain(files)


def test_a_removed_product_is_gone(place, caplog):
    root, files = place
    caplog.set_level("INFO")
    first = index_tile(NAME, files, 64)
    shutil.rmtree(first.s2[0].uri)
    Path(first.s1[3].uri).unlink()
    caplog.clear()
    index = index_tile(NAME, files, 64)
    assert said(caplog) == [0]
    assert [image.name for image in index.s2] == [image.name for image in first.s2[1:]]
    assert len(index.s1) == 4
    assert facts(index) == plain(files)
    assert len(read_table(str(table_of(root)), NAME).rows) == 7


def test_a_product_that_was_prepared_again_is_read_again(place, caplog):
    root, files = place
    caplog.set_level("INFO")
    index_tile(NAME, files, 64)
    optical, radar = images()
    optical[2].cloud, radar[0].edge = 4096, 4096
    write_tile(root / "again", Tile(optical, radar))
    changed = ["*_CLM_R1_stats.tif", "*_edge.tif"]
    (stats,) = (
        path
        for path in (root / "again").rglob(changed[0])
        if "0611" in path.name  # ten days after the first
    )
    edge = min((root / "again").rglob(changed[1]))
    for path in (stats, edge):
        target = root / path.relative_to(root / "again")
        shutil.copyfile(path, target)
        # Even where the size is the same.
        os.utime(target, ns=(1, 10**18))
    caplog.clear()
    index = index_tile(NAME, files, 64)
    assert said(caplog) == [2]
    assert index.catalogue.s2_cloud_percent[2].tolist() == [100.0] * 6
    assert not index.catalogue.s1_valid[0].any()
    assert facts(index) == plain(files)
    index_tile(NAME, files, 64)
    assert said(caplog)[-1] == 0


@pytest.mark.parametrize("damage", ["empty", "half", "text", "other tile", "other table"])
def test_a_table_that_cannot_be_used_is_made_anew_and_it_is_said(place, damage, caplog):
    root, files = place
    expected = facts(index_tile(NAME, files, 64))
    good = table_of(root).read_bytes()
    if damage == "other tile":
        write_tile(root / "other", Tile([Optical(0)], [], name="T31TFJ", with_dem=False))
        others = with_table(root / "other" / "tiles.json", root / "other" / "TABLES")
        index_tile("T31TFJ", others, 64)
        content = (root / "other" / "TABLES" / "T31TFJ.parquet").read_bytes()
    elif damage == "other table":
        pq.write_table(pa.table({"a": [1]}), table_of(root))
        content = table_of(root).read_bytes()
    else:
        content = {"empty": b"", "half": good[: len(good) // 2], "text": b"no table"}[damage]
    table_of(root).write_bytes(content)
    assert facts(index_tile(NAME, files, 64)) == expected
    assert "made anew" in caplog.text
    assert table_of(root).read_bytes() == good


def content_of(table):
    counts = {uri: table.counts(uri) for uri in table.rows}
    return (
        table.head,
        table.rows,
        {uri: (found.edge.tolist(), str(found.cloud)) for uri, found in counts.items()},
    )


def test_a_head_that_was_changed_is_not_believed(place, caplog):
    root, files = place
    index_tile(NAME, files, 64)
    stored = pq.read_table(table_of(root))
    head = {
        key: value.replace(b"499980.0", b"499981.0")
        for key, value in stored.schema.metadata.items()
    }
    assert head != stored.schema.metadata
    pq.write_table(stored.replace_schema_metadata(head), table_of(root))
    assert read_table(str(table_of(root)), NAME) is None
    assert "it does not fit its checksum" in caplog.text


def test_a_flipped_bit_in_the_table_is_found(place):
    root, files = place
    index_tile(NAME, files, 64)
    good = table_of(root).read_bytes()
    assert read_table(str(table_of(root)), NAME) is not None
    rng = np.random.default_rng(0)
    for byte in rng.choice(len(good), 400, replace=False):
        content = bytearray(good)
        content[byte] ^= 1 << int(rng.integers(8))
        table_of(root).write_bytes(bytes(content))
        assert read_table(str(table_of(root)), NAME) is None, byte


def test_many_who_write_the_table_at_once_leave_a_whole_one(bucket, tmp_path):
    optical, radar = images()
    write_tile(tmp_path / "made", Tile(optical, radar))
    for part in ("S1_PREPARE", "S2_PREPARE", "DEM_PREPARE"):
        storage.upload_folder(tmp_path / "made" / part, storage.join(bucket, part))
    roots = {f"{kind}_ROOT_DIR": storage.join(bucket, f"{kind}_PREPARE") for kind in ("S1", "S2")}
    tiles = storage.join(bucket, "tiles.json")
    storage.write_bytes(tiles, json.dumps({**roots, "TILES": [NAME]}).encode())
    files = with_table(tiles, storage.join(bucket, "TABLES"))
    expected = plain(files)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: facts(index_tile(NAME, files, 64)), range(8)))
    assert found == [expected] * 8
    assert facts(index_tile(NAME, files, 64)) == expected
    assert [storage.name_of(uri) for uri in storage.list_children(files.table_root)] == [
        f"{NAME}.parquet"
    ]


def test_a_place_that_cannot_be_written_does_not_stop_the_index(place, caplog):
    _, files = place
    caplog.set_level("INFO")
    files = files.model_copy(update={"table_root": "/proc/tables"})
    assert facts(index_tile(NAME, files, 64)) == plain(files)
    assert "its table is not brought up to date" in caplog.text
