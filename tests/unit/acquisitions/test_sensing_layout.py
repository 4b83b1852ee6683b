"""The public layout classes."""

import pytest

from decloud_lib.acquisitions import AcquisitionsLayout, RandomInt, S1Acquisition, S2Acquisition
from decloud_lib.errors import ConfigError

HOUR = 3_600_000


def example(**options):
    """The example layout of the user documentation."""
    layout = AcquisitionsLayout(**options)
    layout.new_acquisition(
        "tm1",
        s2_acquisition=S2Acquisition(0, 0),
        timeframe_start_hours=-120,
        timeframe_end_hours=-360,
    )
    layout.new_acquisition(
        "t",
        s1_acquisition=S1Acquisition(),
        s2_acquisition=S2Acquisition(min_cloud_percent=50, max_cloud_percent=100),
        max_s1s2_gap_hours=24,
        timeframe_origin=True,
    )
    layout.new_acquisition(
        "tp1",
        s2_acquisition=S2Acquisition(0, 0),
        timeframe_start_hours=120,
        timeframe_end_hours=360,
    )
    return layout


def test_a_layout_answers_the_historic_questions():
    layout = example(siblings=[["tm1", "t"]])
    assert layout.names == ("tm1", "t", "tp1")
    assert layout.reference_name == layout.target_name == "t"
    assert layout.window_hours("tm1") == (-360, -120)
    assert layout.max_s1s2_gap_hours("t") == 24
    assert (layout.has_s1("t"), layout.has_s1("tp1"), layout.has_s2("tp1")) == (True, False, True)
    assert layout.are_siblings("t", "tm1")
    assert not layout.are_siblings("t", "tp1")


def test_the_search_form_is_in_milliseconds_with_ordered_windows():
    plan = example().to_search()
    assert [role.window_ms for role in plan.roles] == [
        (-360 * HOUR, -120 * HOUR),
        (0, 0),
        (120 * HOUR, 360 * HOUR),
    ]
    assert plan.roles[1].max_gap_ms == 24 * HOUR
    assert plan.roles[1].cloud_percent == (50, 100)
    assert plan.reference == "t"


def test_a_target_called_so_is_the_target():
    layout = example()
    layout.new_acquisition("target", s2_acquisition=S2Acquisition(0, 0), timeframe_end_hours=1)
    assert layout.target_name == "target"


def test_a_radar_image_called_target_is_not_what_is_restored():
    layout = example()
    layout.new_acquisition("target", s1_acquisition=S1Acquisition(), timeframe_end_hours=24)
    assert layout.target_name == "t"


def test_the_summary_tells_siblings():
    assert example(siblings=[["tp1", "t"]]).summary().splitlines()[-1] == "siblings: t, tp1"


def test_the_summary_has_a_column_per_acquisition():
    lines = example().summary().splitlines()
    assert lines[0].split() == ["tm1", "t", "tp1"]
    assert lines[1].split() == ["S1", "/", "+/-24h", "/"]
    assert lines[2].replace(", ", ",").split() == ["S2", "[-360h,-120h]", "origin", "[120h,360h]"]
    assert lines[3].split() == ["0-0%", "50-100%", "0-0%"]
    assert lines[0].index("t ") >= 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "t+1"}, "letters, digits"),
        ({"name": "tm1"}, "used twice"),
        ({"s2_acquisition": None}, "must be asked for"),
        ({"s1_acquisition": S1Acquisition()}, "max_s1s2_gap_hours is None"),
        ({"timeframe_end_hours": float("nan")}, "nan hours; expected a number of hours"),
        ({"timeframe_start_hours": float("-inf")}, "-inf hours; expected a number of hours"),
        ({"timeframe_origin": True}, "window must be left out"),
        (
            {"timeframe_origin": True, "timeframe_start_hours": 0, "timeframe_end_hours": 0},
            "there can be only one",
        ),
    ],
)
def test_contradictions_are_refused(arguments, message):
    given = {
        "name": "new",
        "s2_acquisition": S2Acquisition(0, 0),
        "timeframe_start_hours": 1,
        "timeframe_end_hours": 2,
    }
    with pytest.raises(ConfigError, match=message):
        example().new_acquisition(**(given | arguments))


def test_a_layout_without_origin_is_refused():
    layout = AcquisitionsLayout()
    layout.new_acquisition("t", s2_acquisition=S2Acquisition(0, 0))
    with pytest.raises(ConfigError, match="0 acquisitions are the timeframe origin"):
        layout.to_search()


def test_siblings_must_be_acquisitions():
    with pytest.raises(ConfigError, match="siblings name nobody"):
        example(siblings=[["t", "nobody"]]).check()


@pytest.mark.parametrize("text", ["random.randint(0, 2)", " random.randint( 0,2 ) "])
def test_the_historic_random_text_is_parsed(text):
    assert S2Acquisition(text, 100).min_cloud_percent == RandomInt(0, 2)


@pytest.mark.parametrize("text", ["random.random()", "__import__('os')", "random.randint(1,2)+1"])
def test_no_other_text_is_accepted(text):
    with pytest.raises(ConfigError, match="random_int"):
        S2Acquisition(text, 100)


@pytest.mark.parametrize("bounds", [(10, 5), (-1, 5), (0, 101)])
def test_cloud_bounds_must_be_per_cents_in_order(bounds):
    with pytest.raises(ConfigError, match="0 <= minimum <= maximum <= 100"):
        S2Acquisition(*bounds)
