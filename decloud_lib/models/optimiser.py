"""The optimiser, and the precision that a network computes in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


def make_optimiser(rate: float, clip_norm: float | None) -> keras.optimizers.Optimizer:
    """Return Adam; with a norm, gradients over all weights together are shortened to it."""
    if clip_norm is None:
        return keras.optimizers.Adam(rate)
    return _ClippedAdam(rate, clip_norm)


class _ClippedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Clips the gradient of the whole batch, after it was summed over the devices.

    Keras' own clipping happens before that, on the share of each device.
    """

    def __init__(self, rate: float, clip_norm: float) -> None:
        super().__init__(rate, name="adam")
        self._longest = clip_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        summed, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        clipped, _ = tf.clip_by_global_norm(summed, self._longest)
        return list(zip(clipped, variables, strict=True))


@contextmanager
def precision(*, mixed: bool) -> Iterator[None]:
    """Build networks inside this context for bfloat16, or for float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
