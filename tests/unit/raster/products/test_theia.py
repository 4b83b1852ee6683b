"""Delivered optical products: which file is which, and what is missing or there twice."""

import re
import shutil
from pathlib import Path

import pytest

from decloud_lib import storage
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.raster.products.theia import open_product
from decloud_lib.raster.read import open_raster
from decloud_lib.types import Window
from tests.stages.delivered import BANDS_10M, BANDS_20M, S2_NAME, write_theia, zip_product


@pytest.mark.parametrize("packed", [False, True])
def test_the_files_of_a_product_are_found_and_read_in_place(bucket, tmp_path, packed):
    pixels = write_theia(tmp_path / "made")
    uri = storage.join(bucket, "raw.v1", "T31TEJ", S2_NAME)
    if packed:
        uri += ".zip"
        storage.upload(zip_product(tmp_path / "made"), uri)
    else:
        storage.upload_folder(tmp_path / "made" / S2_NAME, uri)
    product = open_product(f"{uri}/")
    assert product.name.name == S2_NAME
    assert tuple(product.bands) == (*BANDS_10M, *BANDS_20M)
    assert len(product.entries) == (1 if packed else 12)
    with open_raster(product.bands["B8A"].path) as reader:
        assert (reader.read(Window(0, 0, 64, 96))[..., 0] == pixels["B8A"]).all()
    with open_raster(product.cloud_mask) as reader:
        assert reader.grid.shape == (128, 192)


def test_an_archive_is_read_from_the_server_of_the_demo(rclone_bucket, tmp_path):
    # It answers ranged requests with another status than GDAL expects.
    pixels = write_theia(tmp_path, shape=(512, 512))
    uri = storage.join(rclone_bucket, "raw", f"{S2_NAME}.zip")
    storage.upload(zip_product(tmp_path), uri)
    product = open_product(uri)
    for band in ("B2", "B12"):
        with open_raster(product.bands[band].path) as reader:
            found = reader.read(Window(0, 0, *reader.grid.shape))[..., 0]
        assert (found == pixels[band]).all()


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("*_FRE_B8A.tif", MissingBandError, "band B8A missing; found B2, B3"),
        ("*_FRE_B1?.tif", MissingBandError, "band B11, B12 missing"),
        ("MASKS/*_EDG_R1.tif", ProductError, "mask EDG_R1 missing"),
    ],
)
def test_missing_files_are_named(tmp_path, pattern, error, message):
    write_theia(tmp_path)
    for path in (tmp_path / S2_NAME).glob(pattern):
        path.unlink()
    with pytest.raises(error, match=re.escape(message)):
        open_product(str(tmp_path / S2_NAME))


def test_files_that_are_there_twice_are_named(tmp_path):
    write_theia(tmp_path)
    mask = tmp_path / S2_NAME / "MASKS" / f"{S2_NAME}_EDG_R1.tif"
    copy = tmp_path / S2_NAME / "OLD" / mask.name
    copy.parent.mkdir()
    shutil.copy(mask, copy)
    with pytest.raises(ProductError, match=r"several found for EDG_R1: .*MASKS.*, .*OLD"):
        open_product(str(tmp_path / S2_NAME))


def test_files_of_another_date_are_refused(tmp_path):
    write_theia(tmp_path)
    other = S2_NAME.replace("20201012", "20201013")
    shutil.move(tmp_path / S2_NAME, tmp_path / other)
    with pytest.raises(ProductError, match=f"is a file of {S2_NAME}, expected one of {other}"):
        open_product(str(tmp_path / other))


def test_another_version_inside_an_archive_is_accepted(tmp_path):
    write_theia(tmp_path, S2_NAME.replace("V2-2", "V1-9"))
    shutil.move(tmp_path / S2_NAME.replace("V2-2", "V1-9"), tmp_path / S2_NAME)
    assert open_product(str(tmp_path / S2_NAME)).name.name == S2_NAME


def test_an_empty_place_says_what_was_expected(bucket):
    with pytest.raises(
        ProductError, match="there is no such product, or nothing in it; expected the files of"
    ):
        open_product(storage.join(bucket, S2_NAME))
    with pytest.raises(ProductError, match="there is no such archive"):
        open_product(storage.join(bucket, f"{S2_NAME}.zip"))


def test_a_damaged_archive_is_named(bucket, tmp_path):
    write_theia(tmp_path)
    data = zip_product(tmp_path).read_bytes()
    uri = storage.join(bucket, f"{S2_NAME}.zip")
    storage.write_bytes(uri, data[: len(data) // 2])
    with pytest.raises(ProductError, match=rf"{S2_NAME}.zip: not a whole zip archive"):
        open_product(uri)


def test_a_parent_folder_that_looks_like_a_tile_does_not_count(tmp_path):
    write_theia(tmp_path / "T99ZZZ")
    assert open_product(str(Path(tmp_path, "T99ZZZ", S2_NAME))).name.tile == "T31TEJ"


@pytest.mark.parametrize("reflectance", ["FRE", "SRE"])
def test_the_chosen_reflectance_is_taken_where_both_are_there(tmp_path, reflectance):
    write_theia(tmp_path)
    settings = OpticalSettings(reflectance=reflectance)
    product = open_product(str(tmp_path / S2_NAME), settings)
    assert product.reflectance == reflectance
    assert all(f"_{reflectance}_B" in band.path for band in product.bands.values())
    other = "SRE" if reflectance == "FRE" else "FRE"
    for path in (tmp_path / S2_NAME).glob(f"*_{reflectance}_B2.tif"):
        path.unlink()
    with pytest.raises(MissingBandError, match=rf"B2 missing.*\*_{reflectance}_<band>.tif"):
        open_product(str(tmp_path / S2_NAME), settings)
    assert open_product(str(tmp_path / S2_NAME), OpticalSettings(reflectance=other))


def test_values_are_reflectance_already(tmp_path):
    write_theia(tmp_path)
    product = open_product(str(tmp_path / S2_NAME), OpticalSettings(boa_offset=-1000))
    band = product.bands["B2"]
    assert (band.nodata, band.scale, band.offset) == (-10000, 1.0, 0.0)
    assert (product.family, product.scene_classification) == ("theia", None)


def test_hidden_files_and_side_files_never_match(tmp_path):
    write_theia(tmp_path)
    folder = tmp_path / S2_NAME
    band = folder / f"{S2_NAME}_FRE_B2.tif"
    for other in (".hidden", "__MACOSX"):
        (folder / other).mkdir()
        shutil.copy(band, folder / other / band.name)
    shutil.copy(band, folder / f"._{band.name}")
    assert open_product(str(folder)).bands["B2"].path == str(band)


def test_several_products_in_one_folder_are_named(tmp_path):
    write_theia(tmp_path / S2_NAME)
    write_theia(tmp_path / S2_NAME, S2_NAME.replace("V2-2", "V3-0"))
    with pytest.raises(ProductError, match="holds 2 products"):
        open_product(str(tmp_path / S2_NAME))
