"""Prepared images: listing, times, and what is left out."""

import logging
from datetime import UTC, datetime

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.prepared import (
    list_s1,
    list_s2,
    open_s1,
    open_s2,
    tile_folder,
)
from tests.stages.delivered import S2_NAME, write_tif

PARTS = ("FRE_10m", "FRE_20m", "CLM_R1", "EDG_R1", "CLM_R1_stats", "EDG_R1_stats")
MASKED = "s1a_31TEJ_vvvh_ASC_045_20201010txxxxxx_from-10to3dB"
TIMED = "s1b_31TEJ_vvvh_DES_110_20201011t060008_from-10to3dB"
EARLIER = S2_NAME.replace("20201012", "20201002").replace("2B_", "2A_")


@pytest.fixture
def s2_root(bucket):
    root = storage.join(bucket, "S2_PREPARE")
    for name in (S2_NAME, EARLIER):
        for part in PARTS:
            storage.write_bytes(storage.join(root, "T31TEJ", name, f"{name}_{part}.tif"), b"")
        storage.write_bytes(storage.join(root, "T31TEJ", name, "manifest.json"), b"{}")
    return root


@pytest.fixture
def s1_root(bucket, tmp_path):
    root = storage.join(bucket, "S1_PREPARE")
    made = write_tif(tmp_path / "made" / "a.tif", np.ones((2, 64, 64), np.uint16))
    for stem in (MASKED, TIMED):
        storage.upload(made, storage.join(root, "T31TEJ", f"{stem}.tif"))
        storage.write_bytes(storage.join(root, "T31TEJ", f"{stem}_edge.tif"), b"")
        storage.write_bytes(storage.join(root, "T31TEJ", f"{stem}.manifest.json"), b"{}")
    return root


def test_optical_products_are_listed_by_time(s2_root):
    products = list_s2(s2_root)
    assert [product.name for product in products] == [EARLIER, S2_NAME]
    folder = storage.join(s2_root, "T31TEJ")
    assert list_s2(folder) == list_s2(s2_root, "T31TEJ") == list_s2(folder, "T31TEJ") == products
    assert products[1].uri == storage.join(folder, S2_NAME)
    assert products[1].acquired == datetime(2020, 10, 12, 10, 58, 48, 497000, tzinfo=UTC)
    assert products[1].cloud_mask.endswith(f"{S2_NAME}_CLM_R1.tif")
    assert products[1].edge_stats.endswith(f"{S2_NAME}_EDG_R1_stats.tif")
    assert open_s2(f"{products[1].uri}/") == products[1]
    assert list_s2(s2_root, "T31TCJ") == []


def test_incomplete_optical_products_are_left_out(s2_root, caplog):
    storage.delete(storage.join(s2_root, "T31TEJ", S2_NAME, f"{S2_NAME}_FRE_20m.tif"))
    storage.write_bytes(storage.join(s2_root, "T31TEJ", "notes", "map.tif"), b"")
    with caplog.at_level(logging.WARNING):
        assert [product.name for product in list_s2(s2_root)] == [EARLIER]
    assert "expected exactly one *_FRE_20m.tif, found none" in caplog.text
    assert "notes: not a Sentinel-2 L2A product" in caplog.text
    with pytest.raises(ProductError, match="run prepare-s2 again"):
        open_s2(storage.join(s2_root, "T31TEJ", S2_NAME))


def test_radar_images_are_listed_by_time(s1_root):
    images = list_s1(s1_root)
    assert [storage.name_of(image.uri) for image in images] == [f"{MASKED}.tif", f"{TIMED}.tif"]
    folder = storage.join(s1_root, "T31TEJ")
    assert list_s1(folder) == list_s1(s1_root, "T31TEJ") == images
    masked, timed = images
    assert timed.acquired == datetime(2020, 10, 11, 6, 0, 8, tzinfo=UTC)
    assert (timed.tile, timed.ascending, timed.time_is_assumed) == ("T31TEJ", False, False)
    assert timed.edge_stats == storage.join(folder, f"{TIMED}_edge.tif")
    # A file of the existing system: no tags, so the rule counts.
    assert masked.acquired == datetime(2020, 10, 10, 17, 45, tzinfo=UTC)
    assert masked.time_is_assumed
    assert open_s1(masked.uri) == masked


@pytest.mark.parametrize("assumed", [True, False])
def test_a_masked_time_is_read_from_the_prepared_file(s1_root, tmp_path, assumed):
    tags = {"ACQUISITION_TIME": "2020-10-10T17:32:01Z", "TIME_IS_ASSUMED": str(assumed).lower()}
    path = write_tif(tmp_path / "tagged.tif", np.ones((2, 64, 64), np.uint16), tags=tags)
    uri = storage.join(s1_root, "T31TEJ", f"{MASKED}.tif")
    storage.upload(path, uri)
    image = open_s1(uri)
    assert image.acquired == datetime(2020, 10, 10, 17, 32, 1, tzinfo=UTC)
    assert image.time_is_assumed == assumed


def test_incomplete_and_stray_radar_images_are_left_out(s1_root, caplog):
    folder = storage.join(s1_root, "T31TEJ")
    storage.delete(storage.join(folder, f"{TIMED}_edge.tif"))
    storage.write_bytes(storage.join(folder, "holiday_dB.tif"), b"")
    with caplog.at_level(logging.WARNING):
        assert [storage.name_of(image.uri) for image in list_s1(s1_root)] == [f"{MASKED}.tif"]
    assert f"{TIMED}_edge.tif are missing" in caplog.text
    assert "holiday_dB.tif: not a Sentinel-1 tile file" in caplog.text
    with pytest.raises(ProductError, match="run prepare-s1"):
        open_s1(storage.join(folder, f"{TIMED}.tif"))
    with pytest.raises(ProductError, match="not a prepared image"):
        open_s1(storage.join(folder, "s1b_31TEJ_vh_DES_110_20201011t060008.tif"))


def test_images_of_another_tile_in_a_tile_folder_are_left_out(s1_root, caplog):
    with caplog.at_level(logging.WARNING):
        assert list_s1(storage.join(s1_root, "T31TEJ"), "T31TEJ")
        assert list_s1(s1_root, "T30TCJ") == []
    assert not caplog.text


@pytest.mark.parametrize("root", ["a/S1", "a/S1/", "a/S1/T31TEJ", "a/S1/T31TEJ/"])
def test_a_tile_is_not_nested_twice(root):
    assert tile_folder(root, "T31TEJ") == "a/S1/T31TEJ"


def test_the_folder_of_another_tile_is_refused():
    with pytest.raises(ProductError, match=r"S1/T31TCJ: is the folder of T31TCJ, .* of T31TEJ"):
        tile_folder("a/S1/T31TCJ", "T31TEJ")
