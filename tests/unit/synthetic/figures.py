"""Figures that describe a series of Sentinel images of places of 640 m, as numpy arrays.

The same functions measure real and synthetic series. A scene that is larger than 64 px is measured
place by place, because shares of cloud and spatial figures depend on the size of the place; the
figures of the places are averaged.
"""

from dataclasses import dataclass

import numpy as np

from decloud_lib.types import Array

PLACE_PX = 64
CLEAR_SHARE = 0.01
COVER_BINS = (0.001, 0.01, 0.1, 0.3, 0.8, 0.999)
LAGS_PX = (1, 2, 4, 8, 16)
PERCENTS = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Series:
    """Reflectance (T, H, W, 4), mask (T, H, W), radar (S, H, W, 2) linear, days, months."""

    pixels: Array
    flagged: Array
    days: Array
    months: Array
    radar: Array
    radar_days: Array


def places(series: Series) -> list[Series]:
    height, width = series.flagged.shape[1:]
    cuts = [
        (slice(row, row + PLACE_PX), slice(col, col + PLACE_PX))
        for row in range(0, height, PLACE_PX)
        for col in range(0, width, PLACE_PX)
    ]
    return [
        Series(
            series.pixels[:, rows, cols],
            series.flagged[:, rows, cols],
            series.days,
            series.months,
            series.radar[:, rows, cols],
            series.radar_days,
        )
        for rows, cols in cuts
    ]


def measure(series: Series) -> dict[str, float]:
    """Return every figure by name, averaged over the places of the series."""
    found = [_place_figures(place) for place in places(series)]
    result = {name: float(np.nanmean([item[name] for item in found])) for name in found[0]}
    for quantile in (10, 50, 90):
        result[f"revisit p{quantile}"] = float(np.percentile(np.diff(series.days), quantile))
    result["radar gap median"] = float(np.median(np.diff(series.radar_days)))
    values = series.pixels[series.flagged]
    for band, name in ((0, "B2"), (3, "B8")):
        for percent in PERCENTS:
            result[f"flagged {name} p{percent}"] = float(np.percentile(values[:, band], percent))
    return result


def _place_figures(place: Series) -> dict[str, float]:
    share = place.flagged.mean(axis=(1, 2))
    clear = np.flatnonzero(share <= CLEAR_SHARE)
    return {
        **_covers(share),
        **_clear_levels(place, clear),
        **_clear_relations(place.pixels[clear]),
        **_changes(place.pixels[clear], place.days[clear]),
        **_radar(place.radar),
        "NDVI against ln(VH/VV)": _optical_against_radar(place, clear),
    }


def _covers(share: Array) -> dict[str, float]:
    bins = np.searchsorted(COVER_BINS, share, side="left")
    counts = np.bincount(bins, minlength=len(COVER_BINS) + 1) / share.size
    return {f"cover bin {index}": float(count) for index, count in enumerate(counts)}


def _clear_levels(place: Series, clear: Array) -> dict[str, float]:
    result = {}
    for month in (1, 4, 7, 10):
        here = clear[place.months[clear] == month]
        for band, name in enumerate(("B2", "B3", "B4", "B8")):
            values = place.pixels[here, ..., band]
            result[f"mean {name} month {month}"] = values.mean() if here.size else np.nan
        spread = place.pixels[here, ..., 3].std(axis=(1, 2))
        result[f"spread B8 month {month}"] = spread.mean() if here.size else np.nan
    for band, name in enumerate(("B2", "B3", "B4", "B8")):
        spread = place.pixels[clear, ..., band].std(axis=(1, 2))
        result[f"spread {name}"] = float(np.median(spread))
    return result


def _clear_relations(pixels: Array) -> dict[str, float]:
    result = {}
    index = ndvi(pixels)
    for name, values in (
        ("p5", np.percentile(index, 5, axis=(1, 2))),
        ("mean", index.mean(axis=(1, 2))),
        ("p95", np.percentile(index, 95, axis=(1, 2))),
    ):
        result[f"NDVI {name} low"], result[f"NDVI {name} high"] = np.percentile(values, (10, 90))
    table = np.corrcoef(pixels.reshape(-1, 4).T)
    for first, second, name in (
        (0, 1, "B2-B3"), (0, 2, "B2-B4"), (1, 2, "B3-B4"), (3, 0, "B8-B2"), (3, 2, "B8-B4"),
    ):  # fmt: skip
        result[f"correlation {name}"] = float(table[first, second])
    for band, name in ((3, "B8"), (2, "B4")):
        for lag in LAGS_PX:
            result[f"autocorrelation {name} {lag} px"] = _autocorrelation(pixels[..., band], lag)
    return result


def _autocorrelation(images: Array, lag: int) -> float:
    field = images - images.mean(axis=(1, 2), keepdims=True)
    down = (field[:, lag:] * field[:, :-lag]).mean(axis=(1, 2))
    right = (field[:, :, lag:] * field[:, :, :-lag]).mean(axis=(1, 2))
    return float(np.median((down + right) / 2 / field.var(axis=(1, 2))))


def _changes(pixels: Array, days: Array) -> dict[str, float]:
    """Compare each clear date with the line between its clear neighbours."""
    weight = ((days[1:-1] - days[:-2]) / (days[2:] - days[:-2]))[:, None, None, None]
    left = pixels[1:-1] - (1 - weight) * pixels[:-2] - weight * pixels[2:]
    offset = left.mean(axis=(1, 2)).std(axis=0)
    spread = left.std(axis=(1, 2))
    result = {}
    for band, name in enumerate(("B2", "B3", "B4", "B8")):
        result[f"change offset {name}"] = offset[band]
        result[f"change spread {name} median"] = np.median(spread[:, band])
        result[f"change spread {name} p90"] = np.percentile(spread[:, band], 90)
    result["linear interpolation MAE"] = float(np.abs(left).mean())
    return result


def _radar(power: Array) -> dict[str, float]:
    decibel = 10.0 * np.log10(power)
    result = {}
    for band, name in enumerate(("VV", "VH")):
        result[f"{name} mean dB"] = decibel[..., band].mean()
        result[f"{name} over dates dB"] = decibel[..., band].mean(axis=(1, 2)).std()
        result[f"{name} between pixels dB"] = decibel[..., band].mean(axis=0).std()
        values = power[..., band]
        result[f"{name} variation"] = float((values.std(axis=0) / values.mean(axis=0)).mean())
    return result


def _optical_against_radar(place: Series, clear: Array) -> float:
    found = []
    for index in clear:
        nearest = int(np.argmin(np.abs(place.radar_days - place.days[index])))
        power = place.radar[nearest]
        ratio = _box(np.log(power[..., 1] / power[..., 0]))
        found.append(np.corrcoef(_box(ndvi(place.pixels[index])).ravel(), ratio.ravel())[0, 1])
    return float(np.mean(found))


def _box(field: Array, side_px: int = 5) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(field, (side_px, side_px))
    return windows.mean(axis=(2, 3))


def ndvi(pixels: Array) -> Array:
    """Return the vegetation index of (..., 4) reflectance B2, B3, B4, B8."""
    return (pixels[..., 3] - pixels[..., 2]) / (pixels[..., 3] + pixels[..., 2] + 1e-6)
