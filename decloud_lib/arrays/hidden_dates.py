"""Protocols of the proof on a real series: clear dates are hidden, so that the truth is known.

*P1, date hidden*: a clear date is estimated from its clear neighbours alone. *P2, date partly
hidden*: real cloud masks of other dates are laid over it, and what stays visible may be used; only
hidden pixels are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays import quality
from decloud_lib.types import Array


@dataclass(frozen=True, slots=True)
class ProofRules:
    """Which dates are hidden, by what, and from which others they are estimated."""

    clear: float = 0.01
    """Largest share of flagged pixels of a clear date, 0-1."""
    near_days: int = 5
    """A neighbour is no nearer than this, calendar days..."""
    far_days: int = 30
    """... and no farther."""
    least_cover: float = 0.30
    """Masks of dates with this share of flagged pixels, 0-1..."""
    most_cover: float = 0.80
    """... up to this one are laid over clear dates."""
    masks: int = 4
    """Masks per clear date, drawn with replacement."""
    seed: int = 0
    """Of the drawing."""
    rim_px: int = 5
    """By how much a mask is grown where a protocol asks for it."""


@dataclass(frozen=True, slots=True)
class HiddenDate:
    """One clear date to estimate; all are positions in the series."""

    target: int
    before: tuple[int, ...]
    """One or two clear dates, nearest first."""
    after: tuple[int, ...]
    masks: tuple[int, ...]
    """Dates whose masks are laid over it."""


def find_hidden_dates(days: Sequence[int], covers: Array, rules: ProofRules) -> list[HiddenDate]:
    """Find the clear dates of a series that have clear neighbours on both sides.

    Parameters
    ----------
    days
        Calendar day of each date, by time.
    covers
        (D,) share of flagged pixels of each date, 0-1; NaN for dates that cannot be used.
    rules
        The protocol.

    Returns
    -------
    By time. `masks` are empty where no date has a cover in the range.
    """
    clear = [date for date in range(len(days)) if covers[date] <= rules.clear]
    cloudy = np.flatnonzero((covers >= rules.least_cover) & (covers <= rules.most_cover))
    rng = np.random.default_rng(rules.seed)
    found = []
    for target in clear:
        ages = [(date, days[target] - days[date]) for date in clear]
        before = [date for date, age in ages if rules.near_days <= age <= rules.far_days][::-1]
        after = [date for date, age in ages if rules.near_days <= -age <= rules.far_days]
        if before and after:
            masks = rng.choice(cloudy, rules.masks) if cloudy.size else ()
            chosen = tuple(int(date) for date in masks)
            found.append(HiddenDate(target, tuple(before[:2]), tuple(after[:2]), chosen))
    return found


def hidden_scores(truth: Array, estimate: Array, hidden: Array) -> dict[str, float]:
    """Return the scores of one image over its hidden pixels.

    Parameters
    ----------
    truth, estimate : (H, W, B) float, reflectance
    hidden : (H, W) bool, at least one True

    Returns
    -------
    `psnr_db`, `mae`, `rmse`, `sam_deg` as in `quality`.
    """
    first, second = (np.asarray(image)[hidden][None, :, None] for image in (truth, estimate))
    mse = quality.mse(first, second)[0]
    return {
        "psnr_db": float(quality.psnr(first, second)[0]),
        "mae": float(quality.mae(first, second)[0]),
        "rmse": float(np.sqrt(mse)),
        "sam_deg": float(quality.sam(first, second)[0]),
    }
