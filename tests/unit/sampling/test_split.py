"""The split by time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.sampling.split import split_by_time

DAY = 86_400_000


def times(*days):
    return np.array([round(day * DAY) for day in days], dtype=np.int64)


def test_every_third_clear_day_is_held_out_over_all_tiles():
    clear = [times(1.4, 3.4, 7.4), times(3.6, 9.5, 11.5)]
    every = [times(1.4, 3.4, 7.4, 8.4), times(3.6, 9.5, 11.5)]
    split = split_by_time(clear, every, 3, 0)
    assert split.held_days.tolist() == [3, 11]  # of 1 3 7 9 11
    assert split.held_times_ms.tolist() == times(3.4, 3.6, 11.5).tolist()
    assert split.is_held_out(times(3.1, 4.1, 11.9)).tolist() == [True, False, True]
    assert split.may_train(times(1.4, 3.9, 4.0, 10.9)).tolist() == [True, False, True, True]


def test_guard_days_keep_neighbours_out_of_training():
    split = split_by_time([times(1, 5, 9)], [times(1, 5, 9)], 2, 2)
    assert split.held_days.tolist() == [5]
    assert split.may_train(times(2.9, 3, 4, 7, 7.1)).tolist() == [True, False, False, False, True]


def test_nothing_is_held_out_without_clear_days():
    split = split_by_time([times()], [times(1, 2)], 2, 3)
    assert split.may_train(times(1, 2)).tolist() == [True, True]
    assert not split.is_held_out(times(1, 2)).any()


@given(
    days=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    every=st.integers(2, 6),
    guard=st.integers(0, 5),
)
def test_training_never_comes_near_a_held_out_time(days, every, guard):
    found = times(*sorted(days))
    split = split_by_time([found], [found], every, guard)
    for time in found[split.may_train(found)]:
        assert all(abs(time - held) > guard * DAY for held in split.held_times_ms)
        assert time // DAY not in split.held_days
