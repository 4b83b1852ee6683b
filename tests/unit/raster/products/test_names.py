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
    ("ending", "usable"),
    [
        ("", True),
        ("_sigma", True),
        ("_NormLim", True),
        ("_filtered", True),
        ("_sigma_filtered", True),
        ("_NormLim_filtered", True),
        ("_BorderMask", False),
        ("_beta", False),
        ("_gamma", False),
        ("_GammaNaughtRTC", False),
        ("_GammaNaughtRTC_filtered", False),
        ("_BorderMask_filtered", False),
        ("_from-10to3dB", False),
    ],
)
@pytest.mark.parametrize("unit", "abcd")
def test_sigma_nought_is_told_from_by_products(unit, ending, usable):
    name = parse_s1_name(f"s1{unit}_33NWB_vv_DES_007_20200108txxxxxx{ending}.tif")
    assert name.is_backscatter == usable


@pytest.mark.parametrize(
    "name",
    [
        "LIA_s1a_33NWB_DES_007.tif",
        "sin_LIA_s1a_33NWB_DES_007_20200108t044150.tif",
        "GAMMA_AREA_s1a_33NWB_DES_007.tif",
        "IA_s1a_33NWB_DES_007.tif",
    ],
)
def test_angles_and_areas_are_named_as_by_products(name):
    with pytest.raises(ProductError, match="a by-product of S1Tiling"):
        parse_s1_name(name)


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


@pytest.mark.parametrize("end", ["", ".SAFE", ".zip", ".SAFE.zip", ".safe.ZIP"])
@pytest.mark.parametrize("unit", "ABCD")
def test_a_name_of_esa_is_read(unit, end):
    product = f"S2{unit}_MSIL2A_20201012T105029_N0500_R051_T31TEJ_20230101T000000"
    name = parse_s2_name(product + end)
    assert (name.satellite, name.tile, name.name) == (f"SENTINEL2{unit}", "T31TEJ", product)
    assert name.acquired == datetime(2020, 10, 12, 10, 50, 29, tzinfo=UTC)
    assert (name.relative_orbit, name.baseline) == (51, "05.00")
    assert parse_s2_name(name.name) == name


@pytest.mark.parametrize(
    ("product", "orbit"),
    [
        ("S2B_MSIL2A_20201012T105029_R051_T31TEJ_20201013T000000", 51),
        ("S2B_T31TEJ_20201012T105029_L2A", None),
    ],
)
def test_names_of_catalogues_are_read(product, orbit):
    name = parse_s2_name(product)
    assert (name.satellite, name.tile, name.name) == ("SENTINEL2B", "T31TEJ", product)
    assert name.acquired == datetime(2020, 10, 12, 10, 50, 29, tzinfo=UTC)
    assert (name.relative_orbit, name.baseline) == (orbit, None)


@pytest.mark.parametrize(
    "name",
    [
        "SENTINEL2B_20201012_L2A_T31TEJ_C_V2-2",
        "SENTINEL2B_20201012-105848-497_L2A_31TEJ_C_V2-2",
        "S2B_MSIL2A_20201012T105029_N0500_R051_31TEJ_20230101T000000.SAFE",
        "S2E_MSIL2A_20201012T105029_N0500_R051_T31TEJ_20230101T000000.SAFE",
        "S2B_MSIL2A_20201012T105029_N0500_R051_T31TEJ_20230101T000000.SAFE.tar",
        "S2B_31TEJ_20201012_0_L2A",
        "README.txt",
        "",
    ],
)
def test_other_product_names_are_refused(name):
    with pytest.raises(ProductError, match="not a Sentinel-2 L2A product; expected"):
        parse_s2_name(name)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("S2B_MSIL1C_20201012T105029_N0209_R051_T31TEJ_20201012T120000.SAFE", "1C"),
        ("S2A_OPER_PRD_MSIL1C_PDMC_20151002T103306_R051_V20150818.SAFE", "1C"),
        ("SENTINEL2B_20201012-105848-497_L1C_T31TEJ_C_V2-2", "1C"),
        ("SENTINEL2X_20201015-000000-000_L3A_T31TEJ_C_V1-3", "3A"),
    ],
)
def test_other_levels_are_named(name, level):
    with pytest.raises(ProductError, match=f"is a level {level} product, expected level 2A"):
        parse_s2_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "S2B_MSIL2A_20201312T105029_N0500_R051_T31TEJ_20230101T000000",
        "S2B_T31TEJ_20201012T995029_L2A",
        "SENTINEL2B_20200230-105848-497_L2A_T31TEJ_C_V2-2",
    ],
)
def test_impossible_times_of_optical_products_are_refused(name):
    with pytest.raises(ProductError, match="impossible date or time"):
        parse_s2_name(name)
