"""Total stride and reach of a network, found by trying it out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm

import keras
import numpy as np
import tensorflow as tf

from decloud_lib.errors import ShapeError
from decloud_lib.models.keys import is_image, kind_of
from decloud_lib.types import Array

#: Sample key -> stored values in, any name -> estimate out.
Predict = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_STRIDES = (1, 2, 4, 8, 16, 32, 64)
#: A network that looks farther is told as one that looks everywhere.
FARTHEST_PX = 96
#: So bright that even a faint path shows, and far from the end of 32-bit numbers.
_FLASH = 1e12
_LINES_AT_ONCE = 8
_ROUNDING = 1e-5
#: Names of the weights that are added.
_SHIFTS = ("bias", "beta", "moving_mean")


@dataclass(frozen=True, slots=True)
class Probe:
    """A network to try out."""

    name: str
    predict: Predict
    keys: Sequence[str]
    """Of its inputs."""
    output_factors: Mapping[str, int]
    """Name of each output -> its pixel size in units of 10 m."""
    brightness: float = 0.3
    """Of the images before anything is brightened, normalised."""

    @property
    def even(self) -> int:
        """Smallest side that all inputs can have, pixels at 10 m."""
        return lcm(*(kind_of(key).factor for key in self.keys), *self.output_factors.values())

    def scene(self, n: int, height: int, width: int) -> dict[str, Array]:
        """Return even inputs of n samples over some ground, pixels at 10 m."""
        inputs = {}
        for number, key in enumerate(self.keys):
            kind = kind_of(key)
            size = (n, height // kind.factor, width // kind.factor, len(kind.bands))
            image = np.full(size, self.brightness / kind.scale, kind.dtype)
            inputs[key] = image if kind.bands else np.full(n, number, kind.dtype)
        return inputs

    def accepts(self, height: int, width: int) -> bool:
        """Say whether the network takes this size, and gives it back."""
        try:
            outputs = self.predict(self.scene(1, height, width))
        except (ValueError, tf.errors.OpError):
            return False
        return all(
            outputs[name].shape[1:3] == (height // factor, width // factor)
            for name, factor in self.output_factors.items()
        )


def measure_network(model: keras.Model, stride: int | None = None) -> tuple[int, int]:
    """Return total stride and reach of a network, pixels at 10 m.

    Parameters
    ----------
    model
        Dict inputs by sample key, dict outputs by target key. Its weights are lost: positive ones,
        without bias, let a path over many layers come through, where it would drown otherwise.
    stride
        Total stride where it is known.

    Raises
    ------
    ShapeError
        See `total_stride` and `reach_px`.
    """

    def predict(inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        return {key: value.numpy() for key, value in model(tensors, training=False).items()}

    for variable in model.variables:
        variable.assign(_plain(variable))
    factors = {key: kind_of(key).factor for key in model.output if is_image(key)}
    probe = Probe(model.name, predict, tuple(model.input), factors, brightness=0.0)
    stride = stride or total_stride(probe)
    return stride, reach_px(probe, stride)


def total_stride(probe: Probe) -> int:
    """Return the smallest power of two whose odd multiples the network takes as height and width.

    Raises
    ------
    ShapeError
        It takes none.
    """
    for stride in _STRIDES:
        if stride % probe.even == 0 and probe.accepts(3 * stride, 5 * stride):
            return stride
    raise ShapeError(
        f"model {probe.name}: no size up to {5 * _STRIDES[-1]} px fits; the outputs must have the "
        f"size of the inputs (half of it at 20 m) where the sides are a multiple of a power of two"
    )


def reach_px(probe: Probe, stride: int) -> int:
    """Return how far a pixel of the output looks along rows and columns, in the worst phase.

    A line of the inputs is made very bright, for each phase of the stride, and the farthest line of
    the output that changes is looked for. Distances are from edge to edge, so that a margin no
    smaller than the reach, on the grid of the 20 m pixels, holds all that a window looks at.

    Raises
    ------
    ShapeError
        The network looks about 96 px far, or farther.
    """
    stride = lcm(stride, probe.even)
    edge = -(-FARTHEST_PX // stride) * stride
    found = 0
    images = [key for key in probe.keys if kind_of(key).bands]
    for factor in sorted({kind_of(key).factor for key in images}):
        keys = [key for key in images if kind_of(key).factor == factor]
        for axis in (1, 2):
            size = [stride, stride]
            size[axis - 1] = 2 * edge + stride
            before = probe.predict(probe.scene(1, size[0], size[1]))
            for first in range(edge, edge + stride, _LINES_AT_ONCE * factor):
                last = min(first + _LINES_AT_ONCE * factor, edge + stride)
                lines = range(first // factor, last // factor)
                inputs = probe.scene(len(lines), size[0], size[1])
                _flash(inputs, keys, axis, lines)
                after = probe.predict(inputs)
                for name, pixel in probe.output_factors.items():
                    changed: Array = np.any(_differ(before[name], after[name]), (3 - axis, 3))
                    found = max(found, _farthest(changed, pixel, lines, factor))
    if found >= edge - 1:
        raise ShapeError(
            f"model {probe.name} looks {FARTHEST_PX} px around each pixel, or farther; if it is "
            "meant to, declare its reach_px"
        )
    return found


def _plain(variable: keras.Variable) -> Array:
    """Return weights that pass on the mean over the channels and the sum over the pixels."""
    if len(variable.shape) > 1:
        return np.full(variable.shape, 1.0 / max(variable.shape[-2:]))
    return np.full(variable.shape, 0.0 if variable.name in _SHIFTS else 1.0)


def _differ(before: Array, after: Array) -> Array:
    """Say where an estimate changed, by more than the rounding of equal sums in another order."""
    with np.errstate(invalid="ignore"):
        same: Array = np.abs(after - before) <= _ROUNDING * np.abs(before).max()
    return ~(same | (np.isnan(before) & np.isnan(after)))


def _flash(inputs: dict[str, Array], keys: Sequence[str], axis: int, lines: range) -> None:
    """Brighten one line per sample, a row (axis 1) or a column (axis 2), in the images of keys."""
    for key in keys:
        turned = np.moveaxis(inputs[key], axis, 1)  # a view
        for number, line in enumerate(lines):
            turned[number, line] = _FLASH / kind_of(key).scale


def _farthest(changed: Array, pixel: int, lines: range, factor: int) -> int:
    """Return the largest distance between a bright line and one that it changed, edge to edge.

    Parameters
    ----------
    changed
        (N, lines) bool, of the output; its pixels have the size `pixel`.
    pixel, factor
        Pixel size of the output and of the input, in units of 10 m.
    lines
        The bright line of each sample.
    """
    numbers, found = np.nonzero(changed)
    first, bright = found * pixel, np.asarray(lines)[numbers] * factor
    after = first - (bright + factor - 1)
    before = bright - (first + pixel - 1)
    return int(np.maximum(after, before).max(initial=0))
