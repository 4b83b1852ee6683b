import numpy as np
import pytest

from decloud_lib.models.previews import MAX_SAMPLES, side_by_side


def test_a_row_shows_inputs_target_and_estimate() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(0.0, 0.3, (6, 16, 16, 4))
    inputs = {"s2_tm1": target * 1e4, "s2_t": target * 1e4, "s1_t": target[..., :2]}
    image = side_by_side(inputs, target, target)
    assert image.dtype == np.uint8
    assert image.shape == (MAX_SAMPLES * 20, 4 * 20, 3)
    # Equal arrays look equal: one stretch for a whole row.
    np.testing.assert_array_equal(image[:16, :16], image[:16, 60:76])


@pytest.mark.parametrize("dates", [("tm2", "tm1", "t", "tp1", "tp2"), ("t0", "t1", "t4", "t5")])
def test_all_optical_dates_are_shown_earliest_first(dates: tuple[str, ...]) -> None:
    target = np.random.default_rng(0).uniform(0.0, 0.3, (1, 16, 16, 4))
    levels = np.linspace(0.0, 3000.0, len(dates))
    inputs = {
        f"s2_{date}": np.full_like(target, level)
        for date, level in zip(reversed(dates), reversed(levels), strict=True)
    }
    image = side_by_side(inputs, target, target)
    assert image.shape == (20, (len(dates) + 2) * 20, 3)
    shown = [int(image[0, 20 * place, 0]) for place in range(len(dates))]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_colours_are_red_green_blue() -> None:
    target = np.zeros((1, 16, 16, 4))
    target[0, :8, :, 2] = 1.0  # B4, red, in the upper half
    image = side_by_side({}, target, target)
    assert image[0, 0].tolist()[0] > image[15, 0].tolist()[0]
    assert image[0, 0].tolist()[1:] == image[15, 0].tolist()[1:]
