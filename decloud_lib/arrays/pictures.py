"""Stored values as pictures for people: colours, grey, relief, and masks drawn upon them.

All pictures are (H, W, 3) uint8, red, green, blue.
"""

import math

import numpy as np
from numpy.typing import NDArray

from decloud_lib.arrays.encode import decode_sigma0
from decloud_lib.arrays.masks import all_nodata, erode_mask
from decloud_lib.bands import S1_NODATA, S2_NODATA, S2_SCALE
from decloud_lib.types import Array

Picture = NDArray[np.uint8]

#: Reflectance that is shown as white. Fields rarely pass 0.2; clouds may saturate.
WHITE_REFLECTANCE = 0.22
GAMMA = 1.5
NODATA_GREY = 96
#: Decibels shown as black and as full colour: VV in red, VH in green, VV / VH in blue.
RADAR_DB = ((-18.0, 0.0), (-26.0, -8.0), (2.0, 14.0))
CLOUD_RED = (255, 48, 32)
#: Low ground, middle, high ground; close to each other, so that the relief shows.
_GROUND = ((0.0, (112, 146, 100)), (0.5, (206, 192, 142)), (1.0, (238, 234, 228)))
#: Where the light of a relief comes from: the habit of maps.
_LIGHT_AZIMUTH_DEG, _LIGHT_HEIGHT_DEG = 315.0, 45.0
#: Steepest slope that a relief is exaggerated to, as rise per run.
_SHOWN_SLOPE = 0.6


def true_colour(dn: Array, *, black: float = 0.0, white: float = WHITE_REFLECTANCE) -> Picture:
    """Show red, green and blue as the eye would see them.

    Parameters
    ----------
    dn
        (H, W, 3) integers, B4 B3 B2 in this order, reflectance x 10000; -10000 = no data.
    black, white
        Reflectances that become 0 and 255, the same for all three: colours keep their hue.

    Returns
    -------
    (H, W, 3) uint8; grey where there is no data.
    """
    scaled = (dn.astype(np.float32) * np.float32(S2_SCALE) - black) / (white - black)
    picture: Picture = (255.0 * np.clip(scaled, 0.0, 1.0) ** (1.0 / GAMMA)).astype(np.uint8)
    picture[all_nodata(dn, S2_NODATA)] = NODATA_GREY
    return picture


def radar_colour(encoded: Array) -> Picture:
    """Show VV in red, VH in green and their ratio in blue, in decibels.

    Parameters
    ----------
    encoded
        (H, W, 2) uint16 as the preparation stores it, VV then VH; 0 = no data.

    Returns
    -------
    (H, W, 3) uint8; grey where there is no data.
    """
    sigma0 = np.maximum(decode_sigma0(encoded), 1e-6)
    decibel = 10.0 * np.log10(sigma0)
    layers = (decibel[..., 0], decibel[..., 1], decibel[..., 0] - decibel[..., 1])
    picture = np.empty((*encoded.shape[:2], 3), np.uint8)
    for index, (layer, (low, high)) in enumerate(zip(layers, RADAR_DB, strict=True)):
        picture[..., index] = 255.0 * np.clip((layer - low) / (high - low), 0.0, 1.0)
    picture[all_nodata(encoded, S1_NODATA)] = NODATA_GREY
    return picture


def grey(values: Array, low: float, high: float) -> Picture:
    """Show one band from black at `low` to white at `high`.

    Parameters
    ----------
    values : (H, W)
        Any number; NaN becomes black.
    low, high
        In the unit of the values; where they are equal, `low` and less is black, more is white.
    """
    scaled = (np.asarray(values, np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    level = (255.0 * np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0)).astype(np.uint8)
    return np.repeat(level[..., np.newaxis], 3, axis=-1)


def relief(elevation: Array, low: float, high: float, pixel_m: float) -> tuple[Picture, float]:
    """Show ground from low to high in colours, with light from the north-west.

    Parameters
    ----------
    elevation : (H, W)
        Metres; NaN is shown as ground at the lowest level.
    low, high
        Elevations at the ends of the colours, metres.
    pixel_m
        Side of a pixel, metres.

    Returns
    -------
    The picture, and by what heights were multiplied before the light fell on them: flat country
    would show nothing else.

    Notes
    -----
    Lambert shading: the brightness is the cosine between the light and the normal of the ground.
    """
    metres = np.nan_to_num(np.asarray(elevation, np.float64), nan=low)
    level = np.clip((metres - low) / max(high - low, 1e-9), 0.0, 1.0)
    stops = [stop for stop, _ in _GROUND]
    colours = [np.interp(level, stops, [tone[i] for _, tone in _GROUND]) for i in range(3)]
    rows, cols = _slopes(metres, pixel_m)
    steep = float(np.percentile(np.hypot(rows, cols), 98.0))
    times = round(float(np.clip(_SHOWN_SLOPE / max(steep, 1e-9), 1.0, 50.0)), 1)
    azimuth, height = math.radians(_LIGHT_AZIMUTH_DEG), math.radians(_LIGHT_HEIGHT_DEG)
    # Towards the light: east, north, up. Rows run south.
    east, north = math.sin(azimuth) * math.cos(height), math.cos(azimuth) * math.cos(height)
    facing = math.sin(height) - times * (cols * east - rows * north)
    light = np.clip(facing / np.sqrt(1.0 + times**2 * (rows**2 + cols**2)), 0.0, 1.0)
    # Level ground keeps its colour.
    shade = 0.35 + 0.65 * light / math.sin(height)
    picture = np.clip(np.stack(colours, axis=-1) * shade[..., np.newaxis], 0.0, 255.0)
    return picture.astype(np.uint8), times


def value_range(values: Array, valid: Array, percents: tuple[float, float]) -> tuple[float, float]:
    """Return two percentiles of the valid pixels.

    Parameters
    ----------
    values : (H, W) or (H, W, C)
        All bands of a valid pixel count.
    valid : (H, W) bool
        Pixels that count.
    percents
        Lower and upper percentile, 0..100.

    Returns
    -------
    The two values; (0, 1) where nothing is valid.
    """
    chosen = values[valid]
    if chosen.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(chosen, percents)
    return float(low), float(high)


def outlined(picture: Picture, mask: Array) -> Picture:
    """Draw the edge of a mask in red, and tint what lies within; the picture itself stays.

    Parameters
    ----------
    picture
        (H, W, 3) uint8.
    mask : (H, W) bool
        What is marked.
    """
    red = np.array(CLOUD_RED, np.float32)
    marked = picture.copy()
    inside = mask != 0
    marked[inside] = (0.88 * picture[inside] + 0.12 * red).astype(np.uint8)
    marked[inside & ~erode_mask(inside, 1)] = CLOUD_RED
    return marked


def with_alpha(picture: Picture, visible: Array) -> Picture:
    """Return (H, W, 4): the picture, transparent and black where it is not visible."""
    alpha = np.where(visible, 255, 0).astype(np.uint8)
    colours = np.where(visible[..., np.newaxis], picture, 0).astype(np.uint8)
    return np.concatenate([colours, alpha[..., np.newaxis]], axis=-1)


def enlarged(picture: Picture, side_px: int) -> Picture:
    """Repeat pixels by a whole number of times, to at most `side_px` along the longer side."""
    times = max(1, side_px // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _slopes(metres: Array, pixel_m: float) -> tuple[Array, Array]:
    """Return rise per run along rows and columns; 0 along an axis of a single pixel."""
    rows, cols = (
        np.gradient(metres, pixel_m, axis=axis) if metres.shape[axis] > 1 else metres * 0.0
        for axis in (0, 1)
    )
    return rows, cols
