"""Scores on reflectance 0..1 in the graph, tested against their definition `arrays.quality`.

A score is a number per image. What is kept of a data set is the sum over its images and their
number, so batches may be uneven and devices may share them.
"""

import math
from collections.abc import Mapping

from keras import KerasTensor, ops

from decloud_lib.arrays.quality import SSIM_WINDOW_PX, gaussian_window

_DN = 10000.0
_TINY_NORM = 1e-6
_IMAGE = (1, 2, 3)

BASIC = ("psnr_db", "psnr_global_db", "mse_dn2", "mae", "rmse")
COSTLY = ("ssim", "sam_deg", "sam_mean_cos_rad")
"""SSIM and spectral angles take time, so they are followed on demand."""
PARTIAL = ("mae", "psnr_db")
"""Of the pixels under cloud, and of the clear ones, alone."""

Scores = dict[str, tuple[KerasTensor, KerasTensor]]
"""Name -> (N,) score and (N,) weight: 1, or 0 for an image that has no such pixel."""


def score_names(*, all_metrics: bool, partial: bool) -> tuple[str, ...]:
    """Return the names of the scores of one output.

    Parameters
    ----------
    all_metrics
        With SSIM and spectral angles.
    partial
        With the scores of the hidden and of the clear pixels.
    """
    parts = [f"{name}_{part}" for part in ("hidden", "clear") for name in PARTIAL]
    return (*BASIC, *(COSTLY if all_metrics else ()), *(parts if partial else ()))


def image_scores(target: KerasTensor, estimate: KerasTensor, *, all_metrics: bool) -> Scores:
    """Return the scores of each image.

    Parameters
    ----------
    target, estimate
        (N, H, W, C) reflectance; sides of at least 11 px for SSIM.
    all_metrics
        With SSIM and spectral angles.
    """
    squared = ops.mean(ops.square(target - estimate), axis=_IMAGE)
    psnr = _decibels(squared)
    values = {
        "psnr_db": psnr,
        "psnr_global_db": squared,
        "mse_dn2": squared * _DN**2,
        "mae": ops.mean(ops.abs(target - estimate), axis=_IMAGE),
        "rmse": ops.sqrt(squared),
    }
    if all_metrics:
        first, second = _unit(target), _unit(estimate)
        values |= {
            "ssim": _ssim(target, estimate),
            "sam_deg": _angle(first, second),
            "sam_mean_cos_rad": ops.mean(ops.sum(first * second, axis=-1), axis=(1, 2)),
        }
    return {name: (value, ops.ones_like(value)) for name, value in values.items()}


def partial_scores(
    target: KerasTensor, estimate: KerasTensor, pixels: KerasTensor, part: str
) -> Scores:
    """Return the scores of some pixels of each image.

    Parameters
    ----------
    target, estimate
        (N, H, W, C) reflectance.
    pixels
        (N, H, W, 1) float, 1 where they count, else 0.
    part
        hidden or clear, for the names.
    """
    count = ops.sum(pixels, axis=_IMAGE)
    present = ops.cast(count > 0.0, "float32")
    values = ops.maximum(count, 1.0) * target.shape[-1]
    squared = ops.sum(ops.square(target - estimate) * pixels, axis=_IMAGE) / values
    absolute = ops.sum(ops.abs(target - estimate) * pixels, axis=_IMAGE) / values
    # An image without such pixels has no score; its weight of 0 must not meet an infinite one.
    psnr = _decibels(ops.where(present > 0.0, squared, ops.ones_like(squared)))
    return {f"mae_{part}": (absolute, present), f"psnr_db_{part}": (psnr, present)}


def data_set_scores(means: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of a data set from the means over its images.

    Means they are, but for the historic ones: the global PSNR is that of the mean error, peak
    10000 DN, and the historic spectral angle is the arccosine of the mean cosine.
    """
    found = dict(means)
    for name, mean in means.items():
        if name.endswith("psnr_global_db"):
            found[name] = _global_decibels(mean)
        elif name.endswith("sam_mean_cos_rad") and not math.isnan(mean):
            found[name] = math.acos(min(max(mean, -1.0), 1.0))
    return found


def _global_decibels(squared: float) -> float:
    if math.isnan(squared):
        return squared
    return -10.0 * math.log10(squared) if squared > 0.0 else math.inf


def _decibels(squared: KerasTensor) -> KerasTensor:
    return -10.0 * ops.log10(squared)


def _ssim(target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
    c1, c2 = 0.01**2, 0.03**2
    mean_1, mean_2 = _blur(target), _blur(estimate)
    squares = _blur(ops.square(target) + ops.square(estimate))
    variances = squares - ops.square(mean_1) - ops.square(mean_2)
    covariance = _blur(target * estimate) - mean_1 * mean_2
    luminance = (2.0 * mean_1 * mean_2 + c1) / (ops.square(mean_1) + ops.square(mean_2) + c1)
    return ops.mean(luminance * (2.0 * covariance + c2) / (variances + c2), axis=_IMAGE)


def _angle(first: KerasTensor, second: KerasTensor) -> KerasTensor:
    """Return the mean angle between unit spectra, degrees."""
    apart = ops.sqrt(ops.sum(ops.square(first - second), axis=-1))
    together = ops.sqrt(ops.sum(ops.square(first + second), axis=-1))
    return ops.mean(ops.rad2deg(2.0 * ops.arctan2(apart, together)), axis=(1, 2))


def _unit(image: KerasTensor) -> KerasTensor:
    norm = ops.sqrt(ops.sum(ops.square(image), axis=-1, keepdims=True))
    return image / ops.maximum(norm, _TINY_NORM)


def _blur(image: KerasTensor) -> KerasTensor:
    """Filter (N, H, W, C) with the Gaussian window, whole windows only: 10 px smaller."""
    channels = image.shape[-1]
    window = ops.convert_to_tensor(gaussian_window(), dtype="float32")
    for shape in ((SSIM_WINDOW_PX, 1, 1, 1), (1, SSIM_WINDOW_PX, 1, 1)):
        kernel = ops.tile(ops.reshape(window, shape), (1, 1, channels, 1))
        image = ops.depthwise_conv(image, kernel, padding="valid")
    return image
