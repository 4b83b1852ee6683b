"""Preparation of Sentinel-2: files, values, statistics, re-runs and refusals."""

import json
import logging
import re
import shutil
from dataclasses import fields

import numpy as np
import pytest
import rasterio

from decloud_lib import storage
from decloud_lib.errors import (
    GridMismatchError,
    MissingBandError,
    OutputConflictError,
    ProductError,
    SettingsError,
)
from decloud_lib.raster.products.prepared import list_s2, open_s2
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.types import Window
from tests.stages.delivered import REAL, S2_NAME, WITHOUT_REAL, write_theia, write_tif, zip_product


def _read(uri):
    with open_raster(uri) as reader:
        return reader.read(Window(0, 0, *reader.grid.shape)), reader


def _prepare(uri, root, **options):
    return prepare_s2(PrepareS2Config(in_image=(uri,), out_s2_dir=root, **options))


@pytest.mark.parametrize("packed", [False, True])
def test_a_product_becomes_six_rasters(bucket, tmp_path, packed):
    rng = np.random.default_rng(3)
    cloud = np.where(rng.random((130, 200)) < 0.3, rng.integers(1, 256, (130, 200)), 0)
    edge = np.zeros((130, 200), np.uint8)
    edge[5, 70] = 1
    pixels = write_theia(tmp_path, shape=(130, 200), cloud=cloud.astype(np.uint8), edge=edge)
    uri = storage.join(bucket, "raw", S2_NAME)
    if packed:
        uri += ".zip"
        storage.upload(zip_product(tmp_path), uri)
    else:
        storage.upload_folder(tmp_path / S2_NAME, uri)

    folder = storage.join(bucket, "S2", "T31TEJ", S2_NAME)
    result = _prepare(uri, storage.join(bucket, "S2"))
    assert (result.made, result.reused) == ((folder,), 0)
    names = [storage.name_of(entry.uri) for entry in storage.list_files(folder)]
    ends = ("CLM_R1", "CLM_R1_stats", "EDG_R1", "EDG_R1_stats", "FRE_10m", "FRE_20m")
    assert names == [f"{S2_NAME}_{end}.tif" for end in ends] + ["manifest.json"]

    product = open_s2(folder)
    stack, reader = _read(product.stack_10m)
    assert reader.bands == ("B2", "B3", "B4", "B8")
    assert (reader.dtype, reader.nodata, reader.grid.pixel_m) == ("int16", -10000, 10)
    assert reader.tags["ACQUISITION_TIME"] == "2020-10-12T10:58:48.497+00:00"
    np.testing.assert_array_equal(stack, np.stack([pixels[band] for band in reader.bands], -1))
    stack, reader = _read(product.stack_20m)
    assert reader.bands == ("B11", "B12", "B5", "B6", "B7", "B8A")
    assert (reader.dtype, reader.nodata, reader.grid.pixel_m) == ("int16", -10000, 20)
    np.testing.assert_array_equal(stack, np.stack([pixels[band] for band in reader.bands], -1))
    for mask, uri in (("CLM_R1", product.cloud_mask), ("EDG_R1", product.edge_mask)):
        values, reader = _read(uri)
        assert (reader.dtype, reader.nodata) == ("uint8", None)
        np.testing.assert_array_equal(values[..., 0], pixels[mask])


def test_statistics_count_flagged_pixels_of_whole_patches(tmp_path):
    cloud = np.zeros((130, 200), np.uint8)
    cloud[:64, :64] = 128
    cloud[64, 64] = 1
    cloud[128:] = cloud[:, 192:] = 3
    edge = np.zeros((130, 200), np.uint8)
    edge[127, 191] = 1
    write_theia(tmp_path, shape=(130, 200), cloud=cloud, edge=edge)
    _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))
    [product] = list_s2(str(tmp_path / "S2"))
    counts, reader = _read(product.cloud_stats)
    assert counts.dtype == np.uint16
    assert counts[..., 0].tolist() == [[4096, 0, 0], [0, 1, 0]]
    assert reader.grid.pixel_m == 640
    with open_raster(product.stack_10m) as fine:
        assert (reader.grid.left, reader.grid.top) == (fine.grid.left, fine.grid.top)
    assert _read(product.edge_stats)[0][..., 0].tolist() == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("tilesize", [32, 64, 256])
def test_block_sizes_follow_the_option(tmp_path, tilesize):
    write_theia(tmp_path, shape=(576, 640))
    _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"), tilesize=tilesize)
    [product] = list_s2(str(tmp_path / "S2"))
    assert _read(product.stack_10m)[1].block_shape == (tilesize, tilesize)
    assert _read(product.stack_20m)[1].block_shape == (tilesize // 2, tilesize // 2)


def test_tall_products_are_written_in_several_strips(tmp_path):
    rng = np.random.default_rng(5)
    cloud = (rng.random((700, 128)) < 0.5).astype(np.uint8)
    pixels = write_theia(tmp_path, shape=(700, 128), cloud=cloud)
    _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))
    [product] = list_s2(str(tmp_path / "S2"))
    np.testing.assert_array_equal(_read(product.stack_10m)[0][..., 3], pixels["B8"])
    np.testing.assert_array_equal(_read(product.stack_20m)[0][..., 0], pixels["B11"])
    expected = cloud[:640].reshape(10, 64, 2, 64).sum(axis=(1, 3))
    np.testing.assert_array_equal(_read(product.cloud_stats)[0][..., 0], expected)


@pytest.mark.parametrize("end", ["", "/", "/T31TEJ", "/T31TEJ/"])
def test_the_tile_is_added_once(tmp_path, end):
    write_theia(tmp_path)
    result = _prepare(str(tmp_path / S2_NAME) + "/", str(tmp_path / "S2") + end)
    assert result.made == (str(tmp_path / "S2" / "T31TEJ" / S2_NAME),)


def test_complete_products_are_left_alone(bucket, tmp_path):
    write_theia(tmp_path)
    uri = storage.join(bucket, "raw", S2_NAME)
    storage.upload_folder(tmp_path / S2_NAME, uri)
    root = storage.join(bucket, "S2")
    _prepare(uri, root)
    before = storage.list_files(root)
    again = _prepare(f"{uri}/", storage.join(root, "T31TEJ"))
    assert (again.made, again.reused) == ((), 1)
    assert storage.list_files(root) == before


def test_a_lost_file_is_made_again(tmp_path):
    write_theia(tmp_path)
    _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))
    [product] = list_s2(str(tmp_path / "S2"))
    storage.delete(product.edge_stats)
    assert _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2")).reused == 0
    assert storage.stat(product.edge_stats)


def test_other_settings_are_refused_unless_overwrite(tmp_path):
    write_theia(tmp_path)
    uri, root = str(tmp_path / S2_NAME), str(tmp_path / "S2")
    _prepare(uri, root)
    with pytest.raises(OutputConflictError, match="tilesize 256 against 64"):
        _prepare(uri, root, tilesize=64)
    assert _prepare(uri, root, tilesize=64, overwrite=True).reused == 0


def test_several_products_are_prepared_in_one_call(tmp_path, caplog):
    other = S2_NAME.replace("20201012", "20201017")
    for name in (S2_NAME, other):
        write_theia(tmp_path, name)
    config = PrepareS2Config(
        in_image=(str(tmp_path / S2_NAME), str(tmp_path / other)), out_s2_dir=str(tmp_path / "S2")
    )
    with caplog.at_level(logging.INFO):
        assert len(prepare_s2(config).made) == 2
        # A batch of another size finds what single calls made.
        assert _prepare(str(tmp_path / other), str(tmp_path / "S2")).reused == 1
    assert "prepare-s2: 2 made, 0 were complete already" in caplog.text
    manifest = json.loads((tmp_path / "S2" / "T31TEJ" / other / "manifest.json").read_text())
    assert manifest["config"]["in_image"] == [str(tmp_path / other)]
    assert manifest["counts"] == {"patches": 6, "flagged_px": 0, "edge_px": 0}
    assert len(manifest["inputs"]) == 12


def test_a_missing_band_ends_the_stage_and_leaves_nothing(tmp_path):
    write_theia(tmp_path)
    (tmp_path / S2_NAME / f"{S2_NAME}_FRE_B8A.tif").unlink()
    with pytest.raises(MissingBandError, match=rf"{S2_NAME}: band B8A missing"):
        _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))
    assert storage.list_files(str(tmp_path / "S2")) == []


def test_a_damaged_band_is_named_and_leaves_nothing(tmp_path):
    write_theia(tmp_path, shape=(512, 512))
    band = tmp_path / S2_NAME / f"{S2_NAME}_FRE_B4.tif"
    band.write_bytes(band.read_bytes()[: band.stat().st_size // 2])
    with pytest.raises(ProductError, match=re.escape(band.name)):
        _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))
    assert storage.list_files(str(tmp_path / "S2")) == []


@pytest.mark.parametrize(
    ("file", "pixels", "pixel_m", "message"),
    [
        ("FRE_B3", np.zeros((128, 190), np.int16), 10, "width 192 against 190"),
        ("FRE_B11", np.zeros((64, 95), np.int16), 20, "at half the resolution"),
        ("FRE_B5", np.zeros((64, 96), np.int16), 10, "pixel_m 20.0 against 10.0"),
        ("MASKS/CLM_R1", np.zeros((64, 96), np.uint8), 20, "height 128 against 64"),
    ],
)
def test_rasters_on_other_grids_are_refused(tmp_path, file, pixels, pixel_m, message):
    write_theia(tmp_path)
    folder, _, end = file.rpartition("/")
    write_tif(tmp_path / S2_NAME / folder / f"{S2_NAME}_{end}.tif", pixels, pixel_m)
    with pytest.raises(GridMismatchError, match=message):
        _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))


@pytest.mark.parametrize(
    ("file", "pixels", "message"),
    [
        ("FRE_B3", np.zeros((128, 192), np.float32), "float32, expected one of int16"),
        ("FRE_B3", np.zeros((2, 128, 192), np.int16), r"found 2 band\(s\)"),
        ("MASKS/CLM_R1", np.zeros((128, 192), np.uint16), "expected one of uint8"),
    ],
)
def test_other_content_is_refused(tmp_path, file, pixels, message):
    write_theia(tmp_path)
    folder, _, end = file.rpartition("/")
    write_tif(tmp_path / S2_NAME / folder / f"{S2_NAME}_{end}.tif", pixels)
    with pytest.raises(ProductError, match=message):
        _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))


def test_a_product_smaller_than_a_patch_is_refused(tmp_path):
    write_theia(tmp_path, shape=(128, 62))
    with pytest.raises(ProductError, match="expected at least one patch of 64 px"):
        _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"))


def test_what_is_no_product_is_refused(tmp_path):
    with pytest.raises(ProductError, match="not a Sentinel-2 L2A product"):
        _prepare(str(tmp_path), str(tmp_path / "S2"))


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
def test_what_is_prepared_is_no_input(tmp_path, mode):
    write_theia(tmp_path)
    (made,) = _prepare(str(tmp_path / S2_NAME), str(tmp_path / "S2"), mode=mode).made
    with pytest.raises(ProductError, match="is prepared already; expected the product as deliv"):
        _prepare(made, str(tmp_path / "again"))


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_products_are_prepared(tmp_path):
    folder = REAL / "SENTINEL2" / "T31UDS"
    products = [*sorted(folder.glob("*.zip")), *sorted(folder.glob("SENTINEL2*"))[:7]]
    config = PrepareS2Config(in_image=tuple(map(str, products)), out_s2_dir=str(tmp_path))
    made = len(set(products))
    assert len(prepare_s2(config).made) == made
    for product in list_s2(str(tmp_path)):
        parts = [getattr(product, item.name) for item in fields(product)[4:]]
        assert len(parts) == 6
        counts, _ = _read(product.cloud_stats)
        assert counts.shape == (1, 1, 1)
        assert counts[0, 0, 0] == np.count_nonzero(_read(product.cloud_mask)[0])


def test_outputs_do_not_depend_on_the_archive(tmp_path):
    write_theia(tmp_path)
    archive = zip_product(tmp_path)
    _prepare(str(tmp_path / S2_NAME), str(tmp_path / "a"))
    shutil.rmtree(tmp_path / S2_NAME)
    _prepare(str(archive), str(tmp_path / "b"))
    for one, other in zip(list_s2(str(tmp_path / "a")), list_s2(str(tmp_path / "b")), strict=True):
        for part in ("stack_10m", "stack_20m", "cloud_mask", "cloud_stats"):
            data = [storage.read_bytes(getattr(product, part)) for product in (one, other)]
            assert data[0] == data[1]
    with rasterio.open(one.stack_10m) as file:
        assert file.tags()["PRODUCT"] == S2_NAME


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        ({}, {1, 2, 32, 35, 64, 128, 255}),
        ({"clm_bits": (1,)}, {2, 35, 255}),
        ({"clm_bits": (7, 5)}, {32, 35, 128, 255}),
        ({"shadows": False}, {2, 35, 128, 255}),
    ],
)
def test_the_chosen_bits_of_the_cloud_mask_count_and_stay(tmp_path, options, counted):
    cloud = np.zeros((64, 64), np.uint8)
    values = (0, 1, 2, 32, 35, 64, 128, 255)
    cloud[0, : len(values)] = values
    write_theia(tmp_path, shape=(64, 64), cloud=cloud)
    (folder,) = _prepare(str(tmp_path / S2_NAME), str(tmp_path / "out"), **options).made
    product = open_s2(folder)
    mask, reader = _read(product.cloud_mask)
    assert {value for value, left in zip(values, mask[0, :8, 0], strict=True) if left} == counted
    # What counts keeps its bits: of the default, all.
    if not options:
        np.testing.assert_array_equal(mask[..., 0], cloud)
    stats, _ = _read(product.cloud_stats)
    assert stats.item() == len(counted)
    assert reader.tags["CLOUD"].startswith("CLM bits ")


@pytest.mark.parametrize("wrong", [{"clm_bits": (8,)}, {"scl_classes": (0,)}])
def test_bits_and_classes_that_do_not_exist_are_refused(wrong):
    with pytest.raises(SettingsError, match="expected numbers from"):
        PrepareS2Config(in_image=("x",), out_s2_dir="y", **wrong)


@pytest.mark.parametrize("codec", ["ZSTD", "DEFLATE"])
@pytest.mark.parametrize("cog", [False, True])
def test_codec_and_cloud_optimised_layout_are_options(tmp_path, codec, cog):
    shape = (640, 576)
    cloud = np.full(shape, 64, np.uint8)
    cloud[::2, ::2] = 3
    pixels = write_theia(tmp_path, shape=shape, cloud=cloud)
    uri, root = str(tmp_path / S2_NAME), str(tmp_path / "out")
    (folder,) = _prepare(uri, root, codec=codec, cog=cog).made
    product = open_s2(folder)
    with rasterio.open(product.stack_10m) as file:
        assert file.compression.name == {"ZSTD": "zstd", "DEFLATE": "deflate"}[codec]
        assert file.block_shapes[0] == (256, 256)
        assert bool(file.overviews(1)) == cog
        assert (file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG") == cog
        assert file.descriptions == ("B2", "B3", "B4", "B8")
        assert file.tags()["PRODUCT"] == S2_NAME
        np.testing.assert_array_equal(file.read(1), pixels["B2"])
    if cog:
        with rasterio.open(product.cloud_mask, overview_level=0) as file:
            # A mean of bit fields would be bits that no pixel has.
            assert set(np.unique(file.read(1))) <= {3, 64}


def test_slope_corrected_or_plain_reflectance(tmp_path):
    write_theia(tmp_path)
    folder = tmp_path / S2_NAME
    for path in list(folder.glob("*_SRE_*.tif")):
        shutil.copy(path.with_name(path.name.replace("_SRE_", "_FRE_")), path)
    marked = folder / f"{S2_NAME}_SRE_B3.tif"
    write_tif(marked, np.full((128, 192), 1234, np.int16), nodata=-10000)
    (made,) = _prepare(str(folder), str(tmp_path / "out"), reflectance="SRE").made
    product = open_s2(made)
    assert product.stack_10m.endswith("_SRE_10m.tif")
    stack, reader = _read(product.stack_10m)
    assert (stack[..., 1] == 1234).all()
    assert reader.tags["REFLECTANCE"] == "SRE"
