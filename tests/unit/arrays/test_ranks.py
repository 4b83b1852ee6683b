"""Ranks drawn without listing all."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.ranks import distinct_ranks
from decloud_lib.errors import ShapeError


@given(total=st.integers(0, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_ranks_are_different_and_in_range(total, share, seed):
    count = round(total * share)
    found = distinct_ranks(total, count, np.random.default_rng(seed))
    assert len(found) == len(set(found.tolist())) == count
    assert all(0 <= rank < total for rank in found)
    assert found.tolist() == distinct_ranks(total, count, np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize(("total", "count"), [(5, 2), (4, 3)])
def test_each_ordered_choice_is_equally_likely(total, count):
    rng = np.random.default_rng(0)
    runs = 24_000
    seen = Counter(tuple(distinct_ranks(total, count, rng).tolist()) for _ in range(runs))
    choices = np.prod(range(total - count + 1, total + 1))
    assert len(seen) == choices
    assert max(seen.values()) < 1.2 * runs / choices < 1.45 * min(seen.values())


def test_memory_follows_the_number_drawn():
    tracemalloc.start()
    found = distinct_ranks(10**12, 20_000, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.max() > 10**11
    assert peak < 5_000_000


def test_more_than_there_are_is_refused():
    with pytest.raises(ShapeError, match="4 different ranks of 3"):
        distinct_ranks(3, 4, np.random.default_rng(0))
