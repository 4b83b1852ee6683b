"""Variants of an acquisition layout: another S1-S2 gap, other time windows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from decloud_lib.acquisitions.sensing_layout import AcquisitionsLayout
from decloud_lib.errors import ConfigError

Hours = tuple[float, float]
_DAY = 24.0


class Windows(Protocol):
    """A rule that makes the time windows of a variant."""

    @property
    def name(self) -> str:
        """Short name for tables."""

    @property
    def stem(self) -> str:
        """Short name for files."""

    def apply(self, window: Hours) -> Hours:
        """Return the window, hours, that takes the place of one of the layout."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """All windows become so many times as long and as far away."""

    factor: float

    @property
    def name(self) -> str:
        """Return for instance `x 0.5`."""
        return f"x {self.factor:g}"

    @property
    def stem(self) -> str:
        """Return for instance `scale0.5`."""
        return f"scale{self.factor:g}"

    def apply(self, window: Hours) -> Hours:
        """Scale both ends."""
        return window[0] * self.factor, window[1] * self.factor


@dataclass(frozen=True, slots=True)
class Radii:
    """Windows around the reference reach to the inner radius, others from there to the outer one.

    This is how the analyses of the existing system vary the windows of both of its model families.
    """

    inner_days: float
    outer_days: float | None = None
    """None where no window lies beside the reference."""

    def __post_init__(self) -> None:
        if self.outer_days is not None and self.outer_days <= self.inner_days:
            raise ConfigError(
                f"outer radius {self.outer_days:g} d; expected more than the inner one, "
                f"{self.inner_days:g} d"
            )

    @property
    def name(self) -> str:
        """Return for instance `3-15 d`, or `3 d` without an outer radius."""
        if self.outer_days is None:
            return f"{self.inner_days:g} d"
        return f"{self.inner_days:g}-{self.outer_days:g} d"

    @property
    def stem(self) -> str:
        """Return for instance `range3-15`."""
        return f"range{self.name.removesuffix(' d')}"

    def apply(self, window: Hours) -> Hours:
        """Replace a window by its side of the reference."""
        inner = self.inner_days * _DAY
        if not is_beside(window):
            return -inner, inner
        assert self.outer_days is not None
        outer = self.outer_days * _DAY
        return (inner, outer) if window[0] >= 0 else (-outer, -inner)


def is_beside(window: Hours) -> bool:
    """Say whether a window lies wholly before or after the reference."""
    return window[0] >= 0 or window[1] <= 0


def vary(
    layout: AcquisitionsLayout, gap_hours: float | None, windows: Windows
) -> AcquisitionsLayout:
    """Return a layout with another gap and other windows; clouds, sensors and siblings stay.

    Parameters
    ----------
    layout
        The original.
    gap_hours
        Largest S1-S2 gap of each acquisition with both sensors; None = as it is.
    windows
        Makes the windows of all acquisitions but the reference.
    """
    found = AcquisitionsLayout(layout.siblings)
    for name in layout.names:
        acquisition = layout[name]
        both = acquisition.s1 is not None and acquisition.s2 is not None
        own = acquisition.max_s1s2_gap_hours
        start, end = (
            (0.0, 0.0) if acquisition.is_origin else windows.apply(acquisition.window_hours)
        )
        found.new_acquisition(
            name,
            s1_acquisition=acquisition.s1,
            s2_acquisition=acquisition.s2,
            max_s1s2_gap_hours=gap_hours if both and gap_hours is not None else own,
            timeframe_origin=acquisition.is_origin,
            timeframe_start_hours=start,
            timeframe_end_hours=end,
        )
    return found


def reach_hours(layout: AcquisitionsLayout) -> float:
    """Return how far from the reference an image may be, hours."""
    return _largest(layout, lambda window: max(map(abs, window)))


def around_hours(layout: AcquisitionsLayout) -> float:
    """Return the length of the longest window around the reference, hours."""
    return _largest(layout, lambda window: 0.0 if is_beside(window) else window[1] - window[0])


def _largest(layout: AcquisitionsLayout, measure: Callable[[Hours], float]) -> float:
    return max((measure(layout.window_hours(name)) for name in layout.names), default=0.0)
