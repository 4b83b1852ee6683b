import math

import numpy as np
import pytest

from decloud_lib.arrays import quality as reference
from decloud_lib.models.quality import data_set_scores, image_scores, partial_scores


def over_batches(target: np.ndarray, estimate: np.ndarray, sizes: list[int]) -> dict[str, float]:
    sums: dict[str, np.ndarray] = {}
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        truth, found = (image[part].astype("float32") for image in (target, estimate))
        for name, pair in image_scores(truth, found, all_metrics=True).items():
            values, weights = (np.asarray(tensor, dtype="float64") for tensor in pair)
            added = np.array([np.sum(values * weights), np.sum(weights)])
            sums[name] = sums.get(name, np.zeros(2)) + added
        start += size
    return data_set_scores({name: float(total / count) for name, (total, count) in sums.items()})


def test_metrics_equal_the_reference_over_uneven_batches() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(0.0, 0.4, (8, 24, 20, 4)).astype("float32")
    estimate = target + rng.normal(0.0, rng.uniform(0.005, 0.05, (8, 1, 1, 1)), target.shape)
    found = over_batches(target, estimate.astype("float32"), [3, 1, 4])
    expected = reference.summary(reference.scores(target, estimate))
    assert set(found) == set(reference.NAMES)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=2e-4), name


def test_metrics_have_the_documented_values_on_constant_images() -> None:
    target, estimate = np.full((2, 16, 16, 4), 0.10), np.full((2, 16, 16, 4), 0.11)
    found = over_batches(target, estimate, [1, 1])
    assert found["mse_dn2"] == pytest.approx(10000.0, rel=1e-4)
    assert found["psnr_global_db"] == pytest.approx(40.0, abs=1e-3)
    assert found["ssim"] == pytest.approx(0.9955, abs=5e-4)
    assert found["sam_mean_cos_rad"] == pytest.approx(0.0, abs=4e-4)


def test_equal_images_have_infinite_psnr() -> None:
    image = np.full((1, 16, 16, 4), 0.2)
    found = over_batches(image, image, [1])
    assert found["psnr_db"] == math.inf
    assert found["psnr_global_db"] == math.inf


def test_hidden_and_clear_pixels_are_scored_apart() -> None:
    rng = np.random.default_rng(1)
    target = rng.uniform(0.0, 0.4, (3, 12, 12, 4)).astype("float32")
    estimate = target + rng.normal(0.0, 0.02, target.shape).astype("float32")
    hidden = np.zeros((3, 12, 12, 1), "float32")
    hidden[0, :5] = 1.0
    hidden[1, 3, 3] = 1.0  # and nothing in the third
    found = partial_scores(target, estimate, hidden, "hidden")
    error = (target - estimate).astype("float64")
    for index, pixels in ((0, np.s_[0, :5]), (1, np.s_[1, 3:4, 3:4])):
        mae, psnr = (found[name][0][index] for name in ("mae_hidden", "psnr_db_hidden"))
        assert float(mae) == pytest.approx(np.abs(error[pixels]).mean(), rel=1e-5)
        expected = -10.0 * math.log10(np.square(error[pixels]).mean())
        assert float(psnr) == pytest.approx(expected, rel=1e-5)
    for values, weights in found.values():
        assert np.all(np.isfinite(values))
        np.testing.assert_array_equal(weights, [1.0, 1.0, 0.0])
