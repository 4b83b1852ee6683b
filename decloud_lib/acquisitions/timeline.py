"""A picture of a layout: when each acquisition may lie, how cloudy it may be, where its S1 lies."""

import io
from typing import Any

from decloud_lib.acquisitions.sensing_layout import Acquisition, AcquisitionsLayout, RandomInt

_S2 = "#3b78c3"
_TARGET = "#2f9e5f"
_S1 = "#e08a2c"
_GREY = "#8a8f98"
_PALE = "#eef1f5"
_HATCH = "////"
#: Rows are 1 high: a box whose height is 0..100 % of cloud, and a strip for S1 below it.
_BOX_LOW, _BOX_HEIGHT = -0.10, 0.46
_STRIP_LOW, _STRIP_HEIGHT = -0.32, 0.13
#: A cover of 0..0 % and the moment of the reference would have no area.
_THINNEST_COVER = 0.09
_SHORTEST_SHARE = 0.006
_DAYS_FROM = 5 * 24.0


def draw_timeline(layout: AcquisitionsLayout, title: str) -> bytes:
    """Draw a layout over a time axis with the reference image at 0.

    Parameters
    ----------
    layout
        What to draw: a row per acquisition, in layout order. The width of a box is the window, its
        lower and upper edge are the lowest and highest cloud cover; a strip below it is where the
        S1 image may lie, which is the window and the gap before and after it.
    title
        Of the picture.

    Returns
    -------
    PNG.
    """
    # The object interface needs no display and leaves no global state behind.
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    members = [layout[name] for name in layout.names]
    low = min(_reach(member)[0] for member in members)
    high = max(_reach(member)[1] for member in members)
    per_unit, unit = (24.0, "days") if high - low >= _DAYS_FROM else (1.0, "hours")
    figure = Figure(figsize=(11, 1.7 + 0.72 * len(members)), layout="constrained", dpi=120)
    axes = figure.add_subplot(1, 1, 1)
    axes.axvline(0, color=_GREY, linewidth=1.2, linestyle="--", zorder=1)
    canvas = _Canvas(axes, per_unit, max(high - low, 1.0) * _SHORTEST_SHARE)
    for row, member in enumerate(members):
        canvas.draw(member, len(members) - 1 - row, is_target=member.name == layout.target_name)
    margin = 0.03 * max(high - low, 1.0)
    axes.set_xlim((low - margin) / per_unit, (high + margin) / per_unit)
    axes.set_ylim(-0.5, len(members) - 0.5)
    axes.set_yticks([])
    axes.set_xlabel(f"{unit} from the reference image ({layout.reference_name!r})")
    axes.grid(axis="x", alpha=0.25)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=12, loc="left")
    handles = [
        Patch(facecolor=_S2, label="S2: window x allowed cloud cover (box = 0-100 %)"),
        Patch(facecolor=_TARGET, label=f"S2 to be restored ({layout.target_name!r})"),
        Line2D([0], [0], color=_GREY, linestyle="--", label="reference"),
    ]
    if any(member.s1 for member in members):
        handles.append(Patch(facecolor=_S1, alpha=0.75, label="where its S1 image may lie"))
    if any(member.s2 and isinstance(member.s2.min_cloud_percent, RandomInt) for member in members):
        drawn = "lowest cover, drawn anew"
        handles.append(Patch(facecolor=_S2, alpha=0.4, hatch=_HATCH, label=drawn))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8.5)
    buffer = io.BytesIO()
    # Without the version of the library in the file, equal layouts give equal bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


class _Canvas:
    """Draws acquisitions on axes whose unit is `per_unit` hours."""

    def __init__(self, axes: Any, per_unit: float, shortest_hours: float) -> None:
        self._axes, self._per_unit, self._shortest = axes, per_unit, shortest_hours

    def draw(self, member: Acquisition, row: int, *, is_target: bool) -> None:
        """Draw one acquisition around the height `row`, with its name and its numbers."""
        if member.s2:
            self._draw_s2(member, row, _TARGET if is_target else _S2)
        if member.s1:
            self._bar(_reach(member), row + _STRIP_LOW, _STRIP_HEIGHT, color=_S1, alpha=0.75)
        beside = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
        weight = "bold" if is_target or member.is_origin else "normal"
        self._axes.annotate(
            member.name, (-0.012, row), ha="right", fontsize=11, fontweight=weight, **beside
        )
        self._axes.annotate(
            "\n".join(_told(member)), (1.012, row), ha="left", fontsize=8.5, color="#333", **beside
        )

    def _draw_s2(self, member: Acquisition, row: int, color: str) -> None:
        assert member.s2 is not None
        bottom = row + _BOX_LOW
        self._bar(
            member.window_hours, bottom, _BOX_HEIGHT, color=_PALE, edgecolor=_GREY, linewidth=0.6
        )
        lowest, highest = member.s2.bounds
        drawn = member.s2.min_cloud_percent
        if isinstance(drawn, RandomInt):
            lowest = min(drawn.high, highest)
            at = bottom + _BOX_HEIGHT * drawn.low / 100
            height = _BOX_HEIGHT * (lowest - drawn.low) / 100
            self._bar(member.window_hours, at, height, color=color, alpha=0.4, hatch=_HATCH)
        cover = max((highest - lowest) / 100, _THINNEST_COVER)
        start = min(lowest / 100, 1 - cover)
        self._bar(
            member.window_hours, bottom + _BOX_HEIGHT * start, _BOX_HEIGHT * cover, color=color
        )

    def _bar(self, hours: tuple[float, float], bottom: float, height: float, **look: Any) -> None:
        begin, end = hours
        if end - begin < self._shortest:
            middle = (begin + end) / 2
            begin, end = middle - self._shortest / 2, middle + self._shortest / 2
        width = (end - begin) / self._per_unit
        self._axes.bar(
            begin / self._per_unit, height, width, bottom, align="edge", zorder=2, **look
        )


def _reach(member: Acquisition) -> tuple[float, float]:
    """Return the first and last hour at which an image of an acquisition may lie."""
    gap = (member.max_s1s2_gap_hours or 0.0) if member.s1 and member.s2 else 0.0
    start, end = member.window_hours
    return start - gap, end + gap


def _told(member: Acquisition) -> list[str]:
    """Return an acquisition's conditions in words."""
    start, end = member.window_hours
    lines = ["reference" if member.is_origin else f"{start:+g} h to {end:+g} h"]
    if member.s2:
        drawn = member.s2.min_cloud_percent
        low = f"{drawn.low}..{drawn.high}" if isinstance(drawn, RandomInt) else f"{drawn:g}"
        lines.append(f"S2, {low}-{member.s2.max_cloud_percent:g} % cloud")
    if member.s1:
        passes = {None: "", True: ", ascending", False: ", descending"}[member.s1.ascending]
        within = f" within {member.max_s1s2_gap_hours:g} h" if member.s2 else " in the window"
        lines.append(f"S1{within}{passes}")
    return lines
