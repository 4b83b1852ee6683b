"""The split by time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.sampling.split import parse_days, split_by_ranges, split_in_turns, time_split

DAY = 86_400_000


def times(*days):
    return np.array([round(day * DAY) for day in days], dtype=np.int64)


def listed(held):
    return {name: days.tolist() for name, days in held.items()}


def test_every_third_clear_day_is_held_out_over_all_tiles():
    clear = [times(1.4, 3.4, 7.4), times(3.6, 9.5, 11.5)]
    every = [times(1.4, 3.4, 7.4, 8.4), times(3.6, 9.5, 11.5)]
    held = split_in_turns(["valid"], clear, 3)
    assert listed(held) == {"valid": [3, 11]}  # of 1 3 7 9 11
    split = time_split(held, every, 0)
    assert split.held_times_ms.tolist() == times(3.4, 3.6, 11.5).tolist()
    assert split.may_be_target("valid", times(3.1, 4.1, 11.9)).tolist() == [True, False, True]
    assert split.may_be_target("test", times(3.1, 4.1)).tolist() == [True, True]
    assert split.may_train(times(1.4, 3.9, 4.0, 10.9)).tolist() == [True, False, True, True]


def test_validation_and_test_take_turns_and_training_uses_neither():
    clear = [times(*range(8))]
    held = split_in_turns(["valid", "test"], clear, 2)
    assert listed(held) == {"valid": [1, 5], "test": [3, 7]}
    split = time_split(held, clear, 0)
    assert np.flatnonzero(split.may_train(clear[0])).tolist() == [0, 2, 4, 6]


def test_guard_days_keep_neighbours_out_of_training():
    found = [times(1, 5, 9)]
    split = time_split(split_in_turns(["valid"], found, 2), found, 2)
    assert split.held_times_ms.tolist() == times(5).tolist()
    assert split.may_train(times(2.9, 3, 4, 7, 7.1)).tolist() == [True, False, False, False, True]


def test_nothing_is_held_out_without_clear_days():
    held = split_in_turns(["valid"], [times()], 2)
    split = time_split(held, [times(1, 2)], 3)
    assert split.may_train(times(1, 2)).tolist() == [True, True]
    assert not split.may_be_target("valid", times(1, 2)).any()


def test_ranges_hold_out_their_days_both_inclusive():
    ranges = {"valid": [parse_days("1970-01-03/1970-01-05"), parse_days("1970-01-09")], "test": []}
    held = split_by_ranges(ranges)
    assert listed(held) == {"valid": [2, 3, 4, 8]}
    found = times(1.99, 2, 4.99, 5, 8.5)
    split = time_split(held, [found], 0)
    assert split.may_be_target("valid", found).tolist() == [False, True, True, False, True]
    assert split.may_train(found).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2018-07", "expected FIRST/LAST as 2018-07-01/2018-09-30"),
        ("2018-07-01/", "expected FIRST/LAST"),
        ("2018-07-01..2018-07-09", "expected FIRST/LAST"),
        ("2018-02-30", "day is out of range"),
        ("2018-07-02/2018-07-01", "ends before it begins"),
    ],
)
def test_other_texts_are_no_days(text, message):
    with pytest.raises(ValueError, match=message):
        parse_days(text)


@given(
    days=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    every=st.integers(2, 6),
    guard=st.integers(0, 5),
    names=st.sampled_from([("valid",), ("test",), ("valid", "test")]),
)
def test_training_never_comes_near_a_held_out_time(days, every, guard, names):
    found = times(*sorted(days))
    held = split_in_turns(names, [found], every)
    split = time_split(held, [found], guard)
    targets = [found[split.may_be_target(name, found)] for name in names]
    assert sum(len(set(part.tolist())) for part in targets) == len(set(np.concatenate(targets)))
    for time in found[split.may_train(found)]:
        for target in np.concatenate(targets):
            assert abs(time - target) > guard * DAY
            assert time // DAY != target // DAY
