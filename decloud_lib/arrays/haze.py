"""Clouds and haze that a mask has missed, told by the clear dates around."""

import numpy as np

from decloud_lib.arrays.masks import box_share
from decloud_lib.bands import S2_10M_BANDS
from decloud_lib.types import Array

BLUE_RED = [S2_10M_BANDS.index(name) for name in ("B2", "B4")]
RISE = 0.03
"""Least rise of the blue that counts, reflectance."""
_DAYS = 30.0
_SOIL = 1.5
_TIE = 1e-6
AROUND_PX = 5
"""How far `mostly` looks."""


def unmasked_cloud(seen: Array, expected: Array, days: Array) -> Array:
    """Say where a date is too bright in the blue for anything but cloud.

    Parameters
    ----------
    seen : (..., 2) float
        Reflectance of the date in the blue and the red.
    expected : (..., 2) float
        The same, as the clear dates around let expect it.
    days : (...) float
        From the date to the nearest of those, 0 or more.

    Returns
    -------
    (...) bool.

    Notes
    -----
    The multi-temporal test of Hagolle et al., Remote Sensing of Environment 114 (2010): blue has
    risen by more than 0.03, and by as much again for every 30 days. Land that was ploughed or
    harvested gets brighter too, but by more than 1.5 times as much in the red.
    """
    blue, red = np.moveaxis(seen - expected, -1, 0)
    return np.asarray((blue > RISE * (1 + days / _DAYS)) & (red <= _SOIL * blue))


def mostly(cloudy: Array, clear: Array) -> Array:
    """Say which clear pixels are surrounded by others that turned out to be cloudy.

    Parameters
    ----------
    cloudy : (H, W) bool
        Those that turned out to be.
    clear : (H, W) bool
        All that the mask calls clear, `cloudy` included.

    Returns
    -------
    (H, W) bool: clear ones, of whose box of 11 x 11 pixels more than half of the clear ones are
    cloudy.
    """
    bad, all_of_them = (box_share(mask, AROUND_PX) for mask in (cloudy, clear))
    # Running sums round differently from window to window: a tie is a tie in all of them.
    return np.asarray(clear & (bad - all_of_them / 2 > _TIE))
