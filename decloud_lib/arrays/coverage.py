"""What a tile's images cover: cloud, validity and S1-S2 gaps, per patch position."""

import numpy as np

from decloud_lib.arrays.candidates import Catalogue, nearest_s1
from decloud_lib.types import Array

_HOUR_MS = 3_600_000


def mean_cloud_percent(catalogue: Catalogue) -> Array:
    """Return (P,) float64, 0..100: the mean over the valid S2 dates; NaN where none is valid."""
    valid = catalogue.s2_valid.astype(bool)
    dates = np.count_nonzero(valid, axis=0)
    total = np.sum(catalogue.s2_cloud_percent, axis=0, where=valid, dtype=np.float64)
    return np.where(dates > 0, total / np.maximum(dates, 1), np.nan)


def gap_hours(catalogue: Catalogue) -> Array:
    """Return (D2, P) float64: time from each valid S2 image to the closest valid S1 image, hours.

    NaN where the S2 image is not valid, or no S1 image is.
    """
    if not len(catalogue.s1_time_ms):
        return np.full(catalogue.s2_valid.shape, np.nan)
    index, gap_ms = nearest_s1(catalogue, ascending=None)
    there = catalogue.s2_valid.astype(bool) & (index < len(catalogue.s1_time_ms)) & (index >= 0)
    return np.where(there, gap_ms / _HOUR_MS, np.nan)


def gap_histogram(hours: Array, n_bins: int, bin_hours: float) -> Array:
    """Count gaps by bins of equal width, per position.

    Parameters
    ----------
    hours : (D2, P) float
        As `gap_hours` returns them; NaN is counted nowhere.
    n_bins
        Number of bins; the last one is open.
    bin_hours
        Width of a bin, hours; bin i holds gaps of i * width or more, below (i + 1) * width.

    Returns
    -------
    (n_bins, P) int64
    """
    there = ~np.isnan(hours)
    number = np.minimum(np.where(there, hours, 0.0) // bin_hours, n_bins - 1).astype(np.int64)
    return np.stack([np.count_nonzero(there & (number == i), axis=0) for i in range(n_bins)])


def median_over_dates(values: Array) -> Array:
    """Return (P,) the median of (D, P) values that are numbers; NaN where none is."""
    somewhere = ~np.isnan(values).all(axis=0)
    found = np.full(values.shape[1], np.nan)
    found[somewhere] = np.nanmedian(values[:, somewhere], axis=0)
    return found
