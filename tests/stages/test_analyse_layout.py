"""Advice on a layout, and all analyses on one page."""

import csv
import io
import json

import numpy as np
import pytest
import rasterio

from decloud_lib import cli, storage
from decloud_lib.acquisitions import load_layout
from decloud_lib.acquisitions.variants import Radii, Scaled, vary
from decloud_lib.analysis.advice import Combination, Wanted, recommended
from decloud_lib.arrays.layout import count_samples
from decloud_lib.sampling.sources import read_tiles
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.stages.analyse import AnalyseConfig, analyse
from decloud_lib.stages.analyse_layout import AnalyseLayoutConfig, analyse_layout
from decloud_lib.stages.sample import SampleConfig, sample
from tests.prepared_tiles import Optical, Radar, Tile, season, write_tile

WANTED = {"min_samples": 50, "min_seasons": 1, "positions_percent": 50.0}


@pytest.fixture
def tiles(tmp_path):
    optical = [Optical(5 * i, 0 if i % 3 == 0 else 2048) for i in range(30)]
    radar = [Radar(4 * i - 0.2) for i in range(40)]
    return write_tile(tmp_path / "prepared", Tile(optical, radar))


def table(uri):
    return list(csv.DictReader(io.StringIO(storage.read_text(uri))))


def test_each_combination_is_counted_as_the_layout_itself(tiles, tmp_path):
    config = AnalyseLayoutConfig(
        tiles=tiles[0], patchsize=64, gaps=(72, 24, 48), scales=(1, 0.5), out=f"{tmp_path}/out",
        **WANTED,
    )  # fmt: skip
    analyse_layout(config)

    catalogue = index_tile("T31TEJ", read_tiles(tiles[0]), 64).catalogue
    layout = load_layout("AL-CRGA-OS2-Occitanie")
    rows = table(f"{tmp_path}/out/advice/advice.csv")
    assert [(row["gap, h"], row["windows"]) for row in rows] == [
        (gap, windows) for gap in ("24.0", "48.0", "72.0") for windows in ("x 0.5", "x 1")
    ]
    for row in rows:
        factor = float(row["windows"].removeprefix("x "))
        variant = vary(layout, float(row["gap, h"]), Scaled(factor))
        assert int(row["samples"]) == count_samples(catalogue, variant.to_search())
    assert len({row["samples"] for row in rows}) > 3


def test_the_recommended_layout_is_written_and_can_be_sampled(tiles, tmp_path):
    where = {"tiles": tiles[0], "rois": tiles[1], "patchsize": 64}
    found = analyse_layout(
        AnalyseLayoutConfig(**where, **WANTED, layout="AL-Meraner-Occitanie", gaps=(12, 24, 48, 72),
                            inner_days=(3, 5, 8, 10), out=f"{tmp_path}/out")
    )  # fmt: skip
    rows = table(f"{tmp_path}/out/advice/advice.csv")
    good = [row for row in rows if row["reaches what is wanted"] == "yes"]
    numbers = json.loads(storage.read_text(f"{tmp_path}/out/advice/advice.json"))
    best = rows[numbers["recommended"]]
    assert 0 < len(good) < len(rows)
    gaps = [float(row["gap, h"]) for row in good]
    assert float(best["gap, h"]) == min(gaps)
    assert f"Recommended: gap {min(gaps):g} h, windows {best['windows']}" in found.text()
    assert "\n* " in found.text()

    advised = f"{tmp_path}/out/advice/AL-Meraner-Occitanie-advised.json"
    written = sample(
        SampleConfig(**where, acquisition_train=advised, output_train=f"{tmp_path}/train")
    )
    assert written.counts[f"{tmp_path}/train"] == int(best["samples"])
    name = f"count_gap{min(gaps):g}_range{best['windows'].removesuffix(' d')}_T31TEJ"
    with rasterio.open(f"{tmp_path}/out/advice/{name}.tif") as dataset:
        assert np.nansum(dataset.read(1)) == int(best["samples"])
        assert dataset.shape == (2, 3)


def test_radii_are_tried_where_the_outer_lies_beyond_the_inner(tiles, tmp_path):
    analyse_layout(
        AnalyseLayoutConfig(tiles=tiles[0], patchsize=64, gaps=(72,), inner_days=(5, 12, 20),
                            outer_days=(10, 20), out=f"{tmp_path}/out")
    )  # fmt: skip
    rows = table(f"{tmp_path}/out/advice/advice.csv")
    assert [row["windows"] for row in rows] == ["5-10 d", "5-20 d", "12-20 d"]


def test_a_layout_without_radar_has_no_gap_to_try(tmp_path):
    tiles, _ = write_tile(tmp_path / "prepared", Tile(season()[0], []))
    optical = {"type": "S2", "min_cloud_percent": 0, "max_cloud_percent": 100}
    layout = {
        "t": {"acquisition": {"s2": optical}, "timeframe_origin": True},
        "target": {
            "acquisition": {"s2": {"type": "S2"}},
            "timeframe_start_hours": -240,
            "timeframe_end_hours": 240,
        },
    }
    (tmp_path / "optical.json").write_text(json.dumps(layout))
    analyse_layout(
        AnalyseLayoutConfig(tiles=tiles, patchsize=64, layout=f"{tmp_path}/optical.json",
                            scales=(0.1, 1), out=f"{tmp_path}/out")
    )  # fmt: skip
    rows = table(f"{tmp_path}/out/advice/advice.csv")
    assert [row["gap, h"] for row in rows] == ["", ""]
    assert int(rows[0]["samples"]) == 0 < int(rows[1]["samples"])


def test_where_nothing_reaches_what_is_wanted_it_is_said(tiles, tmp_path):
    found = analyse_layout(
        AnalyseLayoutConfig(tiles=tiles[0], patchsize=64, min_samples=10**9, out=f"{tmp_path}/out")
    )
    assert "None of 24 combinations reaches that. Most samples: gap " in found.text()
    assert "(wanted 1,000,000,000)" in found.text()
    assert not [uri for uri in found.files if uri.endswith("-advised.json")]


def combination(gap, windows, samples=100, seasons=2, positions=60.0):
    layout = vary(load_layout("AL-CRGA-OS2-Occitanie"), gap, windows)
    return Combination(gap, windows, layout, samples, seasons, positions)


@pytest.mark.parametrize(
    ("tried", "first", "expected"),
    [
        ([(48, Radii(3, 15)), (24, Radii(3, 20)), (24, Radii(5, 20))], "gap", 1),
        ([(48, Radii(3, 15)), (24, Radii(3, 20)), (24, Radii(5, 20))], "windows", 0),
        ([(24, Radii(8, 15)), (24, Radii(3, 20)), (24, Radii(2, 15))], "gap", 2),
        ([(36, Scaled(2)), (36, Scaled(0.5))], "windows", 1),
    ],
)
def test_the_smallest_gap_or_window_that_reaches_what_is_wanted(tried, first, expected):
    found = [combination(*one) for one in tried]
    wanted = Wanted(100, 2, 5, 60, first)

    assert recommended(found, wanted) is found[expected]
    for field in ({"samples": 99}, {"seasons": 1}, {"positions": 59.0}):
        assert recommended([combination(24, Scaled(1), **field)], wanted) is None


def test_a_layout_that_needs_radar_is_refused_where_there_is_none(tmp_path, capsys):
    tiles, _ = write_tile(tmp_path / "prepared", Tile(season()[0], []))
    words = ["--tiles", tiles, "--patchsize", "64", "--out", f"{tmp_path}/out"]
    assert cli.main(["analyse", "layout", *words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "AL-CRGA-OS2-Occitanie asks for Sentinel-1, and the tiles have none" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--inner-days 5", "expected outer days larger than inner ones (--outer-days)"),
        ("--inner-days 5 --outer-days 4", "expected outer days larger than inner ones"),
        ("--outer-days 4", "outer days are given; expected inner days with them"),
        ("--gaps 24 0", "gaps: expected numbers above 0"),
        ("--layout AL-NONE", "AL-NONE: there is no such layout"),
        ("--season-months 3-5 6-8", "expected each month 1..12 in exactly one season"),
    ],
)
def test_wrong_settings_are_told_in_one_line(tiles, tmp_path, capsys, words, says):
    given = ["--tiles", tiles[0], "--out", f"{tmp_path}/out", "--patchsize", "64"]
    assert cli.main(["analyse", "layout", *given, *words.split()]) == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_page_without_parts_is_refused(tiles, tmp_path, capsys):
    words = ["--tiles", tiles[0], "--out", f"{tmp_path}/out", "--parts", "records", "layout"]
    assert cli.main(["analyse", "all", *words]) == 2
    assert "there is nothing to show; name parts" in capsys.readouterr().err.splitlines()[-1]


def test_one_page_has_all_parts_that_were_asked(tiles, bucket, tmp_path):
    sample(
        SampleConfig(
            tiles=tiles[0],
            rois=tiles[1],
            patchsize=64,
            acquisition_train="AL-Meraner-Occitanie",
            output_train=f"{tmp_path}/records",
            maxntrain=10,
        )
    )
    common = {"tiles": tiles[0], "rois": tiles[1], "patchsize": 64, "layouts": ("AL-TEST-Meraner",)}
    found = analyse(
        AnalyseConfig(**common, **WANTED, layout="AL-Meraner-Occitanie", out=f"{bucket}/out",
                      records=(f"{tmp_path}/records",))
    )  # fmt: skip
    page = storage.read_text(found.page)
    sections = ["coverage", "gaps", "counts", "uses", "images", "records", "advice"]
    places = [page.index(f'<section id="{name}">') for name in sections]
    assert places == sorted(places)
    assert {storage.name_of(uri) for uri in found.files} >= {
        "T31TEJ_cloud_percent.tif",
        "T31TEJ_s1s2gap_hist.tif",
        "counts.json",
        "T31TEJ_AL-TEST-Meraner_s1_freq.tif",
        "s2_10_m_histogram.png",
        "s1_statistics.csv",
        "records.geojson",
        "AL-Meraner-Occitanie-advised.json",
        "report.html",
    }
    with_few = analyse(
        AnalyseConfig(**common, parts=("counts", "layout", "records"), out=f"{bucket}/few")
    )
    assert storage.read_text(with_few.page).count("<section") == 1
