"""Names of products: what is read from them, and what is refused."""

from datetime import UTC, date, datetime

import pytest

from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import parse_s1_name, parse_s2_name


def test_a_delivered_radar_name_is_read():
    name = parse_s1_name("s1b_31TEJ_vh_DES_110_20201011t060008.tif")
    assert (name.satellite, name.tile, name.polarisation) == ("s1b", "T31TEJ", "vh")
    assert (name.ascending, name.relative_orbit, name.suffix) == (False, 110, "")
    assert name.acquired == datetime(2020, 10, 11, 6, 0, 8, tzinfo=UTC)
    assert name.stem == "s1b_31TEJ_vh_DES_110_20201011t060008"
    assert not name.is_prepared


def test_a_masked_time_leaves_the_day():
    name = parse_s1_name("s1a_30PVT_vvvh_ASC_045_20170407txxxxxx_from-10to3dB.tif")
    assert name.acquired is None
    assert name.day == date(2017, 4, 7)
    assert name.ascending
    assert name.is_prepared


@pytest.mark.parametrize("satellite", ["s1a", "s1b", "s1c", "s1d", "S1A"])
def test_all_radar_satellites_are_known(satellite):
    assert parse_s1_name(f"{satellite}_31TEJ_vv_asc_001_20250101t000000").satellite.startswith("s1")


def test_newer_names_with_a_calibration_are_read():
    name = parse_s1_name("s1a_33NWB_vv_DES_007_20200108txxxxxx_NormLim.tif")
    assert name.suffix == "NormLim"
    assert not name.is_prepared
    prepared = parse_s1_name("s1a_33NWB_vvvh_DES_007_20200108txxxxxx_NormLim_from-10to3dB.tif")
    assert prepared.is_prepared


@pytest.mark.parametrize(
    "name",
    [
        "s1b_T31TEJ_vh_DES_110_20201011t060008.tif",
        "s1b_31TEJ_hh_DES_110_20201011t060008.tif",
        "s1b_31TEJ_vh_110_20201011t060008.tif",
        "s1b_31TEJ_vh_DES_110_20201011.tif",
        "s1e_31TEJ_vh_DES_110_20201011t060008.tif",
        "s1b_31TEJ_vh_DES_110_20201011t0600xx.tif",
        "x_s1b_31TEJ_vh_DES_110_20201011t060008.tif",
        "s1b_31TEJ_vh_DES_110_20201011t060008.tif.aux.xml",
    ],
)
def test_other_radar_names_are_refused(name):
    with pytest.raises(ProductError, match=r"not a Sentinel-1 tile file; expected s1a_"):
        parse_s1_name(name)


@pytest.mark.parametrize("time", ["20201311t060008", "20200230t060008", "20201011t250008"])
def test_impossible_times_are_refused(time):
    with pytest.raises(ProductError, match="impossible date or time"):
        parse_s1_name(f"s1b_31TEJ_vh_DES_110_{time}.tif")


@pytest.mark.parametrize("end", ["", ".zip", ".ZIP"])
def test_a_product_name_is_read(end):
    product = "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
    name = parse_s2_name(product + end)
    assert (name.satellite, name.tile, name.name) == ("SENTINEL2B", "T31TEJ", product)
    assert name.acquired == datetime(2020, 10, 12, 10, 58, 48, 497000, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "SENTINEL2C_20250101-105848-497_L2A_T31TEJ_C_V3-1",
        "SENTINEL2D_20250101-105848-497_L2A_T31TEJ_D_V3.1",
        "SENTINEL2A_20201012-105848-497_L2A_T31TEJ_C_V2-2.v1.0",
    ],
)
def test_other_versions_and_dots_are_read(name):
    assert parse_s2_name(name).name == name
    assert parse_s2_name(f"{name}.zip").name == name


@pytest.mark.parametrize(
    "name",
    [
        "SENTINEL2B_20201012-105848-497_L1C_T31TEJ_C_V2-2",
        "SENTINEL2B_20201012_L2A_T31TEJ_C_V2-2",
        "SENTINEL2B_20201012-105848-497_L2A_31TEJ_C_V2-2",
        "S2B_MSIL2A_20201012T105849_N0214_R008_T31TEJ_20201012T134159.SAFE",
        "README.txt",
    ],
)
def test_other_product_names_are_refused(name):
    with pytest.raises(ProductError, match="not a Theia Sentinel-2 L2A product; expected"):
        parse_s2_name(name)
