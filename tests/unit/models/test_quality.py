import math

import numpy as np
import pytest

from decloud_lib.arrays import quality as reference
from decloud_lib.models.quality import make_metrics


def over_batches(target: np.ndarray, estimate: np.ndarray, sizes: list[int]) -> dict[str, float]:
    metrics = make_metrics(all_metrics=True)
    start = 0
    for size in sizes:
        for metric in metrics:
            metric.update_state(target[start : start + size], estimate[start : start + size])
        start += size
    return {metric.name: float(metric.result()) for metric in metrics}


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
