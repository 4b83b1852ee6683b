"""Radar backscatter as 16-bit integers, and back."""

import math

import numpy as np

from decloud_lib.bands import S2_NODATA
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

#: Range of ln(sigma0) that the integers 1..65535 span; -43.4 to +13.0 in true decibels.
SIGMA0_LN_LOW = -10.0
SIGMA0_LN_HIGH = 3.0
_EPSILON = 1e-6
_SLOPE = 65534.0 / (SIGMA0_LN_HIGH - SIGMA0_LN_LOW)
_CHUNK_PX = 1 << 16
"""Pixels per step of the encoding: the temporary arrays stay in the processor's cache."""


def encode_sigma0(sigma0: Array) -> Array:
    """Encode radar backscatter as 16-bit integers on a natural-log scale.

    Parameters
    ----------
    sigma0 : (H, W, 2) float32
        Linear power, VV then VH; 0, NaN and infinities = no data.

    Returns
    -------
    (H, W, 2) uint16; 0 = no data, 1..65535 spans ln(sigma0) in [-10, 3].

    Raises
    ------
    ShapeError
        The last axis is not 2.

    Notes
    -----
    With x the backscatter, tested in this order: x = 0 gives 0; x < exp(-10) gives 1, negative
    values too; x > exp(3) gives 65535; else 1 + 65534/13 (ln(x + 1e-6) + 10), rounded. The 1e-6
    makes a jump at the low end, from 1 to 111. All of it is kept because the published weights
    expect it, as is the natural logarithm (the file names say dB): see docs/data.md.
    """
    if sigma0.ndim != 3 or sigma0.shape[-1] != 2:
        raise ShapeError(f"found shape {sigma0.shape}, expected (H, W, 2): VV and VH")
    return encode_channel(sigma0)


def encode_channel(sigma0: Array, out: Array | None = None) -> Array:
    """Encode backscatter of one polarisation, any shape; see `encode_sigma0`.

    Parameters
    ----------
    sigma0
        Linear power.
    out : uint16, contiguous, of the same shape
        Gets the result; made where None.
    """
    source = np.ascontiguousarray(sigma0, dtype=np.float32).reshape(-1)
    encoded = np.empty(sigma0.shape, np.uint16) if out is None else out
    flat = encoded.reshape(-1)
    for start in range(0, source.size, _CHUNK_PX):
        chunk = slice(start, start + _CHUNK_PX)
        _encode_chunk(source[chunk], flat[chunk])
    return encoded


def is_nodata(sigma0: Array) -> Array:
    """Say which pixels are encoded as no data: 0, NaN and infinities.

    Parameters
    ----------
    sigma0 : float32 or float64, any shape
        Linear power.

    Returns
    -------
    bool of the same shape
    """
    # Over the bits, without the sign: 0 is the lowest number and what is not finite has the highest
    # ones; less 1, both are at the upper end. In chunks that stay in the processor's cache.
    kind = np.dtype(f"u{sigma0.itemsize}")
    bits = np.ascontiguousarray(sigma0).reshape(-1).view(kind)
    highest = (np.full(1, np.inf, sigma0.dtype).view(kind) << 1) - 1
    found = np.empty(sigma0.shape, bool)
    flat = found.reshape(-1)
    room = np.empty(min(_CHUNK_PX, bits.size), kind)
    for start in range(0, bits.size, _CHUNK_PX):
        chunk = slice(start, start + _CHUNK_PX)
        shifted = np.left_shift(bits[chunk], 1, out=room[: bits[chunk].size])
        shifted -= 1
        np.greater_equal(shifted, highest, out=flat[chunk])
    return found


def dn_table(scale: float, offset: float, nodata: int) -> Array:
    """Return the table that turns stored 16-bit reflectance into DN = reflectance x 10000.

    Parameters
    ----------
    scale, offset
        DN = rint(stored x scale + offset).
    nodata
        Stored value that marks no data.

    Returns
    -------
    (65536,) int16, by stored value: no data becomes -10000; DN beyond what int16 holds are cut to
    -9999 and 32767, so that no measured value reads as no data.
    """
    stored = np.arange(1 << 16, dtype=np.float64)
    table = np.clip(np.rint(stored * scale + offset), S2_NODATA + 1, np.iinfo(np.int16).max)
    table[nodata] = S2_NODATA
    return table.astype(np.int16)


def decode_sigma0(encoded: Array) -> Array:
    """Turn encoded backscatter into linear power; within half a step of what was encoded.

    Parameters
    ----------
    encoded : uint16, any shape
        0 = no data.

    Returns
    -------
    float32 of the same shape, linear power; 0 = no data.
    """
    ln_sigma0 = (encoded.astype(np.float32) - 1.0) * np.float32(1.0 / _SLOPE) + SIGMA0_LN_LOW
    return np.where(encoded == 0, np.float32(0), np.exp(ln_sigma0, dtype=np.float32))


def _encode_chunk(sigma0: Array, encoded: Array) -> None:
    low, high = np.float32(math.exp(SIGMA0_LN_LOW)), np.float32(math.exp(SIGMA0_LN_HIGH))
    # fmax and fmin drop NaN: the conversion to integers is defined for every pixel.
    scaled = np.fmin(np.fmax(sigma0, low), high)
    scaled += np.float32(_EPSILON)
    np.log(scaled, out=scaled)
    scaled *= np.float32(_SLOPE)
    # 1 of the formula and 0.5 to round, where the conversion cuts.
    scaled += np.float32(1.5 - _SLOPE * SIGMA0_LN_LOW)
    np.minimum(scaled, np.float32(65535.0), out=scaled)
    np.copyto(encoded, scaled, casting="unsafe")
    np.copyto(encoded, np.uint16(1), where=sigma0 < low)
    np.copyto(encoded, np.uint16(0), where=~np.isfinite(sigma0) | (sigma0 == 0))
