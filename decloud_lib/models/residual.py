"""A network that starts from the fitted estimate and learns what the fit leaves over.

Three steps, each in the context of the date itself, so that it carries over to places that were
never trained on:

1. `fitted.Fitted`: linear interpolation, corrected by a ridge regression on the visible pixels.
2. A second regression on the visible pixels, this time on features that are learned (a small
   network on each pixel; Bertinetto et al., "Meta-learning with differentiable closed-form
   solvers", 2019). The features do not see the date, so the visible pixels cannot give themselves
   away.
3. A U-Net that sees the estimates, the masks, radar, and what is left over where the date is
   visible, and corrects the rest.

The second fit, the mean of what is left over nearby and the U-Net's correction are added with
weights that start at 0: before training the network equals its start.

All differences are in units of the error of the first fit on the visible pixels of the sample.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
from keras import KerasTensor, ops

from decloud_lib.models.blocks import SharedLayers, join
from decloud_lib.models.fitted import DATES, OPTICAL_KEYS, RADAR_KEYS, Fitted, usable
from decloud_lib.models.keys import GAP_MASK
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

if TYPE_CHECKING:
    import tensorflow as tf

Tensors = Mapping[str, KerasTensor]

KEYS = (*OPTICAL_KEYS, *RADAR_KEYS)
TARGET = "s2_t"
LEARNED_FEATURES = 64
STRIDE = 4
NEARBY_PX = (5, 13)
_NEARBY_PRIOR = 0.1
"""Share of visible pixels in a box at which its mean counts half."""
_DAYS = 30.0 * 86_400.0
_FLOOR = 0.003
"""Smallest unit, reflectance: about the noise of the sensor."""
_PRIOR_PX = 64.0


class Context(keras.layers.Layer):  # type: ignore[misc]
    """What each pixel shows, in units of the sample; and these units."""

    def __init__(self) -> None:
        super().__init__(name="context", autocast=False)

    def call(
        self, inputs: dict[str, KerasTensor], fitted: dict[str, KerasTensor]
    ) -> dict[str, KerasTensor]:
        """Return `unit` (N, 1, 1, B), `about` without and `seen` with the date, `visible`."""
        scaled = normalise(inputs)
        visible, seen = fitted["visible"], fitted["seen"]
        features = fitted["features"]
        # Where little is visible, the change between the dates says how large an error may be.
        change = features[..., 5:9] - features[..., 13:17]
        prior = 0.04 * ops.mean(ops.square(change), axis=(1, 2), keepdims=True)
        squares = ops.sum(ops.square(seen), axis=(1, 2), keepdims=True) + _PRIOR_PX * prior
        count = ops.sum(visible, axis=(1, 2), keepdims=True) + _PRIOR_PX
        unit = ops.sqrt(squares / count) + _FLOOR
        linear = fitted["linear"]
        level = ops.mean(linear, axis=(1, 2), keepdims=True)
        spread = ops.std(linear, axis=(1, 2), keepdims=True) + 0.01
        known = [ops.cast(usable(scaled, name), "float32") for name in DATES if name != "t"]
        radar = [scaled[key] for key in RADAR_KEYS]
        width = unit.shape[-1]
        differences = features[..., 1 + width : 1 + 5 * width]
        means = features[..., 1 + 5 * width : 1 + 10 * width]
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
            features[..., 1 + 10 * width :] * 20.0,
            *(8.0 * ops.where(part > 0.0, part - 0.6, 0.0) for part in radar),
            *known,
            *when,
            flat * ops.log(unit / 0.02),
            flat * ops.mean(visible, axis=(1, 2), keepdims=True),
        ]
        return {
            "unit": unit,
            "about": ops.concatenate(about, axis=-1),
            "seen": _squashed(seen / unit) * visible,
            "visible": visible,
        }


class LearnedFit(keras.layers.Layer):  # type: ignore[misc]
    """Ridge regression of what is seen on learned features; the penalty is learned."""

    def __init__(self) -> None:
        super().__init__(name="learned_fit")
        self.log_penalty = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(-4.0), name="log_penalty"
        )

    def call(self, features: KerasTensor, seen: KerasTensor, visible: KerasTensor) -> KerasTensor:
        """Return (N, H, W, B): what the fit predicts everywhere; 0 where nothing is visible."""
        flat = (ops.shape(features)[0], -1)
        x = ops.reshape(features, (*flat, features.shape[-1]))
        weights = ops.reshape(visible, (*flat, 1))
        y = ops.reshape(seen, (*flat, seen.shape[-1]))
        count = ops.sum(weights, axis=1, keepdims=True) + _PRIOR_PX
        weighted = ops.swapaxes(x * weights, 1, 2)
        gram = ops.matmul(weighted, x) / count
        cross = ops.matmul(weighted, y) / count
        system = gram + ops.exp(self.log_penalty) * ops.eye(x.shape[-1])
        return ops.reshape(ops.matmul(x, ops.linalg.solve(system, cross)), ops.shape(seen))


def residual(spec: ModelSpec) -> keras.Model:
    """Build the network; `spec.width` channels at full resolution."""
    inputs = make_inputs(KEYS)
    fitted = Fitted()(inputs)
    context = Context()(inputs, fitted)
    solved, last = corrections(context, spec.width)
    estimate, scale = Corrected(solved.shape[-1])(fitted["estimate"], context["unit"], solved, last)
    return keras.Model(inputs, {TARGET: estimate, f"{TARGET}_scale": scale}, name="residual")


def corrections(context: Tensors, width: int) -> tuple[KerasTensor, KerasTensor]:
    """Build what has weights, from what `Context` gives to what `Corrected` takes."""
    layers = SharedLayers("he_normal")
    about, seen, visible = (context[name] for name in ("about", "seen", "visible"))
    pixel = layers.conv("pixel_1", 4 * width, 1, activation="gelu")(about)
    pixel = layers.conv("pixel_2", 2 * width, 1, activation="gelu")(pixel)
    learned = layers.conv("learned_features", LEARNED_FEATURES, 1, activation="tanh")(pixel)
    predicted = LearnedFit()(learned, seen, visible)
    left = keras.layers.Multiply()([keras.layers.Subtract()([seen, predicted]), visible])
    nearby = Nearby()(left, visible)
    full = layers.conv("full_1", width, 3, activation="gelu")(
        join([pixel, predicted, left, nearby, seen, visible])
    )
    half = layers.conv("half_1", 4 * width, 3, stride=2, activation="gelu")(full)
    half = layers.conv("half_2", 4 * width, 3, activation="gelu")(half)
    quarter = layers.conv("quarter_1", 6 * width, 3, stride=2, activation="gelu")(half)
    quarter = layers.conv("quarter_2", 6 * width, 3, activation="gelu")(quarter)
    up = keras.layers.UpSampling2D(2, name="half_up")(quarter)
    half = layers.conv("half_3", 4 * width, 3, activation="gelu")(join([up, half]))
    up = keras.layers.UpSampling2D(2, name="full_up")(half)
    full = layers.conv("full_2", 2 * width, 3, activation="gelu")(
        join([up, full, pixel, predicted])
    )
    last = keras.layers.Conv2D(8, 1, kernel_initializer="zeros", name="correction_and_scale")(full)
    return join([predicted, nearby]), last


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


class Corrected(keras.layers.Layer):  # type: ignore[misc]
    """Adds the corrections, which come in units of the sample, to the start."""

    def __init__(self, solved: int) -> None:
        """Make one weight for each of the `solved` maps from closed forms."""
        super().__init__(name="corrected")
        self.shares = self.add_weight(shape=(solved,), initializer="zeros", name="shares")

    def call(
        self, start: KerasTensor, unit: KerasTensor, solved: KerasTensor, last: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor]:
        """Return the estimate and the scale of its error, (N, H, W, B) reflectance each.

        Parameters
        ----------
        start
            (N, H, W, B) reflectance.
        unit
            (N, 1, 1, B) reflectance.
        solved
            (N, H, W, K B) corrections from closed forms, in units.
        last
            (N, H, W, 2 B) correction of the network, and logarithm of the scale, in units.
        """
        bands = start.shape[-1]
        # Ten times, because the shares go from 0 to about 1 and other weights less far.
        weighted = solved * (10.0 * self.shares)
        parts = ops.split(weighted, solved.shape[-1] // bands, axis=-1)
        correction = last[..., :bands] + sum(parts[1:], parts[0])
        scale = unit * ops.exp(ops.clip(last[..., bands:], -6.0, 6.0))
        return start + unit * correction, scale


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


register(
    ModelDefinition(
        name="residual",
        build=residual,
        input_keys=KEYS,
        target_keys=(TARGET,),
        stride=STRIDE,
        # Of the convolutions; both fits look at all visible pixels of a window.
        reach_px=24,
        in_context=True,
        with_scale=True,
        loss=loss,
        simulate=simulate,
        simulation_keys=(GAP_MASK,),
    )
)
