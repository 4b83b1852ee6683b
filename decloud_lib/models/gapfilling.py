"""Deterministic estimates of the target date from its neighbours: no weights, no training."""

from collections.abc import Callable
from functools import partial

import keras
from keras import KerasTensor, ops

from decloud_lib.models.assemble import assemble
from decloud_lib.models.dates import Tensors
from decloud_lib.models.registry import ModelDefinition, register

Between = Callable[[KerasTensor, KerasTensor, KerasTensor], KerasTensor]


def time_ratio(before: KerasTensor, target: KerasTensor, after: KerasTensor) -> KerasTensor:
    """Return where a date lies between two others: 0 at the first, 1 at the second.

    Parameters
    ----------
    before, target, after
        (N,) float64, any one unit and origin. A float32 would be wrong by minutes.

    Returns
    -------
    (N,) float32; below 0 or above 1 outside the two dates; 0 where the two dates are the same.
    """
    span = ops.subtract(after, before)
    same = ops.equal(span, 0.0)
    ratio = ops.divide(ops.subtract(target, before), ops.where(same, ops.ones_like(span), span))
    return ops.cast(ops.where(same, ops.zeros_like(ratio), ratio), "float32")


def linear(before: KerasTensor, after: KerasTensor, ratio: KerasTensor) -> KerasTensor:
    """Interpolate linearly in time between the images before and after, per pixel."""
    change = ops.multiply(ops.subtract(after, before), ratio)
    return keras.layers.Add(name="s2_estim")([before, change])


def nearest(before: KerasTensor, after: KerasTensor, ratio: KerasTensor) -> KerasTensor:
    """Copy the image that is nearer in time; the earlier one of a tie."""
    return ops.where(ops.greater(ratio, 0.5), after, before)


def _between(scaled: Tensors, *, rule: Between, date: str) -> Tensors:
    times = (scaled[f"s2_timestamp_{name}"] for name in ("tm1", date, "tp1"))
    ratio = ops.reshape(time_ratio(*times), (-1, 1, 1, 1))
    return {f"s2_{date}": rule(scaled["s2_tm1"], scaled["s2_tp1"], ratio)}


def _register(name: str, rule: Between, date: str, *aliases: str) -> None:
    times = tuple(f"s2_timestamp_{item}" for item in ("tm1", date, "tp1"))
    keys, targets = ("s2_tm1", "s2_tp1", *times), (f"s2_{date}",)
    register(
        ModelDefinition(
            name=name,
            # No elevation here, so nothing to choose.
            build=lambda _: assemble(name, keys, targets, partial(_between, rule=rule, date=date)),
            input_keys=keys,
            target_keys=targets,
            trainable=False,
            aliases=aliases,
        )
    )


_register("crga_os1_gapfilling", linear, "t")
_register("crga_os2_gapfilling", linear, "target", "linear_gap_filling")
_register("nearest_date", nearest, "target")
