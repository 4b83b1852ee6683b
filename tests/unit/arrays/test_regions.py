"""Division of a tile among data sets: disjoint, in proportion, in its polygons, apart."""

import hashlib
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.regions import (
    Split,
    colours,
    divide,
    draw_squares,
    leave_guard,
    region_picture,
    safe_square_px,
    share_counts,
    usable_cells,
    whole_squares,
)
from decloud_lib.errors import ShapeError

#: Outcomes of draws without polygons, pinned: published splits must come out again.
PINNED = [
    ("T31TEJ", (13, 18), (0.8, 0.2), 4, 0, "d3f837dd6c22bd5d"),
    ("T31TEJ", (171, 171), (0.8, 0.2), 4, 0, "2768cd3a12a233a9"),
    ("T31TCJ", (171, 171), (90, 5, 5), 4, 7, "4a6a4ce618e3fb05"),
    ("T31TCJ", (13, 18), (1, 0, 3), 1, 3, "24e8fff99d97dd76"),
    ("T31TEJ", (8, 12), (90, 5, 5), 2, 0, "d74e6b7bcc9b5d77"),
    ("T31TEJ", (3, 3), (90, 5, 5), 2, 0, "24900f57655e8242"),
]


def split_ground(shape, split, seed=0, inside=None, tile="T31TEJ"):
    """Divide with the generator that the stage uses."""
    generator = np.random.default_rng([seed, zlib.crc32(tile.encode())])
    n = len(split.props)
    if inside is None:
        return divide(np.zeros((n, *shape), bool), np.zeros(n, bool), split, generator)
    marked = np.array([cells is not None for cells in inside])
    ground = np.stack([np.zeros(shape, bool) if cells is None else cells for cells in inside])
    return divide(ground, marked, split, generator)


def owners(cells):
    """Turn masks into the index of the data set, -1 for none."""
    return np.where(cells.any(axis=0), cells.argmax(axis=0), -1)


@pytest.mark.parametrize(("tile", "shape", "props", "side", "seed", "digest"), PINNED)
def test_draws_without_polygons_are_the_pinned_ones(tile, shape, props, side, seed, digest):
    cells = split_ground(shape, Split(props, side), seed, tile=tile)
    assert hashlib.sha256(owners(cells).astype(np.int8)).hexdigest()[:16] == digest


def test_a_pinned_draw_in_full():
    drawn = owners(split_ground((8, 12), Split((90, 5, 5), 2)))[::2, ::2]
    assert drawn.tolist() == [[0] * 6, [0, 0, 0, 0, 1, 0], [0, 2, 0, 0, 0, 0], [0] * 6]


@st.composite
def grounds(draw, modes=("restrict", "override")):
    """A shape, a split, a seed, and polygons (rectangles of cells) of some data sets."""
    n = draw(st.integers(1, 4))
    side = draw(st.integers(1, 3))
    rows, cols = draw(st.integers(side, 14)), draw(st.integers(side, 14))
    props = tuple(draw(st.lists(st.floats(0.01, 100), min_size=n, max_size=n)))
    inside = []
    for _ in range(n):
        cells = None
        if draw(st.booleans()):
            cells = np.zeros((rows, cols), bool)
            top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
            height, width = draw(st.integers(0, rows)), draw(st.integers(0, cols))
            cells[top : top + height, left : left + width] = True
        inside.append(cells)
    split = Split(props, side, draw(st.sampled_from(modes)), draw(st.integers(0, 3)))
    return (rows, cols), split, draw(st.integers(0, 2**31)), inside


@given(grounds())
def test_no_cell_belongs_to_two_data_sets(case):
    shape, split, seed, inside = case
    cells = split_ground(shape, split, seed, inside)
    assert cells.sum(axis=0).max(initial=0) <= 1
    again = split_ground(shape, split, seed, inside)
    np.testing.assert_array_equal(cells, again)


@given(grounds())
def test_the_guard_lies_between_any_two_data_sets(case):
    shape, split, seed, inside = case
    cells = split_ground(shape, split, seed, inside)
    where = [np.argwhere(mask) for mask in cells]
    for index, mine in enumerate(where):
        for other in where[index + 1 :]:
            if len(mine) and len(other):
                far = np.abs(mine[:, None] - other[None]).max(axis=2)
                # So many cells lie between: one less than the difference of their numbers.
                assert far.min() - 1 >= split.guard_cells


@given(grounds())
def test_the_guard_only_takes_away_what_a_later_data_set_is_near_to(case):
    shape, split, seed, inside = case
    bare = Split(split.props, split.square_cells, split.mode)
    drawn, kept = (split_ground(shape, one, seed, inside) for one in (bare, split))
    np.testing.assert_array_equal(kept[-1], drawn[-1])
    assert not (kept & ~drawn).any()
    for index, lost in enumerate(drawn & ~kept):
        later = np.argwhere(kept[index + 1 :].any(axis=0))
        for cell in np.argwhere(lost):
            assert np.abs(later - cell).max(axis=1).min() <= split.guard_cells


@given(grounds(modes=("restrict",)))
def test_restrict_never_leaves_the_polygons(case):
    shape, split, seed, inside = case
    cells = split_ground(shape, split, seed, inside)
    for mask, polygons in zip(cells, inside, strict=True):
        if polygons is not None:
            assert not (mask & ~polygons).any()


@given(grounds())
def test_without_a_guard_each_data_set_holds_whole_squares(case):
    shape, split, seed, inside = case
    bare = Split(split.props, split.square_cells, split.mode)
    cells = split_ground(shape, bare, seed, inside)
    for mask in cells:
        assert whole_squares(mask, split.square_cells).sum() * split.square_cells**2 == mask.sum()


@given(grounds(modes=("restrict",)))
def test_proportions_hold_within_each_group_of_candidates(case):
    shape, split, seed, inside = case
    side = split.square_cells
    may = np.stack(
        [
            np.ones((shape[0] // side, shape[1] // side), bool)
            if cells is None
            else whole_squares(cells, side)
            for cells in inside
        ]
    )
    owner = draw_squares(may, split.props, np.random.default_rng(seed))
    code = (may * (1 << np.arange(len(may)))[:, None, None]).sum(axis=0)
    for group in np.unique(code):
        squares = owner[code == group]
        props = np.where((group >> np.arange(len(may))) & 1, split.props, 0.0)
        counts = np.bincount(squares[squares >= 0], minlength=len(props))
        if not props.any():
            assert (squares == -1).all()
            continue
        exact = props * len(squares) / props.sum()
        assert counts.sum() == len(squares)
        # At least one square for each may take some from the largest.
        bumps = ((exact > 0) & (exact < 1)).sum()
        assert (np.abs(counts - exact) < 1 + bumps).all()
        if bumps == 0:
            assert (np.abs(counts - exact) < 1 + 1e-9).all()
        if len(squares) >= (props > 0).sum():
            assert (counts[props > 0] >= 1).all()


@given(grounds(modes=("override",)))
def test_override_forces_squares_inside_and_draws_the_others_as_without(case):
    shape, split, seed, inside = case
    side = split.square_cells
    bare = Split(split.props, side, "override")
    drawn = owners(split_ground(shape, bare, seed))[::side, ::side]
    found = owners(split_ground(shape, bare, seed, inside))[::side, ::side]
    rows, cols = shape[0] // side, shape[1] // side
    expected = drawn[:rows, :cols].copy()
    for index, cells in enumerate(inside):
        if cells is not None:
            expected[whole_squares(cells, side)] = index
    np.testing.assert_array_equal(found[:rows, :cols], expected)


@given(grounds(modes=("restrict",)))
def test_polygons_around_all_ground_change_nothing(case):
    shape, split, seed, inside = case
    everywhere = [None if cells is None else np.ones(shape, bool) for cells in inside]
    np.testing.assert_array_equal(
        split_ground(shape, split, seed, everywhere), split_ground(shape, split, seed)
    )


@given(
    st.integers(1, 900),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=4),
    st.floats(0.1, 1000),
)
def test_shares_are_as_close_as_whole_squares_allow(total, props, unit):
    counts = np.array(share_counts(total, tuple(props)))
    assert counts.sum() == total
    if total >= len(props):
        assert (counts >= 1).all()
    exact = np.array(props) * total / sum(props)
    assert (np.abs(counts - exact) < len(props)).all()
    assert np.abs(counts - share_counts(total, tuple(unit * p for p in props))).max() <= 1


def test_a_data_set_without_proportion_gets_nothing():
    assert share_counts(16, (1.0, 0.0)) == [16, 0]
    # Also where nobody else may have the ground.
    cells = split_ground((4, 4), Split((1.0, 0.0), 1), inside=[np.zeros((4, 4), bool), None])
    assert not cells.any()


def test_a_square_is_inside_only_with_all_its_cells():
    polygons = np.ones((4, 4), bool)
    polygons[0, 0] = False
    cells = split_ground((4, 4), Split((1.0,), 2), inside=[polygons])
    assert cells[0].sum() == 12
    assert not cells[0, :2, :2].any()


def test_the_later_polygons_win_in_override():
    ground = np.ones((2, 2), bool)
    cells = split_ground((2, 2), Split((1.0, 1.0), 1, "override"), inside=[ground, ground])
    assert cells[1].all()
    assert not cells[0].any()


def test_the_guard_takes_a_ring_from_the_earlier_data_set():
    cells = np.zeros((2, 7, 7), bool)
    cells[1, 3, 3] = True
    cells[0] = ~cells[1]
    kept = leave_guard(cells, 2)
    assert kept[1].sum() == 1
    assert kept[0].sum() == 49 - 25
    assert not kept[0, 1:6, 1:6].any()
    np.testing.assert_array_equal(leave_guard(cells, 0), cells)


def test_a_data_set_that_gave_way_takes_nothing_from_those_before_it():
    cells = np.zeros((3, 1, 6), bool)
    cells[0, 0, :3] = cells[1, 0, 3] = cells[2, 0, 4:] = True
    kept = leave_guard(cells, 1)
    assert kept[:, 0].astype(int).tolist() == [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_shared_ground_is_all_that_a_data_set_may_have():
    left = np.zeros((4, 5), bool)
    left[:, :3] = True
    cells = split_ground((4, 5), Split((1.0, 1.0), 2, share_ground=True), inside=[left, None])
    assert cells[0, :, :2].all()
    assert not cells[0, :, 2:].any()
    assert cells[1, :, :4].all()
    assert not cells[1, :, 4:].any()


@given(st.integers(1, 6), st.integers(0, 10), st.integers(0, 5), st.integers(0, 5))
def test_a_safe_square_keeps_a_patch_with_other_ground_all_around(patch, guard, row, col):
    side = safe_square_px(patch, guard)
    shape = ((row + 2) * side, (col + 2) * side)
    mine = np.zeros(shape, bool)
    mine[row * side : (row + 1) * side, col * side : (col + 1) * side] = True
    kept = leave_guard(np.stack([mine, ~mine]), guard)[0]
    assert side % patch == 0
    assert whole_squares(kept, patch).any()


def test_region_rasters_may_hold_any_number_but_nan():
    values = np.array([[0, 1, 255, 7]], np.uint8)
    assert usable_cells(values).tolist() == [[False, True, True, True]]
    assert usable_cells(values, 255).tolist() == [[False, True, False, True]]
    floats = np.array([[0.0, 0.5, -9999.0]], np.float32)
    assert usable_cells(floats, -9999.0).tolist() == [[False, True, False]]
    with pytest.raises(ValueError, match="1 of 3 values are NaN"):
        usable_cells(np.array([[0.0, np.nan, 1.0]]))


def test_pictures_have_a_colour_for_each_data_set():
    assert len(set(colours(12))) == 12
    cells = np.zeros((2, 1, 3), bool)
    cells[0, 0, 0] = cells[1, 0, 1] = True
    picture = region_picture(cells)
    assert [tuple(pixel) for pixel in picture[0, :2]] == list(colours(2))
    assert tuple(picture[0, 2]) not in colours(2)


def test_ground_smaller_than_a_square_is_refused():
    with pytest.raises(ShapeError, match="found 3 x 5 cells, expected at least 4 each way"):
        split_ground((3, 5), Split((1.0,), 4))
    with pytest.raises(ShapeError, match="as many of each"):
        divide(
            np.zeros((2, 3, 3), bool),
            np.zeros(2, bool),
            Split((1.0,), 1),
            np.random.default_rng(0),
        )
