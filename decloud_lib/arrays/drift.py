"""How far a distribution has moved away from another: the population stability index."""

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

#: An empty bin counts like half an item, or the index of one new value would be infinite.
_HALF = 0.5
#: 95 % quantile of the normal distribution.
_Z95 = 1.6449


def merge_bins(expected: Array, actual: Array, min_share: float = 0.1) -> tuple[Array, Array]:
    """Join neighbouring bins until each holds a share of what is expected.

    Bins that are nearly empty in the reference would decide the index by chance, and many bins make
    chance large: ten are usual.

    Parameters
    ----------
    expected, actual
        (B,) counts in the same bins.
    min_share
        Least share of the expected items in a bin, 0-1.

    Returns
    -------
    (M,) counts each, M <= B; their sums are unchanged.

    Raises
    ------
    ShapeError
        The bins differ.
    """
    expected, actual = _checked(expected, actual)
    need = min_share * expected.sum()
    starts, filled = [0], 0.0
    for position, count in enumerate(expected):
        if filled >= need > 0:
            starts.append(position)
            filled = 0.0
        filled += count
    if len(starts) > 1 and filled < need:
        starts.pop()
    return np.add.reduceat(expected, starts), np.add.reduceat(actual, starts)


def population_stability(expected: Array, actual: Array) -> float:
    """Return the population stability index of two histograms, 0 = equal, without upper bound.

    Parameters
    ----------
    expected, actual
        (B,) counts in the same bins; at least one item each.

    Raises
    ------
    ShapeError
        The bins differ.

    Notes
    -----
    sum((a - e) ln(a / e)) over the shares a and e of each bin: Siddiqi, Credit Risk Scorecards
    (2006), and the same as the symmetric divergence of Jeffreys (1946). Usual reading: below 0.1
    stable, above 0.25 moved.
    """
    expected, actual = _checked(expected, actual)
    shares = [np.maximum(counts, _HALF) / counts.sum() for counts in (expected, actual)]
    e, a = (share / share.sum() for share in shares)
    return float(np.sum((a - e) * np.log(a / e)))


def chance_level(bins: int, n_expected: int, n_actual: int) -> float:
    """Return what the index stays below with 95 % when both samples are of one distribution.

    (1/n + 1/m) times the quantile of chi-squared with B - 1 degrees of freedom (Yurdakul and
    Naranjo, Statistical properties of the population stability index, 2020); the quantile by the
    approximation of Wilson and Hilferty (1931).

    Parameters
    ----------
    bins
        Number of bins, B.
    n_expected, n_actual
        Independent items in the two samples.
    """
    freedom = bins - 1
    if freedom < 1:
        return 0.0
    ninth = 2.0 / (9.0 * freedom)
    quantile = freedom * (1.0 - ninth + _Z95 * np.sqrt(ninth)) ** 3
    return float((1.0 / n_expected + 1.0 / n_actual) * quantile)


def _checked(expected: Array, actual: Array) -> tuple[Array, Array]:
    expected, actual = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    if expected.ndim != 1 or expected.shape != actual.shape or not expected.size:
        raise ShapeError(
            f"histograms of {expected.shape} and {actual.shape} bins; expected the same number"
        )
    if expected.sum() <= 0 or actual.sum() <= 0:
        raise ShapeError("a histogram without items; expected at least one in each")
    return expected, actual
