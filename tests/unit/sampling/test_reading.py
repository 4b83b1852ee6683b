"""Pixels of drawn samples: by area, as a stream, and as shards in a bucket with little room."""

import shutil
from collections import namedtuple

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.acquisitions import load_layout
from decloud_lib.errors import NoSampleError
from decloud_lib.samples.dataset import read_dataset, record_files
from decloud_lib.samples.schema import schema_of
from decloud_lib.sampling import patches
from decloud_lib.sampling.drawing import search_data_set
from decloud_lib.sampling.patches import areas, read_area
from decloud_lib.sampling.rasters import OpenRasters
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.streaming import SampleStream
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.sampling.writing import ShardPlan, write_data_set
from tests.prepared_tiles import Tile, season, write_tile

LAYOUT = load_layout("AL-CRGA-OS2-clear-neighbours")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    path, _ = write_tile(root, Tile(*season(10, 14), cells=(8, 9)))
    return read_tiles(path)


def drawn(tiles, patch_px, limit=None):
    index = index_tile("T31TEJ", tiles, patch_px)
    everywhere = np.ones(index.catalogue.n_positions, dtype=bool)
    found = search_data_set("x", LAYOUT, [(index, everywhere)], {}, ("all_pairs", 0))
    schema = schema_of(LAYOUT, patch_px, with_20m_bands=True, with_dem=True)
    return found.draw(limit, np.random.default_rng(3)), schema


@pytest.mark.parametrize("patch_px", [64, 128, 192, 256, 320, 512])
def test_each_sample_lies_in_one_area_whatever_the_patch_size(tiles, patch_px):
    samples, _ = drawn(tiles, patch_px)
    found = areas(samples, np.arange(len(samples)))
    assert sorted(np.concatenate([area.samples for area in found])) == list(range(len(samples)))
    index = samples.indexes[0]
    for area in found:
        for sample in area.samples:
            window = index.window(int(samples.rows["position"][sample]))
            assert area.window.row <= window.row
            assert area.window.col <= window.col
            assert window.row + patch_px <= area.window.row + area.window.height
            assert window.col + patch_px <= area.window.col + area.window.width


@pytest.mark.parametrize("patch_px", [64, 128, 256])
def test_no_block_belongs_to_two_areas(tiles, patch_px):
    samples, _ = drawn(tiles, patch_px)
    blocks = [
        (row, col)
        for area in areas(samples, np.arange(len(samples)))
        for row in range(area.window.row // 256, -(-(area.window.row + area.window.height) // 256))
        for col in range(area.window.col // 256, -(-(area.window.col + area.window.width) // 256))
    ]
    assert len(set(blocks)) == len(blocks)


def arrays_of(samples, schema):
    found = {}
    with OpenRasters(samples.indexes) as rasters:
        for area in areas(samples, np.arange(len(samples))):
            for sample, arrays in read_area(rasters, samples, area, schema):
                found[sample] = {key: array.copy() for key, array in arrays.items()}
    return found


def test_little_memory_and_few_open_files_change_nothing(tiles, monkeypatch):
    samples, schema = drawn(tiles, 64, limit=60)
    expected = arrays_of(samples, schema)
    monkeypatch.setattr(patches, "_HELD_BYTES", 1)
    monkeypatch.setattr("decloud_lib.sampling.rasters._MOST_FILES", 2)
    found = arrays_of(samples, schema)
    assert found.keys() == expected.keys() == set(range(60))
    for number, arrays in found.items():
        assert arrays.keys() == set(schema.keys)
        for key, array in arrays.items():
            assert np.array_equal(array, expected[number][key])


def test_shards_in_a_bucket_are_the_same_when_there_is_little_room(
    tiles, tmp_path, s3, monkeypatch
):
    samples, schema = drawn(tiles, 64, limit=25)
    plan = ShardPlan(schema, 4, drop_remainder=False)
    local = write_data_set(samples, str(tmp_path / "local"), plan)
    room = namedtuple("room", "free")(10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    remote = write_data_set(samples, f"{s3}/train", plan)
    assert remote.checksums == local.checksums
    assert len(remote.checksums) == 7
    names = [storage.name_of(entry.uri) for entry in storage.list_files(f"{s3}/train")]
    assert sorted(names) == sorted(map(storage.name_of, local.uris))


def test_a_stream_gives_what_records_give(tiles, tmp_path):
    samples, schema = drawn(tiles, 64, limit=23)
    write_data_set(samples, str(tmp_path), ShardPlan(schema, 10, drop_remainder=False))
    keys, targets = ("s2_t", "s1_tm1", "s2_timestamp_t", "dem"), ("s2_target", "s2_20m_target")
    stored = read_dataset(record_files(tmp_path), schema, keys, targets, 4)
    stream = SampleStream(samples, schema, buffer=5)
    assert len(stream) == 23
    for _ in range(2):
        batches = list(stream.batches(keys, targets, 4).as_numpy_iterator())
        for found, expected in zip(batches, stored.as_numpy_iterator(), strict=True):
            for mine, theirs in zip(found, expected, strict=True):
                assert mine.keys() == theirs.keys()
                for key, array in mine.items():
                    assert array.dtype == theirs[key].dtype
                    assert np.array_equal(array, theirs[key])
    assert stream.waited_s > 0
    assert next(iter(stream)).keys() == set(schema.keys)


def test_nothing_to_draw_is_said(tiles):
    index = index_tile("T31TEJ", tiles, 64)
    nowhere = np.zeros(index.catalogue.n_positions, dtype=bool)
    found = search_data_set("x", LAYOUT, [(index, nowhere)], {}, ("all_pairs", 0))
    with pytest.raises(NoSampleError, match="0 of 72 positions"):
        found.draw(None, np.random.default_rng(0))
