"""Pictures for people: true colour, radar composites, and panels side by side."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decloud_lib.arrays.encode import decode_sigma0
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.bands import S1_NODATA, S2_NODATA
from decloud_lib.raster.read import read_bands
from decloud_lib.types import Array, Grid, Window, WindowReader

Picture = NDArray[np.uint8]

#: Reflectance that is shown as white. Fields rarely pass 0.2; clouds may saturate.
WHITE_REFLECTANCE = 0.22
_GAMMA = 1.5
_NODATA_GREY = 96
_RADAR_DB = ((-18.0, 0.0), (-26.0, -8.0), (2.0, 14.0))


@dataclass(frozen=True)
class Panel:
    """One picture of a row, with what it shows."""

    title: str
    picture: Picture
    """(H, W, 3) uint8."""


def true_colour(dn: Array, *, white: float = WHITE_REFLECTANCE) -> Picture:
    """Show a 10 m stack as the eye would see it.

    Parameters
    ----------
    dn
        (H, W, 3) integers, B4 B3 B2 in this order, reflectance x 10000; -10000 = no data.
    white
        Reflectance that becomes 255.

    Returns
    -------
    (H, W, 3) uint8; grey where there is no data.
    """
    scaled = np.clip(dn.astype(np.float32) / (10000.0 * white), 0.0, 1.0)
    picture: Picture = (255.0 * scaled ** (1.0 / _GAMMA)).astype(np.uint8)
    picture[all_nodata(dn, S2_NODATA)] = _NODATA_GREY
    return picture


def radar_colour(encoded: Array) -> Picture:
    """Show VV in red, VH in green and their ratio in blue, in decibels.

    Parameters
    ----------
    encoded
        (H, W, 2) uint16 as the preparation stores it, VV then VH; 0 = no data.

    Returns
    -------
    (H, W, 3) uint8; grey where there is no data.
    """
    sigma0 = np.maximum(decode_sigma0(encoded), 1e-6)
    decibel = 10.0 * np.log10(sigma0)
    layers = (decibel[..., 0], decibel[..., 1], decibel[..., 0] - decibel[..., 1])
    picture = np.empty((*encoded.shape[:2], 3), np.uint8)
    for index, (layer, (low, high)) in enumerate(zip(layers, _RADAR_DB, strict=True)):
        picture[..., index] = 255.0 * np.clip((layer - low) / (high - low), 0.0, 1.0)
    picture[all_nodata(encoded, S1_NODATA)] = _NODATA_GREY
    return picture


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


def encode_png(picture: Picture) -> bytes:
    """Encode an (H, W, 3) uint8 picture as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
