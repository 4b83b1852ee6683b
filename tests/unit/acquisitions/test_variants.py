"""Variants of layouts: other gaps and windows, everything else as it was."""

import pytest

from decloud_lib.acquisitions import load_layout, shipped_layouts
from decloud_lib.acquisitions.variants import Radii, Scaled, around_hours, reach_hours, vary
from decloud_lib.errors import ConfigError


def windows(layout):
    return {name: layout.window_hours(name) for name in layout.names}


@pytest.mark.parametrize("name", shipped_layouts())
def test_a_variant_of_the_same_size_is_the_layout(name):
    layout = load_layout(name)

    assert vary(layout, None, Scaled(1)).to_json() == layout.to_json()


def test_a_scaled_variant_keeps_sensors_clouds_and_order():
    layout = load_layout("AL-CRGA-OS2-Occitanie")
    found = vary(layout, 24, Scaled(0.5))

    assert windows(found) == {
        "tm1": (-360, -120),
        "t": (0, 0),
        "target": (-120, 120),
        "tp1": (120, 360),
    }
    assert [found.max_s1s2_gap_hours(name) for name in found.names] == [24, 24, None, 24]
    assert [found[name].s2 for name in found.names] == [layout[name].s2 for name in layout.names]
    assert found.reference_name == "t"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "AL-CRGA-OS2-Occitanie",
            {"tm1": (-480, -72), "t": (0, 0), "target": (-72, 72), "tp1": (72, 480)},
        ),
        ("AL-CRGA-OS1-Occitanie", {"tm1": (-480, -72), "t": (0, 0), "tp1": (72, 480)}),
        ("AL-Meraner-Occitanie", {"t": (0, 0), "target": (-72, 72)}),
    ],
)
def test_radii_are_those_of_the_two_historic_families(name, expected):
    assert windows(vary(load_layout(name), None, Radii(3, 20))) == expected


def test_the_outer_radius_lies_beyond_the_inner_one():
    with pytest.raises(ConfigError, match=r"outer radius 3 d; expected more than .* 5 d"):
        Radii(5, 3)


def test_names_tell_what_a_variant_is():
    found = [Scaled(0.5), Radii(3, 15), Radii(2.5)]

    assert [one.name for one in found] == ["x 0.5", "3-15 d", "2.5 d"]
    assert [one.stem for one in found] == ["scale0.5", "range3-15", "range2.5"]


def test_the_extent_of_a_layout_is_measured():
    layout = load_layout("AL-CRGA-OS2-Occitanie")

    assert (reach_hours(layout), around_hours(layout)) == (720, 480)
    assert around_hours(load_layout("AL-CRGA-OS1-Occitanie")) == 0
