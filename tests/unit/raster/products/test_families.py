"""The name decides which family a delivered product belongs to."""

from pathlib import Path

import pytest

from decloud_lib.errors import ProductError
from decloud_lib.raster.products.families import open_optical
from decloud_lib.raster.products.optical import OpticalSettings
from tests.stages.delivered import (
    S2_NAME,
    SAFE_NAME,
    write_safe,
    write_stac,
    write_theia,
    zip_product,
)


def test_each_family_is_recognised(tmp_path: Path) -> None:
    write_theia(tmp_path)
    write_safe(tmp_path)
    item, _ = write_stac(tmp_path / "item")
    for uri, family in (
        (tmp_path / S2_NAME, "theia"),
        (zip_product(tmp_path), "theia"),
        (tmp_path / f"{SAFE_NAME}.SAFE", "esa"),
        (zip_product(tmp_path, f"{SAFE_NAME}.SAFE"), "esa"),
        (zip_product(tmp_path, f"{SAFE_NAME}.SAFE", end=".SAFE.zip"), "esa"),
        (item, "stac"),
    ):
        assert open_optical(str(uri)).family == family


def test_settings_reach_the_family(tmp_path: Path) -> None:
    write_theia(tmp_path)
    write_safe(tmp_path)
    settings = OpticalSettings(reflectance="SRE", boa_offset=-5)
    assert open_optical(str(tmp_path / S2_NAME), settings).reflectance == "SRE"
    product = open_optical(str(tmp_path / f"{SAFE_NAME}.SAFE"), settings)
    assert (product.reflectance, product.bands["B2"].offset) == ("FRE", -5.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{SAFE_NAME.replace('L2A', 'L1C')}.SAFE", "level 1C product, expected level 2A"),
        ("SENTINEL2B_20201012-105848-497_L1C_T31TEJ_C_V2-2", "level 1C product"),
        ("SENTINEL2X_20201015-000000-000_L3A_T31TEJ_C_V1-3", "level 3A product"),
        ("LC08_L2SP_196029_20201012_02_T1", "not a Sentinel-2 L2A product; expected a folder"),
        ("S2B_MSIL2A_2020.SAFE", "not a Sentinel-2 L2A product; expected a folder"),
        ("S2B_T31TEJ_20201012T105848_L2A", "is the name of an item of a catalogue"),
        ("s1b_31TEJ_vh_DES_110_20201011t060008.tif", "not a Sentinel-2 L2A product"),
    ],
)
def test_other_things_are_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ProductError, match=message):
        open_optical(str(tmp_path / name))
