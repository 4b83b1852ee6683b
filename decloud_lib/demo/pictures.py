"""Pictures of a report: panels side by side, and curves."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from decloud_lib.arrays.pictures import Picture, true_colour
from decloud_lib.raster.read import read_bands
from decloud_lib.types import Grid, Window, WindowReader


@dataclass(frozen=True)
class Panel:
    """One picture of a row, with what it shows."""

    title: str
    picture: Picture
    """(H, W, 3) uint8."""


def read_true_colour(reader: WindowReader, window: Window) -> Picture:
    """Read B4 B3 B2 of a window and show them; see `true_colour`."""
    return true_colour(read_bands(reader, ("B4", "B3", "B2"), window))


def central_window(grid: Grid, side_px: int) -> Window:
    """Return the central square of a raster, at most `side_px` wide, at full resolution."""
    height, width = min(side_px, grid.height), min(side_px, grid.width)
    return Window((grid.height - height) // 2, (grid.width - width) // 2, height, width)


def draw_panels(panels: Sequence[Panel], path: Path, *, columns: int = 3, title: str = "") -> None:
    """Draw pictures in rows with their titles, as one PNG.

    Small scenes are enlarged without smoothing, so that pixels stay pixels.
    """
    # The object interface needs no display and leaves no global state behind.
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.5 * rows + 0.4), layout="constrained", dpi=130)
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(panel.picture, interpolation="nearest")
        axes.set_title(panel.title, fontsize=11)
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=13)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw_curves(curves: dict[str, Sequence[tuple[float, float]]], label: str) -> bytes:
    """Draw curves of (epoch, value) as a PNG; the names become the legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), layout="constrained", dpi=110)
    axes = figure.add_subplot(1, 1, 1)
    for name, points in curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
