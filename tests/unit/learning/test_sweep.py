import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.errors import ConfigError
from decloud_lib.learning.sweep import Space, name_of_point

WIDTHS = {"width": [8, 16, 32]}
RATE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def test_a_grid_has_each_combination_once() -> None:
    found = Space.parse(WIDTHS | {"model": ["a", "b"]}).grid()
    assert len(found) == 6
    assert found[0] == {"width": 8, "model": "a"}
    assert len({name_of_point(point) for point in found}) == 6


@given(st.integers(0, 2**31 - 1), st.integers(1, 8))
def test_drawn_points_lie_in_the_space_and_follow_the_seed(seed: int, points: int) -> None:
    space = Space.parse(WIDTHS | RATE)
    found = space.draw(points, seed)
    assert len(found) == points
    assert found == space.draw(points, seed)
    for point in found:
        assert point["width"] in WIDTHS["width"]
        assert 1e-4 <= point["learning_rate"] <= 1e-2
    choices = Space.parse(WIDTHS | {"model": ["a", "b"]}).draw(points, seed)
    assert len({name_of_point(point) for point in choices}) == len(choices) == min(points, 6)


def test_rates_are_drawn_by_their_logarithm() -> None:
    found = [point["learning_rate"] for point in Space.parse(RATE).draw(400, 0)]
    assert sum(rate < 1e-3 for rate in found) / 400 == pytest.approx(0.5, abs=0.1)


def test_a_name_does_not_depend_on_the_order_of_the_settings() -> None:
    assert name_of_point({"a": 1, "b": 2}) == name_of_point({"b": 2, "a": 1})
    assert name_of_point({"a": 1}) != name_of_point({"a": 2})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing varies"),
        ({"width": 8}, r"width is 8; expected a list of choices"),
        ({"width": []}, r"width is \[\]"),
        ({"rate": {"low": 1, "high": 1}}, "expected low < high"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "both above 0"),
        ({"rate": {"low": 0, "top": 1}}, "rate is"),
    ],
)
def test_a_wrong_space_is_refused(space: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Space.parse(space)


def test_a_range_has_no_grid() -> None:
    with pytest.raises(ConfigError, match="give --points"):
        Space.parse(RATE).grid()
