"""The baselines of the benchmarks do the same work as what is compared with them."""

import numpy as np
import pytest
import rasterio

from benchmarks import (
    catalogues,
    codecs,
    deliveries,
    first_step,
    plain,
    records,
    textures,
    training,
    weights,
)
from benchmarks.results import Row, as_table, compared
from benchmarks.trees import count_with_trees
from decloud_lib.acquisitions import load_layout
from decloud_lib.arrays.encode import encode_channel
from decloud_lib.arrays.layout import SearchOptions, count_samples
from decloud_lib.samples.dataset import read_dataset, record_files
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.synthetic.ground import tile_grid

SIZE = 512


@pytest.fixture(scope="module")
def texture():
    return textures.generated(64)


def pixels(path):
    with rasterio.open(path) as file:
        return file.read(), file.profile


def layout(profile):
    return {key: profile[key] for key in ("blockxsize", "blockysize", "interleave", "compress")}


def only(folder, pattern):
    (path,) = folder.rglob(pattern)
    return path


def test_the_plain_loop_writes_what_the_s2_preparation_writes(texture, tmp_path):
    product = deliveries.write_theia(tmp_path / "in", texture, SIZE)
    (tmp_path / "plain").mkdir()
    plain.copy_optical(product, tmp_path / "plain", plain.SAME_CODEC)
    prepare_s2(PrepareS2Config(in_image=(str(product),), out_s2_dir=str(tmp_path / "ours")))
    pairs = {"10m": "*_FRE_10m.tif", "20m": "*_FRE_20m.tif", "CLM_R1": "*_CLM_R1.tif"}
    for name, pattern in pairs.items():
        expected, plain_profile = pixels(tmp_path / "plain" / f"{name}.tif")
        found, profile = pixels(only(tmp_path / "ours", pattern))
        assert np.array_equal(found, expected)
        assert layout(profile) == layout(plain_profile)


def test_the_plain_loop_of_jp2_writes_what_the_preparation_of_esa_products_writes(
    texture, tmp_path
):
    product = deliveries.write_safe(tmp_path / "in", texture, SIZE)
    (tmp_path / "plain").mkdir()
    plain.copy_safe(product, tmp_path / "plain", plain.SAME_CODEC)
    prepare_s2(PrepareS2Config(in_image=(str(product),), out_s2_dir=str(tmp_path / "ours")))
    for name in ("10m", "20m"):
        stored, _ = pixels(tmp_path / "plain" / f"{name}.tif")
        found, _ = pixels(only(tmp_path / "ours", f"*_FRE_{name}.tif"))
        assert np.array_equal(found.astype(int), stored.astype(int) - 1000)
    cloud, _ = pixels(only(tmp_path / "ours", "*_CLM_R1.tif"))
    classes, _ = pixels(tmp_path / "plain" / "CLM.tif")
    assert np.array_equal(cloud > 0, classes == 9)


def test_the_plain_formula_is_the_encoding_but_for_rounding(texture, tmp_path):
    vh = deliveries.write_radar(tmp_path / "in", texture, SIZE)
    (tmp_path / "plain").mkdir()
    plain.copy_radar(vh, tmp_path / "plain", plain.SLOW_CODEC, plain.plain_encoding)
    prepare_s1(PrepareS1Config(input_s1_vh=(str(vh),), out_s1_dir=str(tmp_path / "ours")))
    expected, plain_profile = pixels(tmp_path / "plain" / "s1.tif")
    found, profile = pixels(only(tmp_path / "ours", "*_from-10to3dB.tif"))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    assert profile["blockxsize"] == plain_profile["blockxsize"] == 256


def test_the_cheap_integers_are_a_logarithm_of_about_the_same_resolution():
    sigma0 = np.exp(np.linspace(-9, 0.5, 10_001)).astype(np.float32)
    cheap = plain.cheap_bits(sigma0).astype(int)
    encoded = encode_channel(sigma0).astype(int)
    assert np.all(np.diff(cheap) >= 0)
    assert 1 <= np.ptp(cheap) / np.ptp(encoded) < 1.25


def test_a_row_tells_whether_its_target_is_met():
    met = compared("a", 1.2, "s", ("plain", 1.0), 1.3)
    missed = compared("b", 1.4, "s", ("plain", 1.0), 1.3)
    told = compared("c", 1.4, "s", ("plain", 1.0))
    grows = Row("d", 30, "products/min", "1 worker", 20, 1.5, 1.1, "at least")
    assert [row.met for row in (met, missed, told, grows)] == [True, False, None, True]
    lines = as_table([met, missed, told, grows]).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["met", "missed", "", "met"]
    assert missed.to_dict()["met"] is False


def test_every_way_to_store_is_measured_once():
    for raster in ("s2_10m", "s2_20m", "s1", "mask"):
        found = codecs.choices(raster)
        assert len(set(found)) == len(found)


def test_all_ways_to_store_are_measured(texture, tmp_path):
    small = codecs.rasters(texture, (SIZE, SIZE))
    rows = codecs.measure("generator", "mask", small["mask"], tmp_path, tries=1)
    assert len(rows) == len(codecs.choices("mask"))
    assert all(row.size_ratio > 1 and row.write_mb_s > 0 for row in rows)
    assert len(codecs.table(rows).splitlines()) == len(rows) + 2


def test_a_raster_is_rebuilt_from_windows_that_cover_it_all():
    shape = (700, 1200)
    covered = np.zeros(shape, int)
    for window in codecs.ways_to_read(shape, 1)["rebuild"].windows:
        rows, cols = window.toslices()
        covered[rows, cols] += 1
    assert covered.min() == 1
    assert covered.max() == 4


def test_the_search_with_trees_finds_what_the_search_finds(tmp_path):
    tiles = read_tiles(str(catalogues.write_statistics(tmp_path, 90, 110)))
    few = index_tile(catalogues.TILE, tiles, 64).catalogue.at(np.arange(0, 171 * 171, 1900))
    for layout in ("AL-CRGA-OS2-Occitanie", "AL-CRGA-OS1-Occitanie"):
        plan = load_layout(layout).to_search()
        historic = count_samples(few, plan, SearchOptions(conflicts="historic"))
        assert historic == count_with_trees(few, plan) > 100


def test_the_first_step_is_a_step_of_training():
    loss = first_step.first_step("crga_os2_david", patch_px=16)
    # Random samples: targets are even on 0..1, and the first estimates are small.
    assert 0.2 < loss < 0.8


def test_samples_are_written_with_each_block_read_once(texture, tmp_path):
    tiles = str(records.write_prepared(tmp_path / "in", SIZE, texture))
    read, once = records.bytes_read(tiles, 40, tmp_path / "out")
    assert 0.99 < read / once < 1.2


def test_the_plain_writer_of_samples_writes_the_same_samples(texture, tmp_path):
    tiles = read_tiles(str(records.write_prepared(tmp_path / "in", SIZE, texture)))
    drawn, schema = records.drawn_samples(tiles, 3)
    records.write_data_set(drawn, str(tmp_path / "ours"), records.ShardPlan(schema, 3, False))
    (tmp_path / "plain").mkdir()
    records.write_from_memory(records.in_memory(drawn, schema), tmp_path / "plain")
    keys = [key for key in schema.keys if not key.startswith("s2_target")]
    ours, plainly = (
        read_dataset(record_files(tmp_path / name), schema, keys, ("s2_target",), 1)
        for name in ("ours", "plain")
    )
    pairs = list(zip(ours.as_numpy_iterator(), plainly.as_numpy_iterator(), strict=True))
    assert len(pairs) == 3
    for (inputs, targets), (same_inputs, same_targets) in pairs:
        assert np.array_equal(targets["s2_target"], same_targets["s2_target"])
        for key in keys:
            assert np.array_equal(inputs[key], same_inputs[key])


def test_a_training_is_timed_from_records_and_from_memory():
    rows = training.bench_training(samples=6, rounds=1, patch_px=64)
    assert [row.baseline for row in rows] == ["the same steps, in memory"] * 2
    assert all(row.value > 0 for row in rows)


def test_each_place_of_a_training_has_ground_of_its_own():
    places = [weights.describe_place(weights.FIRST_SEED + n) for n in range(weights.MOST_PLACES)]
    assert len({tile_grid(place.tile, place.size_px) for place in places}) == len(places)
    assert len({place.start for place in places}) > 100
