"""Listing delivered products as work for the preparation."""

import logging

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.stages.list_products import ListProductsConfig, list_products
from decloud_lib.stages.prepare_dem import PrepareDemConfig
from decloud_lib.stages.prepare_s1 import PrepareS1Config
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from tests.stages.delivered import REAL, S2_NAME, WITHOUT_REAL, write_theia, write_tif

OTHER = S2_NAME.replace("20201012", "20201002").replace("T31TEJ", "T31TCJ")


def _list(root, family, batch=1):
    prepared = storage.join(root, "prepared")
    config = ListProductsConfig(
        products=storage.join(root, "raw"), prepared=prepared, family=family, batch=batch
    )
    return list_products(config)


def _put(root, *names):
    for name in names:
        storage.write_bytes(storage.join(root, "raw", name), b"x")


def test_optical_products_are_listed_as_arguments(bucket):
    _put(
        bucket,
        f"SENTINEL2/T31TEJ/{S2_NAME}.zip",
        f"SENTINEL2/T31TEJ/{S2_NAME.replace('B_', 'A_')}/a.tif",
        f"SENTINEL2/T31TCJ/{OTHER}/MASKS/b.tif",
        "SENTINEL2/T31TCJ/notes.txt",
    )
    raw, output = (storage.join(bucket, name) for name in ("raw/SENTINEL2", "prepared/S2_PREPARE"))
    expected = [
        f"{raw}/T31TCJ/{OTHER}",
        f"{raw}/T31TEJ/{S2_NAME.replace('B_', 'A_')}",
        f"{raw}/T31TEJ/{S2_NAME}.zip",
    ]
    work = _list(bucket, "s2")
    states = [item.pop("content") for item in work]
    assert work == [{"in_image": [uri], "out_s2_dir": output} for uri in expected]
    assert [len(state) for state in states] == [1, 1, 1]
    assert PrepareS2Config(**work[0]).in_image == (expected[0],)
    batches = _list(bucket, "s2", batch=2)
    assert [item["in_image"] for item in batches] == [expected[:2], expected[2:]]


def test_a_product_as_folder_and_archive_is_listed_once(bucket, caplog):
    _put(bucket, f"SENTINEL2/T31TEJ/{S2_NAME}.zip", f"SENTINEL2/T31TEJ/{S2_NAME}/a.tif")
    with caplog.at_level(logging.WARNING):
        [item] = _list(bucket, "s2")
    assert item["in_image"] == [storage.join(bucket, "raw/SENTINEL2/T31TEJ", S2_NAME)]
    assert "the same product as" in caplog.text


def test_radar_images_are_listed_by_their_vh_files(bucket, caplog):
    names = [f"s1b_31TEJ_{{}}_DES_110_2020101{day}t060008.tif" for day in (1, 3)]
    folder = "SENTINEL1/T31TEJ"
    _put(bucket, *(f"{folder}/{name.format(pol)}" for name in names for pol in ("vv", "vh")))
    _put(bucket, f"{folder}/s1a_31TEJ_vv_DES_110_20201012txxxxxx.tif", f"{folder}/a.aux.xml")
    with caplog.at_level(logging.WARNING):
        work = _list(bucket, "s1", batch=10)
    assert len(work[0].pop("content")) == 2
    assert work == [
        {
            "input_s1_vh": [storage.join(bucket, "raw", folder, n.format("vh")) for n in names],
            "out_s1_dir": storage.join(bucket, "prepared/S1_PREPARE"),
        }
    ]
    assert len(PrepareS1Config(**work[0]).input_s1_vh) == 2
    # Half a pair is named, and left out.
    assert "20201012txxxxxx.tif: its VH file is missing" in caplog.text


def test_elevations_are_listed_with_the_grid_of_their_tile(tmp_path, caplog):
    root = str(tmp_path)
    write_theia(tmp_path)
    stacks = str(tmp_path / "prepared" / "S2_PREPARE")
    prepare_s2(PrepareS2Config(in_image=(str(tmp_path / S2_NAME),), out_s2_dir=stacks))
    _put(root, "DEM/T31TEJ.tif", "DEM/T31TCJ.tif", "DEM/T31TEJ.tif.aux.xml")
    with caplog.at_level(logging.WARNING):
        [item] = _list(root, "dem", batch=5)
    assert "T31TCJ.tif: no Sentinel-2 product of it is prepared" in caplog.text
    config = PrepareDemConfig(**item)
    assert config.dem == f"{root}/raw/DEM/T31TEJ.tif"
    assert config.reference == f"{stacks}/T31TEJ/{S2_NAME}/{S2_NAME}_FRE_20m.tif"
    assert config.output == f"{root}/prepared/DEM_PREPARE/T31TEJ.tif"


def test_no_elevation_is_no_error(bucket, caplog):
    with caplog.at_level(logging.INFO):
        assert _list(bucket, "dem") == []
    assert "the networks go without" in caplog.text


def test_elevation_before_any_product_is_an_error(bucket, tmp_path):
    path = write_tif(tmp_path / "dem.tif", np.zeros((8, 8), np.int16))
    storage.upload(path, storage.join(bucket, "raw", "DEM", "T31TEJ.tif"))
    with pytest.raises(ProductError, match=r"T31TEJ.*run prepare-s2 first"):
        _list(bucket, "dem")


@pytest.mark.parametrize("family", ["s1", "s2"])
def test_an_empty_place_says_what_was_looked_for(bucket, family):
    with pytest.raises(ProductError, match=r"raw: no product found; expected S1Tiling pairs"):
        _list(bucket, family)


def test_products_that_cannot_be_used_are_told(tmp_path):
    _put(str(tmp_path), f"{S2_NAME}.zip.part")
    with pytest.raises(ProductError, match=r"no product that can be used \(.*half-delivered"):
        _list(str(tmp_path), "s2")


def test_a_family_that_was_not_delivered_is_no_error(tmp_path):
    _put(str(tmp_path), f"{S2_NAME}.zip")
    assert _list(str(tmp_path), "s1") == []


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_products_are_all_listed():
    counts = {}
    for family, key in (("s1", "input_s1_vh"), ("s2", "in_image")):
        config = ListProductsConfig(products=str(REAL), prepared="p", family=family, batch=50)
        counts[family] = [len(item[key]) for item in list_products(config)]
    assert counts == {"s1": [50, 50, 50, 9], "s2": [50, 50, 18]}
