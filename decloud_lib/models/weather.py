"""Dates made less alike, as atmosphere, sun, view and registration make them.

Synthetic series are too well-behaved: a network that is trained on them alone trusts what it sees
too much. So each date of a training sample may get another level, haze or shade that no mask shows,
and a shift of a part of a pixel.
"""

from collections.abc import Mapping

import tensorflow as tf

from decloud_lib.bands import S2_NODATA, S2_SCALE
from decloud_lib.models.fitted import DATES
from decloud_lib.models.gaps import CLOUD_COLOUR, SHADOW_COLOUR

_LEVELLED, _HAZY, _SHADED, _SHIFTED = 0.5, 0.2, 0.12, 0.3
"""Shares of dates that get another level, haze, shade, or are shifted."""
_LEVEL, _BAND_LEVEL = 0.04, 0.02
"""Standard deviations of the change of all bands together, and of each."""
_OPACITY, _SHADE = 0.12, 0.5
"""Of the thickest haze and the deepest shade."""
_HAZE_DN = 6000.0
_SHIFT_PX = 0.35
_KEY = "s2_{}"
#: Apart from the numbers that the gaps fold into the same seed.
_FIRST_FOLD = 100

_Tensors = dict[str, tf.Tensor]


def vary_dates(
    inputs: Mapping[str, tf.Tensor], targets: Mapping[str, tf.Tensor], seed: tf.Tensor
) -> tuple[_Tensors, _Tensors]:
    """Change the optical dates of one sample, each on its own; the target changes with its date.

    Parameters
    ----------
    inputs
        Raw values by key, (H, W, C) float32 without batch axis.
    targets
        Reflectances; of `s2_t`, which is replaced.
    seed
        (2,) int32; the same one gives the same change.
    """
    found = dict(inputs)
    for number, name in enumerate(DATES):
        key = _KEY.format(name)
        fold = tf.random.experimental.stateless_fold_in(seed, _FIRST_FOLD + number)
        found[key] = vary_date(inputs[key], fold)
    target = _KEY.format("t")
    return found, {**targets, target: found[target] * S2_SCALE}


def vary_date(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Change one date: level, then haze, shade and shift; what is no data stays no data.

    Parameters
    ----------
    image
        (H, W, 4) float32, DN of B2 B3 B4 B8.
    seed
        (2,) int32.
    """
    seeds = [tf.random.experimental.stateless_fold_in(seed, number) for number in range(6)]
    draw = tf.random.stateless_uniform((8,), seeds[0])
    valid = image > float(S2_NODATA)
    gain = 1.0 + _LEVEL * tf.random.stateless_normal((), seeds[1])
    gain += _BAND_LEVEL * tf.random.stateless_normal((image.shape[-1],), seeds[2])
    seen = tf.where(draw[0] < _LEVELLED, image * gain, image)
    veil = _veil(tf.shape(image)[:2], seeds[3:5])
    haze = tf.where(draw[1] < _HAZY, _OPACITY * _above(veil, 0.6 + draw[2]), 0.0)
    seen = seen * (1.0 - haze) + haze * _HAZE_DN * tf.constant(CLOUD_COLOUR)
    shade = tf.where(draw[3] < _SHADED, _SHADE * _above(veil[::-1], 1.0 + draw[4]), 0.0)
    seen *= 1.0 - shade * tf.constant(SHADOW_COLOUR)
    shift = tf.where(draw[5] < _SHIFTED, _SHIFT_PX * draw[6:8], 0.0)
    for axis in (0, 1):
        seen = _shifted(seen, valid, shift[axis], axis)
    return tf.where(valid, seen, image)


def _veil(shape: tf.Tensor, seeds: list[tf.Tensor]) -> tf.Tensor:
    """Return smooth noise of two sizes, (H, W, 1)."""
    wide, narrow = (
        tf.image.resize(tf.random.stateless_normal((cells, cells, 1), seed), shape, "bicubic")
        for cells, seed in zip((4, 12), seeds, strict=True)
    )
    return wide + 0.5 * narrow


def _above(veil: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(veil - level, 0.0, 1.0)


def _shifted(image: tf.Tensor, valid: tf.Tensor, share: tf.Tensor, axis: int) -> tf.Tensor:
    """Move an image by a share of a pixel, linearly; next to no data and at the border it stays."""
    size = tf.shape(image)[axis]
    following = tf.minimum(tf.range(size) + 1, size - 1)
    moved = (1.0 - share) * image + share * tf.gather(image, following, axis=axis)
    return tf.where(valid & tf.gather(valid, following, axis=axis), moved, image)
