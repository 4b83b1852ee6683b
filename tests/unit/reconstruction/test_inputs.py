"""Which dates are chosen around an image."""

from dataclasses import replace
from datetime import timedelta

import pytest

from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.reconstruction.inputs import (
    SceneInputs,
    Search,
    Span,
    choose,
    replace_span,
    spans_of_layout,
)
from decloud_lib.reconstruction.scene import make_sources, roles_of
from decloud_lib.reconstruction.sources import PairMosaic, SarMosaic
from tests.unit.reconstruction.scenes import T0, TILE, contract_of

ROLES = frozenset({"s1_tm1", "s2_tm1", "s1_t", "s1_tp1", "s2_tp1"})
SEARCH = Search(Span(), Span(), 72)


def s2(day: float) -> PreparedS2:
    name = f"p{day:+g}"
    time = T0 + timedelta(days=day)
    return PreparedS2(name, name, TILE, time, f"{name}_10m", "", f"{name}_clm", "", "", "")


def s1(day: float) -> PreparedS1:
    time = T0 + timedelta(days=day)
    return PreparedS1(f"s{day:+g}", TILE, time, False, False, "")


def days(*numbers: float) -> list[PreparedS2]:
    return [s2(number) for number in numbers]


def names(items: tuple[PreparedS1, ...] | tuple[PreparedS2, ...]) -> list[str]:
    return [item.uri for item in items]


def test_dates_are_strictly_before_and_after_and_closest_first() -> None:
    found = choose(s2(0), [s1(n) for n in range(-9, 10)], days(-3, 0, 5, -8, 2), SEARCH, ROLES)
    assert names(found.s2_before) == ["p-3", "p-8"]
    assert names(found.s2_after) == ["p+2", "p+5"]
    assert names(found.s1)[0] == "s+0"
    assert set(names(found.s1)) == {f"s{n:+d}" for n in range(-3, 4)}


def test_an_empty_folder_is_told_from_a_narrow_search() -> None:
    with pytest.raises(NoSampleError, match="found none; check --s2-dir, or run prepare-s2"):
        choose(s2(0), [s1(0)], [], SEARCH, ROLES)
    with pytest.raises(NoSampleError, match="found S1 none; check --s1-dir, run prepare-s1, or"):
        choose(s2(0), [], days(-3, 3), SEARCH, ROLES)


def test_no_more_than_twelve_dates_are_used_and_the_closest_are_kept() -> None:
    sar = [s1(n) for n in range(-30, 31)]
    found = choose(s2(0), sar, days(*range(-30, 31)), SEARCH, ROLES)
    assert names(found.s2_before) == [f"p-{n}" for n in range(1, 13)]
    assert names(found.s2_after) == [f"p+{n}" for n in range(1, 13)]
    many = [s1(n / 10) for n in range(-30, 31)]
    around = choose(s2(0), many, days(-1, 1), SEARCH, ROLES)
    assert len(around.s1) == 12
    assert max(abs(item.acquired - T0) for item in around.s1) <= timedelta(days=0.6)


def test_a_date_without_sar_gives_way_to_one_that_has_it() -> None:
    found = choose(s2(0), [s1(-20), s1(0), s1(9)], days(-9, -21, 8), SEARCH, ROLES)
    assert names(found.s2_before) == ["p-21"]
    assert names(found.s1_before) == ["s-20"]


def test_the_span_bounds_are_included() -> None:
    search = Search(Span(5, 10), Span(5, 10), 72)
    sar = [s1(n) for n in range(-12, 13)]
    found = choose(s2(0), sar, days(-4, -5, -10, -11, 5, 10), search, ROLES)
    assert names(found.s2_before) == ["p-5", "p-10"]
    assert names(found.s2_after) == ["p+5", "p+10"]


def test_only_what_the_network_needs_is_looked_for() -> None:
    found = choose(s2(0), [], days(-4, 6), SEARCH, frozenset({"s2_tm1", "s2_tp1"}))
    assert names(found.s2_before) == ["p-4"]
    assert found.s1_before == found.s1 == ()
    assert choose(s2(0), [], [], SEARCH, frozenset({"s2_t"})) == SceneInputs(s2(0))


def test_an_empty_side_is_explained() -> None:
    with pytest.raises(NoSampleError, match=r"no S2 date 0 to 30 days after 2020-06-15 10:58 .* "):
        choose(s2(0), [s1(-3)], days(-3, 0, 31), SEARCH, frozenset({"s2_tp1"}))
    with pytest.raises(NoSampleError, match="found none"):
        choose(s2(0), [], [], SEARCH, frozenset({"s2_tm1"}))


def test_no_sar_within_the_gap_is_explained() -> None:
    with pytest.raises(NoSampleError, match=r"no S1 image within 72 h of an S2 date \(2020-06-10"):
        choose(s2(0), [s1(-9)], days(-5), SEARCH, frozenset({"s1_tm1", "s2_tm1"}))
    with pytest.raises(
        NoSampleError, match="use a model that needs no radar: --savedmodel linear_gap"
    ):
        choose(s2(0), [s1(4)], [], SEARCH, frozenset({"s1_t"}))


def test_spans_come_from_the_layout_and_the_user_wins() -> None:
    layout = {
        "tm1": {"timeframe_start_hours": -720, "timeframe_end_hours": -120},
        "tp1": {"timeframe_start_hours": 360, "timeframe_end_hours": 120},
    }
    assert spans_of_layout(layout) == (Span(5, 30), Span(5, 15))
    assert spans_of_layout(None) == (Span(0, 30), Span(0, 30))
    assert replace_span(Span(5, 30), None, 60) == Span(5, 60)


def sources_of(inputs: SceneInputs, *keys: str, priority: str = "closest_clear") -> list[object]:
    return list(make_sources(contract_of(*keys), inputs, priority, 72))  # type: ignore[arg-type]


def test_priorities_order_the_dates_of_both_sides() -> None:
    inputs = SceneInputs(
        s2(0),
        s2_before=tuple(days(-3, -9)),
        s1_before=(s1(-3), s1(-9)),
        s2_after=tuple(days(9, 3)),
        s1_after=(s1(9), s1(3)),
    )
    keys = ("s1_tm1", "s2_tm1", "s1_tp1", "s2_tp1")
    firsts = {}
    for priority in ("closest", "farthest"):
        before, after = sources_of(inputs, *keys, priority=priority)
        assert isinstance(before, PairMosaic)
        assert isinstance(after, PairMosaic)
        firsts[priority] = tuple(
            side.optical[side.pairs[0].optical].image.uri for side in (before, after)
        )
    assert firsts == {"closest": ("p-3_10m", "p+3_10m"), "farthest": ("p-9_10m", "p+9_10m")}


def test_the_closest_sar_image_is_on_top() -> None:
    (source,) = sources_of(SceneInputs(s2(0), s1=(s1(-2), s1(1), s1(-0.5))), "s1_t")
    assert isinstance(source, SarMosaic)
    assert [image.uri for image in source.images] == ["s-0.5", "s+1", "s-2"]


def test_a_model_without_the_cloudy_image_is_served() -> None:
    inputs = SceneInputs(s2(0), s2_before=tuple(days(-3)), s1=(s1(0),))
    found = sources_of(inputs, "s1_t", "s2_tm1")
    assert [type(source) for source in found] == [SarMosaic, PairMosaic]


def test_missing_lists_are_named() -> None:
    with pytest.raises(ConfigError, match="S2 images before the date; give --il-s2before"):
        sources_of(SceneInputs(s2(0)), "s2_tm1")
    with pytest.raises(ConfigError, match="--il-s1after"):
        sources_of(SceneInputs(s2(0), s2_after=tuple(days(3))), "s1_tp1", "s2_tp1")
    far = SceneInputs(s2(0), s2_after=tuple(days(3)), s1_after=(s1(9),))
    with pytest.raises(NoSampleError, match="none of the 1 S1 images after"):
        sources_of(far, "s1_tp1", "s2_tp1")


def test_a_date_or_sar_image_of_a_side_asks_for_its_optical_image() -> None:
    contract = contract_of("s1_tm1", "s2_timestamp_tp1")
    assert {"s2_tm1", "s2_tp1"} <= roles_of(contract)


def test_provenance_names_only_what_was_used() -> None:
    inputs = replace(SceneInputs(s2(0)), dem="dem.tif", s1=(s1(1),))
    assert inputs.names() == {"in_s2": ("p+0",), "il_s1": ("s+1",), "dem": ("dem.tif",)}
