"""Proof that training shares no target with validation and test, and no sample an image twice."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.ground import same_ground
from decloud_lib.sampling.split import DAY_MS
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array

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

    A target occurs there if a training sample holds an S2 image of the same UTC day over the same
    ground, be it of the same tile or of a neighbour: that is the same overpass.

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
            days = index.catalogue.s2_time_ms[images] // DAY_MS
            leaks = np.flatnonzero(np.isin(_keys(rows["position"], days), keys) & (images >= 0))
            if len(leaks):
                row = rows[leaks[0]]
                day = np.datetime64(int(days[leaks[0]]), "D")
                raise ConfigError(
                    f"leak: a target of {name} of {day} lies on the ground of position "
                    f"{row['position']} of {index.tile}, and {index.s2[images[leaks[0]]].name} is "
                    f"{role_name!r} of a training sample there ({len(leaks)} of {len(training)} "
                    "samples); split the sets by place (regions that do not overlap) or by time "
                    "(--valid-every, --valid-dates)"
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
    """The (position, day) pairs of the targets of a data set, per tile."""

    def __init__(self, drawn: DrawnSamples) -> None:
        role = drawn.layout.names.index(drawn.layout.target_name)
        self._pairs: list[tuple[TileIndex, Array, Array]] = []
        for number, index in enumerate(drawn.indexes):
            rows = drawn.rows[drawn.tile == number]
            days = index.catalogue.s2_time_ms[rows["s2"][:, role]] // DAY_MS
            pairs = np.unique(np.stack([rows["position"].astype(np.int64), days]), axis=1)
            self._pairs.append((index, pairs[0], pairs[1]))

    def keys_on(self, tile: TileIndex) -> Array:
        """Return the keys of the positions of a tile that lie on the ground of a target."""
        found = [np.zeros(0, np.int64)]
        for index, positions, days in self._pairs:
            which, shared = same_ground(index, positions, tile)
            found.append(_keys(shared, days[which]))
        return np.unique(np.concatenate(found))


def _keys(positions: Array, days: Array) -> Array:
    """Return one number per (position, day)."""
    return (positions.astype(np.int64) << 32) + days
