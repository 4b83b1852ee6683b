"""Samples as pictures with the fixed stretch of the existing system: comparable across samples."""

import numpy as np
from numpy.typing import NDArray

from decloud_lib.bands import S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.types import Array

Picture = NDArray[np.uint8]

_KNEE_DN = 2000.0
_DARK = 0.115
_BRIGHT, _OFFSET = 0.003125, 223.75
_RADAR_LOW, _RADAR_HIGH = 10000.0, 65535.0
_TRUE_COLOUR = [S2_10M_BANDS.index(name) for name in ("B4", "B3", "B2")]
_FALSE_COLOUR = [S2_20M_STACK_BANDS.index(name) for name in ("B11", "B8A", "B5")]


def stretch_optical(dn: Array) -> Picture:
    """Stretch stored reflectances: steep for ground, flat for clouds.

    Parameters
    ----------
    dn
        Any shape, reflectance x 10000.

    Returns
    -------
    uint8: 0.115 x below 2000 (2000 -> 230), 0.003125 x + 223.75 from there on (10000 -> 255).
    """
    values = np.asarray(dn, dtype=np.float64)
    return _bytes(np.where(values < _KNEE_DN, _DARK * values, _BRIGHT * values + _OFFSET))


def stretch_radar(encoded: Array) -> Picture:
    """Stretch encoded backscatter: 10000 -> 0, 65535 -> 255; uint8."""
    values = np.asarray(encoded, dtype=np.float64)
    return _bytes((values - _RADAR_LOW) * 255.0 / (_RADAR_HIGH - _RADAR_LOW))


def draw_sample_image(key: str, stored: Array) -> Picture:
    """Draw one image of a sample by the kind of its key.

    Parameters
    ----------
    key
        Of the sample.
    stored
        (H, W, C) stored values.

    Returns
    -------
    (H, W, 3) uint8 B4 B3 B2 of an optical image, B11 B8A B5 of its 20 m bands; (H, W) uint8 VV of
    a radar image, a mask in white, an elevation from its lowest to its highest point.
    """
    if "_cld10m_" in key:
        return _bytes(255.0 * (stored[..., 0] != 0))
    if key.startswith("s2_20m_"):
        return stretch_optical(stored[..., _FALSE_COLOUR])
    if key.startswith("s2_"):
        return stretch_optical(stored[..., _TRUE_COLOUR])
    if key.startswith("s1_"):
        return stretch_radar(stored[..., 0])
    values = np.asarray(stored[..., 0], dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return _bytes((values - low) * 255.0 / max(high - low, 1.0))


def _bytes(values: Array) -> Picture:
    return np.clip(np.rint(values), 0.0, 255.0).astype(np.uint8)
