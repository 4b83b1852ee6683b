"""Ranks of samples, drawn without listing all of them."""

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array


def distinct_ranks(total: int, count: int, rng: np.random.Generator) -> Array:
    """Draw different ranks in random order; time and memory follow `count`, not `total`.

    Ranks are drawn with replacement, and a rank that was there before is drawn again: each ordered
    choice is equally likely. Where more than half of all ranks are wanted all of them are shuffled.

    Parameters
    ----------
    total
        How many ranks there are: 0..total-1.
    count
        How many are drawn.
    rng
        Where the randomness comes from.

    Returns
    -------
    (count,) int64

    Raises
    ------
    ShapeError
        More are wanted than there are.
    """
    if not 0 <= count <= total:
        raise ShapeError(f"{count} different ranks of {total}; expected 0 to {total}")
    if 2 * count > total:
        return rng.permutation(total)[:count]
    found = np.zeros(0, dtype=np.int64)
    while len(found) < count:
        # An eighth more than is missing: few rounds, and little is thrown away.
        missing = count - len(found)
        drawn = rng.integers(total, size=missing + missing // 8 + 8)
        found = _first_uses(np.concatenate([found, drawn]))
    return found[:count]


def _first_uses(ranks: Array) -> Array:
    """Return each rank once, in the order of first use."""
    _, first = np.unique(ranks, return_index=True)
    return ranks[np.sort(first)]
