"""Gaps laid over clear dates: every clear date becomes a training target.

The masks are real ones of another date of the same place, where the sample holds one, and
synthetic ones. The rim of a gap may be contaminated as in reality, with thin cloud and shadow that
the mask missed.
"""

from collections.abc import Mapping

import tensorflow as tf

from decloud_lib.bands import S2_NODATA
from decloud_lib.models.fitted import DATES, RADAR_KEYS
from decloud_lib.models.keys import GAP_MASK

RIM_PX = 5
_DATE, _HIDDEN = "s2_t", "s2_cld10m_t"
_ALL_HIDDEN, _REAL, _RIM = 0.12, 0.6, 0.4
"""Shares: of dates wholly hidden, of real masks where there is a good one, of contaminated rims."""
_NO_SECOND, _NO_SIDE, _NO_RADAR = 0.15, 0.04, 0.05
"""Shares of samples in which a second neighbour, one side, or radar is missing."""
_LEAST, _MOST = 0.1, 0.92
#: Colours of thin cloud, and shares of the light that a shadow takes, B2 B3 B4 B8.
CLOUD_COLOUR = (1.0, 0.93, 0.90, 0.94)
SHADOW_COLOUR = (0.29, 0.38, 0.46, 0.68)

_Tensors = dict[str, tf.Tensor]


def lay_gap(
    inputs: Mapping[str, tf.Tensor], targets: Mapping[str, tf.Tensor], seed: tf.Tensor
) -> tuple[_Tensors, _Tensors]:
    """Hide a part of the date `t` of one sample, and now and then other dates and radar.

    Parameters
    ----------
    inputs
        Raw values by key, (H, W, C) float32 without batch axis; `s2_cld10m_gap` may be among them.
    targets
        Left as they are.
    seed
        (2,) int32; the same one gives the same gap.

    Returns
    -------
    The inputs with a gap: no data and a set mask where `t` is hidden.
    """
    draw = tf.random.stateless_uniform((16,), tf.random.experimental.stateless_fold_in(seed, 0))
    found = dict(inputs)
    mask = _mask(inputs, draw, seed)
    image = tf.cond(
        draw[3] < _RIM,
        lambda: contaminate_rim(inputs[_DATE], mask, draw[4:9]),
        lambda: inputs[_DATE],
    )
    found[_DATE] = tf.where(mask > 0.0, float(S2_NODATA), image)
    found[_HIDDEN] = mask
    side = draw[9]
    missing = {
        "tm2": (draw[10] < _NO_SECOND) | (side < _NO_SIDE),
        "tm1": side < _NO_SIDE,
        "tp1": side > 1.0 - _NO_SIDE,
        "tp2": (draw[11] < _NO_SECOND) | (side > 1.0 - _NO_SIDE),
    }
    for name in (name for name in DATES if name != "t"):
        key = f"s2_cld10m_{name}"
        found[key] = tf.where(missing[name], tf.ones_like(inputs[key]), inputs[key])
    for key in RADAR_KEYS:
        found[key] = tf.where(draw[12] < _NO_RADAR, tf.zeros_like(inputs[key]), inputs[key])
    return found, dict(targets)


def _mask(inputs: Mapping[str, tf.Tensor], draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return the (H, W, 1) float32 mask of the gap, 1 = hidden; flagged pixels stay flagged."""
    flagged = tf.cast(inputs[_HIDDEN] != 0.0, tf.float32)
    mask = synthetic_mask(tf.shape(flagged)[:2], 0.15 + 0.7 * draw[1], seed)
    if GAP_MASK in inputs:
        real = tf.cast(inputs[GAP_MASK] != 0.0, tf.float32)
        cover = tf.reduce_mean(real)
        good = (cover >= _LEAST) & (cover <= _MOST) & (draw[2] < _REAL)
        mask = tf.where(good, real, mask)
    return tf.where(draw[0] < _ALL_HIDDEN, tf.ones_like(mask), tf.maximum(mask, flagged))


def synthetic_mask(shape: tf.Tensor, cover: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw clouds: smooth noise of several sizes, above the level that gives the wanted cover.

    Parameters
    ----------
    shape
        (2,) int32, rows and columns.
    cover
        Share of hidden pixels, 0-1.
    seed
        (2,) int32.

    Returns
    -------
    (H, W, 1) float32, 1 = hidden.
    """
    noise = tf.zeros((shape[0], shape[1], 1))
    for octave, cells in enumerate((3, 6, 12, 24)):
        part = tf.random.stateless_normal(
            (cells, cells, 1), tf.random.experimental.stateless_fold_in(seed, octave + 1)
        )
        noise += tf.image.resize(part, shape, "bicubic") * 0.55**octave
    ordered = tf.sort(tf.reshape(noise, (-1,)))
    size = tf.cast(tf.size(ordered), tf.float32)
    level = ordered[tf.cast((1.0 - cover) * (size - 1.0), tf.int32)]
    return tf.cast(noise > level, tf.float32)


def contaminate_rim(image: tf.Tensor, mask: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Add thin cloud and shadow to the visible pixels within 5 px of the gap.

    Parameters
    ----------
    image : (H, W, 4) float32, DN
    mask : (H, W, 1) float32
    draw : (5,) numbers 0-1: opacity, brightness, shade, and the shadow's way down and across
    """
    near = _largest(mask, RIM_PX) * (1.0 - mask)
    falling = mask
    for _ in range(RIM_PX):
        falling = _mean3(falling)
    shift = tf.cast(tf.round(8.0 * draw[3:5] - 4.0), tf.int32)
    shade = _mean3(_mean3(tf.roll(mask, shift, (0, 1)))) * 0.5 * draw[2]
    opacity = falling * (0.1 + 0.4 * draw[0])
    cloud = (3000.0 + 4000.0 * draw[1]) * tf.constant(CLOUD_COLOUR)
    seen = image * (1.0 - shade * tf.constant(SHADOW_COLOUR))
    seen = seen * (1.0 - opacity) + opacity * cloud
    return tf.where(near > 0.0, seen, image)


def _largest(mask: tf.Tensor, radius_px: int) -> tf.Tensor:
    return tf.nn.max_pool2d(mask[None], 2 * radius_px + 1, 1, "SAME")[0]


def _mean3(mask: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(mask[None], 3, 1, "SAME")[0]
