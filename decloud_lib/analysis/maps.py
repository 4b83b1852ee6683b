"""Maps of an analysis as PNG; see `charts` for how they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from decloud_lib.analysis.charts import DPI, to_png
from decloud_lib.raster.footprint import is_geographic
from decloud_lib.types import Array, Grid

_UNDEFINED = "#d9dee2"


@dataclass(frozen=True, slots=True, eq=False)
class MapPanel:
    """One map."""

    title: str
    values: Array
    """(H, W); NaN is shown as undefined."""
    unit: str
    """Label of the colour bar."""
    limits: tuple[float, float] | None = None
    """First and last value of the colours; the range of the values where None."""
    colours: str = "viridis"
    """Name of a matplotlib colour map."""


def draw_maps(panels: Sequence[MapPanel], grid: Grid, title: str) -> bytes:
    """Draw maps of one grid in rows of two or three, with the coordinates of its CRS.

    Parameters
    ----------
    panels
        Each (H, W) of the grid's shape.
    grid
        Georeferencing; metres are shown as km.
    title
        Heading of the picture.

    Returns
    -------
    PNG
    """
    aspect = grid.height / grid.width
    columns = 3 if len(panels) == 3 else 2
    rows = -(-len(panels) // columns)
    # Of a map alone, inches; beside it there is room for a colour bar, below it for coordinates.
    width = min(12.3 / columns - 1.4, 3.6 / aspect)
    size = (columns * (width + 1.4), rows * (max(width * aspect, 1.2) + 0.9) + 0.3)
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    left, bottom, right, top = grid.bounds
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        low, high = panel.limits or _limits(panel.values)
        shades = colormaps[panel.colours].with_extremes(bad=_UNDEFINED)
        picture = axes.imshow(
            np.ma.masked_invalid(np.asarray(panel.values, np.float64)),
            extent=(left, right, bottom, top),
            cmap=shades,
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        axes.set_title(panel.title, fontsize=10)
        _label_coordinates(axes, grid.crs, first=number % columns == 1)
        bar = figure.colorbar(picture, ax=axes, shrink=min(0.9, 0.75 * aspect + 0.1), pad=0.02)
        bar.set_label(panel.unit, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        numbers = panel.values[np.isfinite(panel.values)]
        if np.array_equal(numbers, np.round(numbers)):
            bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    undefined = any(np.isnan(np.asarray(panel.values, np.float64)).any() for panel in panels)
    figure.suptitle(title + (" (grey: undefined)" if undefined else ""), fontsize=11)
    return to_png(figure)


def draw_footprints(polygons: Array, counts: Array, crs: str, title: str) -> bytes:
    """Draw polygons in the colour of their number.

    Parameters
    ----------
    polygons : (N, corners, 2)
        x and y, units of the CRS. Larger ones are drawn below smaller ones.
    counts : (N,)
        Numbers.
    crs
        For the labels.
    title
        Heading of the picture.
    """
    low, high = polygons.min(axis=(0, 1)), polygons.max(axis=(0, 1))
    aspect = (high[1] - low[1]) / (high[0] - low[0])
    figure = Figure(
        figsize=(8.6, min(max(6.6 * aspect, 2.0), 10.0) + 1.0), layout="constrained", dpi=DPI
    )
    axes = figure.add_subplot()
    extent = np.ptp(polygons, axis=1).max(axis=1)
    order = np.argsort(-extent, kind="stable")
    shown = PolyCollection(
        [*polygons[order]], array=counts[order], cmap="viridis", edgecolor="white", linewidth=0.3
    )
    shown.set_clim(0, max(float(counts.max()), 1.0))
    axes.add_collection(shown)
    margin = 0.04 * max(high - low)
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    degrees = is_geographic(crs)
    axes.set_aspect(1 / np.cos(np.radians((low[1] + high[1]) / 2)) if degrees else "equal")
    axes.set_title(title, fontsize=11)
    axes.set_facecolor("#f3f5f6")
    if degrees:
        axes.set_xlabel(f"longitude, degrees ({crs})", fontsize=8)
        axes.set_ylabel("latitude, degrees", fontsize=8)
        axes.tick_params(labelsize=7)
    else:
        _label_coordinates(axes, crs, first=True)
    bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label("samples per footprint", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    return to_png(figure)


def _limits(values: Array) -> tuple[float, float]:
    numbers = values[np.isfinite(values)]
    if not numbers.size:
        return 0.0, 1.0
    low, high = float(numbers.min()), float(numbers.max())
    return (low, high) if high > low else (min(low, 0.0), max(high, 1.0))


def _label_coordinates(axes: Axes, crs: str, *, first: bool) -> None:
    """Write the coordinates in km, and the CRS once."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:,.6g}"))
    name = crs if len(crs) <= 12 else "projected"
    axes.set_xlabel(f"easting, km ({name})", fontsize=8)
    if first:
        axes.set_ylabel("northing, km", fontsize=8)
    axes.tick_params(labelsize=7)
