"""List the acquisition layouts that come with the package."""

from dataclasses import dataclass

from decloud_lib.acquisitions import AcquisitionsLayout, load_layout, shipped_layouts
from decloud_lib.config import StageConfig

_DAY_HOURS = 24


class ListLayoutsConfig(StageConfig):
    """Settings of `layout list`: there are none."""


@dataclass(frozen=True, slots=True)
class ListedLayout:
    """A layout in one line."""

    name: str
    acquisitions: tuple[str, ...]
    reference: str
    target: str
    window_days: tuple[float, float]
    """First and last day around the reference that any acquisition may lie on."""
    max_s1s2_gap_hours: float | None
    """Largest of all acquisitions; None = no Sentinel-1."""

    def text(self) -> str:
        """Return what a person reads."""
        gap = self.max_s1s2_gap_hours
        start, end = (f"{day:+.3g}" for day in self.window_days)
        return (
            f"{self.name:<45} {' '.join(self.acquisitions):<27} {start:>4} .. {end:>4} days, "
            + ("S2 only" if gap is None else f"S1 within {gap:g} h")
        )


@dataclass(frozen=True, slots=True)
class ListedLayouts:
    """All shipped layouts, by name."""

    layouts: tuple[ListedLayout, ...]

    def text(self) -> str:
        """Return what a person reads."""
        return "\n".join(layout.text() for layout in self.layouts)


def list_layouts(_: ListLayoutsConfig) -> ListedLayouts:
    """Name the shipped layouts, with what they span."""
    return ListedLayouts(tuple(_listed(name, load_layout(name)) for name in shipped_layouts()))


def _listed(name: str, layout: AcquisitionsLayout) -> ListedLayout:
    windows = [layout.window_hours(role) for role in layout.names]
    gaps = [gap for role in layout.names if (gap := layout.max_s1s2_gap_hours(role)) is not None]
    return ListedLayout(
        name,
        layout.names,
        layout.reference_name,
        layout.target_name,
        (
            min(start for start, _ in windows) / _DAY_HOURS,
            max(end for _, end in windows) / _DAY_HOURS,
        ),
        max(gaps, default=None),
    )
