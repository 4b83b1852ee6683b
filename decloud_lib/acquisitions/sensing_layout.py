"""Acquisition layouts in Python: the classes that users import.

layout = AcquisitionsLayout()
layout.new_acquisition(
    "t", s1_acquisition=S1Acquisition(), s2_acquisition=S2Acquisition(50, 100),
    max_s1s2_gap_hours=24, timeframe_origin=True,
)
layout.new_acquisition(
    "target", s2_acquisition=S2Acquisition(0, 0),
    timeframe_start_hours=-120, timeframe_end_hours=120,
)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from decloud_lib.arrays.candidates import Role, SearchLayout
from decloud_lib.errors import ConfigError

_HOUR_MS = 3_600_000
#: A century: further apart than any two images.
_MOST_HOURS = 876_600
_RANDOM_TEXT = re.compile(r"\s*random\.randint\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)\s*")


@dataclass(frozen=True, slots=True)
class RandomInt:
    """A whole number drawn anew at each query, bounds included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 100:
            raise ConfigError(
                f"random cloud bound {self.low}..{self.high}; expected whole per cents with "
                "0 <= first <= second <= 100"
            )

    @staticmethod
    def from_text(text: str) -> "RandomInt":
        """Read the historic text `random.randint(a, b)`; nothing is evaluated.

        Raises
        ------
        ConfigError
            Any other text.
        """
        match = _RANDOM_TEXT.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"cloud bound {text!r}; expected a number, "
                '{"random_int": [a, b]} or the text "random.randint(a, b)"'
            )
        return RandomInt(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class S1Acquisition:
    """An S1 image is wanted."""

    ascending: bool | None = None
    """Wanted pass; None = any (the existing system has the argument and ignores it)."""


@dataclass(frozen=True, slots=True)
class S2Acquisition:
    """An S2 image is wanted, with a cloud cover within bounds (per cent, inclusive)."""

    min_cloud_percent: float | RandomInt | str
    max_cloud_percent: float

    def __post_init__(self) -> None:
        if isinstance(self.min_cloud_percent, str):
            object.__setattr__(
                self, "min_cloud_percent", RandomInt.from_text(self.min_cloud_percent)
            )
        lowest = 0 if isinstance(self.min_cloud_percent, RandomInt) else self.min_cloud_percent
        if not 0 <= float(lowest) <= self.max_cloud_percent <= 100:
            raise ConfigError(
                f"cloud cover {lowest}..{self.max_cloud_percent} %; "
                "expected 0 <= minimum <= maximum <= 100"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest cover that can be asked, and highest."""
        lowest = self.min_cloud_percent
        low = lowest.low if isinstance(lowest, RandomInt) else float(lowest)
        return (min(low, self.max_cloud_percent), float(self.max_cloud_percent))


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One named member of a layout; see `AcquisitionsLayout.new_acquisition`."""

    name: str
    s1: S1Acquisition | None
    s2: S2Acquisition | None
    max_s1s2_gap_hours: float | None
    is_origin: bool
    window_hours: tuple[float, float]


class AcquisitionsLayout:
    """Named acquisitions in order; exactly one of them is the origin of the time windows.

    Parameters
    ----------
    siblings
        Groups of names that may hold the same S2 image within one sample.
    """

    def __init__(self, siblings: Iterable[Iterable[str]] = ()) -> None:
        self._acquisitions: dict[str, Acquisition] = {}
        self._siblings = tuple(frozenset(group) for group in siblings)

    def new_acquisition(  # noqa: PLR0913 - the historic signature
        self,
        name: str,
        *,
        s1_acquisition: S1Acquisition | None = None,
        s2_acquisition: S2Acquisition | None = None,
        max_s1s2_gap_hours: float | None = None,
        timeframe_origin: bool = False,
        timeframe_start_hours: float = 0,
        timeframe_end_hours: float = 0,
    ) -> None:
        """Add an acquisition.

        Parameters
        ----------
        name
            Suffix of the sample keys: letters, digits and `_`.
        s1_acquisition, s2_acquisition
            What is wanted of each sensor; at least one.
        max_s1s2_gap_hours
            Largest time between the S2 image and the closest S1 image, inclusive; for both sensors.
        timeframe_origin
            This is the reference; the windows of the others are relative to its S2 image.
        timeframe_start_hours, timeframe_end_hours
            Window, signed hours (negative = before the reference), inclusive, in either order.

        Raises
        ------
        ConfigError
            Values that contradict each other, or a name that is taken.
        """
        window = (float(timeframe_start_hours), float(timeframe_end_hours))
        _check_hours(name, (max_s1s2_gap_hours or 0, *window))
        new = Acquisition(
            name,
            s1_acquisition,
            s2_acquisition,
            max_s1s2_gap_hours,
            timeframe_origin,
            (min(window), max(window)),
        )
        self._refuse(new)
        self._acquisitions[name] = new

    def _refuse(self, new: Acquisition) -> None:
        def fail(reason: str) -> None:
            raise ConfigError(f"acquisition {new.name!r}: {reason}")

        if not re.fullmatch(r"[A-Za-z0-9_]+", new.name):
            fail("use letters, digits and _ in names (tm1 for t-1, tp1 for t+1)")
        if new.name in self._acquisitions:
            fail("the name is used twice")
        if new.s1 is None and new.s2 is None:
            fail("an S1 or an S2 image must be asked for")
        gap = new.max_s1s2_gap_hours
        if new.s1 and new.s2 and (gap is None or gap <= 0):
            fail(f"max_s1s2_gap_hours is {gap}; with both sensors it must be above 0")
        if new.is_origin and any(new.window_hours):
            fail("it is the timeframe origin, so its window must be left out or 0")
        if new.is_origin and new.s2 is None:
            fail("it is the timeframe origin, so it needs an S2 image")
        if new.is_origin and self._origins():
            fail(
                f"{self._origins()[0]!r} is the timeframe origin already; there can be only one: "
                "take timeframe_origin from one of the two"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the acquisitions, in layout order."""
        return tuple(self._acquisitions)

    @property
    def siblings(self) -> tuple[frozenset[str], ...]:
        """Groups of names that may hold the same S2 image."""
        return self._siblings

    @property
    def reference_name(self) -> str:
        """Name of the acquisition that is the origin of the time windows.

        Raises
        ------
        ConfigError
            There is none, or more than one.
        """
        self.check()
        return self._origins()[0]

    @property
    def target_name(self) -> str:
        """Name of the acquisition whose S2 image a model has to restore.

        It is called `target`; in a layout without such an S2 image it is the reference.
        """
        found = self._acquisitions.get("target")
        return "target" if found is not None and found.s2 else self.reference_name

    def __getitem__(self, name: str) -> Acquisition:
        """Return one acquisition."""
        try:
            return self._acquisitions[name]
        except KeyError:
            raise ConfigError(
                f"no acquisition {name!r} in the layout; it has {', '.join(self.names)}"
            ) from None

    def has_s1(self, name: str) -> bool:
        """Say whether an acquisition has an S1 image."""
        return self[name].s1 is not None

    def has_s2(self, name: str) -> bool:
        """Say whether an acquisition has an S2 image."""
        return self[name].s2 is not None

    def window_hours(self, name: str) -> tuple[float, float]:
        """Return the first and last hour of an acquisition's window."""
        return self[name].window_hours

    def max_s1s2_gap_hours(self, name: str) -> float | None:
        """Return the largest S1-S2 gap of an acquisition, hours."""
        return self[name].max_s1s2_gap_hours

    def are_siblings(self, first: str, second: str) -> bool:
        """Say whether two acquisitions may hold the same S2 image."""
        return any(first in group and second in group for group in self._siblings)

    def check(self) -> None:
        """Check what concerns the layout as a whole.

        Raises
        ------
        ConfigError
            Not exactly one timeframe origin, or siblings that are no acquisitions.
        """
        origins = self._origins()
        if len(origins) != 1:
            raise ConfigError(
                f"{len(origins)} acquisitions are the timeframe origin; exactly one of "
                f"{', '.join(self.names) or '(none)'} must have timeframe_origin = true"
            )
        unknown = sorted(set().union(*self._siblings) - set(self.names)) if self._siblings else []
        if unknown:
            raise ConfigError(
                f"siblings name {', '.join(unknown)}; the acquisitions are {', '.join(self.names)}"
            )

    def to_search(self) -> SearchLayout:
        """Return the layout in the plain form that the search takes.

        Raises
        ------
        ConfigError
            See `check`.
        """
        self.check()
        roles = tuple(_role(acquisition) for acquisition in self._acquisitions.values())
        return SearchLayout(roles, self.reference_name, self._siblings)

    def to_json(self) -> dict[str, Any]:
        """Return the layout in the JSON grammar; equal layouts give equal values."""
        self.check()
        found: dict[str, Any] = {a.name: _to_json(a) for a in self._acquisitions.values()}
        if self._siblings:
            found["options"] = {"siblings": sorted(sorted(group) for group in self._siblings)}
        return found

    def summary(self) -> str:
        """Return a text table: one column per acquisition, what is asked of S1 and S2; siblings."""
        # Imported here because the table is made from the classes of this module.
        from decloud_lib.acquisitions.summary import summary_table

        groups = sorted(sorted(group, key=self.names.index) for group in self._siblings)
        told = [f"siblings: {', '.join(group)}" for group in groups]
        return "\n".join([summary_table(self._acquisitions.values()), *told])

    def _origins(self) -> list[str]:
        return [name for name, found in self._acquisitions.items() if found.is_origin]


def _check_hours(name: str, found: Iterable[float]) -> None:
    for hours in found:
        if not abs(hours) <= _MOST_HOURS:
            raise ConfigError(
                f"acquisition {name!r}: {hours:g} hours; expected a number of hours, "
                f"{_MOST_HOURS:,} at most"
            )


def _role(acquisition: Acquisition) -> Role:
    lowest = acquisition.s2.min_cloud_percent if acquisition.s2 else None
    gap = acquisition.max_s1s2_gap_hours
    begin, end = (round(hours * _HOUR_MS) for hours in acquisition.window_hours)
    return Role(
        name=acquisition.name,
        window_ms=(begin, end),
        cloud_percent=acquisition.s2.bounds if acquisition.s2 else None,
        random_min_cloud=(lowest.low, lowest.high) if isinstance(lowest, RandomInt) else None,
        s1=acquisition.s1 is not None,
        max_gap_ms=None if gap is None else round(gap * _HOUR_MS),
        ascending=acquisition.s1.ascending if acquisition.s1 else None,
    )


def _to_json(acquisition: Acquisition) -> dict[str, Any]:
    sensors: dict[str, Any] = {}
    if acquisition.s2:
        lowest = acquisition.s2.min_cloud_percent
        sensors["s2"] = {
            "type": "S2",
            "min_cloud_percent": {"random_int": [lowest.low, lowest.high]}
            if isinstance(lowest, RandomInt)
            else lowest,
            "max_cloud_percent": acquisition.s2.max_cloud_percent,
        }
    if acquisition.s1:
        sensors["s1"] = {"type": "S1"}
        if acquisition.s1.ascending is not None:
            sensors["s1"]["orbit"] = "ASC" if acquisition.s1.ascending else "DES"
    found: dict[str, Any] = {"acquisition": sensors}
    if acquisition.max_s1s2_gap_hours is not None:
        found["max_s1s2_gap_hours"] = acquisition.max_s1s2_gap_hours
    if acquisition.is_origin:
        found["timeframe_origin"] = True
    else:
        start, end = acquisition.window_hours
        found |= {"timeframe_start_hours": start, "timeframe_end_hours": end}
    return found
