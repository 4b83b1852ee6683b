"""Small frozen values that travel between the layers."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from affine import Affine
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Window:
    """A pixel rectangle that is read or written; may reach outside the raster."""

    row: int
    """First row, pixels from the top of the raster; negative above it."""
    col: int
    """First column, pixels from the left of the raster; negative left of it."""
    height: int
    """Rows, pixels."""
    width: int
    """Columns, pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """Size as (height, width), pixels."""
        return (self.height, self.width)

    def expanded(self, margin_px: int) -> "Window":
        """Return the window with `margin_px` more pixels on each side."""
        return Window(
            self.row - margin_px,
            self.col - margin_px,
            self.height + 2 * margin_px,
            self.width + 2 * margin_px,
        )

    def inside(self, shape: tuple[int, int]) -> "Window":
        """Return the part of the window within a raster of this shape."""
        row, col = max(self.row, 0), max(self.col, 0)
        end_row = min(self.row + self.height, shape[0])
        end_col = min(self.col + self.width, shape[1])
        return Window(row, col, end_row - row, end_col - col)

    def coarsened(self, factor: int) -> "Window":
        """Return the same ground on a grid with pixels `factor` times larger.

        Raises
        ------
        ValueError
            A corner or side is no multiple of `factor`.
        """
        values = (self.row, self.col, self.height, self.width)
        if any(value % factor for value in values):
            raise ValueError(f"{self} does not fall on pixels that are {factor} times larger")
        return Window(*(value // factor for value in values))


@dataclass(frozen=True, slots=True)
class Grid:
    """Georeferencing of a raster: north up, square pixels."""

    crs: str
    """`EPSG:<code>` or WKT."""
    left: float
    """Western edge, CRS units."""
    top: float
    """Northern edge, CRS units."""
    pixel_m: float
    """Side of a pixel, CRS units (metres for UTM)."""
    height: int
    """Rows, pixels."""
    width: int
    """Columns, pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """Size as (height, width), pixels."""
        return (self.height, self.width)

    @property
    def transform(self) -> Affine:
        """Affine transform from (col, row) to CRS coordinates."""
        return Affine(self.pixel_m, 0.0, self.left, 0.0, -self.pixel_m, self.top)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Extent as (left, bottom, right, top), CRS units."""
        bottom = self.top - self.height * self.pixel_m
        return (self.left, bottom, self.left + self.width * self.pixel_m, self.top)

    def coarsened(self, factor: int) -> "Grid":
        """Return the grid with pixels `factor` times larger, same corner, whole pixels only."""
        return replace(
            self,
            pixel_m=self.pixel_m * factor,
            height=self.height // factor,
            width=self.width // factor,
        )

    def cropped(self, window: Window) -> "Grid":
        """Return the grid of a window of this raster."""
        return replace(
            self,
            left=self.left + window.col * self.pixel_m,
            top=self.top - window.row * self.pixel_m,
            height=window.height,
            width=window.width,
        )

    def difference(self, other: "Grid") -> str | None:
        """Say in words in what two grids differ; None when they are the same."""
        names = ("crs", "left", "top", "pixel_m", "height", "width")
        found = [
            f"{name} {getattr(self, name)} against {getattr(other, name)}"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]
        return ", ".join(found) or None


class WindowReader(Protocol):
    """What the streaming code needs of a source: named bands on a grid, by window."""

    @property
    def grid(self) -> Grid:
        """Grid of the source."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in the order in which `read` returns them."""

    @property
    def nodata(self) -> float | None:
        """Value that marks no data, where the source has one."""

    def read(self, window: Window) -> Array:
        """Return (H, W, C) pixels of a window that lies inside the grid."""
