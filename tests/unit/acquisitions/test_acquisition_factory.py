"""Layout files: the shipped ones, the grammar, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from decloud_lib.acquisitions import AcquisitionFactory, RandomInt, load_layout, shipped_layouts
from decloud_lib.acquisitions.grammar import parse_layout
from decloud_lib.errors import ConfigError

REF = "ref"
ANY = (0, 100)
CLOUDY = (1, 100)
FULL = (100, 100)
CLEAR = (0, 0)


def crga1(gap, inner, outer):
    return {
        "tm1": (CLEAR, gap, (-outer, -inner)),
        "t": (CLEAR, gap, REF),
        "tp1": (CLEAR, gap, (inner, outer)),
    }


def crga2(gap, inner, outer):
    return {
        "tm1": (ANY, gap, (-outer, -inner)),
        "t": (CLOUDY, gap, REF),
        "target": (CLEAR, None, (-inner, inner)),
        "tp1": (ANY, gap, (inner, outer)),
    }


def gap_filling(gap, near, inner, outer):
    return {
        "tm1": (CLEAR, gap, (-outer, -inner)),
        "t": (FULL, gap, REF),
        "target": (CLEAR, gap, (-near, near)),
        "tp1": (CLEAR, gap, (inner, outer)),
    }


def meraner(gap, near, cloud=CLOUDY):
    return {"t": (cloud, gap, REF), "target": (CLEAR, None, (-near, near))}


def monthly(bound, windows, target):
    found = {"t0": ((bound, 100), 72, REF)}
    for number, window in enumerate(windows, start=1):
        found[f"t{number}"] = ((bound, 100), 72, window)
    return found | {"target": (CLEAR, None, target)}


#: Name -> acquisition -> (cloud %, S1 gap hours or None, window hours): what each selects.
EXPECTED = {
    "AL-CRGA-OS1-Burkina": crga1(144, 144, 816),
    "AL-CRGA-OS1-Occitanie": crga1(72, 72, 552),
    "AL-CRGA-OS2-Burkina": crga2(144, 336, 1008),
    "AL-CRGA-OS2-Occitanie": crga2(72, 240, 720),
    "AL-CRGA-OS2-GF-Burkina": gap_filling(144, 168, 384, 672),
    "AL-CRGA-OS2-GFa-Occitanie": gap_filling(72, 120, 240, 432),
    "AL-CRGA-OS2-GFb-Occitanie": gap_filling(72, 72, 336, 480),
    "AL-Meraner-Burkina": meraner(144, 336),
    "AL-Meraner-Occitanie": meraner(72, 240),
    "AL-TEST": {
        "tm1": (CLOUDY, 24, (-360, -240)),
        "t": (ANY, 24, REF),
        "target": (CLEAR, None, (-240, 240)),
        "tp1": (CLOUDY, 24, (240, 360)),
    },
    "AL-TEST-Meraner": meraner(12, 120, ANY),
    "AL-monthly-synthesis-6-images-s2-s1": monthly(
        RandomInt(0, 2),
        [(100, 140), (220, 260), (340, 380), (460, 500), (580, 620)],
        (100, 500),
    ),
    "AL-monthly-synthesis-6-images-s2-s1-difficult": monthly(
        RandomInt(1, 10),
        [(1, 200), (201, 400), (401, 600), (601, 800), (801, 1000)],
        (350, 650),
    ),
    "AL-five-dates": {
        "tm2": ((0, 30), 72, (-1440, -240)),
        "tm1": ((0, 1), 72, (-720, -120)),
        "t": ((0, 1), 72, REF),
        "tp1": ((0, 1), 72, (120, 720)),
        "tp2": ((0, 30), 72, (240, 1440)),
        "gap": ((20, 90), None, (-8760, 8760)),
    },
    "AL-CRGA-OS2-clear-neighbours": {
        "tm1": ((0, 1), 72, (-720, -120)),
        "t": ((30, 100), 72, REF),
        "target": ((0, 1), None, (-120, 120)),
        "tp1": ((0, 1), 72, (120, 720)),
    },
}


def test_the_shipped_layouts_are_these():
    assert set(shipped_layouts()) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_shipped_layout_selects_what_it_should(name):
    layout = load_layout(name)
    assert list(layout.names) == list(EXPECTED[name])
    for key, (cloud, gap, window) in EXPECTED[name].items():
        found = layout[key]
        assert (found.s2.min_cloud_percent, found.s2.max_cloud_percent) == cloud
        assert layout.has_s1(key) is (gap is not None)
        assert layout.max_s1s2_gap_hours(key) == gap
        assert found.is_origin is (window == REF)
        assert layout.window_hours(key) == ((0, 0) if window == REF else window)
    assert layout.siblings == ()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_layout_written_as_json_is_read_back_equal(name):
    layout = load_layout(name)
    assert parse_layout(json.dumps(layout.to_json()), "x").to_json() == layout.to_json()


def content(**changes):
    found = {
        "t": {
            "acquisition": {
                "a": {"type": "S2", "min_cloud_percent": 1, "max_cloud_percent": 100},
                "b": {"type": "S1"},
            },
            "max_s1s2_gap_hours": 72,
            "timeframe_origin": "True",
        },
        "target": {
            "acquisition": {"a": {"type": "S2"}},
            "timeframe_start_hours": 240,
            "timeframe_end_hours": -240,
        },
    }
    return found | changes


def changed(name, **changes):
    return content(**{name: content()[name] | changes})


def test_a_file_with_historic_texts_is_read(tmp_path):
    path = tmp_path / "layout.json"
    acquisition = {
        "a": {"type": "S2", "min_cloud_percent": "random.randint(0, 2)", "max_cloud_percent": 100},
        "b": {"type": "S1", "orbit": "ASC"},
    }
    given = changed("t", acquisition=acquisition)
    path.write_text(json.dumps(given | {"options": {"siblings": [["t", "target"]]}}))
    layout = AcquisitionFactory.get_acquisition(str(path))
    assert layout.reference_name == "t"
    assert layout["t"].s2.min_cloud_percent == RandomInt(0, 2)
    assert layout["t"].s1.ascending is True
    assert layout["target"].s2.bounds == (0, 0)
    assert layout.window_hours("target") == (-240, 240)
    assert layout.are_siblings("t", "target")


@pytest.mark.parametrize("key", ["sibling", "siblings"])
def test_both_spellings_of_siblings_are_accepted(key):
    text = json.dumps(content(options={key: [["t", "target"]]}))
    assert parse_layout(text, "x").are_siblings("target", "t")


def test_false_texts_do_not_make_a_reference():
    given = content()
    given["target"]["timeframe_origin"] = "False"
    assert parse_layout(json.dumps(given), "x").reference_name == "t"


S1_ONLY = {"a": {"type": "S1"}}


def drawn(bounds):
    entry = {"type": "S2", "min_cloud_percent": {"random_int": bounds}, "max_cloud_percent": 100}
    return changed("t", acquisition={"a": entry, "b": {"type": "S1"}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed("target", timeframe_origin=True), r"L\.json: target: .*window must be left out"),
        (
            content(other=content()["t"]),
            r"L\.json: other: .*'t' is the timeframe origin already; there can be only one",
        ),
        (changed("t", max_s1s2_gap_hours=None), r"L\.json: t: .*max_s1s2_gap_hours is None"),
        (changed("t", max_s1s2_gap_hours="72"), r"L\.json: t\.max_s1s2_gap_hours: expected a num"),
        (changed("t", timeframe_origin="yes"), r"L\.json: t\.timeframe_origin: .*found 'yes'"),
        (changed("t", gap=3), r"L\.json: t\.gap: unknown key; known are acquisition, max_s1s2"),
        (changed("target", timeframe_end_hours=None), r"target: .* are both needed"),
        (changed("target", acquisition={}), r"target: .*must be asked for"),
        (changed("target", acquisition={"a": {"type": "S3"}}), r"target\.acquisition\.a"),
        (
            changed("target", acquisition={"a": {"type": "S2", "min_cloud_percent": "eval(1)"}}),
            r"target\.acquisition\.a.*min_cloud_percent.*cloud bound 'eval\(1\)'",
        ),
        (changed("t", acquisition=S1_ONLY), r"t: .*origin, so it needs an S2 image"),
        (changed("t", acquisition={"a": {"type": "S2"}, "b": {"type": "S2"}}), r"one at most"),
        (
            changed("target", acquisition={"a": {"min_cloud_percent": 3}}),
            r'target\.acquisition\.a: expected "type": "S1" or "type": "S2", found',
        ),
        (
            changed("target", acquisition={"a": {"type": "S2", "min": 1}}),
            r"\.a\.min: unknown key; known are type, min_cloud",
        ),
        (changed("target", acquisition=[]), r"target\.acquisition: expected an object, found \[\]"),
        (content(x=5), r"L\.json: x: expected an object, found 5"),
        (content(x={}), r"L\.json: x\.acquisition: the key is missing"),
        (content(options=[]), r"options: expected an object"),
        (content(options={"siblings": "t"}), r"options\.siblings: expected a list, found 't'"),
        (
            changed("t", max_s1s2_gap_hours=1e300),
            r"t: .*1e\+300 hours; expected .* 876,600 at most",
        ),
        (
            drawn([1, 2, 3]),
            r"t\.acquisition\.a\.min_cloud_percent\.random_int: expected two numbers",
        ),
        (drawn(["1", 2]), r"random_int\.0: expected a whole number, found '1'"),
        (drawn([5, 2]), r"t: random cloud bound 5\.\.2"),
        (content(options={"sibling": [["t", "x"]]}), r"siblings name x"),
        (content(options={"twins": []}), r"options\.twins: unknown key; known are siblings"),
        ({"target": content()["target"]}, r"0 acquisitions are the timeframe origin"),
        ([], r"expected a JSON object"),
    ],
)
def test_a_message_names_file_key_and_reason(given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_layout(json.dumps(given), "L.json")
    assert str(caught.value).startswith("L.json")


def test_duplicate_keys_and_broken_json_are_refused():
    with pytest.raises(ConfigError, match="'t' is there twice"):
        parse_layout('{"t": {}, "t": {}}', "L.json")
    for text in ("{", "[" * 100_000, '{"t": NaN}', '{"t": -Infinity}', "\ufeff{}"):
        with pytest.raises(ConfigError, match=r"L\.json: not a usable JSON file"):
            parse_layout(text, "L.json")


def test_the_example_of_the_documentation_is_a_layout():
    page = (Path(__file__).parents[3] / "docs" / "layouts.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    layout = parse_layout(text, "docs/layouts.md")
    assert layout.names == ("tm1", "t", "target", "later")
    assert layout["t"].s2.min_cloud_percent == RandomInt(1, 30)
    assert (layout["t"].s1.ascending, layout.has_s2("later")) == (True, False)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match="AL-CRGA-OS2-Occitanie"):
        load_layout("AL-nothing")
