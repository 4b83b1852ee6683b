"""SAFE products of ESA: files, metadata, values, and what is refused."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.optical import open_delivered
from decloud_lib.raster.products.esa import open_product
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings
from decloud_lib.raster.products.radiometry import LARGEST_METADATA, parse_metadata
from decloud_lib.types import Array, Window
from tests.stages.delivered import (
    BANDS_10M,
    BANDS_20M,
    SAFE_NAME,
    metadata_xml,
    write_safe,
    write_theia,
    zip_product,
)

SAFE = f"{SAFE_NAME}.SAFE"
SHAPE = (128, 192)


def read_dn(product: OpticalProduct) -> tuple[Array, Array]:
    with open_delivered(product, OpticalSettings()) as reader:
        strip = reader.read(Window(0, 0, *SHAPE))
    return strip.stack_10m, strip.stack_20m


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    write_safe(tmp_path)
    return tmp_path / SAFE


@pytest.mark.parametrize("packed", [False, True])
def test_values_are_read_in_place(bucket: str, tmp_path: Path, packed: bool) -> None:
    scene = np.full((64, 96), 4, np.uint8)
    scene[10:20, 5:9] = 0
    dn = write_safe(tmp_path / "made", scene=scene, zipped=packed)
    name = f"{SAFE_NAME}.zip" if packed else SAFE
    uri = storage.join(bucket, "raw", name)
    if packed:
        storage.upload(tmp_path / "made" / name, uri)
    else:
        storage.upload_folder(tmp_path / "made" / name, uri)
    product = open_product(f"{uri}/")
    assert (product.family, product.reflectance, product.uri) == ("esa", "FRE", uri)
    assert product.name.name == SAFE_NAME
    assert tuple(product.bands) == (*BANDS_10M, *BANDS_20M)
    assert (product.cloud_mask, product.edge_mask) == (None, None)
    # Ten bands, the classification and the metadata.
    assert len(product.entries) == (1 if packed else 12)
    fine, coarse = read_dn(product)
    for index, band in enumerate(BANDS_10M):
        assert (fine[..., index] == dn[band]).all()
    assert (fine[20:40, 10:18] == -10000).all()
    assert (coarse[..., 0] == dn["B11"]).all()


@pytest.mark.parametrize(("offset", "told"), [(-1000, "-1000"), (None, "0"), (-777, "-777")])
def test_the_offset_is_that_of_the_metadata(tmp_path: Path, offset: int | None, told: str) -> None:
    # The date and the name are the same: neither says anything about the offset.
    dn = write_safe(tmp_path, offset=offset)
    product = open_product(str(tmp_path / SAFE))
    assert product.bands["B8A"].offset == (offset or 0)
    assert product.facts["BOA_ADD_OFFSET"] == told
    assert product.facts["PROCESSING_BASELINE"] == ("03.01" if offset is None else "04.00")
    assert product.facts["RELATIVE_ORBIT"] == "51"
    assert (read_dn(product)[0][..., 2] == dn["B4"]).all()


def test_the_user_can_replace_the_offset(safe: Path) -> None:
    product = open_product(str(safe), OpticalSettings(boa_offset=0))
    assert {band.offset for band in product.bands.values()} == {0.0}
    assert product.facts["BOA_ADD_OFFSET"] == "0"


def test_each_band_has_its_own_offset_and_the_scale_counts() -> None:
    text = metadata_xml(BOA_QUANTIFICATION_VALUE="5000", SPECIAL_VALUE_INDEX="7")
    for number in range(13):
        text = text.replace(f'band_id="{number}">-1000', f'band_id="{number}">{-100 * number}')
    found = parse_metadata("x", text.encode())
    # band_id counts B8A as 8, so B9 is 9, B11 is 11.
    numbers = {"B2": 1, "B3": 2, "B4": 3, "B5": 4, "B6": 5, "B7": 6, "B8": 7, "B8A": 8}
    for band, number in (numbers | {"B11": 11, "B12": 12}).items():
        file = found.band_file(band, "p", None)
        assert (file.scale, file.offset, file.nodata) == (2.0, -200.0 * number, 7)
    assert found.band_file("B2", "p", -500).offset == -1000.0


def test_the_layout_of_old_metadata_is_read() -> None:
    text = metadata_xml(offset=None, PRODUCT_URI="S2B_MSIL1C_x.SAFE")
    for word in ("BOA_QUANTIFICATION_VALUE", "AOT_QUANTIFICATION_VALUE"):
        text = text.replace(word, f"L2A_{word}")
    text = text.replace("QUANTIFICATION_VALUES_LIST", "L1C_L2A_Quantification_Values_List")
    found = parse_metadata("x", text.replace("Product_Info", "L2A_Product_Info").encode())
    assert (found.quantification, found.offsets["B2"], found.baseline) == (10000.0, 0.0, "03.01")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("BOA_QUANTIFICATION_VALUE", "X"), "BOA_QUANTIFICATION_VALUE is miss"),
        (lambda t: t.replace(">10000<", ">ten<"), "BOA_QUANTIFICATION_VALUE is 'ten'"),
        (lambda t: t.replace(">10000<", ">0<"), "BOA_QUANTIFICATION_VALUE is 0, expected > 0"),
        (lambda t: t.replace(">10000<", ">nan<"), "BOA_QUANTIFICATION_VALUE is 'nan'"),
        (lambda t: t.replace('"1">-1000', '"1">inf'), "BOA_ADD_OFFSET is 'inf'"),
        (lambda t: t.replace('band_id="1"', 'band_id="13"'), "band_id '13', expected 0 to 12"),
        (lambda t: t.replace('band_id="1"', 'id="1"'), "band_id '', expected 0 to 12"),
        (lambda t: t.replace('band_id="1"', 'band_id="2"'), "band_id 2 is there twice"),
        (
            lambda t: t.replace('<BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET>', ""),
            "BOA_ADD_OFFSET of B2 is missing.*--boa-offset",
        ),
        (lambda t: t.replace("Level-2A<", "Level-1C<"), "found Level-1C, expected Level-2A"),
        (lambda t: t.replace("INDEX>0<", "INDEX>-1<"), "NODATA is -1, expected 0 to 65535"),
        (lambda t: t[: len(t) // 2], "not usable as metadata"),
        (lambda _: "", "not usable as metadata"),
        (lambda _: "<html><body>Log in</body></html>", "BOA_QUANTIFICATION_VALUE is missing"),
        (lambda t: t.replace("UTF-8", "no-such-code"), "not usable as metadata"),
        (
            lambda t: t.replace(f"<PRODUCT_URI>{SAFE_NAME}", f"<PRODUCT_URI>{OTHER_TILE}"),
            f"belongs to S2B_.*T31TDJ.*, expected that of {SAFE_NAME}",
        ),
    ],
)
def test_metadata_that_cannot_be_used_are_named(
    safe: Path, change: Callable[[str], str], message: str
) -> None:
    edit(safe / "MTD_MSIL2A.xml", change)
    with pytest.raises(ProductError, match=rf"MTD_MSIL2A.xml: .*{message}"):
        open_product(str(safe))


OTHER_TILE = SAFE_NAME.replace("T31TEJ", "T31TDJ")


def test_an_external_entity_is_not_followed(safe: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("12345")
    edit(
        safe / "MTD_MSIL2A.xml",
        lambda text: text.replace(
            "?>", f'?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>', 1
        ).replace(">10000<", ">&e;<"),
    )
    with pytest.raises(ProductError, match="declares a document type or entities") as caught:
        open_product(str(safe))
    assert "12345" not in str(caught.value)


def test_entities_that_grow_are_refused_at_once(safe: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(30))
    edit(
        safe / "MTD_MSIL2A.xml",
        lambda text: text.replace("?>", f'?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>', 1).replace(
            ">10000<", ">&l30;<"
        ),
    )
    with pytest.raises(ProductError, match="declares a document type or entities"):
        open_product(str(safe))


@pytest.mark.parametrize("packed", [False, True])
def test_metadata_of_absurd_size_are_not_read(safe: Path, packed: bool) -> None:
    with (safe / "MTD_MSIL2A.xml").open("ab") as file:
        file.truncate(LARGEST_METADATA + 1)
    uri = zip_product(safe.parent, SAFE) if packed else safe
    with pytest.raises(ProductError, match=rf"has {LARGEST_METADATA + 1} bytes, expected at most"):
        open_product(str(uri))


@pytest.mark.parametrize("packed", [False, True])
def test_missing_metadata_are_an_error(safe: Path, packed: bool) -> None:
    (safe / "MTD_MSIL2A.xml").unlink()
    uri = zip_product(safe.parent, SAFE) if packed else safe
    with pytest.raises(ProductError, match=r"expected one MTD_MSIL2A.xml.*found none"):
        open_product(str(uri))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("**/R10m/*_B03_10m.jp2", MissingBandError, "band B3 missing; found B2, B4"),
        ("**/R20m/*_B1?_20m.jp2", MissingBandError, "band B11, B12 missing"),
        ("**/R20m/*_SCL_20m.jp2", ProductError, "mask SCL missing; found B2"),
    ],
)
def test_missing_files_are_named(
    safe: Path, pattern: str, error: type[Exception], message: str, packed: bool
) -> None:
    for path in safe.glob(pattern):
        path.unlink()
    uri = zip_product(safe.parent, SAFE) if packed else safe
    with pytest.raises(error, match=message):
        open_product(str(uri))


def test_several_granules_are_refused(safe: Path) -> None:
    granule = next((safe / "GRANULE").iterdir())
    shutil.copytree(granule, granule.with_name("L2A_T31TDJ_A026905_20220501T105500"))
    with pytest.raises(ProductError, match="holds 2 granules, L2A_T31TDJ_"):
        open_product(str(safe))


def test_a_band_that_is_there_twice_is_named(safe: Path) -> None:
    (band,) = safe.glob("**/R10m/*_B02_10m.jp2")
    copy = safe / "old" / band.relative_to(safe)
    copy.parent.mkdir(parents=True)
    shutil.copy(band, copy)
    with pytest.raises(ProductError, match="several found for B2"):
        open_product(str(safe))


@pytest.mark.parametrize(
    ("old", "new"), [("T31TEJ_", "T31TDJ_"), ("20220501T105029", "20220502T105029")]
)
def test_bands_of_another_tile_or_time_are_refused(safe: Path, old: str, new: str) -> None:
    (band,) = safe.glob("**/R10m/*_B02_10m.jp2")
    band.rename(band.with_name(band.name.replace(old, new)))
    with pytest.raises(ProductError, match=rf"is a file of .*, expected one of {SAFE_NAME}"):
        open_product(str(safe))


def test_names_of_products_of_2017_are_read(safe: Path) -> None:
    for path in list(safe.glob("**/R?0m/*.jp2")):
        path.rename(path.with_name(f"L2A_{path.name}"))
    assert "L2A_T31TEJ" in open_product(str(safe)).bands["B2"].path


@pytest.mark.parametrize("name", [f"{SAFE}.zip", f"{SAFE_NAME}.zip"])
@pytest.mark.parametrize("flat", [False, True])
def test_archives_with_and_without_the_folder_are_read(
    safe: Path, tmp_path: Path, name: str, flat: bool
) -> None:
    root = safe if flat else safe.parent
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in safe.rglob("*"):
            archive.write(path, path.relative_to(root))
    product = open_product(str(tmp_path / name))
    assert product.name.name == SAFE_NAME
    assert read_dn(product)[0].shape == (*SHAPE, 4)


def test_a_tree_of_theia_is_not_taken_for_it(tmp_path: Path) -> None:
    write_theia(tmp_path)
    (theia,) = tmp_path.iterdir()
    theia.rename(tmp_path / SAFE)
    with pytest.raises(MissingBandError, match=re.escape("found none of the expected files")):
        open_product(str(tmp_path / SAFE))


def test_a_level_1c_product_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="level 1C product, expected level 2A"):
        open_product(str(tmp_path / SAFE.replace("L2A", "L1C")))
