"""A part of an analysis: what it says in words, tables, pictures, rasters and numbers."""

import base64
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from decloud_lib.raster.write import RasterProfile
from decloud_lib.types import Array, Grid

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts and numbers; None is an empty cell."""

    name: str
    """Stem of its file."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """What the columns mean."""
    marked: tuple[int, ...] = ()
    """Rows that are pointed out."""
    alarming: bool = False
    """They are so because something is wrong with them; else, because they are the best."""

    def csv(self) -> str:
        """Return the table as CSV with a line of names; numbers in full."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return buffer.getvalue()

    def shown(self) -> list[list[str]]:
        """Return the rows as texts for people."""
        return [[shown_cell(cell) for cell in row] for row in self.rows]

    def is_number(self, column: int) -> bool:
        """Say whether a column holds numbers: it is aligned to the right."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and not any(isinstance(cell, str) for cell in cells)

    def text(self) -> str:
        """Return the table as aligned text; marked rows begin with `*`."""
        lines = [list(self.columns), *self.shown()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        right = [self.is_number(i) for i in range(len(self.columns))]
        found = []
        for number, line in enumerate(lines):
            cells = (
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(line, widths, right, strict=True)
            )
            mark = "* " if number - 1 in self.marked else "  "
            found.append((mark + "  ".join(cells)).rstrip())
        return "\n".join([self.title, *found, *([self.note] if self.note else [])])


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture."""

    name: str
    """Stem of its file."""
    title: str
    caption: str
    png: bytes = field(repr=False)

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A map that opens in any GIS."""

    name: str
    """Stem of its file."""
    grid: Grid
    profile: RasterProfile
    pixels: Array
    """(H, W, C) of the profile's data type."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One analysis."""

    key: str
    """Folder of its files."""
    title: str
    text: str
    """What was done and how to read it."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    rasters: tuple[Raster, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Further text files by name, for instance GeoJSON."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Everything as plain JSON values; NaN becomes null."""


def map_raster(name: str, grid: Grid, bands: Mapping[str, Array], dtype: str) -> Raster:
    """Make a raster of (H, W) maps by band name.

    Parameters
    ----------
    name
        Stem of the file.
    grid
        Its georeferencing; the shape of the maps.
    bands
        The maps.
    dtype
        `float32` and `float64` have NaN as no data; whole numbers have none.
    """
    floating = dtype.startswith("float")
    profile = RasterProfile(
        tuple(bands), dtype, float("nan") if floating else None, codec="DEFLATE", predictor=1
    )
    return Raster(name, grid, profile, np.stack([*bands.values()], axis=-1).astype(dtype))


def shown_cell(cell: Cell) -> str:
    """Return a cell for people: thousands apart, floats with 4 significant digits."""
    if cell is None:
        return ""
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return "" if cell != cell else f"{cell:,.4g}" if abs(cell) < 1e4 else f"{cell:,.0f}"
    return cell
