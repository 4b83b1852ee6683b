"""Layers that the networks share."""

from collections.abc import Sequence
from itertools import accumulate

import keras
from keras import KerasTensor, ops


class SharedLayers:
    """Convolutions by name: asking twice for a name gives the same layer, hence the same weights.

    All dates pass through one encoder, so a network asks for `conv1_relu` once per date. Names are
    those of the published models (some say `bn`, none normalises), so that weights can be ported.

    Parameters
    ----------
    initialiser
        Keras name of the initialiser of all kernels; biases begin at zero.
    """

    def __init__(self, initialiser: str = "glorot_uniform") -> None:
        self._layers: dict[str, keras.layers.Layer] = {}
        self._initialiser = initialiser

    def conv(
        self, name: str, filters: int, kernel: int, stride: int = 1, activation: str | None = "relu"
    ) -> keras.layers.Layer:
        """Return a convolution with bias; (N, H, W, any) -> (N, H/stride, W/stride, filters)."""
        if name not in self._layers:
            self._layers[name] = keras.layers.Conv2D(
                filters,
                kernel,
                strides=stride,
                padding="same",
                activation=activation,
                kernel_initializer=self._initialiser,
                name=name,
            )
        return self._layers[name]

    def joined_conv(self, name: str, filters: int, kernel: int) -> keras.layers.Layer:
        """Return a linear convolution of tensors joined on channels, each (N, H, W, any)."""
        if name not in self._layers:
            self._layers[name] = JoinedConv(
                filters, kernel, kernel_initializer=self._initialiser, name=name
            )
        return self._layers[name]

    def deconv(self, name: str, filters: int, stride: int = 2) -> keras.layers.Layer:
        """Return a transposed 3x3 convolution; (N, H, W, C) -> (N, H*stride, W*stride, filters)."""
        if name not in self._layers:
            self._layers[name] = keras.layers.Conv2DTranspose(
                filters,
                3,
                strides=stride,
                padding="same",
                activation="relu",
                kernel_initializer=self._initialiser,
                name=name,
            )
        return self._layers[name]


class JoinedConv(keras.layers.Layer):  # type: ignore[misc]
    """A convolution of several tensors that are joined on channels, without joining them.

    The same weights and, but for rounding, the same result as a convolution of their concatenation:
    it is linear, so each tensor has its part of the kernel and the results add up. At full size the
    concatenation would be the largest tensor of a network.

    Parameters
    ----------
    filters, kernel_size, kernel_initializer, name
        As of `keras.layers.Conv2D`; the padding is "same".
    """

    def __init__(
        self, filters: int, kernel_size: int, *, kernel_initializer: str, name: str
    ) -> None:
        super().__init__(name=name)
        self._filters, self._size = filters, kernel_size
        self._initialiser = kernel_initializer

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Make kernel and bias for the channels of all tensors."""
        self._channels = [shape[-1] or 0 for shape in input_shape]
        shape = (self._size, self._size, sum(self._channels), self._filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self._initialiser)
        self.bias = self.add_weight(name="bias", shape=(self._filters,), initializer="zeros")

    def call(self, parts: Sequence[KerasTensor]) -> KerasTensor:
        """Return (N, H, W, filters) of tensors of (N, H, W, any)."""
        cuts = list(accumulate(self._channels))[:-1]
        # TensorFlow takes no empty list of cuts: networks with one image have one part.
        kernels = ops.split(self.kernel, cuts, axis=2) if cuts else [self.kernel]
        found = [
            ops.conv(part, kernel, padding="same")
            for part, kernel in zip(parts, kernels, strict=True)
        ]
        return sum(found[1:], found[0]) + self.bias


def residual_block(layers: SharedLayers, x: KerasTensor, name: str) -> KerasTensor:
    """Add a tenth of two convolutions to their input, then rectify; keeps the shape.

    Parameters
    ----------
    layers
        Of the network.
    x
        (N, H, W, C).
    name
        Prefix of the names of the two layers.
    """
    filters = x.shape[-1]
    branch = layers.conv(f"{name}_conv1_relu", filters, 3)(x)
    branch = layers.conv(f"{name}_conv2", filters, 3, activation=None)(branch)
    return ops.relu(ops.add(ops.multiply(branch, 0.1), x))


def join(tensors: Sequence[KerasTensor]) -> KerasTensor:
    """Concatenate on channels; one tensor passes unchanged."""
    return keras.layers.Concatenate()(list(tensors)) if len(tensors) > 1 else tensors[0]
