"""Deterministic estimates of the target date from its neighbours: no weights, no training."""

import keras
from keras import KerasTensor, ops

from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

_DATES = ("s2_timestamp_tm1", "s2_timestamp_target", "s2_timestamp_tp1")
_KEYS = ("s2_tm1", "s2_tp1", *_DATES)


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


def linear(spec: ModelSpec) -> keras.Model:
    """Build linear interpolation in time between the optical images before and after, per pixel."""
    del spec  # no elevation here
    inputs, before, after, ratio = _neighbours()
    estimate = ops.add(before, ops.multiply(ops.subtract(after, before), ratio))
    return keras.Model(inputs, {"s2_target": estimate}, name="crga_os2_gapfilling")


def nearest(spec: ModelSpec) -> keras.Model:
    """Build a copy of the optical image that is nearer in time; the earlier one of a tie."""
    del spec
    inputs, before, after, ratio = _neighbours()
    estimate = ops.where(ops.greater(ratio, 0.5), after, before)
    return keras.Model(inputs, {"s2_target": estimate}, name="nearest_date")


def _neighbours() -> tuple[dict[str, KerasTensor], KerasTensor, KerasTensor, KerasTensor]:
    inputs = make_inputs(_KEYS)
    scaled = normalise(inputs)
    ratio = ops.reshape(time_ratio(*(scaled[key] for key in _DATES)), (-1, 1, 1, 1))
    return inputs, scaled["s2_tm1"], scaled["s2_tp1"], ratio


register(
    ModelDefinition(
        name="crga_os2_gapfilling",
        build=linear,
        input_keys=_KEYS,
        trainable=False,
        aliases=("linear_gap_filling",),
    )
)
register(ModelDefinition(name="nearest_date", build=nearest, input_keys=_KEYS, trainable=False))
