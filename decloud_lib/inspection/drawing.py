"""Pictures of products: true colour, radar composite, relief, grey, and patches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.encode import decode_sigma0, encode_sigma0
from decloud_lib.arrays.pictures import (
    GAMMA,
    RADAR_DB,
    enlarged,
    grey,
    outlined,
    radar_colour,
    relief,
    true_colour,
    value_range,
    with_alpha,
)
from decloud_lib.arrays.reduction import Reducer, fitted
from decloud_lib.bands import S1_BANDS, S1_NODATA, S2_NODATA, S2_SCALE
from decloud_lib.inspection.facts import Picture
from decloud_lib.raster.describe import open_plain
from decloud_lib.raster.products.optical import BandFile
from decloud_lib.types import Array

_SHOWN_PERCENTS = (2.0, 98.0)
_PERCENTILES = "percentiles {:g} and {:g}".format(*_SHOWN_PERCENTS)
#: With fewer clear pixels the stretch follows all pixels with data, clouds too.
_LEAST_CLEAR = 0.02
#: Narrower ranges of reflectance would show little but noise.
_LEAST_RANGE = 0.05
_METRES_PER_DEGREE = 111_320.0
_NO_DATA = "no data transparent"


@dataclass(frozen=True, slots=True)
class Layer:
    """A band of a raster to be shown as reflectance."""

    file: BandFile
    band: str | None = None
    """Name in the file; its only band where None."""
    unnamed: tuple[str, ...] = ()
    """Names of the bands of a file that has none."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A raster whose values say by a table whether they count."""

    uri: str
    counts: Array
    """(256,) by stored value: not 0 = counts."""


def draw_true_colour(
    layers: Sequence[Layer], cloud: Mask | None, edge: Mask | None, side_px: int
) -> Picture:
    """Show B4, B3, B2 with what the cloud mask marks.

    Parameters
    ----------
    layers
        B4, B3, B2.
    cloud
        What is outlined; nothing where None.
    edge
        What lies outside of the image, where that is not only told by no-data values.
    side_px
        Longer side of the picture, pixels, at most.
    """
    dn = np.concatenate([_reflectance(layer, side_px) for layer in layers], axis=-1)
    visible = ~np.isnan(dn).any(axis=-1)
    if edge is not None:
        visible &= ~fitted(_flagged(edge, side_px), visible.shape)
    hidden = np.zeros(visible.shape, bool)
    if cloud is not None:
        hidden = fitted(_flagged(cloud, side_px), visible.shape)
    clear = visible & ~hidden
    counted, of = clear, "clear" if cloud is not None else "valid"
    if np.count_nonzero(clear) < _LEAST_CLEAR * np.count_nonzero(visible):
        counted, of = visible, "valid"
    low, high = value_range(dn * S2_SCALE, counted, _SHOWN_PERCENTS)
    high = max(high, low + _LEAST_RANGE)
    dn[~visible] = S2_NODATA
    picture = true_colour(dn, black=low, white=high)
    legend = (
        f"true colour (B4, B3, B2), reflectance {low:.3f} to {high:.3f} from black to white "
        f"({_PERCENTILES} of the {of} pixels), gamma {GAMMA:g}"
    )
    if cloud is not None:
        # What has no data holds no cloud that could be seen.
        picture = outlined(picture, hidden & visible)
        legend += ", what counts as cloud tinted and edged in red"
    return _finished(picture, visible, side_px, legend)


def draw_encoded_radar(uri: str, side_px: int) -> Picture:
    """Show a prepared radar image: VV, VH and their ratio."""

    def power(encoded: Array) -> Array:
        sigma0 = decode_sigma0(encoded).astype(np.float64)
        sigma0[(encoded == S1_NODATA).all(axis=-1)] = np.nan
        return sigma0

    return _radar(_reduced(uri, side_px, power, S1_BANDS, S1_BANDS), side_px)


def draw_delivered_radar(vv: str, vh: str, side_px: int) -> Picture:
    """Show a delivered radar pair: VV, VH and their ratio."""

    def power(sigma0: Array) -> Array:
        return np.where(np.isfinite(sigma0) & (sigma0 != 0), sigma0, np.nan)

    planes = [_reduced(uri, side_px, power) for uri in (vv, vh)]
    return _radar(np.concatenate(planes, axis=-1), side_px)


def draw_relief(uri: str, convert: Callable[[Array], Array], side_px: int) -> Picture:
    """Show elevation in colours and light.

    Parameters
    ----------
    uri
        The raster.
    convert
        Makes metres of stored values, NaN where there is no data.
    side_px
        Longer side of the picture, pixels, at most.
    """
    metres = _reduced(uri, side_px, convert)[..., 0]
    visible = ~np.isnan(metres)
    low, high = value_range(metres, visible, (0.0, 100.0))
    with open_plain(uri) as raster:
        stored = raster.stored
    to_metres = _METRES_PER_DEGREE if stored.unit == "degree" else 1.0
    pixel_m = stored.pixel[1] * to_metres * stored.height / metres.shape[0]
    picture, times = relief(metres, low, high, pixel_m)
    legend = (
        f"elevation {low:.0f} to {high:.0f} m from green to white, light from the north-west on "
        f"heights x {times:g}, {_NO_DATA}"
    )
    return _finished(picture, visible, side_px, legend)


def draw_grey(uri: str, band: str, convert: Callable[[Array], Array], side_px: int) -> Picture:
    """Show one band in grey; parameters as in `draw_relief`."""
    values = _reduced(uri, side_px, convert, (band,))[..., 0]
    visible = ~np.isnan(values)
    low, high = value_range(values, visible, _SHOWN_PERCENTS)
    legend = (
        f"band {band}, {low:g} to {high:g} from black to white ({_PERCENTILES} of the valid pixels)"
    )
    return _finished(grey(values, low, high), visible, side_px, legend)


def draw_patches(uri: str, most: float, told: str, side_px: int) -> Picture:
    """Show a raster of patches in grey from 0 to `most`; `told` says what that means."""
    values = _reduced(uri, side_px, _as_numbers)[..., 0]
    picture = grey(values, 0.0, most)
    return _finished(picture, np.ones(values.shape, bool), side_px, told)


def _reflectance(layer: Layer, side_px: int) -> Array:
    """Return (h, w, 1) DN."""

    def stored(pixels: Array) -> Array:
        return np.where(pixels == layer.file.nodata, np.nan, pixels.astype(np.float64))

    names = (layer.band,) if layer.band else None
    means = _reduced(layer.file.path, side_px, stored, names, layer.unnamed)
    return means * layer.file.scale + layer.file.offset


def _flagged(mask: Mask, side_px: int) -> Array:
    """Return (h, w) bool: at least half of the pixels count."""

    def counted(pixels: Array) -> Array:
        return np.asarray(mask.counts[pixels] != 0, np.float64)

    return np.asarray(_reduced(mask.uri, side_px, counted)[..., 0] >= 0.5)


def _reduced(
    uri: str,
    side_px: int,
    convert: Callable[[Array], Array],
    names: Sequence[str] | None = None,
    unnamed: tuple[str, ...] = (),
) -> Array:
    """Return (h, w, C) float64, the whole raster in few pixels; NaN where there is no data."""
    with open_plain(uri, unnamed=unnamed, at_least_px=side_px) as raster:
        shape = (raster.stored.height, raster.stored.width)
        reducer = Reducer(shape, side_px, convert)
        for first_row, pixels in raster.strips(names):
            reducer.add(first_row, pixels)
    return reducer.mean()


def _radar(sigma0: Array, side_px: int) -> Picture:
    visible: Array = np.logical_not(np.isnan(sigma0).all(axis=-1))
    encoded = encode_sigma0(np.nan_to_num(sigma0, nan=0.0).astype(np.float32))
    told = (
        f"{name} {low:g} to {high:g} dB in {colour}"
        for name, colour, (low, high) in zip(
            ("VV", "VH", "VV/VH"), ("red", "green", "blue"), RADAR_DB, strict=True
        )
    )
    legend = f"radar: {', '.join(told)}, {_NO_DATA}"
    return _finished(radar_colour(encoded), visible, side_px, legend)


def _finished(picture: Array, visible: Array, side_px: int, legend: str) -> Picture:
    if not legend.endswith(_NO_DATA) and not visible.all():
        legend = f"{legend}, {_NO_DATA}"
    return Picture(enlarged(with_alpha(picture, visible), side_px), legend)


def _as_numbers(pixels: Array) -> Array:
    return pixels.astype(np.float64)
