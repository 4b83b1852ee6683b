"""A network that starts from the fitted estimate and learns what the fit leaves over.

Three steps, each in the context of the date itself, so that it carries over to places that were
never trained on:

1. `fitted.Fitted`: linear interpolation, and which of the visible pixels can be trusted.
2. `kriging.Kriging`: its correction by a Gaussian process regression on these. A small network
   advises it: with features that should count too, how strong and far-reaching the parts of its
   kernel are, and how far each visible pixel can be learned from.
3. A U-Net that sees the estimates, the masks, radar, and what is left over where the date is
   visible, and corrects the rest.

The last layers of both networks start at 0: before training the whole equals `gapfilling_kriged`.
Weights that are trained come with the package, see `shipped` and `docs/proof.md`.

All differences are in units of the error of the first fit on the visible pixels of the sample.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, ops

from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.fitted import DATES, RADAR_KEYS, Fitted, usable
from decloud_lib.models.keys import GAP_MASK
from decloud_lib.models.kriging import KEYS, TARGET, krige, weighted_mean
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

if TYPE_CHECKING:
    import tensorflow as tf

Tensors = Mapping[str, KerasTensor]

STRIDE = 4
NEARBY_PX = (5, 13)
_NEARBY_PRIOR = 0.1
"""Share of visible pixels in a box at which its mean counts half."""
_DAYS = 30.0 * 86_400.0
_LARGEST = 6.0
_FLOOR = 0.003
"""Smallest unit, reflectance: about the noise of the sensor."""
_PRIOR_PX = 64.0
_WITHOUT_PROOF = 0.25
"""Share of the correction that is made where nothing is visible: all of it is better on average,
and worse than interpolation on a quarter of the dates, see `docs/proof.md`."""


class Context(keras.layers.Layer):  # type: ignore[misc]
    """What each pixel shows, in units of the sample; and these units."""

    def __init__(self) -> None:
        super().__init__(name="context", autocast=False)

    def call(
        self, inputs: dict[str, KerasTensor], fitted: dict[str, KerasTensor]
    ) -> dict[str, KerasTensor]:
        """Return `unit` (N, 1, 1, B), and (N, H, W, C) `about` each pixel."""
        scaled = normalise(inputs)
        visible, seen, linear = fitted["visible"], fitted["seen"], fitted["linear"]
        features, width = fitted["features"][..., 1:], seen.shape[-1]
        differences = features[..., width : 5 * width]
        means = features[..., 5 * width : 10 * width]
        # Where little is visible, the change between the dates says how large an error may be.
        change = differences[..., 2 * width : 3 * width] - differences[..., :width]
        prior = 0.04 * ops.mean(ops.square(change), axis=(1, 2), keepdims=True)
        unit = ops.sqrt(weighted_mean(ops.square(seen), visible, _PRIOR_PX, prior)) + _FLOOR
        unfitted = (seen + fitted["estimate"] - linear) * visible
        squares = weighted_mean(ops.square(unfitted), visible, _PRIOR_PX, prior)
        before = ops.sqrt(squares) + _FLOOR
        level = ops.mean(linear, axis=(1, 2), keepdims=True)
        spread = ops.std(linear, axis=(1, 2), keepdims=True) + 0.01
        known = [ops.cast(usable(scaled, name), "float32") for name in DATES if name != "t"]
        radar = [scaled[key] for key in RADAR_KEYS]
        repeated = ops.tile(unit, (1, 1, 1, 4))
        flat = ops.ones_like(visible)
        when = [
            flat
            * ops.reshape(
                ops.cast(inputs[f"s2_timestamp_{name}"] - inputs["s2_timestamp_t"], "float32"),
                (-1, 1, 1, 1),
            )
            / _DAYS
            for name in ("tm1", "tp1")
        ]
        about = [
            (linear - level) / spread,
            linear * 4.0 - 0.5,
            _squashed(differences / repeated),
            (means[..., :width] - level) / spread,
            _squashed(means[..., width:] / repeated),
            _squashed((fitted["estimate"] - linear) / unit),
            fitted["shown"] - visible,
            visible,
            features[..., 10 * width :] * 20.0,
            *(8.0 * ops.where(part > 0.0, part - 0.6, 0.0) for part in radar),
            *known,
            *when,
            flat * ops.log(unit / 0.02),
            flat * ops.log(before / unit),
            flat * ops.mean(visible, axis=(1, 2), keepdims=True),
        ]
        return {"unit": unit, "about": ops.concatenate(about, axis=-1)}


class LeftOver(keras.layers.Layer):  # type: ignore[misc]
    """What kriging estimates, and what it leaves over where the date is visible, in units."""

    def __init__(self) -> None:
        super().__init__(name="left_over", autocast=False)

    def call(
        self,
        unit: KerasTensor,
        fitted: dict[str, KerasTensor],
        kriged: dict[str, KerasTensor],
    ) -> dict[str, KerasTensor]:
        """Return (N, H, W, C) `kriged`, and (N, H, W, B) `left` where it is `visible`."""
        visible = kriged["weight"]
        # Of the estimate by the ridge regression, which `seen` refers to.
        predicted = kriged["predicted"] + fitted["linear"] - fitted["estimate"]
        scale = ops.log(kriged["scale"] / unit)
        known = [_squashed(predicted / unit), scale, kriged["unknown"]]
        left = _squashed((fitted["seen"] - predicted) / unit) * visible
        return {"kriged": ops.concatenate(known, axis=-1), "left": left, "visible": visible}


def residual(spec: ModelSpec) -> keras.Model:
    """Build the network; `spec.width` channels at full resolution."""
    inputs = make_inputs(KEYS)
    fitted = Fitted()(inputs)
    context = Context()(inputs, fitted)
    layers = SharedLayers("he_normal")
    kriged = krige(fitted, advice(layers, context["about"], spec.width))
    left = LeftOver()(context["unit"], fitted, kriged)
    last = corrections(layers, {"about": context["about"], **left}, spec.width)
    bands = kriged["scale"].shape[-1]
    # In units of the sample; 0 before training.
    correction = context["unit"] * last[..., :bands] * assurance(kriged["weight"])
    corrected = fitted["linear"] + kriged["predicted"] + correction
    scale = kriged["scale"] * ops.exp(ops.clip(last[..., bands:], -_LARGEST, _LARGEST))
    return keras.Model(inputs, {TARGET: corrected, f"{TARGET}_scale": scale}, name="residual")


def assurance(visible: KerasTensor) -> KerasTensor:
    """Return (N, 1, 1, 1): the share of a correction that is made, by what is visible."""
    count = ops.sum(visible, axis=(1, 2), keepdims=True)
    return (count + _WITHOUT_PROOF * _PRIOR_PX) / (count + _PRIOR_PX)


def advice(layers: SharedLayers, about: KerasTensor, width: int) -> KerasTensor:
    """Build what advises kriging, (N, H, W, 5 + `width`), see `kriging.Kriging`; 0 at first."""
    pixel = layers.conv("advice_1", 4 * width, 1, activation="gelu")(about)
    around = layers.conv("advice_2", 2 * width, 3, activation="gelu")(pixel)
    return keras.layers.Conv2D(5 + width, 1, kernel_initializer="zeros", name="advice")(
        join([around, pixel])
    )


def corrections(layers: SharedLayers, context: Tensors, width: int) -> KerasTensor:
    """Build the U-Net, from what `Context` and `LeftOver` give to corrections and scales."""
    left, visible = context["left"], context["visible"]
    about = join([context["about"], context["kriged"]])
    pixel = layers.conv("pixel_1", 4 * width, 1, activation="gelu")(about)
    pixel = layers.conv("pixel_2", 2 * width, 1, activation="gelu")(pixel)
    nearby = Nearby()(left, visible)
    full = layers.conv("full_1", width, 3, activation="gelu")(join([pixel, left, nearby, visible]))
    half = layers.conv("half_1", 4 * width, 3, stride=2, activation="gelu")(full)
    half = layers.conv("half_2", 4 * width, 3, activation="gelu")(half)
    quarter = layers.conv("quarter_1", 6 * width, 3, stride=2, activation="gelu")(half)
    quarter = layers.conv("quarter_2", 6 * width, 3, activation="gelu")(quarter)
    up = keras.layers.UpSampling2D(2, name="half_up")(quarter)
    half = layers.conv("half_3", 4 * width, 3, activation="gelu")(join([up, half]))
    up = keras.layers.UpSampling2D(2, name="full_up")(half)
    full = layers.conv("full_2", 2 * width, 3, activation="gelu")(join([up, full, pixel]))
    return keras.layers.Conv2D(8, 1, kernel_initializer="zeros", name="correction_and_scale")(full)


class Nearby(keras.layers.Layer):  # type: ignore[misc]
    """Means of what is left over on the visible pixels around, in boxes of two sizes.

    Where few pixels of a box are visible the mean is drawn towards 0.
    """

    def call(self, left: KerasTensor, visible: KerasTensor) -> KerasTensor:
        """Return (N, H, W, 2 B)."""
        means = []
        for side in NEARBY_PX:
            half = side // 2
            padding = ((0, 0), (half, half), (half, half), (0, 0))
            total, count = (
                ops.average_pool(ops.pad(part, padding), side, 1, "valid")
                for part in (left * visible, visible)
            )
            means.append(total / (count + _NEARBY_PRIOR))
        return ops.concatenate(means, axis=-1)


def _squashed(values: KerasTensor) -> KerasTensor:
    """Keep small values and hold large ones: what passes a few units is an outlier."""
    return 3.0 * ops.tanh(values / 3.0)


def loss(inputs: Tensors, targets: Tensors, outputs: Tensors) -> KerasTensor:
    """Return the loss of each sample over its hidden pixels, (N,).

    The logarithm of the mean squared error, which is what PSNR averages, and lets easy and hard
    dates count the same; plus the negative logarithm of the Laplace density, from which the scale
    learns.
    """
    hidden = ops.cast(ops.not_equal(inputs["s2_cld10m_t"], 0.0), "float32")
    count = ops.sum(hidden, axis=(1, 2, 3)) * targets[TARGET].shape[-1] + 1.0
    error = (outputs[TARGET] - targets[TARGET]) * hidden
    squares = ops.sum(ops.square(error), axis=(1, 2, 3)) / count
    scale = outputs[f"{TARGET}_scale"]
    surprise = (ops.abs(ops.stop_gradient(error)) / scale + ops.log(scale)) * hidden
    return ops.log(squares + 1e-6) + 0.2 * ops.sum(surprise, axis=(1, 2, 3)) / count


def simulate(
    inputs: Mapping[str, "tf.Tensor"], targets: Mapping[str, "tf.Tensor"], seed: "tf.Tensor"
) -> tuple[dict[str, "tf.Tensor"], dict[str, "tf.Tensor"]]:
    """Hide a part of the date of one sample; see `gaps.lay_gap`."""
    # The pipeline of samples needs TensorFlow, the network does not.
    from decloud_lib.models.gaps import lay_gap

    return lay_gap(inputs, targets, seed)


def vary(
    inputs: Mapping[str, "tf.Tensor"], targets: Mapping[str, "tf.Tensor"], seed: "tf.Tensor"
) -> tuple[dict[str, "tf.Tensor"], dict[str, "tf.Tensor"]]:
    """Make the dates of one sample less alike; see `weather.vary_dates`."""
    from decloud_lib.models.weather import vary_dates

    return vary_dates(inputs, targets, seed)


register(
    ModelDefinition(
        name="residual",
        build=residual,
        input_keys=KEYS,
        target_keys=(TARGET,),
        stride=STRIDE,
        # Of the convolutions; what it starts from looks at all visible pixels of a window.
        reach_px=24,
        in_context=True,
        with_scale=True,
        loss=loss,
        simulate=simulate,
        vary=vary,
        simulation_keys=(GAP_MASK,),
        weights="residual.npz",
    )
)
