"""Inputs of a network and their normalisation, inside the graph: a saved model takes raw values."""

from collections.abc import Iterable

import keras
from keras import KerasTensor, ops

from decloud_lib.models.keys import kind_of


def make_inputs(keys: Iterable[str]) -> dict[str, KerasTensor]:
    """Make one network input per sample key, of any height and width.

    Returns
    -------
    Key -> (N, H, W, C) float32 for images, (N,) float64 for dates and flags: stored values.
    """
    inputs = {}
    for key in keys:
        kind = kind_of(key)
        shape = (None, None, len(kind.bands)) if kind.bands else ()
        inputs[key] = keras.Input(shape, dtype=kind.dtype, name=key)
    return inputs


def normalise(inputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
    """Scale stored values to about 0..1, each key by its kind; dates and flags stay as they are.

    Notes
    -----
    Sentinel-1 / 65535, Sentinel-2 / 10000, elevation / 10000; no clipping, no mean, as in the
    published models. Those also divided the dates by 10000; that only ever met a ratio of dates.
    """
    scaled = {}
    for key, tensor in inputs.items():
        scale = kind_of(key).scale
        scaled[key] = tensor if scale == 1.0 else ops.multiply(tensor, scale)
    return scaled
