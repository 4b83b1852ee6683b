"""Delivered radar images: pairs, listing, and the time of acquisition."""

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import parse_s1_name
from decloud_lib.raster.products.s1tiling import (
    AssumedHours,
    acquisition_time,
    find_pair,
    parse_time,
)

VH = "s1b_31TEJ_vh_DES_110_20201011t060008.tif"
VV = "s1b_31TEJ_vv_DES_110_20201011t060008.tif"


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("given", [VH, VV])
def test_a_pair_is_found_from_either_file(tmp_path, given):
    folder = tmp_path / "some_vv_folder_vh_"
    folder.mkdir()
    _touch(folder, VH, VV)
    pair = find_pair(str(folder / given))
    assert Path(pair.vv.uri).name == VV
    assert Path(pair.vh.uri).name == VH
    assert pair.prepared_stem == "s1b_31TEJ_vvvh_DES_110_20201011t060008_from-10to3dB"


@pytest.mark.parametrize(("there", "missing"), [(VH, VV), (VV, VH)])
def test_half_a_pair_names_the_missing_file(tmp_path, there, missing):
    _touch(tmp_path, there)
    with pytest.raises(ProductError, match=rf"{missing}: there is no such file.*needs both"):
        find_pair(str(tmp_path / VH))


def test_a_pair_that_is_not_there_is_no_half_a_pair(tmp_path):
    with pytest.raises(ProductError, match=rf"{VH}: there is no such file, nor .*check the path"):
        find_pair(str(tmp_path / VH))


def test_a_prepared_file_is_no_input(tmp_path):
    name = "s1b_31TEJ_vvvh_DES_110_20201011t060008_from-10to3dB.tif"
    with pytest.raises(ProductError, match="is prepared already"):
        find_pair(str(tmp_path / name))


@pytest.mark.parametrize(
    "text",
    ["2017:08:01T17:32:36Z", "2017-08-01T17:32:36Z", "2017:08:01 17:32:36", "20170801T173236",
     "2017-08-01T19:32:36+02:00", "2017-08-01T17:32:36.000000"],
)  # fmt: skip
def test_times_of_tags_are_read(text):
    assert parse_time(text) == datetime(2017, 8, 1, 17, 32, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "2017-08-01", "20170801txxxxxx", "yesterday", "2017:13:01T00"]
)
def test_other_texts_are_no_times(text):
    assert parse_time(text) is None


def test_the_name_counts_before_tags_and_rule():
    name = parse_s1_name(VH)
    tags = {"ACQUISITION_DATETIME": "2020:10:11T05:00:00Z"}
    assert acquisition_time(name, tags, AssumedHours()) == (name.acquired, False)


@pytest.mark.parametrize(("direction", "hour"), [("DES", time(5, 45)), ("ASC", time(17, 45))])
def test_a_masked_time_is_read_from_the_tags_else_assumed(direction, hour):
    name = parse_s1_name(f"s1b_31TEJ_vh_{direction}_110_20201011txxxxxx.tif")
    tags = {"ACQUISITION_DATETIME": "2020:10:11T06:00:08Z"}
    known = datetime(2020, 10, 11, 6, 0, 8, tzinfo=UTC)
    assert acquisition_time(name, tags, AssumedHours()) == (known, False)
    assumed = datetime.combine(name.day, hour, tzinfo=UTC)
    assert acquisition_time(name, {}, AssumedHours()) == (assumed, True)
    other_day = {"ACQUISITION_DATETIME": "2020:11:30T06:00:08Z"}
    assert acquisition_time(name, other_day, AssumedHours()) == (assumed, True)


def test_the_assumed_hours_can_be_chosen():
    name = parse_s1_name("s1b_31TEJ_vh_DES_110_20201011txxxxxx.tif")
    rule = AssumedHours(descending=time(6, 10))
    expected = datetime(2020, 10, 11, 6, 10, tzinfo=UTC)
    assert acquisition_time(name, {}, rule) == (expected, True)
