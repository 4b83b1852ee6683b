from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.arrays import fitting
from decloud_lib.arrays.fit_grid import FitGrid, FittedGrid
from decloud_lib.arrays.fit_planes import planes_of
from decloud_lib.arrays.temporal import Neighbours, find_neighbours, local_mean
from decloud_lib.arrays.windows import partition
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array, Window

SEEDS = st.integers(0, 2**32 - 1)


def draw_features(rng: np.random.Generator, shape: tuple[int, int], columns: int = 5) -> Array:
    features = rng.normal(0.1, 0.05, (*shape, columns)).astype(np.float32)
    features[..., 0] = 1.0
    return features


def scene(seed: int, side: int = 48) -> tuple[list[Array], Array]:
    """Return four dates that differ, and a radar change."""
    rng = np.random.default_rng(seed)
    images = [rng.uniform(0.02, 0.4, (side, side, 4)).astype(np.float32) for _ in range(4)]
    return images, rng.normal(0.0, 0.02, (side, side, 2)).astype(np.float32)


def neighbours_of(images: list[Array]) -> fitting.Neighbours:
    everywhere = np.ones(images[0].shape[:2], bool)
    return find_neighbours(images, [everywhere] * 4, [-20.0, -5.0, 10.0, 30.0])


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.3, 0.9))
def test_a_linear_relation_to_the_neighbours_is_recovered_under_the_gap(
    seed: int, cover: float
) -> None:
    images, radar = scene(seed)
    neighbours = neighbours_of(images)
    features = fitting.fit_features(neighbours, radar)
    truth = neighbours.linear + fitting.apply(
        features, np.random.default_rng(seed).normal(0.0, 0.1, (features.shape[-1], 4))
    )
    visible = np.random.default_rng(seed + 1).random((48, 48)) > cover
    found = fitting.fill_gap(neighbours, radar, np.where(visible[..., None], truth, 9.0), visible)
    assert np.abs(found - truth).max() < 2e-3
    assert np.abs(neighbours.linear - truth).max() > 0.05


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 31), st.integers(1, 31))
def test_sums_of_blocks_are_those_of_the_whole(seed: int, row: int, col: int) -> None:
    rng = np.random.default_rng(seed)
    features = draw_features(rng, (32, 32))
    difference = rng.normal(0.0, 0.02, (32, 32, 4))
    visible = rng.random((32, 32)) > 0.4
    whole = fitting.accumulate(features, difference, visible)
    parts = [
        fitting.accumulate(
            features[rows, cols],
            difference[rows, cols],
            visible[rows, cols],
            (rows.start, cols.start),
        )
        for rows in (slice(0, row), slice(row, 32))
        for cols in (slice(0, col), slice(col, 32))
    ]
    joined = parts[0] + parts[1] + parts[2] + parts[3]
    for name in ("gram", "cross", "energy"):
        np.testing.assert_allclose(
            getattr(joined, name), getattr(whole, name), rtol=1e-9, atol=1e-12
        )


def test_folds_are_blocks_of_8_px_that_follow_the_image_and_not_the_window() -> None:
    whole = fitting.fold_numbers((40, 40))
    assert np.bincount(whole[:32, :32].ravel()).tolist() == [256] * 4
    np.testing.assert_array_equal(fitting.fold_numbers((9, 7), (11, 22)), whole[11:20, 22:29])


def test_with_too_little_visible_it_is_linear_interpolation() -> None:
    images, radar = scene(1)
    neighbours = neighbours_of(images)
    image = neighbours.linear + 0.05
    visible = np.zeros((48, 48), bool)
    visible.ravel()[: fitting.MIN_VISIBLE_PX - 1] = True
    found = fitting.fill_gap(neighbours, radar, image, visible)
    np.testing.assert_array_equal(found, neighbours.linear)
    visible.ravel()[fitting.MIN_VISIBLE_PX - 1] = True
    found = fitting.fill_gap(neighbours, radar, image, visible)
    assert np.abs(found - image).max() < 1e-3


def test_where_no_fit_predicts_unseen_blocks_it_is_linear_interpolation() -> None:
    images, radar = scene(2)
    neighbours = neighbours_of(images)
    # The difference changes its sign from fold to fold: what three folds show misleads on the next.
    signs = np.array([1.0, -1.0, 1.0, -1.0])[fitting.fold_numbers((48, 48))]
    image = neighbours.linear + 0.05 * signs[..., None].astype(np.float32)
    found = fitting.fill_gap(neighbours, radar, image, np.ones((48, 48), bool))
    np.testing.assert_array_equal(found, neighbours.linear)


def test_an_offset_of_the_date_is_found_from_what_is_visible() -> None:
    images, radar = scene(3)
    neighbours = neighbours_of(images)
    image = neighbours.linear + np.array([0.03, 0.02, 0.02, -0.05], np.float32)
    visible = np.zeros((48, 48), bool)
    visible[:, :16] = True
    found = fitting.fill_gap(neighbours, radar, image, visible)
    np.testing.assert_allclose(found, image, atol=1e-4)


def test_what_is_hidden_has_no_influence() -> None:
    images, radar = scene(4)
    neighbours = neighbours_of(images)
    rng = np.random.default_rng(4)
    visible = rng.random((48, 48)) > 0.5
    image = rng.uniform(0.0, 0.5, (48, 48, 4))
    found = fitting.fill_gap(neighbours, radar, image, visible)
    image[~visible] = np.nan
    np.testing.assert_array_equal(fitting.fill_gap(neighbours, radar, image, visible), found)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected one height and width"):
        fitting.accumulate(np.ones((4, 4, 3)), np.ones((4, 5, 4)), np.ones((4, 4), bool))


def test_nearest_usable_images_are_chosen_per_pixel() -> None:
    images = [np.full((1, 3, 4), value, np.float32) for value in (0.1, 0.2, 0.3, 0.4)]
    usable = [np.array([[True, True, False]])] * 4
    usable[1] = np.array([[True, False, False]])
    usable[2] = np.array([[True, False, False]])
    found = find_neighbours(images, usable, [-20.0, -10.0, 10.0, 30.0])
    assert found.before[0, :, 0].tolist() == pytest.approx([0.2, 0.1, 0.0])
    assert found.before_2[0, :, 0].tolist() == pytest.approx([0.1, 0.1, 0.0])
    assert found.after[0, :, 0].tolist() == pytest.approx([0.3, 0.4, 0.0])
    assert found.after_2[0, :, 0].tolist() == pytest.approx([0.4, 0.4, 0.0])
    assert found.ratio[0, :, 0].tolist() == pytest.approx([0.5, 0.4, 0.0])
    assert found.found.tolist() == [[True, True, False]]
    assert found.linear[0, :, 0].tolist() == pytest.approx([0.25, 0.22, 0.0])


def test_day_5_of_20_is_a_quarter_of_the_way() -> None:
    images = [np.full((2, 2, 1), value) for value in (0.1, 0.3)]
    found = find_neighbours(images, [np.ones((2, 2), bool)] * 2, [-5.0, 15.0])
    np.testing.assert_allclose(found.linear, 0.15, atol=1e-7)


@pytest.mark.parametrize("day", [-3.0, 3.0])
def test_one_side_stands_in_for_the_other(day: float) -> None:
    image = np.full((2, 2, 1), 0.2, np.float32)
    found = find_neighbours([image], [np.ones((2, 2), bool)], [day])
    for part in (found.before, found.before_2, found.after, found.after_2, found.linear):
        np.testing.assert_array_equal(part, image)


def test_numbers_of_images_masks_and_days_must_agree() -> None:
    with pytest.raises(ShapeError, match="found 1 images, 1 masks and 2 times"):
        find_neighbours([np.ones((2, 2, 1))], [np.ones((2, 2), bool)], [1.0, 2.0])
    with pytest.raises(ShapeError, match="at least one image"):
        find_neighbours([], [], [])


@given(SEEDS, st.integers(1, 7), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_local_mean_is_that_of_the_known_pixels_in_the_box(
    seed: int, height: int, hidden: float
) -> None:
    rng = np.random.default_rng(seed)
    pixels, known = rng.random((height, 9, 2)), rng.random((height, 9)) >= hidden
    planes = np.moveaxis(np.where(known[..., None], pixels, 0.0), 2, 1)
    found = np.moveaxis(local_mean(planes, known), 1, 2)
    for row in range(height):
        for col in range(9):
            box = (slice(max(row - 2, 0), row + 3), slice(max(col - 2, 0), col + 3))
            inside = pixels[box][known[box]]
            expected = inside.mean(axis=0) if inside.size else 0.0
            np.testing.assert_allclose(found[row, col], expected, rtol=1e-5, atol=1e-6)


def image_to_fit(seed: int, shape: tuple[int, int]) -> tuple[Neighbours, Array, Array, Array]:
    """Return neighbours and radar of one band, how the date differs, and where it is visible."""
    rng = np.random.default_rng(seed)
    images = [rng.uniform(0.02, 0.4, (*shape, 1)).astype(np.float32) for _ in range(4)]
    usable = [rng.random(shape) > 0.2 for _ in images]
    neighbours = find_neighbours(images, usable, [-20.0, -5.0, 10.0, 30.0])
    radar = rng.normal(0.0, 0.02, (*shape, 2)).astype(np.float32)
    features = fitting.fit_features(neighbours, radar)
    weights = rng.normal(0.0, 0.1, (features.shape[2], 1))
    difference = features @ weights + rng.normal(0.0, 0.002, (*shape, 1))
    return neighbours, radar, difference, (rng.random(shape) > 0.5) & neighbours.found


def applied(fitted: FittedGrid, neighbours: Neighbours, radar: Array, window: Window) -> Array:
    return np.moveaxis(fitted.apply(planes_of(neighbours, radar), window), 1, 2)


def part_of(neighbours: Neighbours, rows: slice, cols: slice) -> Neighbours:
    return Neighbours(*(getattr(neighbours, item.name)[rows, cols] for item in fields(neighbours)))


def grid_of(
    features: Array,
    difference: Array,
    visible: Array,
    cell_px: int,
    block_px: int | None = None,
) -> FitGrid:
    """Sums of an image, whose cells are cut into blocks."""
    grid = FitGrid(visible.shape, cell_px)
    for cell in partition(visible.shape, cell_px):
        for block in partition(cell.shape, block_px or cell_px):
            row, col = cell.row + block.row, cell.col + block.col
            part = (slice(row, row + block.height), slice(col, col + block.width))
            images = (features[part], difference[part], visible[part])
            grid.put((row, col), fitting.accumulate(*images, (row, col)))
    return grid


@pytest.mark.parametrize("block_px", [17, 24, 32])
def test_a_grid_gives_the_same_however_the_image_is_cut(block_px: int) -> None:
    neighbours, radar, difference, visible = image_to_fit(5, (96, 80))
    features = fitting.fit_features(neighbours, radar)
    grid = grid_of(features, difference, visible, 32, block_px)
    fitted = grid.solve()
    assert fitted.coefficients.shape == (3, 3, features.shape[2], 1)
    whole = applied(fitted, neighbours, radar, Window(0, 0, 96, 80))
    reference = grid_of(features, difference, visible, 32)
    expected = applied(reference.solve(), neighbours, radar, Window(0, 0, 96, 80))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    rows, cols = slice(20, 70), slice(10, 75)
    inner = applied(
        fitted, part_of(neighbours, rows, cols), radar[rows, cols], Window(20, 10, 50, 65)
    )
    np.testing.assert_allclose(inner[2:-2, 2:-2], whole[22:68, 12:73], atol=1e-6)
    error = (whole - difference)[neighbours.found]
    assert np.sqrt(np.mean(error**2)) < 0.0025


def test_one_cell_applies_what_the_fit_says() -> None:
    neighbours, radar, difference, visible = image_to_fit(9, (64, 48))
    features = fitting.fit_features(neighbours, radar)
    grid = grid_of(features, difference, visible, 64)
    fitted = grid.solve()
    expected = fitting.apply(features, fitted.coefficients[0, 0])
    found = applied(fitted, neighbours, radar, Window(0, 0, 64, 48))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_grid_follows_what_changes_over_the_image_without_steps() -> None:
    neighbours, radar, _, _ = image_to_fit(6, (64, 512))
    features = fitting.fit_features(neighbours, radar)
    slope = np.linspace(0.0, 0.1, 512)
    difference = np.broadcast_to(slope[None, :, None], (64, 512, 1))
    grid = grid_of(features, difference, np.ones((64, 512), bool), 64)
    found = applied(grid.solve(), neighbours, radar, Window(0, 0, 64, 512))
    assert np.abs(found - difference)[:, 64:-64].mean() < 0.002
    smooth = found[..., 0].mean(axis=0)
    assert np.abs(np.diff(smooth)).max() < 0.003


def test_a_cell_without_visible_pixels_learns_from_its_neighbours() -> None:
    neighbours, radar, difference, visible = image_to_fit(7, (96, 96))
    visible = neighbours.found.copy()
    visible[32:64, 32:64] = False
    grid = grid_of(fitting.fit_features(neighbours, radar), difference, visible, 32)
    found = applied(grid.solve(), neighbours, radar, Window(0, 0, 96, 96))
    error = (found - difference)[32:64, 32:64][neighbours.found[32:64, 32:64]]
    assert np.sqrt(np.mean(error**2)) < 0.0025


def test_sums_come_from_top_to_bottom_and_few_rows_of_them_are_kept() -> None:
    neighbours, radar, difference, visible = image_to_fit(7, (160, 64))
    grid = grid_of(fitting.fit_features(neighbours, radar), difference, visible, 32)
    assert {row for row, _ in grid._sums} == {2, 3, 4}
    with pytest.raises(ShapeError, match="sums of row 3 of the cells came after those of row 4"):
        grid.put((100, 0), next(iter(grid._sums.values())))


def test_cells_that_nothing_is_known_of_are_interpolated() -> None:
    neighbours, radar, difference, visible = image_to_fit(7, (192, 64))
    features = fitting.fit_features(neighbours, radar)
    grid = FitGrid((192, 64), cell_px=32)
    grid.put((100, 40), fitting.accumulate(features[96:128], difference[96:128], visible[96:128]))
    known = np.abs(grid.solve().coefficients).sum(axis=(2, 3)) > 0
    assert known.any(axis=1).tolist() == [False, False, True, True, True, False]


def test_cells_must_hold_all_folds() -> None:
    with pytest.raises(ShapeError, match="a multiple of 16 px"):
        FitGrid((64, 64), cell_px=24)


def test_haze_on_the_rim_of_a_gap_does_not_mislead_the_fit() -> None:
    images, radar = scene(8)
    neighbours = neighbours_of(images)
    rng = np.random.default_rng(8)
    truth = neighbours.linear + 0.03 + rng.normal(0.0, 0.003, neighbours.linear.shape)
    visible = np.ones((48, 48), bool)
    visible[:, 20:] = False
    hazy = truth.copy()
    hazy[:, 17:20] += 0.2
    found = fitting.fill_gap(neighbours, radar, hazy, visible)
    assert np.sqrt(np.mean((found - truth)[~visible] ** 2)) < 0.005
