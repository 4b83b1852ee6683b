"""Preparation of Sentinel-1: values, statistics, times, re-runs and refusals."""

from datetime import UTC, datetime, time

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.arrays.encode import encode_channel
from decloud_lib.errors import GridMismatchError, OutputConflictError, ProductError
from decloud_lib.raster.products.discovery import discover
from decloud_lib.raster.products.prepared import list_s1
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.types import Window
from tests.stages.delivered import REAL, S1_STEM, WITHOUT_REAL, write_s1, write_tif

PREPARED = "s1b_31TEJ_vvvh_DES_110_20201011t060008_from-10to3dB"
MASKED_STEM = "s1a_31TEJ_{}_ASC_045_20201012txxxxxx"


def _sigma0(shape=(130, 200)):
    return np.random.default_rng(0).exponential(0.1, (2, *shape)).astype(np.float32)


def _read(uri):
    with open_raster(uri) as reader:
        return reader.read(Window(0, 0, *reader.grid.shape)), reader


def _prepare(uri, root, **options):
    return prepare_s1(PrepareS1Config(input_s1_vh=(uri,), out_s1_dir=root, **options))


@pytest.mark.parametrize("given", ["vh", "vv"])
def test_a_pair_becomes_one_encoded_raster(bucket, tmp_path, given):
    vv, vh = _sigma0()
    vv[3, 4] = np.nan
    vh[3, 5] = -1
    write_s1(tmp_path / "made", vv, vh)
    storage.upload_folder(tmp_path / "made", storage.join(bucket, "raw"))
    uri = storage.join(bucket, "raw", f"{S1_STEM.format(given)}.tif")
    result = _prepare(uri, storage.join(bucket, "S1"))
    output = storage.join(bucket, "S1", "T31TEJ", f"{PREPARED}.tif")
    assert (result.made, result.reused) == ((output,), 0)
    names = [storage.name_of(entry.uri) for entry in storage.list_files(storage.join(bucket, "S1"))]
    assert names == [f"{PREPARED}{end}" for end in (".manifest.json", ".tif", "_edge.tif")]
    pixels, reader = _read(output)
    assert (reader.bands, reader.dtype, reader.nodata) == (("VV", "VH"), "uint16", 0)
    assert reader.tags["ACQUISITION_TIME"] == "2020-10-11T06:00:08+00:00"
    assert reader.tags["TIME_IS_ASSUMED"] == "false"
    np.testing.assert_array_equal(pixels[..., 0], encode_channel(vv))
    np.testing.assert_array_equal(pixels[..., 1], encode_channel(vh))
    assert pixels[3, 4, 0] == 0
    assert pixels[3, 5, 1] == 1


def test_statistics_count_pixels_where_both_bands_are_empty(tmp_path):
    vv, vh = _sigma0((700, 200))
    vv[:64, :64] = vh[:64, :64] = 0
    vv[64:128, :64] = 0
    vv[639, 191] = vh[639, 191] = np.nan
    vv[640:] = vh[640:] = 0
    _prepare(write_s1(tmp_path, vv, vh), str(tmp_path / "S1"))
    [image] = list_s1(str(tmp_path / "S1"))
    counts, reader = _read(image.edge_stats)
    expected = np.zeros((10, 3), np.uint16)
    expected[0, 0], expected[9, 2] = 4096, 1
    assert counts.dtype == np.uint16
    np.testing.assert_array_equal(counts[..., 0], expected)
    assert reader.grid.pixel_m == 640


@pytest.mark.parametrize(
    ("tags", "expected", "assumed"),
    [
        ({"ACQUISITION_DATETIME": "2020:10:12T17:32:36Z"}, time(17, 32, 36), False),
        # As S1Tiling before 1.1 wrote it.
        ({"ACQUISITION_DATETIME": "2020:10:12 17:32:36"}, time(17, 32, 36), False),
        ({"ACQUISITION_DATETIME": "????"}, time(17, 45), True),
        ({"ACQUISITION_DATETIME": "2020-10-12T17:32:36.5Z"}, time(17, 32, 36, 500000), False),
        ({}, time(17, 45), True),
    ],
)
def test_a_masked_time_comes_from_the_tags_else_the_rule(tmp_path, tags, expected, assumed):
    uri = write_s1(tmp_path, *_sigma0(), stem=MASKED_STEM, tags=tags)
    _prepare(uri, str(tmp_path / "S1"))
    [image] = list_s1(str(tmp_path / "S1"))
    assert image.acquired == datetime.combine(datetime(2020, 10, 12, tzinfo=UTC), expected, UTC)
    assert image.time_is_assumed == assumed
    assert image.ascending


def test_the_assumed_hour_is_kept_in_the_file(tmp_path):
    uri = write_s1(tmp_path, *_sigma0(), stem=MASKED_STEM)
    _prepare(uri, str(tmp_path / "S1"), assumed_hour_ascending=time(18, 5))
    [image] = list_s1(str(tmp_path / "S1"))
    assert image.acquired == datetime(2020, 10, 12, 18, 5, tzinfo=UTC)


@pytest.mark.parametrize("end", ["", "/", "/T31TEJ", "/T31TEJ/"])
def test_the_tile_is_added_once(tmp_path, end):
    uri = write_s1(tmp_path, *_sigma0())
    result = _prepare(uri, str(tmp_path / "S1") + end)
    assert result.made == (str(tmp_path / "S1" / "T31TEJ" / f"{PREPARED}.tif"),)


def test_complete_images_are_left_alone(bucket, tmp_path):
    write_s1(tmp_path / "made", *_sigma0())
    storage.upload_folder(tmp_path / "made", storage.join(bucket, "raw"))
    raw = [storage.join(bucket, "raw", f"{S1_STEM.format(name)}.tif") for name in ("vh", "vv")]
    _prepare(raw[0], storage.join(bucket, "S1"))
    before = storage.list_files(storage.join(bucket, "S1"))
    config = PrepareS1Config(input_s1_vh=tuple(raw), out_s1_dir=storage.join(bucket, "S1"))
    again = prepare_s1(config)
    assert (again.made, again.reused) == ((), 2)
    assert storage.list_files(storage.join(bucket, "S1")) == before


def test_other_settings_are_refused_unless_overwrite(tmp_path):
    uri = write_s1(tmp_path, *_sigma0(), stem=MASKED_STEM)
    _prepare(uri, str(tmp_path / "S1"))
    with pytest.raises(OutputConflictError, match="assumed_hour_ascending '17:45:00' against"):
        _prepare(uri, str(tmp_path / "S1"), assumed_hour_ascending=time(18))
    options = {"assumed_hour_ascending": time(18), "overwrite": True}
    assert len(_prepare(uri, str(tmp_path / "S1"), **options).made) == 1


@pytest.mark.parametrize(("missing", "given"), [("vv", "vh"), ("vh", "vv")])
def test_half_a_pair_ends_the_stage(tmp_path, missing, given):
    write_s1(tmp_path, *_sigma0())
    (tmp_path / f"{S1_STEM.format(missing)}.tif").unlink()
    message = rf"{S1_STEM.format(missing)}\.tif: there is no such file.*missing half"
    with pytest.raises(ProductError, match=message):
        _prepare(str(tmp_path / f"{S1_STEM.format(given)}.tif"), str(tmp_path / "S1"))
    assert storage.list_files(str(tmp_path / "S1")) == []


def test_polarisations_on_other_grids_are_refused(tmp_path):
    uri = write_s1(tmp_path, *_sigma0())
    write_tif(tmp_path / f"{S1_STEM.format('vv')}.tif", _sigma0((130, 199))[0])
    with pytest.raises(GridMismatchError, match="width 199 against 200"):
        _prepare(uri, str(tmp_path / "S1"))


def test_encoded_files_are_no_input(tmp_path):
    uri = write_s1(tmp_path, *_sigma0())
    write_tif(tmp_path / f"{S1_STEM.format('vh')}.tif", np.ones((130, 200), np.uint16))
    with pytest.raises(ProductError, match="uint16, expected one of float32"):
        _prepare(uri, str(tmp_path / "S1"))


@pytest.mark.parametrize("mode", ["convert", "statistics-only"])
@pytest.mark.parametrize("word", ["gamma", "beta", "dn", "GammaNaughtRTC"])
def test_another_calibration_is_told_by_its_tag(tmp_path, word, mode):
    uri = write_s1(tmp_path, *_sigma0(), tags={"CALIBRATION": word})
    with pytest.raises(ProductError, match=f"is calibrated as {word} .*expected sigma nought"):
        _prepare(uri, str(tmp_path / "S1"), mode=mode)


@pytest.mark.parametrize("word", ["sigma", "Normlim"])
def test_tags_of_sigma_nought_are_accepted(tmp_path, word):
    uri = write_s1(tmp_path, *_sigma0(), tags={"CALIBRATION": word, "IMAGE_TYPE": "BACKSCATTERING"})
    assert len(_prepare(uri, str(tmp_path / "S1")).made) == 1


def test_an_image_smaller_than_a_patch_is_refused(tmp_path):
    with pytest.raises(ProductError, match="expected at least one patch of 64 px"):
        _prepare(write_s1(tmp_path, *_sigma0((63, 200))), str(tmp_path / "S1"))


def test_newer_names_keep_their_calibration(tmp_path):
    uri = write_s1(tmp_path, *_sigma0(), stem="s1c_31TEJ_{}_DES_110_20250111t060008_NormLim")
    result = _prepare(uri, str(tmp_path / "S1"))
    assert result.made[0].endswith(
        "s1c_31TEJ_vvvh_DES_110_20250111t060008_NormLim_from-10to3dB.tif"
    )
    assert len(list_s1(str(tmp_path / "S1"))) == 1


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_images_are_prepared(tmp_path):
    uris = [item.uri for item in discover(str(REAL / "SENTINEL1")).found[:10]]
    config = PrepareS1Config(input_s1_vh=tuple(uris), out_s1_dir=str(tmp_path))
    assert len(prepare_s1(config).made) == 10
    images = list_s1(str(tmp_path))
    assert len(images) == 10
    assert not any(image.time_is_assumed for image in images)
    pixels, _ = _read(images[0].uri)
    # About -8 and -16 dB.
    assert 37_000 < np.median(pixels[..., 0]) < 45_000
    assert 25_000 < np.median(pixels[..., 1]) < 36_000
