"""Proof that training shares no target with validation and test, and no sample an image twice."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.ground import same_ground
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array

#: Images of one overpass are seconds apart, also on both sides of midnight UTC; the next overpass
#: of the same ground comes a day later, or at high latitudes 100 minutes.
_PASS_MS = 6 * 3_600_000
Region = tuple[TileIndex, Array]
"""A tile and (positions,) bool: which of them belong to a data set."""


def without_ground_of(regions: Sequence[Region], others: Sequence[Region]) -> list[Region]:
    """Take out of some regions what lies on ground that a neighbouring tile gives to others.

    Positions of the same tile stay: regions of one tile are made so that they do not overlap.
    """
    found = []
    for index, region in regions:
        left = region.copy()
        for other, its_region in others:
            if other.tile != index.tile:
                _, shared = same_ground(other, np.flatnonzero(its_region), index)
                left[shared] = False
        found.append((index, left))
    return found


def check_no_leak(training: DrawnSamples, held: DrawnSamples, name: str) -> None:
    """Check that no target of a validation or test set occurs in training, in any role.

    A target occurs there if a training sample holds an S2 image of the same overpass over the same
    ground, be it of the same tile or of a neighbour. Less than 6 hours apart count as one overpass,
    12 hours or more do not.

    Parameters
    ----------
    training
        Samples of the training set.
    held
        Samples of the other set.
    name
        Its name, for the message.

    Raises
    ------
    ConfigError
        The first target that occurs, and where.
    """
    targets = _Targets(held)
    for number, index in enumerate(training.indexes):
        rows = training.rows[training.tile == number]
        keys = targets.keys_on(index)
        for role, role_name in enumerate(training.layout.names):
            images = rows["s2"][:, role]
            passes = index.catalogue.s2_time_ms[images] // _PASS_MS
            leaks = np.flatnonzero(np.isin(_keys(rows["position"], passes), keys) & (images >= 0))
            if len(leaks):
                row, image = rows[leaks[0]], index.s2[images[leaks[0]]]
                raise ConfigError(
                    f"leak: a target of {name} of {image.acquired:%Y-%m-%d} lies on the ground of "
                    f"position {row['position']} of {index.tile}, and {image.name} is "
                    f"{role_name!r} of a training sample there ({len(leaks)} of {len(training)} "
                    "samples); split the sets by place (regions that do not overlap) or by time "
                    "(--valid-every, --valid-dates, with --guard-days)"
                )


def check_no_repeats(drawn: DrawnSamples, name: str) -> None:
    """Check that no sample holds an S2 image twice, siblings excepted.

    Raises
    ------
    ConfigError
        It does.
    """
    names, images = drawn.layout.names, drawn.rows["s2"]
    for first, second in combinations(range(len(names)), 2):
        if drawn.layout.are_siblings(names[first], names[second]):
            continue
        if np.any((images[:, first] == images[:, second]) & (images[:, first] >= 0)):
            raise ConfigError(
                f"{name}: {names[first]!r} and {names[second]!r} hold the same S2 image in a "
                "sample; name them as siblings in the layout if that is meant"
            )


class _Targets:
    """The (position, overpass) pairs of the targets of a data set, per tile."""

    def __init__(self, drawn: DrawnSamples) -> None:
        role = drawn.layout.names.index(drawn.layout.target_name)
        self._pairs: list[tuple[TileIndex, Array, Array]] = []
        for number, index in enumerate(drawn.indexes):
            rows = drawn.rows[drawn.tile == number]
            passes = index.catalogue.s2_time_ms[rows["s2"][:, role]] // _PASS_MS
            pairs = np.unique(np.stack([rows["position"].astype(np.int64), passes]), axis=1)
            self._pairs.append((index, pairs[0], pairs[1]))

    def keys_on(self, tile: TileIndex) -> Array:
        """Return the keys of the positions of a tile that lie on the ground of a target."""
        found = [np.zeros(0, np.int64)]
        for index, positions, passes in self._pairs:
            which, shared = same_ground(index, positions, tile)
            # The neighbours too, because an overpass may lie on both sides of a bound.
            found += [_keys(shared, passes[which] + shift) for shift in (-1, 0, 1)]
        return np.unique(np.concatenate(found))


def _keys(positions: Array, passes: Array) -> Array:
    """Return one number per (position, overpass)."""
    return (positions.astype(np.int64) << 32) + passes
