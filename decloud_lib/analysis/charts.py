"""Charts of an analysis as PNG, by matplotlib's object interface: no display, no global state."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from decloud_lib.types import Array

#: Dots per inch.
DPI = 110
_COLOURS = ("#2c7fb8", "#e08214", "#31a354", "#9e5fb0", "#c0392b", "#6b7b86", "#17a2a2", "#b8860b")


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """A table of counts that is shown in colours."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Array
    """(rows, columns) int."""
    strong: Array
    """(rows, columns) bool: written in bold."""
    boxed: tuple[int, int] | None
    """Row and column of the cell that is framed."""
    axis: tuple[str, str]
    """Labels of the columns and of the rows."""

    def transposed(self) -> "CellGrid":
        """Return the table with rows for columns."""
        boxed = None if self.boxed is None else (self.boxed[1], self.boxed[0])
        axis = (self.axis[1], self.axis[0])
        return CellGrid(self.columns, self.rows, self.values.T, self.strong.T, boxed, axis)


def draw_counts(labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str) -> bytes:
    """Draw horizontal bars on a logarithmic axis that begins with 0, with their numbers.

    Parameters
    ----------
    labels
        What is counted, from top to bottom.
    series
        Counts by the name of a series; NaN = nothing is known.
    title
        Heading of the picture.
    """
    height = 0.8 / max(len(series), 1)
    figure = Figure(
        figsize=(9.5, 1.2 + 0.24 * len(labels) * max(len(series), 1.6)),
        layout="constrained",
        dpi=DPI,
    )
    axes = figure.add_subplot()
    rows = np.arange(len(labels))
    for number, (name, values) in enumerate(series.items()):
        at = rows - 0.4 + (number + 0.5) * height
        colour = _COLOURS[number % len(_COLOURS)]
        axes.barh(
            at, np.nan_to_num(np.asarray(values, float)), 0.92 * height, color=colour, label=name
        )
        for y, value in zip(at, values, strict=True):
            told = "-" if np.isnan(value) else f"{int(value):,}"
            x = 0.0 if np.isnan(value) else value
            axes.annotate(told, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xscale("symlog", linthresh=1)
    highest = max((float(np.nanmax(v)) for v in series.values() if np.any(~np.isnan(v))), default=1)
    axes.set_xlim(0, max(highest, 1) * 6)
    axes.set_yticks(rows, labels, fontsize=9)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("logarithmic from 1", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="x", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return to_png(figure)


def draw_bins(
    labels: Sequence[str], series: Mapping[str, Array], axis: tuple[str, str], title: str
) -> bytes:
    """Draw a histogram with named bins, one colour per series.

    Parameters
    ----------
    labels
        Names of the bins.
    series
        (bins,) values by name.
    axis
        Labels of the horizontal and the vertical axis.
    title
        Heading of the picture.
    """
    width = 0.85 / max(len(series), 1)
    figure = Figure(figsize=(8.5, 3.6), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(series.items()):
        at = np.arange(len(labels)) - 0.425 + (number + 0.5) * width
        axes.bar(at, values, 0.95 * width, color=_COLOURS[number % len(_COLOURS)], label=name)
    axes.set_xticks(np.arange(len(labels)), labels, fontsize=9)
    axes.set_xlabel(axis[0], fontsize=9)
    axes.set_ylabel(axis[1], fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9, ncols=min(len(series), 4))
    return to_png(figure)


def draw_timeline(series: Mapping[str, tuple[Array, Array]], unit: str, title: str) -> bytes:
    """Draw one value per image over time, a row per series.

    Parameters
    ----------
    series
        (D,) int64 times, UTC milliseconds, and (D,) values, by name.
    unit
        Label of the vertical axes.
    title
        Heading of the picture.
    """
    figure = Figure(figsize=(11, 1.0 + 1.3 * len(series)), layout="constrained", dpi=DPI)
    rows = np.atleast_1d(figure.subplots(len(series), 1, sharex=True))
    for number, (axes, (name, (times_ms, values))) in enumerate(
        zip(rows, series.items(), strict=True)
    ):
        days = times_ms.astype("datetime64[ms]")
        colour = _COLOURS[number % len(_COLOURS)]
        axes.vlines(days, 0, values, color=colour, linewidth=2)
        axes.plot(days, np.zeros(len(days)), "|", color=colour, markersize=5)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit, fontsize=8)
        axes.set_title(name, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    figure.suptitle(title, fontsize=11)
    return to_png(figure)


def draw_band_histograms(
    bands: Sequence[str], histogram: tuple[Array, Array], means: Sequence[float], title: str
) -> bytes:
    """Draw the density of each band over the range in which nearly all values lie.

    Parameters
    ----------
    bands
        Names.
    histogram
        (bins + 1,) edges and (bands, bins) counts.
    means
        Mean of each band.
    title
        Heading of the picture.
    """
    edges, counts = histogram
    figure = Figure(figsize=(9.0, 3.8), layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    width = np.diff(edges)
    for number, (band, row, mean) in enumerate(zip(bands, counts, means, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        density = 100 * row / max(int(row.sum()), 1) / width
        axes.stairs(density, edges, color=colour, label=band, linewidth=1.3)
        if np.isfinite(mean):
            axes.axvline(mean, color=colour, linestyle="--", linewidth=0.8, alpha=0.7)
    axes.set_xlim(*_central_range(edges, counts))
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("stored value", fontsize=9)
    axes.set_ylabel("% of the pixels per unit", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.legend(frameon=False, fontsize=9, ncols=2)
    return to_png(figure)


def draw_cells(cells: CellGrid, title: str) -> bytes:
    """Draw a table of counts, coloured on a logarithmic scale.

    Parameters
    ----------
    cells
        The table.
    title
        Heading of the picture.
    """
    n_rows, n_columns = cells.values.shape
    size = (max(5.5, 1.6 + 0.92 * n_columns), 1.5 + 0.42 * n_rows)
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    axes = figure.add_subplot()
    highest = max(float(cells.values.max()), 1.0)
    shades = np.log1p(cells.values) / np.log1p(highest)
    axes.imshow(shades, cmap="YlGnBu", vmin=0, vmax=1.15, aspect="auto")
    for (row, column), value in np.ndenumerate(cells.values):
        axes.text(
            column,
            row,
            f"{value:,}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if shades[row, column] > 0.68 else "#1d2a33",
            fontweight="bold" if cells.strong[row, column] else "normal",
        )
    if cells.boxed is not None:
        row, column = cells.boxed
        frame = Rectangle(
            (column - 0.48, row - 0.48), 0.96, 0.96, fill=False, edgecolor="#c0392b", linewidth=2.5
        )
        axes.add_patch(frame)
    axes.set_xticks(np.arange(n_columns), cells.columns, fontsize=9)
    axes.set_yticks(np.arange(n_rows), cells.rows, fontsize=9)
    axes.set_xlabel(cells.axis[0], fontsize=9)
    axes.set_ylabel(cells.axis[1], fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.tick_params(length=0)
    return to_png(figure)


def _central_range(edges: Array, counts: Array) -> tuple[float, float]:
    """Return the range between the 0.1 % and the 99.9 % quantile of all bands together."""
    running = np.cumsum(counts.sum(axis=0))
    if not running[-1]:
        return float(edges[0]), float(edges[-1])
    low = int(np.searchsorted(running, 0.001 * running[-1], side="right"))
    high = int(np.searchsorted(running, 0.999 * running[-1]))
    return float(edges[low]), float(edges[high + 1])


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
