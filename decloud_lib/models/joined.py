"""Convolutions of tensors that are joined on channels, computed one tensor after the other.

Many dates meet in one layer of a decoder. Their concatenation would be the largest tensor of the
network, and all dates would have to be in memory at once.
"""

import importlib
from collections.abc import Sequence

import keras
from keras import KerasTensor, ops


class Joined:
    """Sums up a convolution of several tensors.

    The same weights and, but for rounding, the same result as a convolution of their concatenation:
    it is linear, so each tensor has its part of the kernel and the results add up.

    Parameters
    ----------
    layer
        Has the weights.

    Attributes
    ----------
    total : KerasTensor or None
        (N, H, W, filters) of what was added so far, with the bias.
    """

    def __init__(self, layer: "PartwiseConv") -> None:
        self._layer = layer
        self._channels = 0
        self.total: KerasTensor | None = None

    def add(self, part: KerasTensor) -> KerasTensor:
        """Add the next tensor, (N, H, W, any), and return the total."""
        inputs = [part] if self.total is None else [part, self.total]
        self.total = self._layer(inputs, first=self._channels)
        self._channels += part.shape[-1]
        return self.total


class PartwiseConv(keras.layers.Layer):  # type: ignore[misc]
    """A linear convolution that takes some of its channels, and adds to what came of the others.

    Parameters
    ----------
    filters, kernel_size, kernel_initializer, name
        As of `keras.layers.Conv2D` or `Conv2DTranspose`; the padding is "same".
    channels
        Of all parts.
    enlarges
        By how much a transposed convolution enlarges; None: it is none. The kernel has the shape
        that Keras gives it.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        channels: int,
        *,
        enlarges: int | None = None,
        kernel_initializer: str,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.filters, self.kernel_size, self.channels = filters, kernel_size, channels
        self.enlarges = enlarges
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Make kernel and bias for the channels of all parts."""
        del input_shape
        ends = (self.filters, self.channels) if self.enlarges else (self.channels, self.filters)
        shape = (self.kernel_size, self.kernel_size, *ends)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: Sequence[KerasTensor], first: int = 0) -> KerasTensor:
        """Return (N, H, W, filters).

        Parameters
        ----------
        inputs
            A part, (N, H, W, any); then, unless it is the first one, what came of those before.
        first
            Number of its first channel among those of all parts.
        """
        part, *before = inputs
        channels = slice(first, first + part.shape[-1])
        if self.enlarges:
            kernel = self.kernel[..., channels]
            found = ops.conv_transpose(part, kernel, strides=self.enlarges, padding="same")
        else:
            found = ops.conv(part, self.kernel[:, :, channels], padding="same")
        return found + (before[0] if before else self.bias)


class After(keras.layers.Layer):  # type: ignore[misc]
    """Hands on its first input, unchanged, once all others are computed.

    TensorFlow computes whatever has its inputs, so that all dates would be under way at once. Other
    backends plan the order, and the memory, by themselves.
    """

    def call(self, inputs: Sequence[KerasTensor]) -> KerasTensor:
        """Return the first of the inputs, each of any shape."""
        first, *others = inputs
        if keras.backend.backend() != "tensorflow":
            return first
        tensorflow = importlib.import_module("tensorflow")
        with tensorflow.control_dependencies(others):
            return tensorflow.identity(first)
