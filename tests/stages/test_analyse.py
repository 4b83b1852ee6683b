"""The analyses of prepared tiles: numbers, rasters, pictures, one page."""

import csv
import io
import json
import re

import numpy as np
import pytest
import rasterio

from decloud_lib import cli, storage
from decloud_lib.acquisitions.acquisition_factory import shipped_layouts
from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.stages.analyse_counts import AnalyseCountsConfig, analyse_counts
from decloud_lib.stages.analyse_coverage import AnalyseCoverageConfig, analyse_coverage
from decloud_lib.stages.analyse_gaps import AnalyseGapsConfig, analyse_gaps
from decloud_lib.stages.analyse_uses import AnalyseUsesConfig, analyse_uses
from decloud_lib.stages.sample import SampleConfig, sample
from tests.prepared_tiles import Optical, Radar, Tile, season, write_json, write_tile

LAYOUTS = ("AL-CRGA-OS2-Occitanie", "AL-Meraner-Occitanie")
REGION = np.array([[1, 1, 0], [1, 0, 0]])


@pytest.fixture
def tiles(tmp_path):
    """Two tiles of 2 x 3 patches; one region covers half of the ground."""
    optical, radar = season()
    first = Tile(optical, radar, regions={"train": REGION, "valid": 1 - REGION})
    second = Tile(optical[::2], radar, name="T31TDJ", regions={"train": 1})
    for tile in (first, second):
        write_tile(tmp_path / "prepared", tile)
    return write_json(tmp_path / "prepared", [first, second])


def table(uri):
    return list(csv.DictReader(io.StringIO(storage.read_text(uri))))


def is_png(uri):
    return storage.read_bytes(uri).startswith(b"\x89PNG")


def raster(uri):
    with rasterio.open(uri) as dataset:
        return dataset.read(), dataset.profile, dataset.descriptions


def test_counts_are_those_of_the_samples_that_are_written(tiles, tmp_path):
    where = {"tiles": tiles[0], "rois": tiles[1], "patchsize": 64}
    found = analyse_counts(AnalyseCountsConfig(**where, layouts=LAYOUTS, out=f"{tmp_path}/out"))
    written = sample(
        SampleConfig(
            **where,
            acquisition_train=LAYOUTS[1],
            output_train=f"{tmp_path}/train",
            acquisitions_valid=LAYOUTS[1:],
            outputs_valid=(f"{tmp_path}/valid",),
            check_leaks=False,
        )
    )

    rows = table(f"{tmp_path}/out/counts/counts.csv")
    assert [(row["layout"], row["data set"]) for row in rows] == [
        (layout, dataset) for layout in LAYOUTS for dataset in ("train", "valid")
    ]
    counts = {row["data set"]: int(row["samples"]) for row in rows if row["layout"] == LAYOUTS[1]}
    assert counts == {
        "train": written.counts[f"{tmp_path}/train"],
        "valid": written.counts[f"{tmp_path}/valid"],
    }
    assert {row["data set"]: int(row["positions"]) for row in rows} == {"train": 9, "valid": 3}
    for row in rows:
        seasons = ("Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov")
        assert sum(int(row[name]) for name in seasons) == int(row["samples"])
        assert row["Dec-Feb"] == row["Mar-May"] == "0"
    assert f"{counts['train']:,}" in found.text()
    assert is_png(f"{tmp_path}/out/counts/counts.png")


def test_the_constant_count_takes_so_many_per_position(tiles, tmp_path):
    common = {"tiles": tiles[0], "patchsize": 64, "layouts": LAYOUTS[1:], "constant": True}
    analyse_counts(AnalyseCountsConfig(**common, constant_nb=2, out=f"{tmp_path}/two"))
    analyse_counts(AnalyseCountsConfig(**common, constant_nb=10**6, out=f"{tmp_path}/all"))

    (two,) = table(f"{tmp_path}/two/counts/counts.csv")
    (everything,) = table(f"{tmp_path}/all/counts/counts.csv")
    assert int(two["at most 2 per position"]) == 2 * 12
    assert everything["at most 1000000 per position"] == everything["samples"]
    assert two["data set"] == "all"


def test_all_shipped_layouts_or_those_of_a_folder_are_counted(tiles, tmp_path):
    folder = tmp_path / "layouts"
    folder.mkdir()
    optical = {"type": "S2", "min_cloud_percent": 0, "max_cloud_percent": 100}
    layout = {"t": {"acquisition": {"s2": optical}, "timeframe_origin": True}}
    (folder / "every-image.json").write_text(json.dumps(layout))
    common = {"tiles": tiles[0], "patchsize": 64}
    analyse_counts(AnalyseCountsConfig(**common, out=f"{tmp_path}/shipped"))
    analyse_counts(AnalyseCountsConfig(**common, layouts=(str(folder),), out=f"{tmp_path}/own"))

    assert len(table(f"{tmp_path}/shipped/counts/counts.csv")) == len(shipped_layouts())
    (row,) = table(f"{tmp_path}/own/counts/counts.csv")
    assert (row["layout"], int(row["samples"])) == ("every-image", 6 * 16 + 6 * 8)


def test_tiles_without_radar_count_what_they_can(tmp_path):
    optical, _ = season()
    tiles, rois = write_tile(tmp_path / "prepared", Tile(optical, []))
    config = AnalyseCountsConfig(tiles=tiles, rois=rois, patchsize=64, out=f"{tmp_path}/out")
    analyse_counts(config)
    analyse_coverage(AnalyseCoverageConfig(tiles=tiles, out=f"{tmp_path}/coverage"))
    analyse_gaps(AnalyseGapsConfig(tiles=tiles, patchsize=64, out=f"{tmp_path}/gaps"))
    optical_only = {"t": {"acquisition": {"s2": {"type": "S2"}}, "timeframe_origin": True}}
    (tmp_path / "clear.json").write_text(json.dumps(optical_only))
    analyse_uses(
        AnalyseUsesConfig(
            tiles=tiles, patchsize=64, layouts=(f"{tmp_path}/clear.json",), out=f"{tmp_path}/uses"
        )
    )

    assert raster(f"{tmp_path}/uses/uses/T31TEJ_clear_s2_freq.tif")[0].max() == 6
    assert not raster(f"{tmp_path}/uses/uses/T31TEJ_clear_s1_freq.tif")[0].any()
    assert {row["samples"] for row in table(f"{tmp_path}/out/counts/counts.csv")} == {""}
    numbers = json.loads(storage.read_text(f"{tmp_path}/out/counts/counts.json"))
    assert set(numbers["layouts"]["AL-TEST"].values()) == {None}
    assert not raster(f"{tmp_path}/coverage/coverage/T31TEJ_valid_s1.tif")[0].any()
    assert np.isnan(raster(f"{tmp_path}/gaps/gaps/T31TEJ_s1s2gap_median.tif")[0]).all()


def test_coverage_maps_of_an_oblong_tile_keep_decimals_and_no_data(tmp_path):
    cloud = np.array([[0, 1, 2], [3, 4, 4096]])
    never = np.array([[0, 0, 1], [0, 0, 0]])
    optical = [Optical(0, cloud, never), Optical(5, 0, [[0, 0, 9], [9, 0, 0]])]
    radar = [Radar(1), Radar(2, [[1, 0, 0], [0, 0, 0]])]
    tiles, _ = write_tile(tmp_path / "prepared", Tile(optical, radar))
    analyse_coverage(AnalyseCoverageConfig(tiles=tiles, out=f"{tmp_path}/out"))
    where = f"{tmp_path}/out/coverage/T31TEJ"

    found, profile, names = raster(f"{where}_cloud_percent.tif")
    percent = 100 / 4096
    expected = [[0, 0.5 * percent, np.nan], [3 * percent, 2 * percent, 50]]
    assert found[0] == pytest.approx(np.array(expected), nan_ok=True)
    assert (profile["dtype"], profile["height"], profile["width"]) == ("float32", 2, 3)
    assert np.isnan(profile["nodata"])
    assert names == ("cloud_percent",)
    assert tuple(profile["transform"])[:6] == (640, 0, 499_980, 0, -640, 5_100_000)
    s2, profile, _ = raster(f"{where}_valid_s2.tif")
    assert s2[0].tolist() == [[2, 2, 0], [1, 2, 2]]
    assert profile["dtype"] == "uint16"
    assert raster(f"{where}_valid_s1.tif")[0][0].tolist() == [[1, 2, 2], [2, 2, 2]]
    (row,) = table(f"{tmp_path}/out/coverage/coverage.csv")
    assert row["patches never valid"] == "1"
    assert is_png(f"{tmp_path}/out/coverage/T31TEJ.png")


def test_uses_are_counted_per_position_and_image(tiles, tmp_path):
    where = {"tiles": tiles[0], "rois": tiles[1], "patchsize": 64, "layouts": LAYOUTS}
    analyse_uses(AnalyseUsesConfig(**where, dataset="valid", out=f"{tmp_path}/out"))
    analyse_counts(AnalyseCountsConfig(**where, out=f"{tmp_path}/counts"))
    samples = {
        row["layout"]: int(row["samples"])
        for row in table(f"{tmp_path}/counts/counts/counts.csv")
        if row["data set"] == "valid"
    }

    for layout, roles in zip(LAYOUTS, ({"s2": 4, "s1": 3}, {"s2": 2, "s1": 1}), strict=True):
        images = table(f"{tmp_path}/out/uses/T31TEJ_{layout}_images.csv")
        assert len(images) == 16 + 20
        for sensor, number in roles.items():
            found, profile, names = raster(f"{tmp_path}/out/uses/T31TEJ_{layout}_{sensor}_freq.tif")
            assert names == ("uses", "images")
            assert profile["dtype"] == "float64"
            assert np.array_equal(np.isnan(found[0]), REGION == 1)
            assert np.nansum(found[0]) == number * samples[layout] > 0
            told = [int(row["uses"]) for row in images if row["sensor"].lower() == sensor]
            assert sum(told) == np.nansum(found[0])
            assert np.nanmax(found[1]) <= sum(uses > 0 for uses in told)
        assert is_png(f"{tmp_path}/out/uses/T31TEJ_{layout}_freq.png")
    assert not storage.exists(f"{tmp_path}/out/uses/T31TDJ_{LAYOUTS[0]}_s2_freq.tif")


def test_gaps_are_binned_per_position(tmp_path):
    # The optical image is taken 24 h after the first radar image and 60 h before the second.
    radar = [Radar(-1, [[0, 0, 0], [5, 5, 5]]), Radar(2.5, [[0, 0, 0], [0, 0, 5]])]
    optical = [Optical(0), Optical(0.25, edge=[[0, 1, 1], [1, 1, 1]])]
    tiles, _ = write_tile(tmp_path / "prepared", Tile(optical, radar))
    config = AnalyseGapsConfig(tiles=tiles, patchsize=64, nbins=5, quant=12, out=f"{tmp_path}/out")
    analyse_gaps(config)

    found, profile, names = raster(f"{tmp_path}/out/gaps/T31TEJ_s1s2gap_hist.tif")
    assert names == ("0-12 h", "12-24 h", "24-36 h", "36-48 h", ">=48 h")
    assert profile["dtype"] == "uint16"
    assert found[2].tolist() == [[2, 1, 1], [0, 0, 0]]
    assert found[4].tolist() == [[0, 0, 0], [1, 1, 0]]
    assert found.sum() == 6
    median = raster(f"{tmp_path}/out/gaps/T31TEJ_s1s2gap_median.tif")[0][0]
    expected = [[27, 24, 24], [60, 60, np.nan]]
    assert median == pytest.approx(np.array(expected), abs=1e-3, nan_ok=True)


def test_the_page_needs_nothing_beside_it_and_a_second_run_changes_nothing(bucket, tmp_path):
    optical, radar = season()
    tiles, rois = write_tile(tmp_path / "prepared", Tile(optical, radar))
    config = AnalyseCountsConfig(
        tiles=tiles, rois=rois, patchsize=64, layouts=LAYOUTS, out=f"{bucket}/out/"
    )
    first = analyse_counts(config)
    before = storage.list_files(f"{bucket}/out")
    again = analyse_counts(config)

    page = storage.read_text(first.page)
    assert first.page == f"{bucket}/out/report.html"
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "AL-Meraner-Occitanie" in page
    assert again == first
    assert storage.list_files(f"{bucket}/out") == before
    with pytest.raises(OutputConflictError, match="layouts"):
        analyse_counts(config.model_copy(update={"layouts": LAYOUTS[:1]}))


def test_names_on_the_page_are_texts_and_no_markup(tmp_path):
    optical, radar = season(4, 4)
    tiles, rois = write_tile(tmp_path / "prepared", Tile(optical, radar))
    layout = tmp_path / "<b>bold<b>.json"
    layout.write_text(
        json.dumps({"t": {"acquisition": {"s2": {"type": "S2"}}, "timeframe_origin": True}})
    )
    found = analyse_counts(
        AnalyseCountsConfig(tiles=tiles, rois=rois, patchsize=64, layouts=(str(layout),),
                            out=f"{tmp_path}/out")
    )  # fmt: skip
    assert "<b>bold" not in storage.read_text(found.page)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("counts --layouts AL-NONE", "AL-NONE: there is no such layout; expected"),
        ("counts --layouts none.json", "none.json: there is no such layout"),
        ("counts --patchsize 100", "patchsize is 100; expected a multiple of 64"),
        ("uses --dataset test", "no region for test; expected one of train, valid"),
        ("counts --layouts AL-TEST AL-TEST.json", "layout AL-TEST is given twice"),
    ],
)
def test_wrong_input_is_told_in_one_line(tmp_path, capsys, words, says):
    tiles, rois = write_tile(tmp_path / "prepared", Tile(*season(3, 3)))
    given = ["--tiles", tiles, "--rois", rois, "--out", f"{tmp_path}/out"]

    name, *options = words.split()
    assert cli.main(["analyse", name, *given, "--patchsize", "64", *options]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert says in lines[-1]
    assert not storage.exists(f"{tmp_path}/out")


@pytest.mark.parametrize(
    ("words", "resolved"),
    [
        (
            "counts --tiles t --rois r --al_root_dir a b --patch_size 128 --constant --out_dir o",
            {"layouts": ["a", "b"], "patchsize": 128, "constant": True, "out": "o"},
        ),
        (
            "uses --acquisition_layouts a --tiles t --out_dir o --patch_size 64 --rois r",
            {"layouts": ["a"], "patchsize": 64, "dataset": "train"},
        ),
        ("coverage --tiles t --out_dir o", {"patchsize": 64}),
        (
            "gaps --tiles t --out_dir o --patchsize 256 --nbins 8 --quant 12",
            {"nbins": 8, "quant": 12.0},
        ),
        (
            "images --input_dir i --nodata -10000 --prefix p --out o",
            {"images": ["i"], "nodata": -10_000.0, "name": "p"},
        ),
        (
            "layout -t t --int_radius_list 2 3 --ext_radius_list 15 --maxgaps1s2_list 24 72 --al a",
            {
                "inner_days": [2.0, 3.0],
                "outer_days": [15.0],
                "gaps": [24.0, 72.0],
                "layout": "a",
            },
        ),
    ],
)
def test_the_option_names_of_the_existing_programs_are_taken(words, resolved, capsys):
    out = [] if "--out" in words else ["--out_dir", "o"]
    assert cli.main(["analyse", *words.split(), *out, "--dry-run"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found | resolved == found


def test_a_region_that_is_missing_is_named(tiles, tmp_path):
    rois = storage.read_text(tiles[1]).replace("TEST_TILES", "X")
    storage.write_bytes(f"{tmp_path}/rois.json", rois.replace("/ROI", "/NONE").encode())
    config = AnalyseCountsConfig(
        tiles=tiles[0], rois=f"{tmp_path}/rois.json", patchsize=64, out=f"{tmp_path}/out"
    )
    with pytest.raises(ConfigError, match="region raster is missing"):
        analyse_counts(config)
