"""How sure a score is, whether one model beats another, and whether an uncertainty is honest."""

from dataclasses import dataclass

import numpy as np

from decloud_lib.types import Array

DRAWS = 2000
#: Counts that are drawn at once: bounds the memory, whatever the number of samples.
_MOST_COUNTS = 10_000_000
#: Upper bounds of the classes of cloud cover, per cent.
COVER_CLASSES = {"0-1 %": 1.0, "1-25 %": 25.0, "25-50 %": 50.0, "50-75 %": 75.0, "75-100 %": 100.0}
SEASONS = ("DJF", "MAM", "JJA", "SON")
#: Shares of the errors that an interval shall hold, for the calibration.
NOMINAL = (0.5, 0.68, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where the mean of other samples like these would probably be."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Paired:
    """One model against another on the same samples."""

    difference: Interval
    """First minus second."""
    share_higher: float
    """Share of the samples in which the first has the higher value, 0-1; ties count half."""


def bootstrap(values: Array, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Return the mean of a sample and its bootstrap interval.

    Parameters
    ----------
    values
        (N,); what is not finite is left out: an image without such pixels has no score.
    seed
        Of the draws.
    confidence
        Share of the means of other samples that the interval should hold; half of the rest lies on
        each side.

    Notes
    -----
    Percentile bootstrap (Efron 1979) with 2000 draws. A draw of N samples is a multinomial count of
    each, so all draws are one product. Samples are taken as independent; neighbouring patches are
    not quite, and then the interval is too narrow.
    """
    finite = np.asarray(values, dtype=np.float64)[np.isfinite(values)]
    n = len(finite)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    share = np.full(n, 1.0 / n)
    at_once = max(1, min(DRAWS, _MOST_COUNTS // n))
    sizes = [min(at_once, DRAWS - start) for start in range(0, DRAWS, at_once)]
    means = np.concatenate([rng.multinomial(n, share, size=size) @ finite for size in sizes]) / n
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, (tail, 100.0 - tail))
    return Interval(float(finite.mean()), float(low), float(high), n)


def compare(first: Array, second: Array, seed: int = 0, confidence: float = 0.95) -> Paired:
    """Compare the scores of two models, sample by sample, (N,) each.

    The difference of each sample is what is drawn: what makes a sample hard for both cancels.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    finite = difference[np.isfinite(difference)]
    higher = np.mean((finite > 0.0) + 0.5 * (finite == 0.0)) if len(finite) else np.nan
    return Paired(bootstrap(difference, seed, confidence), float(higher))


def cover_class(cover: Array) -> Array:
    """Return the class of each cloud cover: (N,) per cent -> (N,) names; empty where unknown."""
    names = np.array([*COVER_CLASSES, ""])
    index = np.searchsorted(list(COVER_CLASSES.values()), cover, side="left")
    return np.asarray(names[np.where(np.isfinite(cover), index, len(COVER_CLASSES))])


def season(seconds: Array) -> Array:
    """Return the three months of each time: (N,) UTC seconds since 1970 -> DJF, MAM, JJA, SON.

    Months and not words, as winter is another one south of the equator; empty where unknown.
    """
    known = np.isfinite(seconds)
    times = np.where(known, seconds, 0.0).astype("datetime64[s]")
    months = times.astype("datetime64[M]").astype(np.int64) % 12  # 0 is January
    names = np.array(SEASONS)[(months + 1) % 12 // 3]
    return np.asarray(np.where(known, names, ""))


class Calibration:
    """Sums for the question whether errors are as large as a network says; additive over batches.

    The expected absolute error is the scale of a Laplace distribution: its interval of probability
    p reaches scale * -ln(1 - p) to both sides.
    """

    BINS = 40

    def __init__(self) -> None:
        self._inside = np.zeros(len(NOMINAL))
        self._sums = np.zeros((3, self.BINS))
        #: A quarter of a power of two each, from 1e-4 reflectance.
        self._edges = 1e-4 * 2.0 ** (np.arange(1, self.BINS) / 4.0)

    def add(self, error: Array, scale: Array, counted: Array | None = None) -> None:
        """Add pixels.

        Parameters
        ----------
        error, scale
            (...) reflectance; the scale is positive.
        counted
            (...) bool, the pixels that count; None takes all.
        """
        keep = np.ones(error.shape, bool) if counted is None else counted
        size = np.abs(error[keep]).astype(np.float64)
        expected = scale[keep].astype(np.float64)
        for index, share in enumerate(NOMINAL):
            self._inside[index] += np.count_nonzero(size <= -np.log1p(-share) * expected)
        bins = np.searchsorted(self._edges, expected)
        for row, weights in enumerate((np.ones_like(size), expected, size)):
            self._sums[row] += np.bincount(bins, weights, minlength=self.BINS)

    @property
    def n(self) -> int:
        """Number of values."""
        return int(self._sums[0].sum())

    def coverage(self) -> dict[float, float]:
        """Return the wanted share of errors inside an interval -> the share that was."""
        return {
            share: float(inside / max(self.n, 1))
            for share, inside in zip(NOMINAL, self._inside, strict=True)
        }

    def bins(self) -> list[tuple[int, float, float]]:
        """Return number, mean expected and mean found absolute error by rising expectation."""
        used = self._sums[:, self._sums[0] > 0]
        return [(int(n), float(expected / n), float(found / n)) for n, expected, found in used.T]
