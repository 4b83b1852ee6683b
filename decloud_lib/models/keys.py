"""What the keys of a sample mean, by their prefix, and how outputs of networks are named."""

import re
from dataclasses import dataclass

from decloud_lib import bands

DEM = "dem"
GAP_MASK = "s2_cld10m_gap"
"""Mask of another date, whose clouds are laid over the date `t`."""

#: Names of outputs in old exports, without the crop: those of layers that nobody had named.
_HISTORIC = (
    (re.compile(r"(tf\.math\.)?add(_\d+)?"), "s2_estim"),
    (re.compile(r"tf\.concat(_\d+)?"), "s2_all_bands_estim"),
)
_CROP = re.compile(r"(.+?)(_pad\d+)?")


@dataclass(frozen=True, slots=True)
class KeyKind:
    """Meaning of the array under one key."""

    bands: tuple[str, ...]
    """Names of the last axis; empty for a number per sample (a date, a flag)."""
    scale: float
    """Factor that turns stored values into network values of about 0..1."""
    factor: int
    """Pixel size in units of 10 m: 1 or 2."""
    dtype: str
    """Type in which a network takes the stored values."""


_S1 = KeyKind(bands.S1_BANDS, bands.S1_SCALE, 1, "float32")
_S2 = KeyKind(bands.S2_10M_BANDS, bands.S2_SCALE, 1, "float32")
_S2_20M = KeyKind(bands.S2_20M_STACK_BANDS, bands.S2_SCALE, 2, "float32")
#: Cloud masks: not 0 = cloud or shadow. No scale: networks only ask whether a value is 0.
_MASK = KeyKind(bands.CLOUD_BANDS, 1.0, 1, "float32")
_DEM = KeyKind(bands.DEM_BANDS, bands.DEM_SCALE, 2, "float32")
#: Dates and flags are no pixel values: never scaled, and never narrower than 64 bits, because the
#: milliseconds of a date do not fit into a float32.
_NUMBER = KeyKind((), 1.0, 1, "float64")


def kind_of(key: str) -> KeyKind:
    """Return the meaning of a sample key such as `s1_tm1`, `s2_20m_t`, `s2_timestamp_tp1` or `dem`.

    Raises
    ------
    ValueError
        The key has no known prefix.
    """
    if "timestamp" in key or "ascending" in key:
        return _NUMBER
    if key == DEM:
        return _DEM
    known = (("s2_cld10m_", _MASK), ("s2_20m_", _S2_20M), ("s2_", _S2), ("s1_", _S1))
    for prefix, kind in known:
        if key.startswith(prefix):
            return kind
    raise ValueError(
        f"sample key {key!r} has no known meaning; expected s1_*, s2_*, s2_20m_* or {DEM}"
    )


def is_image(key: str) -> bool:
    """Say whether there is an image of a known meaning under a sample key."""
    try:
        return bool(kind_of(key).bands)
    except ValueError:
        return False


def canonical(name: str) -> str:
    """Return our name of an output: `tf.concat_7_pad64` is `s2_all_bands_estim_pad64`."""
    match = _CROP.fullmatch(name)
    stem, crop = (match[1], match[2] or "") if match else (name, "")
    for pattern, ours in _HISTORIC:
        if pattern.fullmatch(stem):
            return ours + crop
    return name
