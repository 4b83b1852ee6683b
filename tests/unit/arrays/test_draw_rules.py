"""Rules that draw samples: what they choose, how often, and that the seed decides."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decloud_lib.arrays.draw_rules import (
    AnySample,
    ConstantPerPosition,
    EvenSeasons,
    Population,
    parse_months,
)

FOUR_SEASONS = EvenSeasons(((3, 4, 5), (6, 7, 8), (9, 10, 11), (12, 1, 2)))


def population(*counts, first="2020-01-15"):
    """Tiles with one date per month."""
    tables = [np.asarray(table, dtype=np.int64) for table in counts]
    months = np.datetime64(first[:7]) + np.arange(max(table.shape[1] for table in tables))
    times = months.astype("datetime64[D]").astype("datetime64[ms]").astype(np.int64) + 86_400_000
    return Population(tables, [times[: table.shape[1]] for table in tables])


@st.composite
def populations(draw):
    tables = draw(st.integers(1, 3))
    return population(
        *(
            draw(
                arrays(
                    np.int64,
                    (draw(st.integers(1, 4)), draw(st.integers(1, 14))),
                    elements=st.integers(0, 6),
                )
            )
            for _ in range(tables)
        )
    )


def owners(found):
    """Return per rank the number of its position and of its month, by listing everything."""
    position, month, before = [], [], 0
    for counts, times in zip(found.counts, found.times_ms, strict=True):
        months = times.astype("datetime64[ms]").astype("datetime64[M]").astype(int) % 12 + 1
        for row in range(len(counts)):
            for column, count in enumerate(counts[row]):
                position += [before + row] * count
                month += [months[column]] * count
        before += len(counts)
    return np.array(position, dtype=int), np.array(month, dtype=int)


@given(populations(), st.integers(0, 2**32 - 1))
def test_any_sample_is_a_permutation(found, seed):
    ranks = AnySample().ranks(found, found.total, np.random.default_rng(seed))
    assert sorted(ranks) == list(range(found.total))


@given(populations(), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_constant_takes_what_a_position_has_and_no_more_than_asked(found, most, seed):
    rule = ConstantPerPosition(most)
    ranks = rule.ranks(found, rule.size(found), np.random.default_rng(seed))
    assert len(set(ranks)) == len(ranks)
    position, _ = owners(found)
    taken = np.bincount(position[ranks], minlength=sum(map(len, found.counts)))
    there = np.bincount(position, minlength=len(taken))
    assert np.array_equal(taken, np.minimum(there, most))


def test_constant_draws_each_sample_of_a_position_equally_often():
    found = population([[3, 0, 2], [1, 1, 1]])
    rule, rng = ConstantPerPosition(2), np.random.default_rng(5)
    drawn = Counter(rank for _ in range(4000) for rank in rule.ranks(found, 4, rng).tolist())
    assert all(abs(drawn[rank] / 4000 - 2 / 5) < 0.04 for rank in range(5))
    assert all(abs(drawn[rank] / 4000 - 2 / 3) < 0.04 for rank in range(5, 8))


@given(populations(), st.integers(0, 2**32 - 1), st.data())
def test_even_seasons_use_the_samples_of_a_season_in_turn(found, seed, data):
    count = data.draw(st.integers(0, FOUR_SEASONS.size(found)))
    ranks = FOUR_SEASONS.ranks(found, count, np.random.default_rng(seed))
    assert len(ranks) == count
    _, month = owners(found)
    for months in FOUR_SEASONS.seasons:
        there = np.flatnonzero(np.isin(month, months))
        uses = [int(np.count_nonzero(ranks == rank)) for rank in there]
        assert not uses or max(uses) - min(uses) <= 1
    assert not len(ranks) or ranks.max() < found.total


def test_even_seasons_come_equally_often_however_rare_they_are():
    # 900 samples in January, 9 in April, none in summer, 90 in October.
    table = np.zeros((1, 12), dtype=np.int64)
    table[0, [0, 3, 9]] = 900, 9, 90
    found = population(table)
    ranks = FOUR_SEASONS.ranks(found, 999, np.random.default_rng(1))
    _, month = owners(found)
    shares = Counter(month[ranks].tolist())
    assert set(shares) == {1, 4, 10}
    assert all(280 < count < 390 for count in shares.values())


def test_other_seasons_can_be_asked_for():
    table = np.zeros((1, 12), dtype=np.int64)
    table[0, [0, 6]] = 100, 1
    found = population(table)
    wet_dry = EvenSeasons((parse_months("6-10"), parse_months("11-5")))
    _, month = owners(found)
    shares = Counter(month[wet_dry.ranks(found, 101, np.random.default_rng(1))].tolist())
    assert 30 < shares[7] < 70


@pytest.mark.parametrize("rule", [AnySample(), ConstantPerPosition(7), FOUR_SEASONS])
def test_the_seed_decides_and_nothing_is_listed(rule):
    """1.2 thousand million samples of two positions; a list of them would take 10 GB."""
    found = population(np.full((2, 12), 5 * 10**7))
    count = min(5000, rule.size(found))

    def drawn(seed):
        return rule.ranks(found, count, np.random.default_rng(seed)).tolist()

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("text", "months"),
    [("3-5", (3, 4, 5)), ("12-2", (12, 1, 2)), ("7", (7,)), ("1-12", tuple(range(1, 13)))],
)
def test_months_are_read(text, months):
    assert parse_months(text) == months


@pytest.mark.parametrize("text", ["", "0-3", "3-13", "spring", "-3"])
def test_other_texts_are_no_months(text):
    with pytest.raises(ValueError, match="are no months; expected for instance 3-5"):
        parse_months(text)


def test_each_month_belongs_to_one_season():
    with pytest.raises(ValueError, match=r"missing \[12\], wrong or given twice \[3\]"):
        EvenSeasons((parse_months("1-3"), parse_months("3-11")))
