"""The search: worked examples of the specification, and a comparison with plain loops."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.acquisitions import load_layout
from decloud_lib.arrays import layout as layout_module
from decloud_lib.arrays.candidates import Catalogue, Role, nearest_s1
from decloud_lib.arrays.layout import (
    LayoutSearch,
    SearchLayout,
    SearchOptions,
    count_samples,
    search,
)
from decloud_lib.errors import ShapeError
from tests.unit.arrays.layout_oracle import brute_force

HOUR = 3_600_000
HISTORIC = SearchOptions(conflicts="historic")


def catalogue(s2, s1, *, valid_s2=None, valid_s1=None, positions=1):
    """Make a catalogue from [(hours, cloud %)] and [hours]; the same at each position."""

    def spread(values, dtype):
        return np.repeat(np.array(values, dtype=dtype)[:, None], positions, axis=1)

    return Catalogue(
        s2_time_ms=np.array([round(hours * HOUR) for hours, _ in s2], dtype=np.int64),
        s2_cloud_percent=spread([cloud for _, cloud in s2], np.float32),
        s2_valid=spread(valid_s2 or [True] * len(s2), bool),
        s1_time_ms=np.array([round(hours * HOUR) for hours in s1], dtype=np.int64),
        s1_valid=spread(valid_s1 or [True] * len(s1), bool),
        s1_ascending=np.zeros(len(s1), dtype=bool),
    )


def shipped(name):
    return load_layout(name).to_search()


def images(samples):
    return [tuple(int(i) for i in row) for row in samples["s2"]]


def day(number, hour=10 + 50 / 60):
    return number * 24 + hour


EXAMPLE_A = catalogue(
    [(day(1), 0), (day(6), 40), (day(11), 0), (day(16), 0), (day(21), 0)],
    [day(2, 6), day(8, 6), day(14, 6)],
    valid_s2=[True, True, True, False, True],
    valid_s1=[True, True, False],
)


def meraner(min_cloud=1.0, gap=72, siblings=()):
    roles = (
        Role("t", (0, 0), (min_cloud, 100), s1=True, max_gap_ms=gap * HOUR),
        Role("target", (-240 * HOUR, 240 * HOUR), (0, 0)),
    )
    return SearchLayout(roles, "t", tuple(frozenset(group) for group in siblings))


def test_example_a_pairs_the_cloudy_date_with_both_clear_ones():
    found = search(EXAMPLE_A, shipped("AL-Meraner-Occitanie"))
    assert images(found) == [(1, 0), (1, 2)]
    assert found["s1"].tolist() == [[1, -1], [1, -1]]
    assert found["position"].tolist() == [0, 0]


def test_example_a_with_a_gap_of_36_hours_finds_nothing():
    assert count_samples(EXAMPLE_A, meraner(gap=36)) == 0


def test_example_a_with_clear_references_drops_the_identity_sample():
    assert images(search(EXAMPLE_A, meraner(0))) == [(0, 2), (1, 0), (1, 2)]
    assert count_samples(EXAMPLE_A, meraner(0)) == 3
    assert count_samples(EXAMPLE_A, meraner(0, siblings=[("t", "target")])) == 4
    assert images(search(EXAMPLE_A, meraner(0), HISTORIC)) == [(0, 0), (0, 2), (1, 0), (1, 2)]


EXAMPLE_B = catalogue(
    [
        (day(10), 80),
        (day(15), 0),
        (day(22), 0),
        (day(32), 60),
        (day(37), 0),
        (day(42), 0),
        (day(52), 100),
    ],
    [day(9 + 6 * i, 6) for i in range(8)],
)


def test_example_b_counts_13_and_historically_18():
    layout = shipped("AL-CRGA-OS2-Occitanie")
    found = search(EXAMPLE_B, layout)
    assert len(found) == count_samples(EXAMPLE_B, layout) == 13
    assert len(search(EXAMPLE_B, layout, HISTORIC)) == 18
    assert count_samples(EXAMPLE_B, layout, HISTORIC) == 18
    assert set(found["s2"][:, 1]) == {3}
    assert set(found["s1"][:, 1]) == {4}
    assert set(found["s1"][:, 2]) == {-1}


def test_example_c_lists_four_triples():
    found = images(search(EXAMPLE_B, shipped("AL-CRGA-OS1-Occitanie")))
    assert sorted((t + 1, tm1 + 1, tp1 + 1) for tm1, t, tp1 in found) == [
        (3, 2, 5),
        (3, 2, 6),
        (5, 2, 6),
        (5, 3, 6),
    ]


def monthly(positions):
    s2 = [(day(1 + 5 * i), 0 if i == 2 else 30) for i in range(7)]
    return catalogue(s2, [day(1 + 5 * i, 6) for i in range(7)], positions=positions)


def test_example_d_drops_leaks_that_the_historic_rule_lets_pass():
    layout = shipped("AL-monthly-synthesis-6-images-s2-s1")
    assert count_samples(monthly(50), layout) == 0
    found = search(monthly(50), layout, HISTORIC)
    assert len(found) == count_samples(monthly(50), layout, HISTORIC)
    assert set(images(found)) == {(0, 1, 2, 3, 4, 5, 2), (1, 2, 3, 4, 5, 6, 2)}
    assert 10 < len(found) < 60  # each of 100 (position, reference) pairs passes one time in three


def test_random_bounds_lie_between_their_fixed_ends_and_follow_the_seed():
    def roles(bound):
        fixed = (float(bound), 100.0) if isinstance(bound, int) else (0.0, 100.0)
        random = None if isinstance(bound, int) else bound
        window = (-300 * HOUR, 300 * HOUR)
        parts = (
            Role("t", (0, 0), fixed, random, s1=True, max_gap_ms=72 * HOUR),
            Role("other", window, fixed, random),
            Role("target", window, (0, 0)),
        )
        return SearchLayout(parts, "t")

    s2 = [(day(1 + 5 * i), cloud) for i, cloud in enumerate([0, 1, 2, 0, 5, 2, 1])]
    many = catalogue(s2, [day(1 + 5 * i, 6) for i in range(7)], positions=40)

    def rows(layout, seed=0):
        found = search(many, layout, SearchOptions(entropy=(seed,)))
        assert len(found) == count_samples(many, layout, SearchOptions(entropy=(seed,)))
        return {row.tobytes() for row in found}

    assert rows(roles(2)) < rows(roles((0, 2))) < rows(roles(0))
    assert rows(roles((1, 1))) == rows(roles(1))
    assert rows(roles((0, 2)), 1) == rows(roles((0, 2)), 1) != rows(roles((0, 2)), 2)


def test_of_two_equally_close_radar_images_the_earlier_counts():
    found, gap = nearest_s1(catalogue([(10, 0)], [4, 16]), ascending=None)
    assert found.tolist() == [[0]]
    assert gap.tolist() == [[6 * HOUR]]


def test_of_radar_images_of_the_same_time_the_first_valid_one_counts():
    twins = [4, 4, 12, 12]
    for valid, expected in (([1, 1, 1, 1], [0, 2]), ([0, 1, 0, 1], [1, 3]), ([1, 0, 1, 0], [0, 2])):
        found, _ = nearest_s1(catalogue([(5, 0), (11, 0)], twins, valid_s1=valid), ascending=None)
        assert found.ravel().tolist() == expected


def test_the_pass_is_chosen_before_the_closest():
    images_ = catalogue([(10, 0)], [4, 9])
    images_.s1_ascending[:] = [True, False]
    assert nearest_s1(images_, ascending=True)[0].tolist() == [[0]]
    assert nearest_s1(images_, ascending=False)[0].tolist() == [[1]]


def test_a_position_without_radar_has_no_sample_and_no_crash():
    empty = catalogue([(day(1), 40), (day(5), 0)], [])
    assert count_samples(empty, meraner()) == 0
    assert nearest_s1(empty, ascending=None)[0].tolist() == [[-1], [-1]]


def test_bounds_are_inclusive_to_the_millisecond():
    window = 240
    for shift, expected in ((0, 1), (1, 0)):
        exact = catalogue([(0, 40), (window, 0)], [72])
        exact.s2_time_ms[1] += shift
        assert count_samples(exact, meraner()) == expected
        gap = catalogue([(0, 40), (100, 0)], [-72])
        gap.s1_time_ms[0] -= shift
        assert count_samples(gap, meraner()) == expected


def test_dates_that_a_role_may_not_use_are_left_out():
    allowed = {"target": np.array([True, True, False, True, True])}
    found = search(EXAMPLE_A, shipped("AL-Meraner-Occitanie"), SearchOptions(allowed=allowed))
    assert images(found) == [(1, 0)]


def test_usable_dates_and_tally_tell_what_each_condition_left():
    found = LayoutSearch(EXAMPLE_A, shipped("AL-Meraner-Occitanie"))
    assert found.usable_dates("target").tolist() == [True, False, True, False, True]
    assert found.tally() == {
        "t": {"valid": 4, "cloud 1..100 %": 1, "S1 within 72 h": 1, "in window": 1},
        "target": {"valid": 4, "cloud 0..0 %": 3, "in window": 1},
    }


def test_wrong_shapes_and_times_out_of_order_are_refused():
    with pytest.raises(ShapeError, match="ascending order"):
        catalogue([(5, 0), (1, 0)], [])
    with pytest.raises(ShapeError, match="s2_valid"):
        Catalogue(
            np.zeros(1, np.int64),
            np.zeros((1, 2)),
            np.zeros((2, 2), bool),
            np.zeros(0, np.int64),
            np.zeros((0, 2), bool),
            np.zeros(0, bool),
        )


hours = st.integers(0, 14).map(lambda value: value * 24)
s2_image = st.fixed_dictionaries(
    {"time": hours, "cloud": st.sampled_from([0, 1, 40, 100]), "valid": st.booleans()}
)
s1_image = st.fixed_dictionaries(
    {"time": hours, "valid": st.booleans(), "ascending": st.booleans()}
)
clouds = st.sampled_from([(0, 0), (0, 100), (1, 100), (40, 100), (0, 1)])
directions = st.sampled_from([None, None, "asc", "des"])


@st.composite
def layouts(draw):
    names = ["t", "a", "b", "target"][: draw(st.integers(1, 4))]
    reference = draw(st.sampled_from(names))
    roles = []
    for name in names:
        ends = (draw(st.integers(-6, 6)) * 48, draw(st.integers(-6, 6)) * 48)
        is_reference = name == reference
        kind = draw(st.sampled_from(["s2", "both", "both", *([] if is_reference else ["s1"])]))
        roles.append(
            {
                "name": name,
                "window": (0, 0) if is_reference else ends,
                "cloud": None if kind == "s1" else draw(clouds),
                "s1": kind != "s2",
                "gap": draw(st.sampled_from([24, 48, 72])) if kind == "both" else None,
                "direction": None if kind == "s2" else draw(directions),
            }
        )
        if kind != "s1" and (bound := draw(st.sampled_from([None, None, (0, 2), (1, 60)]))):
            roles[-1] |= {"random": bound, "cloud": (0, roles[-1]["cloud"][1])}
    siblings = draw(st.lists(st.sets(st.sampled_from(names), min_size=1), max_size=2))
    return roles, reference, siblings


def product_layout(roles, reference, siblings):
    parts = tuple(
        Role(
            role["name"],
            (min(role["window"]) * HOUR, max(role["window"]) * HOUR),
            role["cloud"],
            role.get("random"),
            s1=role["s1"],
            max_gap_ms=None if role["gap"] is None else role["gap"] * HOUR,
            ascending=None if role["direction"] is None else role["direction"] == "asc",
        )
        for role in roles
    )
    return SearchLayout(parts, reference, tuple(frozenset(group) for group in siblings))


def product_catalogue(positions):
    """Positions share times: [(s2 images, s1 images)], each sorted by time."""
    s2, s1 = positions[0]

    def table(part, key, dtype):
        rows = [[image[key] for image in position[part]] for position in positions]
        return np.array(rows, dtype=dtype).reshape(len(positions), -1).T

    return Catalogue(
        np.array([image["time"] * HOUR for image in s2], dtype=np.int64),
        table(0, "cloud", np.float32),
        table(0, "valid", bool),
        np.array([image["time"] * HOUR for image in s1], dtype=np.int64),
        table(1, "valid", bool),
        np.array([image["ascending"] for image in s1], dtype=bool),
    )


def elsewhere(position, rng):
    """The same dates at another position, with other cloud covers and validity."""
    optical, radar = position
    return (
        [
            {**image, "valid": rng.random() < 0.8, "cloud": int(rng.choice([0, 0, 1, 2, 50, 100]))}
            for image in optical
        ],
        [{**image, "valid": rng.random() < 0.8} for image in radar],
    )


def with_draws(roles, position, n_dates, first, n_positions):
    """Add what is drawn at a position, by the documented rule."""
    found = []
    for number, role in enumerate(roles):
        if "random" in role:
            rng = np.random.default_rng((3, number, first))
            drawn = rng.integers(*role["random"], size=(n_dates, n_positions), endpoint=True)
            role = role | {"drawn": drawn[:, position - first].tolist()}
        found.append(role)
    return found


@settings(max_examples=200, deadline=None)
@given(
    layout=layouts(),
    s2=st.lists(s2_image, max_size=9),
    s1=st.lists(s1_image, max_size=7),
    seed=st.integers(0, 99),
    historic=st.booleans(),
)
def test_search_equals_plain_loops(layout, s2, s1, seed, historic):
    def by_time(found):
        return sorted(found, key=lambda image: image["time"])

    rng = np.random.default_rng(seed)
    first = (by_time(s2), by_time(s1))
    positions = [first, *(elsewhere(first, rng) for _ in range(seed % 4))]
    roles, reference, siblings = layout
    chunk, expected = 2, []
    for number, (optical, radar) in enumerate(positions):
        begin = number // chunk * chunk
        together = min(chunk, len(positions) - begin)
        known = with_draws(roles, number, len(optical), begin, together)
        found = brute_force(known, optical, radar, siblings, historic)
        expected += [(number, *sample) for sample in found]
    options = SearchOptions(conflicts="historic" if historic else "all_pairs", entropy=(3,))
    plan = product_layout(roles, reference, siblings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_module, "CHUNK_POSITIONS", chunk)
        search_ = LayoutSearch(product_catalogue(positions), plan, options)
        rows = np.concatenate([search_.take(range(0)), *search_.blocks()])
        ranks = rng.permutation(search_.total)
        assert np.array_equal(search_.take(ranks), rows[ranks])
        assert np.array_equal(search_.take(ranks[::3]), rows[ranks[::3]])
    got = [
        (
            int(row["position"]),
            *((int(a), int(b)) for a, b in zip(row["s2"], row["s1"], strict=True)),
        )
        for row in rows
    ]
    assert sorted(got) == sorted(expected)
    assert search_.total == len(expected)


def big_catalogue(positions, n_s2=100, n_s1=130, seed=3):
    rng = np.random.default_rng(seed)
    s2 = np.sort(rng.integers(0, 365 * 24 * HOUR, n_s2))
    s1 = np.sort(rng.integers(0, 365 * 24 * HOUR, n_s1))
    cloud = np.where(rng.random((n_s2, positions)) < 0.3, 0, rng.random((n_s2, positions)) * 100)
    return Catalogue(
        s2,
        cloud.astype(np.float32),
        rng.random((n_s2, positions)) < 0.95,
        s1,
        rng.random((n_s1, positions)) < 0.95,
        rng.random(n_s1) < 0.5,
    )


def test_taking_ranks_equals_listing_and_follows_the_asked_order(monkeypatch):
    monkeypatch.setattr(layout_module, "CHUNK_POSITIONS", 4)
    monkeypatch.setattr(layout_module, "_BLOCK_SAMPLES", 50)
    layout = shipped("AL-CRGA-OS2-Occitanie")
    found = LayoutSearch(big_catalogue(11, 80, 100), layout)
    listed = np.concatenate(list(found.blocks()))
    assert len(listed) == found.total > 500
    assert all(len(block) < 200 for block in found.blocks())
    ranks = np.random.default_rng(0).permutation(found.total)
    assert np.array_equal(found.take(ranks), listed[ranks])
    assert np.array_equal(found.take(ranks[:7]), listed[ranks[:7]])
    assert len(found.take(np.zeros(0, dtype=int))) == 0
    with pytest.raises(ShapeError, match="ranks"):
        found.take([found.total])


def test_samples_are_ordered_by_position_reference_and_date():
    found = search(big_catalogue(3, 40, 60), shipped("AL-CRGA-OS2-Occitanie"))
    keys = [(int(row["position"]), int(row["s2"][1]), *map(int, row["s2"])) for row in found]
    assert all(a < b for a, b in pairwise(keys))


@pytest.mark.slow
def test_a_whole_tile_is_searched_in_seconds():
    found = big_catalogue(85 * 85)
    begin = time.perf_counter()
    total = LayoutSearch(found, shipped("AL-CRGA-OS2-Occitanie")).total
    assert total > 1_000_000
    assert time.perf_counter() - begin < 10
