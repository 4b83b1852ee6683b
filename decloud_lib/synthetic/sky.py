"""Clouds, their shadows, haze, and the mask a detector would make of them."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from decloud_lib.synthetic.noise import doubled, fractal, grown, halved
from decloud_lib.synthetic.surface import BANDS
from decloud_lib.types import Array

#: Bits of Theia's cloud mask CLM.
BIT_ALL = 1
BIT_CLOUD = 2
BIT_REFLECTANCE = 4
BIT_TEMPORAL = 8
BIT_THINNEST = 16
BIT_SHADOW = 32
BIT_SHADOW_FROM_OUTSIDE = 64
BIT_CIRRUS = 128

_CLOUD_COLOUR = {
    "B2": 1.0, "B3": 0.93, "B4": 0.90, "B5": 0.90, "B6": 0.89, "B7": 0.89, "B8": 0.94, "B8A": 0.94,
    "B11": 0.58, "B12": 0.48,
}  # fmt: skip
_HAZE_COLOUR = {
    "B2": 1.0, "B3": 0.78, "B4": 0.64, "B5": 0.58, "B6": 0.50, "B7": 0.46, "B8": 0.42, "B8A": 0.40,
    "B11": 0.12, "B12": 0.07,
}  # fmt: skip
#: Share of the light that a full shadow takes away; blue sky light fills shadows.
_SHADE = {
    "B2": 0.29, "B3": 0.38, "B4": 0.46, "B5": 0.54, "B6": 0.66, "B7": 0.67, "B8": 0.68, "B8A": 0.68,
    "B11": 0.74, "B12": 0.76,
}  # fmt: skip
HAZE = np.array([_HAZE_COLOUR[band] for band in BANDS], dtype=np.float32)
_CLOUD = np.array([_CLOUD_COLOUR[band] for band in BANDS], dtype=np.float32)
_SHADOW = np.array([_SHADE[band] for band in BANDS], dtype=np.float32)
#: Opacity at which the detector sees a cloud, and a shadow.
_SEEN, _SEEN_SHADOW, _OPAQUE = 0.055, 0.30, 0.35
#: Cover below which a date has no cloud, only errors of the detector.
_SPECKS_BELOW = 0.01
#: Cover from which the deck is closed.
_CLOSED = 0.9995
_LATITUDE = np.deg2rad(44.0)


@dataclass(frozen=True, slots=True)
class Sky:
    """What stands between the ground and the sensor on one date."""

    opacity: Array
    """(H, W) float32, share of the ground's light that clouds replace, 0-1."""
    brightness: Array
    """(H, W) float32, reflectance of the cloud itself in B2; passes 1 for thick cloud."""
    shade: Array
    """(H, W) float32, share of the direct light that is missing in shadows, 0-1."""
    mask: Array
    """(H, W) uint8, bits of Theia's CLM; 0 = clear."""

    def over(self, ground: Array) -> Array:
        """Return what the sensor sees of an (H, W, 10) ground, reflectance."""
        opacity = self.opacity[..., None]
        seen = ground * (1.0 - self.shade[..., None] * _SHADOW)
        seen *= 1.0 - opacity
        seen += opacity * self.brightness[..., None] * _CLOUD
        return np.asarray(np.maximum(seen, np.float32(0.001), out=seen))


def draw_sky(rng: np.random.Generator, shape: tuple[int, int], cover: float, when: datetime) -> Sky:
    """Draw the clouds of one date.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Height and width, 10 m pixels.
    cover
        Wanted share of flagged pixels, 0-1; met within some percent.
    when
        Time of the pass; the sun decides where the shadows fall.

    Returns
    -------
    Sky
        Rasters of the given shape.
    """
    # Heaps stand high and far apart; a closing deck hangs low and covers its own shadows.
    offset = _shadow_offset(when, rng.uniform(400.0, 1300.0) * (1.0 - 0.8 * cover))
    if cover < _SPECKS_BELOW:
        return _clear_sky(rng, shape, cover)
    cirrus = bool(rng.random() < 0.16)
    form = _cloud_form(rng, shape, cover, cirrus=cirrus)
    thickness = rng.lognormal(0.28, 0.75) * (0.22 if cirrus else 1.0)
    if cover > _CLOSED:
        # A closed deck: its thinnest place too is seen as cloud.
        depth = thickness * np.exp(0.55 * form) * rng.uniform(0.55, 1.9) + 0.10
    else:
        depth = _find_depth(form, cover, (thickness, offset))
    opacity = (1.0 - np.exp(-depth)).astype(np.float32)
    billows = fractal(rng, shape, slope=1.3, longest_px=35)
    light = 0.42 + 0.84 * depth / (depth + 2.6) + rng.normal(0.0, 0.05)
    brightness = (light * (1.0 + 0.13 * billows)).astype(np.float32)
    shade = np.roll(opacity, offset, axis=(0, 1)) * (0.35 if cirrus else 1.0)
    return Sky(
        opacity=opacity,
        brightness=np.clip(brightness, 0.15, 1.6),
        shade=shade.astype(np.float32),
        mask=_detect(rng, opacity, shade, offset, cirrus=cirrus),
    )


def _clear_sky(rng: np.random.Generator, shape: tuple[int, int], cover: float) -> Sky:
    """Return no cloud at all; the detector errs on a few pixels here and there."""
    mask = np.zeros(shape, dtype=np.uint8)
    for _ in range(int(rng.poisson(cover * shape[0] * shape[1] / 4))):
        row, col = (int(rng.integers(side // 2)) * 2 for side in shape)
        mask[row : row + 2, col : col + 2] = BIT_ALL | BIT_CLOUD | BIT_REFLECTANCE
    nothing = np.zeros(shape, dtype=np.float32)
    return Sky(opacity=nothing, brightness=nothing, shade=nothing, mask=mask)


def _cloud_form(
    rng: np.random.Generator, shape: tuple[int, int], cover: float, *, cirrus: bool
) -> Array:
    """Draw the form of the clouds: streaks, a torn deck or heaps."""
    if cirrus:
        return fractal(rng, shape, slope=1.9, longest_px=260, stretch=rng.uniform(2.5, 5.0))
    # Few clouds are small heaps and few gaps are small holes; what is half covered has fronts.
    middling = (4.0 * cover * (1.0 - cover)) ** 2 if cover < _CLOSED else 0.5
    longest = 26.0 + 330.0 * float(rng.random()) * middling
    base = fractal(rng, shape, slope=rng.uniform(1.95, 2.25), longest_px=longest)
    curls = fractal(rng, shape, slope=1.9, longest_px=24)
    form = base + 0.14 * curls
    return np.asarray(form / form.std(), dtype=np.float32)


def _find_depth(form: Array, cover: float, look: tuple[float, tuple[int, int]]) -> Array:
    """Flood the form up to the level at which clouds and shadows flag the wanted share."""
    thickness, offset = look
    low, high = float(form.min()) - 0.6, float(form.max())
    for _ in range(9):
        level = (low + high) / 2
        opacity = 1.0 - np.exp(-_depth(form, level, thickness))
        shade = np.roll(opacity, offset, axis=(0, 1))
        flagged = _flag(halved(opacity) > _SEEN) | _flag(halved(shade) > _SEEN_SHADOW)
        if float(flagged.mean()) > cover:
            low = level
        else:
            high = level
    return _depth(form, (low + high) / 2, thickness)


def _depth(form: Array, level: float, thickness: float) -> Array:
    return np.asarray(thickness * 2.6 * np.maximum(form - level, 0.0) ** 1.5, dtype=np.float32)


def _flag(seen: Array) -> Array:
    """Grow a 20 m detection as the detector's safety margin does."""
    return grown(seen, 1)


def _detect(
    rng: np.random.Generator, opacity: Array, shade: Array, offset: tuple[int, int], *, cirrus: bool
) -> Array:
    """Make the cloud mask: on 20 m, grown, with ragged edges where cloud is thin."""
    thick, dark = halved(opacity), halved(shade)
    jitter = np.exp(0.25 * fractal(rng, thick.shape, slope=1.0, longest_px=10))
    cloud = _flag(thick > _SEEN * jitter)
    opaque = _flag(thick > _OPAQUE)
    shadow = _flag(dark > _SEEN_SHADOW * jitter) & ~cloud
    mask = np.zeros(thick.shape, dtype=np.uint8)
    mask[cloud] = BIT_CIRRUS | BIT_CLOUD if cirrus else BIT_THINNEST
    mask[opaque & cloud] = BIT_ALL | BIT_CLOUD | BIT_REFLECTANCE
    mask[_flag(thick > 0.6) & cloud] |= BIT_TEMPORAL
    mask[shadow] = BIT_ALL | BIT_SHADOW
    outside = np.zeros(thick.shape, dtype=bool)
    for axis, shift in enumerate(offset):
        side = [slice(None), slice(None)]
        reach = shift // 2
        side[axis] = slice(0, reach) if reach >= 0 else slice(reach, None)
        outside[tuple(side)] = True
    mask[shadow & outside] = BIT_ALL | BIT_SHADOW_FROM_OUTSIDE
    return doubled(mask)


def _shadow_offset(when: datetime, height_m: float) -> tuple[int, int]:
    """Return how far shadows fall from their clouds, (rows, columns) of 10 m pixels.

    The sun's height and direction follow from the declination and the hour angle at 44 degrees
    north (the usual spherical formulas; noon at 11:55 UTC).
    """
    day = when.timetuple().tm_yday
    declination = np.deg2rad(-23.44) * np.cos(2 * np.pi * (day + 10) / 365.25)
    hour = np.deg2rad(15.0 * (when.hour + when.minute / 60 - 11.92))
    sine = np.sin(_LATITUDE) * np.sin(declination)
    sine += np.cos(_LATITUDE) * np.cos(declination) * np.cos(hour)
    height = np.arcsin(sine)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(_LATITUDE) * np.sin(declination)
    north -= np.sin(_LATITUDE) * np.cos(declination) * np.cos(hour)
    length_px = height_m / np.tan(max(height, 0.15)) / 10.0
    norm = max(float(np.hypot(east, north)), 1e-6)
    # The shadow lies opposite to the sun; rows run southwards.
    return (round(float(north / norm * length_px)), round(float(-east / norm * length_px)))
