"""Layers that the networks share."""

from collections.abc import Sequence

import keras
from keras import KerasTensor, ops

from decloud_lib.models.joined import Joined, PartwiseConv


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

    def joined_conv(self, name: str, filters: int, kernel: int, channels: int) -> Joined:
        """Return a linear convolution of tensors that have `channels` channels in all."""
        layer = PartwiseConv(
            filters, kernel, channels, kernel_initializer=self._initialiser, name=name
        )
        return Joined(layer)

    def joined_deconv(self, name: str, filters: int, channels: int, stride: int = 2) -> Joined:
        """Return a transposed 3x3 convolution of tensors that have `channels` channels in all.

        It is linear: what it gives in the end is still to be rectified.
        """
        layer = PartwiseConv(
            filters,
            3,
            channels,
            enlarges=stride,
            kernel_initializer=self._initialiser,
            name=name,
        )
        return Joined(layer)


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
