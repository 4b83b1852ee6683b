import math

import numpy as np
import pytest

from decloud_lib.arrays import quality
from decloud_lib.errors import ShapeError


def constant(value: float) -> np.ndarray:
    return np.full((1, 16, 16, 4), value)


def test_scores_of_constant_images_are_the_documented_ones() -> None:
    found = quality.summary(quality.scores(constant(0.10), constant(0.11)))
    assert found["mse_dn2"] == pytest.approx(10000.0)
    assert found["psnr_global_db"] == pytest.approx(40.0)
    assert found["psnr_db"] == pytest.approx(40.0)
    assert found["ssim"] == pytest.approx(0.9955, abs=5e-4)
    assert found["sam_deg"] == pytest.approx(0.0, abs=1e-9)
    assert found["sam_mean_cos_rad"] == pytest.approx(0.0, abs=4e-4)
    assert found["mae"] == pytest.approx(0.01)
    assert found["rmse"] == pytest.approx(0.01)


def test_spectral_angle_of_two_spectra_is_the_documented_one() -> None:
    first, second = np.zeros((1, 16, 16, 4)), np.zeros((1, 16, 16, 4))
    first[..., 0] = 1.0
    second[..., :2] = 1.0
    found = quality.summary(quality.scores(first, second))
    assert found["sam_mean_cos_rad"] == pytest.approx(math.pi / 4, abs=1e-6)
    assert found["sam_deg"] == pytest.approx(45.0)


def test_equal_images_have_infinite_psnr_and_perfect_similarity() -> None:
    image = np.random.default_rng(0).uniform(0.0, 0.4, (2, 16, 16, 4))
    found = quality.summary(quality.scores(image, image))
    assert found["psnr_db"] == math.inf
    assert found["psnr_global_db"] == math.inf
    assert found["ssim"] == pytest.approx(1.0)
    assert found["sam_deg"] == 0.0


def test_mean_psnr_and_global_psnr_differ() -> None:
    target = np.zeros((2, 16, 16, 4))
    estimate = np.stack([np.full((16, 16, 4), 0.1), np.full((16, 16, 4), 0.01)])
    found = quality.summary(quality.scores(target, estimate))
    assert found["psnr_db"] == pytest.approx(30.0)
    assert found["psnr_global_db"] == pytest.approx(10 * math.log10(1 / 0.00505))


def test_similarity_follows_from_the_formula_for_one_window() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.uniform(0, 1, (2, 1, 11, 11, 1))
    line = quality.gaussian_window()
    window = np.outer(line, line)[..., None]
    means = [float((image[0] * window).sum()) for image in (first, second)]
    variances = [
        float((window * (image[0] - mean) ** 2).sum())
        for image, mean in zip((first, second), means, strict=True)
    ]
    covariance = float((window * (first[0] - means[0]) * (second[0] - means[1])).sum())
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    expected /= (means[0] ** 2 + means[1] ** 2 + c1) * (sum(variances) + c2)
    assert quality.ssim(first, second)[0] == pytest.approx(expected)


def test_small_images_and_unequal_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least 11 px"):
        quality.ssim(np.zeros((1, 10, 20, 4)), np.zeros((1, 10, 20, 4)))
    with pytest.raises(ShapeError, match="twice the same"):
        quality.mse(np.zeros((1, 16, 16, 4)), np.zeros((1, 16, 16, 3)))
