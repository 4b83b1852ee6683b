"""Which image can play which role of an acquisition layout, at each patch position.

Everything here is an array over (date, position): no loop over positions. The rules are those of
the existing Decloud system (docs/decisions/0004-search-as-joins.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

#: Time of an image that does not exist, milliseconds: further away than any gap that can be asked.
_NEVER_MS = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """What is known of all images of one tile at P patch positions.

    Attributes
    ----------
    s2_time_ms : (D2,) int64, UTC milliseconds since the epoch, ascending
    s2_cloud_percent : (D2, P) float, 0..100
    s2_valid : (D2, P) bool, True = no pixel without data
    s1_time_ms : (D1,) int64, UTC milliseconds since the epoch, ascending; D1 may be 0
    s1_valid : (D1, P) bool, True = no pixel without data
    s1_ascending : (D1,) bool, True = ascending pass

    Raises
    ------
    ShapeError
        Arrays that do not belong together, or times out of order.
    """

    s2_time_ms: Array
    s2_cloud_percent: Array
    s2_valid: Array
    s1_time_ms: Array
    s1_valid: Array
    s1_ascending: Array

    def __post_init__(self) -> None:
        n_s2, n_s1, positions = len(self.s2_time_ms), len(self.s1_time_ms), self.n_positions
        expected = {
            "s2_cloud_percent": (n_s2, positions),
            "s2_valid": (n_s2, positions),
            "s1_valid": (n_s1, positions),
            "s1_ascending": (n_s1,),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ShapeError(f"{name} has the shape {found}; expected {shape}")
        for name in ("s2_time_ms", "s1_time_ms"):
            if np.any(np.diff(getattr(self, name)) < 0):
                raise ShapeError(f"{name} must be in ascending order; sort the images by time")

    @property
    def n_positions(self) -> int:
        """Number of patch positions."""
        return int(self.s2_valid.shape[1])

    def at(self, positions: Array | slice) -> "Catalogue":
        """Return the catalogue of some positions, (K,) int or a slice."""
        return Catalogue(
            self.s2_time_ms,
            self.s2_cloud_percent[:, positions],
            self.s2_valid[:, positions],
            self.s1_time_ms,
            self.s1_valid[:, positions],
            self.s1_ascending,
        )


@dataclass(frozen=True, slots=True)
class Role:
    """One acquisition of a layout, in plain numbers."""

    name: str
    window_ms: tuple[int, int]
    """First and last allowed time relative to the reference image, milliseconds, inclusive."""
    cloud_percent: tuple[float, float] | None = None
    """Lowest and highest cloud cover, per cent, inclusive; None = no S2 image is wanted."""
    random_min_cloud: tuple[int, int] | None = None
    """Draw the lowest cover from these whole numbers at each query; capped by the highest."""
    s1: bool = False
    """An S1 image is wanted: the closest to the S2 image, or, without S2, any in the window."""
    max_gap_ms: int | None = None
    """Largest S1-S2 gap, milliseconds, inclusive; None only when one sensor is wanted."""
    ascending: bool | None = None
    """Wanted pass of the S1 image; None = any."""

    @property
    def s2(self) -> bool:
        """Whether an S2 image is wanted."""
        return self.cloud_percent is not None


@dataclass(frozen=True, slots=True)
class SearchLayout:
    """Plain description of a layout: its roles, in layout order, and who may share an image."""

    roles: tuple[Role, ...]
    reference: str
    """Name of the role whose image the windows of the others are relative to."""
    siblings: tuple[frozenset[str], ...] = ()

    def may_share(self, first: str, second: str) -> bool:
        """Say whether two roles may hold the same S2 image."""
        return any(first in group and second in group for group in self.siblings)


def sample_dtype(layout: SearchLayout) -> np.dtype[np.void]:
    """Return the dtype of samples: position, and per role the S2 and S1 image (-1 = none)."""
    roles = (len(layout.roles),)
    return np.dtype([("position", "<i4"), ("s2", "<i4", roles), ("s1", "<i4", roles)])


def nearest_s1(catalogue: Catalogue, *, ascending: bool | None) -> tuple[Array, Array]:
    """Find the valid S1 image closest in time to each S2 image, per position.

    Of two equally close images the earlier one counts; of images of the same time, the first.

    Parameters
    ----------
    catalogue
        The images.
    ascending
        Consider only ascending (True) or descending (False) passes; None = all.

    Returns
    -------
    index : (D2, P) int32, row of the S1 image; -1 = none is valid
    gap_ms : (D2, P) int64, absolute time between the two; huge where there is none
    """
    usable = usable_s1(catalogue, ascending=ascending)
    times, count = catalogue.s1_time_ms, len(catalogue.s1_time_ms)
    for later in np.flatnonzero(np.diff(times) == 0) + 1:
        first = np.searchsorted(times, times[later])
        usable[later] &= ~usable[first:later].any(axis=0)
    rows = np.arange(count, dtype=np.int32)[:, None]
    none = np.full((1, catalogue.n_positions), -1, dtype=np.int32)
    before = np.concatenate([none, np.where(usable, rows, np.int32(-1))])
    after = np.concatenate([np.where(usable, rows, np.int32(count)), none + np.int32(count + 1)])
    np.maximum.accumulate(before, axis=0, out=before)
    after = np.minimum.accumulate(after[::-1], axis=0)[::-1]
    at = np.searchsorted(times, catalogue.s2_time_ms, side="right")
    left, right = before[at], after[at]
    # Both -1 and `count` point at the time that never comes.
    padded = np.append(times.astype(np.int64), _NEVER_MS)
    s2_times = catalogue.s2_time_ms.astype(np.int64)[:, None]
    gap_left, gap_right = np.abs(s2_times - padded[left]), np.abs(s2_times - padded[right])
    later_wins = gap_right < gap_left
    return np.where(later_wins, right, left), np.where(later_wins, gap_right, gap_left)


def usable_s1(catalogue: Catalogue, *, ascending: bool | None) -> Array:
    """Return (D1, P) bool, True = valid and of the wanted pass (None = any)."""
    if ascending is None:
        return catalogue.s1_valid.astype(bool)
    wanted: Array = catalogue.s1_ascending.astype(bool) == ascending
    return catalogue.s1_valid.astype(bool) & wanted[:, None]


class Conditions:
    """Which images fulfil the conditions of each role that do not depend on the reference.

    Parameters
    ----------
    catalogue
        Images at the positions of one chunk.
    roles
        Roles of the layout.
    allowed
        Per role (D2,) bool: dates that may play it; None = all.
    """

    def __init__(
        self, catalogue: Catalogue, roles: tuple[Role, ...], allowed: Mapping[str, Array]
    ) -> None:
        self.catalogue = catalogue
        self._nearest: dict[bool | None, tuple[Array, Array]] = {}
        self._allowed = allowed
        self.masks = [self.steps(role)[-1][1] for role in roles]

    def nearest(self, ascending: bool | None) -> tuple[Array, Array]:  # noqa: FBT001 - a dictionary key
        """Return `nearest_s1` of a pass, computed once."""
        if ascending not in self._nearest:
            self._nearest[ascending] = nearest_s1(self.catalogue, ascending=ascending)
        return self._nearest[ascending]

    def steps(self, role: Role) -> list[tuple[str, Array]]:
        """Return the mask (dates, positions) after each condition, the last one being the result.

        The dates are those of S2, for an S1-only role those of S1. A random lower cloud bound
        counts as its lowest value here; the search applies what was drawn.
        """
        if role.cloud_percent is None:
            return [("valid S1", usable_s1(self.catalogue, ascending=role.ascending))]
        lowest, highest = role.cloud_percent
        if role.random_min_cloud is not None:
            lowest = min(role.random_min_cloud[0], highest)
        cloud = self.catalogue.s2_cloud_percent
        mask = self.catalogue.s2_valid.astype(bool)
        steps = [("valid", mask)]
        if role.name in self._allowed:
            mask = mask & self._allowed[role.name][:, None]
            steps.append(("date of this data set", mask))
        mask = mask & (cloud >= lowest) & (cloud <= highest)
        steps.append((f"cloud {lowest:g}..{highest:g} %", mask))
        if role.s1:
            _, gap = self.nearest(role.ascending)
            mask = mask & (gap <= (role.max_gap_ms or 0))
            steps.append((f"S1 within {(role.max_gap_ms or 0) / 3_600_000:g} h", mask))
        return steps
