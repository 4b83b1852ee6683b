"""Dates of a training sample that are made less alike."""

import numpy as np
import tensorflow as tf

from decloud_lib.models.weather import vary_date, vary_dates
from decloud_lib.types import Array
from tests.unit.models.five_dates import five_dates


def scene() -> Array:
    rng = np.random.default_rng(4)
    return rng.uniform(300.0, 4000.0, (48, 64, 4)).astype("float32")


def varied(image: Array, seed: int) -> Array:
    found: Array = vary_date(tf.constant(image), tf.constant([seed, 1], tf.int32)).numpy()
    return found


def test_the_same_seed_changes_alike_and_another_one_otherwise() -> None:
    image = scene()
    np.testing.assert_array_equal(varied(image, 3), varied(image, 3))
    found = [varied(image, seed) for seed in range(40)]
    assert all(np.all(np.isfinite(one)) for one in found)
    same = [np.array_equal(one, image) for one in found]
    # Half keep their level, 0.88 have no shade, 0.8 no haze, 0.7 are not shifted: a quarter stays.
    assert 0.05 < np.mean(same) < 0.5


def test_levels_change_by_a_few_percent() -> None:
    flat = np.full((48, 64, 4), 2000.0, "float32")
    # Neither haze nor shade on these: one number per band.
    level = [
        one[0, 0] / 2000.0 for one in (varied(flat, n) for n in range(300)) if np.ptp(one) < 400
    ]
    changed = np.array([one for one in level if np.any(one != 1.0)])
    assert 0.02 < changed.std() < 0.07
    assert abs(changed.mean() - 1.0) < 0.02


def test_haze_brightens_dark_ground_and_shade_darkens_it() -> None:
    dark = np.full((48, 64, 4), 200.0, "float32")
    change = [varied(dark, seed) / 200.0 for seed in range(300)]
    hazy, shaded = (
        sum(bool(test) for test in tests)
        for tests in zip(*((one.max() > 1.5, one.min() < 0.8) for one in change), strict=True)
    )
    assert 10 < hazy < 75
    assert 3 < shaded < 50


def test_no_data_stays_and_does_not_spread() -> None:
    image = scene()
    image[:, 20:30] = -10_000
    for seed in range(40):
        found = varied(image, seed)
        np.testing.assert_array_equal(found == -10_000, image == -10_000)
        assert found[found != -10_000].min() > 0


def test_the_target_changes_with_its_date_and_nothing_else_does() -> None:
    inputs, truth = five_dates(1)
    tensors = {
        key: tf.constant(value[0].astype("float32" if value.ndim > 1 else "float64"))
        for key, value in inputs.items()
    }
    changed = set()
    for seed in range(12):
        found, targets = vary_dates(
            tensors, {"s2_t": tf.constant(truth)}, tf.constant([seed, 7], tf.int32)
        )
        np.testing.assert_array_equal(targets["s2_t"], found["s2_t"] * 1e-4)
        assert found.keys() == tensors.keys()
        changed |= {key for key in tensors if np.any(found[key] != tensors[key])}
    assert changed == {f"s2_{name}" for name in ("tm2", "tm1", "t", "tp1", "tp2")}
