"""Exact statistics and histograms of the bands of images that are seen piece by piece."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decloud_lib.types import Array


@dataclass(frozen=True, slots=True)
class BandSummary:
    """What the valid values of a band are."""

    valid: int
    """Number of values that are numbers and not the mark of no data."""
    minimum: float
    maximum: float
    mean: float
    std: float
    """Of the values themselves (divided by their number)."""


class BandStatistics(Protocol):
    """Statistics of some bands that grow with each piece."""

    def add(self, pixels: Array, nodata: float | None) -> None:
        """Take in (H, W, C) pixels."""

    def merge(self, other: "BandStatistics") -> None:
        """Take in what another one of the same kind has seen."""

    def summaries(self) -> list[BandSummary]:
        """Return one summary per band; NaN where a band has no valid value."""


def band_statistics(dtype: str, bands: int) -> BandStatistics:
    """Return what gathers the statistics of bands of a data type."""
    kind = np.dtype(dtype)
    if kind.kind in "ui" and kind.itemsize <= 2:
        return ValueCounts(dtype, bands)
    return Moments(bands)


class ValueCounts:
    """How often each value of an integer of 8 or 16 bits occurs: all else follows from that.

    Attributes
    ----------
    first : int
        Smallest value of the data type.
    counts : (bands, values) int64
    """

    def __init__(self, dtype: str, bands: int) -> None:
        limits = np.iinfo(dtype)
        self.first = int(limits.min)
        self.counts = np.zeros((bands, int(limits.max) - self.first + 1), np.int64)

    def add(self, pixels: Array, nodata: float | None) -> None:
        """Take in (H, W, C) pixels."""
        size = self.counts.shape[1]
        for band, counts in enumerate(self.counts):
            values = pixels[..., band].ravel()
            # The offset is added in the wider type that counting needs anyway.
            counts += np.bincount(values.astype(np.int64) - self.first, minlength=size)
        if nodata is not None and float(nodata).is_integer():
            place = int(nodata) - self.first
            if 0 <= place < size:
                self.counts[:, place] = 0

    def merge(self, other: BandStatistics) -> None:
        """Take in what another one has seen."""
        assert isinstance(other, ValueCounts)
        self.counts += other.counts

    def summaries(self) -> list[BandSummary]:
        """Return one summary per band."""
        return [self._summary(counts) for counts in self.counts]

    def histogram(self, most_bins: int) -> tuple[Array, Array]:
        """Count by bins of a whole number of values, over the range of all bands.

        Parameters
        ----------
        most_bins
            There are at most so many bins, and no more than values.

        Returns
        -------
        edges : (bins + 1,) float64
        counts : (C, bins) int64
        """
        present = np.flatnonzero(self.counts.any(axis=0))
        if not len(present):
            return np.array([0.0, 1.0]), np.zeros((len(self.counts), 1), np.int64)
        begin, end = int(present[0]), int(present[-1]) + 1
        width = -(-(end - begin) // most_bins)
        starts = np.arange(begin, end, width)
        binned = np.add.reduceat(self.counts[:, begin:end], starts - begin, axis=1)
        edges = np.append(starts, starts[-1] + width) + self.first
        return edges.astype(np.float64), binned

    def _summary(self, counts: Array) -> BandSummary:
        present = np.flatnonzero(counts)
        if not len(present):
            return _NOTHING
        values, times = (present + self.first).astype(np.float64), counts[present]
        number = int(times.sum())
        mean = float((values * times).sum() / number)
        std = float(np.sqrt((times * (values - mean) ** 2).sum() / number))
        return BandSummary(number, float(values[0]), float(values[-1]), mean, std)


class Moments:
    """Number, extremes, mean and squared deviations of bands of any type.

    Pieces are joined by the formula of Chan, Golub and LeVeque (1979), which does not subtract
    large sums from each other.
    """

    def __init__(self, bands: int) -> None:
        self._number = np.zeros(bands, np.int64)
        self._low, self._high = np.full(bands, np.inf), np.full(bands, -np.inf)
        self._mean, self._squares = np.zeros(bands), np.zeros(bands)

    def add(self, pixels: Array, nodata: float | None) -> None:
        """Take in (H, W, C) pixels."""
        piece = Moments(len(self._number))
        for band in range(len(self._number)):
            values = valid_values(pixels[..., band], nodata)
            if values.size:
                piece._number[band] = values.size
                piece._low[band], piece._high[band] = values.min(), values.max()
                piece._mean[band] = values.mean()
                piece._squares[band] = ((values - piece._mean[band]) ** 2).sum()
        self.merge(piece)

    def merge(self, other: BandStatistics) -> None:
        """Take in what another one has seen."""
        assert isinstance(other, Moments)
        number = self._number + other._number
        share = other._number / np.maximum(number, 1)
        distance = other._mean - self._mean
        self._squares += other._squares + distance**2 * self._number * share
        self._mean += distance * share
        self._number = number
        self._low = np.minimum(self._low, other._low)
        self._high = np.maximum(self._high, other._high)

    def summaries(self) -> list[BandSummary]:
        """Return one summary per band."""
        return [
            BandSummary(
                int(number),
                float(self._low[band]),
                float(self._high[band]),
                float(self._mean[band]),
                float(np.sqrt(self._squares[band] / number)),
            )
            if number
            else _NOTHING
            for band, number in enumerate(self._number)
        ]


def valid_values(values: Array, nodata: float | None) -> Array:
    """Return (N,) float64 values that are finite numbers and not the mark of no data."""
    flat = values.ravel().astype(np.float64)
    keep = np.isfinite(flat)
    if nodata is not None:
        keep &= flat != nodata
    return flat[keep]


_NOTHING = BandSummary(0, float("nan"), float("nan"), float("nan"), float("nan"))
