"""Scores as Keras metrics on reflectance 0..1, tested against their definition `arrays.quality`."""

from abc import ABC, abstractmethod

import keras
from keras import KerasTensor, ops

from decloud_lib.arrays.quality import SSIM_WINDOW_PX, gaussian_window

_DN = 10000.0
_TINY_NORM = 1e-6
_IMAGE = (1, 2, 3)


class _ImageMean(keras.metrics.Metric, ABC):  # type: ignore[misc]
    """Mean over the images of a data set of a score per image; batches may be uneven."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.total = self.add_variable((), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    @abstractmethod
    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return one score per image, (N,)."""

    def update_state(
        self, y_true: KerasTensor, y_pred: KerasTensor, sample_weight: KerasTensor | None = None
    ) -> None:
        """Add a batch of (N, H, W, C) images; weights are not supported."""
        del sample_weight
        scores = self.score(ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"))
        self.total.assign_add(ops.sum(scores))
        self.count.assign_add(ops.cast(ops.shape(scores)[0], "float32"))

    def mean(self) -> KerasTensor:
        """Return the mean so far; 0 before the first batch."""
        return ops.divide_no_nan(self.total, self.count)

    def result(self) -> KerasTensor:
        """Return the metric."""
        return self.mean()


class MseDn2(_ImageMean):
    """Mean squared error over the whole data set, stored integers squared (historic)."""

    def __init__(self, name: str = "mse_dn2") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the error of each image."""
        return ops.mean(ops.square((target - estimate) * _DN), axis=_IMAGE)


class PsnrGlobal(MseDn2):
    """PSNR of the error over the whole data set, dB, peak 10000 (historic)."""

    def __init__(self, name: str = "psnr_global_db") -> None:
        super().__init__(name)

    def result(self) -> KerasTensor:
        """Return the PSNR; infinite without an error."""
        return 10.0 * ops.log10(_DN**2 / self.mean())


class Psnr(_ImageMean):
    """Mean over the images of their PSNR, dB, peak 1."""

    def __init__(self, name: str = "psnr_db") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the PSNR of each image."""
        return -10.0 * ops.log10(ops.mean(ops.square(target - estimate), axis=_IMAGE))


class Mae(_ImageMean):
    """Mean absolute error, reflectance."""

    def __init__(self, name: str = "mae") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the error of each image."""
        return ops.mean(ops.abs(target - estimate), axis=_IMAGE)


class Rmse(_ImageMean):
    """Mean over the images of their root mean squared error, reflectance."""

    def __init__(self, name: str = "rmse") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the error of each image."""
        return ops.sqrt(ops.mean(ops.square(target - estimate), axis=_IMAGE))


class Ssim(_ImageMean):
    """Mean over the images of the structural similarity, peak 1; sides of at least 11 px."""

    def __init__(self, name: str = "ssim") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the similarity of each image."""
        c1, c2 = 0.01**2, 0.03**2
        mean_1, mean_2 = _blur(target), _blur(estimate)
        squares = _blur(ops.square(target) + ops.square(estimate))
        variances = squares - ops.square(mean_1) - ops.square(mean_2)
        covariance = _blur(target * estimate) - mean_1 * mean_2
        luminance = (2.0 * mean_1 * mean_2 + c1) / (ops.square(mean_1) + ops.square(mean_2) + c1)
        return ops.mean(luminance * (2.0 * covariance + c2) / (variances + c2), axis=_IMAGE)


class Sam(_ImageMean):
    """Mean spectral angle, degrees; the angle to a black pixel is 90 degrees."""

    def __init__(self, name: str = "sam_deg") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the mean angle of each image."""
        first, second = _unit(target), _unit(estimate)
        apart = ops.sqrt(ops.sum(ops.square(first - second), axis=-1))
        together = ops.sqrt(ops.sum(ops.square(first + second), axis=-1))
        return ops.mean(ops.rad2deg(2.0 * ops.arctan2(apart, together)), axis=(1, 2))


class SamMeanCosine(_ImageMean):
    """Arccosine of the mean cosine of the spectral angle, radians (historic)."""

    def __init__(self, name: str = "sam_mean_cos_rad") -> None:
        super().__init__(name)

    def score(self, target: KerasTensor, estimate: KerasTensor) -> KerasTensor:
        """Return the mean cosine of each image."""
        return ops.mean(ops.sum(_unit(target) * _unit(estimate), axis=-1), axis=(1, 2))

    def result(self) -> KerasTensor:
        """Return the angle."""
        return ops.arccos(ops.clip(self.mean(), -1.0, 1.0))


def make_metrics(*, all_metrics: bool) -> list[keras.metrics.Metric]:
    """Make the metrics of one output; SSIM and spectral angles cost time, so only on demand."""
    metrics: list[keras.metrics.Metric] = [Psnr(), PsnrGlobal(), MseDn2(), Mae(), Rmse()]
    return [*metrics, Ssim(), Sam(), SamMeanCosine()] if all_metrics else metrics


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
