"""Reference definitions of the scores; the metrics of the networks are tested against these.

Images are reflectance 0..1, (N, H, W, C); every score is one float64 per image unless it says else.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

SSIM_WINDOW_PX = 11
_SSIM_SIGMA = 1.5
_SSIM_K = (0.01, 0.03)
#: Norms are floored here, so the angle to a black pixel is 90 degrees and not undefined.
_TINY_NORM = 1e-6
#: Stored integers per unit of reflectance; peak of the historic PSNR.
_DN = 10000.0

#: Names of the scores, in the order of tables.
NAMES = (
    "psnr_db",
    "mae",
    "rmse",
    "ssim",
    "sam_deg",
    "psnr_global_db",
    "mse_dn2",
    "sam_mean_cos_rad",
)


def higher_is_better(name: str) -> bool:
    """Say whether a higher value of a score, or of one of its parts, is better."""
    return "psnr" in name or "ssim" in name


def mse(target: Array, estimate: Array) -> Array:
    """Return the mean squared error of each image, reflectance squared, (N,)."""
    first, second = _checked(target, estimate)
    return np.asarray(np.mean(np.square(first - second), axis=(1, 2, 3)))


def mae(target: Array, estimate: Array) -> Array:
    """Return the mean absolute error of each image, reflectance, (N,)."""
    first, second = _checked(target, estimate)
    return np.asarray(np.mean(np.abs(first - second), axis=(1, 2, 3)))


def psnr(target: Array, estimate: Array, peak: float = 1.0) -> Array:
    """Return 10 log10(peak^2 / MSE) of each image, dB, (N,); infinite for equal images."""
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(peak**2 / mse(target, estimate)))


def ssim(target: Array, estimate: Array, peak: float = 1.0) -> Array:
    """Return the structural similarity of each image, -1..1, (N,).

    Raises
    ------
    ShapeError
        The images have other shapes, or a side below 11 px.

    Notes
    -----
    Wang et al. 2004: Gaussian window of 11 px, sigma 1.5, k1 0.01, k2 0.03, whole windows only,
    mean over the positions and bands.
    """
    first, second = _checked(target, estimate)
    if min(first.shape[1:3]) < SSIM_WINDOW_PX:
        raise ShapeError(
            f"SSIM of images of shape {first.shape}: each side must have at least "
            f"{SSIM_WINDOW_PX} px"
        )
    c1, c2 = ((k * peak) ** 2 for k in _SSIM_K)
    mean_1, mean_2 = _blur(first), _blur(second)
    variances = _blur(first**2 + second**2) - mean_1**2 - mean_2**2
    covariance = _blur(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return np.asarray(np.mean(luminance * structure, axis=(1, 2, 3)))


def sam(target: Array, estimate: Array) -> Array:
    """Return the spectral angle of each image, degrees, mean over its pixels, (N,).

    Notes
    -----
    Twice the arctangent of |u - v| / |u + v| of the unit spectra: the arccosine loses all digits
    near zero. The angle to a black pixel counts as 90 degrees.
    """
    first, second = (_unit(image) for image in _checked(target, estimate))
    apart = np.linalg.norm(first - second, axis=-1)
    together = np.linalg.norm(first + second, axis=-1)
    return np.asarray(np.rad2deg(2.0 * np.arctan2(apart, together)).mean(axis=(1, 2)))


def mean_cosine(target: Array, estimate: Array) -> Array:
    """Return the mean over the pixels of the cosine of the spectral angle, (N,)."""
    first, second = (_unit(image) for image in _checked(target, estimate))
    return np.asarray(np.sum(first * second, axis=-1).mean(axis=(1, 2)))


def scores(target: Array, estimate: Array) -> dict[str, Array]:
    """Return all scores of each image, those of `NAMES`, each (N,).

    The historic ones mean something over a data set only; for one image they are that image's.
    """
    squared = mse(target, estimate)
    per_image = psnr(target, estimate)
    return {
        "psnr_db": per_image,
        "mae": mae(target, estimate),
        "rmse": np.sqrt(squared),
        "ssim": ssim(target, estimate),
        "sam_deg": sam(target, estimate),
        "psnr_global_db": per_image,
        "mse_dn2": squared * _DN**2,
        "sam_mean_cos_rad": np.arccos(np.clip(mean_cosine(target, estimate), -1.0, 1.0)),
    }


def part_scores(target: Array, estimate: Array, pixels: Array, part: str) -> dict[str, Array]:
    """Return error and PSNR of some pixels of each image, each (N,); NaN where there are none.

    Parameters
    ----------
    target, estimate
        (N, H, W, C) reflectance.
    pixels
        (N, H, W) bool, those that count.
    part
        Their name: `mae_<part>`, `psnr_db_<part>`.
    """
    first, second = _checked(target, estimate)
    count = np.count_nonzero(pixels, axis=(1, 2)) * first.shape[-1]
    difference = np.where(pixels[..., np.newaxis], first - second, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        absolute = np.abs(difference).sum(axis=(1, 2, 3)) / count
        squared = np.square(difference).sum(axis=(1, 2, 3)) / count
        return {f"mae_{part}": absolute, f"psnr_db_{part}": -10.0 * np.log10(squared)}


def band_scores(target: Array, estimate: Array, bands: Sequence[str]) -> dict[str, Array]:
    """Return error and PSNR of each band of each image, `mae_B4` and `psnr_db_B4`, each (N,)."""
    found: dict[str, Array] = {}
    for index, band in enumerate(bands):
        pair = (target[..., index : index + 1], estimate[..., index : index + 1])
        found |= {f"mae_{band}": mae(*pair), f"psnr_db_{band}": psnr(*pair)}
    return found


def summary(per_image: Mapping[str, Array]) -> dict[str, float]:
    """Return the scores of a data set from those of its images, all of one size.

    Parameters
    ----------
    per_image
        Result of `scores`, all images joined: name -> (N,).

    Notes
    -----
    Means over the images, but for the historic scores: the global PSNR is that of the mean error,
    and the historic SAM is the arccosine of the mean cosine.
    """
    means = {name: float(np.mean(per_image[name])) for name in NAMES}
    with np.errstate(divide="ignore"):
        means["psnr_global_db"] = float(10.0 * np.log10(_DN**2 / np.float64(means["mse_dn2"])))
    cosine = float(np.mean(np.cos(per_image["sam_mean_cos_rad"])))
    means["sam_mean_cos_rad"] = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return means


def _checked(first: Array, second: Array) -> tuple[Array, Array]:
    if np.shape(first) != np.shape(second) or np.ndim(first) != 4:
        raise ShapeError(
            f"images to compare have shapes {np.shape(first)} and {np.shape(second)}; "
            f"expected twice the same (N, H, W, C)"
        )
    return np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)


def _unit(image: Array) -> Array:
    norm = np.linalg.norm(image, axis=-1, keepdims=True)
    return np.asarray(image / np.maximum(norm, _TINY_NORM))


def gaussian_window() -> Array:
    """Return the (11,) weights of one direction of the SSIM window; they sum to 1."""
    offsets = np.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2
    weights = np.exp(-(offsets**2) / (2.0 * _SSIM_SIGMA**2))
    return np.asarray(weights / weights.sum())


def _blur(image: Array) -> Array:
    """Filter (N, H, W, C) with the window in both directions; the result is 10 px smaller."""
    weights = gaussian_window()
    for axis in (1, 2):
        source = np.moveaxis(image, axis, 0)
        size = source.shape[0] - SSIM_WINDOW_PX + 1
        total = weights[0] * source[:size]
        for start in range(1, SSIM_WINDOW_PX):
            total += weights[start] * source[start : start + size]
        image = np.moveaxis(total, 0, axis)
    return image
