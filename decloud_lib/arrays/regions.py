"""Which elementary patches (cells) of a tile belong to which data set: draw, shares, guard band.

A cell is one elementary patch, 64 x 64 pixels at 10 m. A *square* is the block of cells that goes
to one data set as a whole; squares lie side by side from the upper-left cell.
"""

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decloud_lib.arrays.masks import grow
from decloud_lib.arrays.pictures import Picture
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

RoiMode = Literal["restrict", "override"]

#: Turn of the hue from one data set to the next, of the whole circle: neighbours differ clearly.
_GOLDEN = 0.618034
_NO_DATA_SET = 236


@dataclass(frozen=True, slots=True)
class Split:
    """How the ground of a tile is divided among data sets."""

    props: tuple[float, ...]
    """Share of each data set, any unit; none below 0 and one above."""
    square_cells: int
    """Side of a square, cells."""
    mode: RoiMode = "restrict"
    """`restrict`: a data set with polygons takes only squares inside them. `override`: all squares
    are drawn, then those inside polygons are given to that data set, later ones winning."""
    guard_cells: int = 0
    """Ground left out between two data sets, cells."""
    share_ground: bool = False
    """Give each data set all the squares that it may have, instead of a share of them."""


def divide(
    inside: Array, has_polygons: Array, split: Split, generator: np.random.Generator
) -> Array:
    """Divide the cells of a tile among data sets.

    Parameters
    ----------
    inside : (n, h, w) bool
        Per data set: the cell's centre lies in its polygons. Not looked at where it has none.
    has_polygons : (n,) bool
        Which data sets have polygons at all.
    split
        Shares, size of a square, mode, guard band.
    generator
        Source of the draw. Where no data set has polygons the result depends on nothing else than
        its state, the shares and the size.

    Returns
    -------
    (n, h, w) bool, True = the cell belongs to the data set. No cell belongs to two of them, unless
    the ground is shared. A square counts as inside polygons when all its cells do. Cells beyond the
    last whole square belong to none.

    Raises
    ------
    ShapeError
        Fewer cells than one square has, or another number of data sets than shares.
    """
    n, height, width = inside.shape
    if (n,) != has_polygons.shape or n != len(split.props):
        raise ShapeError(
            f"found cells of {n} data sets, {has_polygons.size} marks and {len(split.props)} "
            "shares; expected as many of each"
        )
    squares = np.stack([whole_squares(cells, split.square_cells) for cells in inside])
    if squares.size == 0:
        raise ShapeError(
            f"found {height} x {width} cells, expected at least {split.square_cells} each way"
        )
    marked = has_polygons[:, np.newaxis, np.newaxis]
    candidates = squares | ~marked if split.mode == "restrict" else np.ones_like(squares)
    if split.share_ground:
        return _spread(candidates, split.square_cells, (height, width))
    owner = draw_squares(candidates, split.props, generator)
    if split.mode == "override":
        for index in np.flatnonzero(has_polygons):
            owner[squares[index]] = index
    cells = _spread(owner == np.arange(n)[:, None, None], split.square_cells, (height, width))
    return leave_guard(cells, split.guard_cells)


def draw_squares(
    candidates: Array, props: tuple[float, ...], generator: np.random.Generator
) -> Array:
    """Give each square to one of the data sets that may have it.

    Squares with the same candidates form a group. In each group the numbers of squares follow the
    proportions of its candidates as closely as whole squares allow (`share_counts`), and which
    square goes where is drawn.

    Parameters
    ----------
    candidates : (n, rows, cols) bool
        The data sets that may have a square.
    props
        Share of each data set.
    generator
        Source of the draw.

    Returns
    -------
    (rows, cols) int64: index of the data set; -1 where none with a proportion may have the square.
    """
    n, rows, cols = candidates.shape
    groups, member = np.unique(candidates.reshape(n, -1).T, axis=0, return_inverse=True)
    member = member.reshape(-1)
    owner = np.full(rows * cols, -1, np.int64)
    for index, may_have in enumerate(groups):
        shares = tuple(
            prop if allowed else 0.0 for prop, allowed in zip(props, may_have, strict=True)
        )
        if not any(shares):
            continue
        squares = np.flatnonzero(member == index)
        counts = share_counts(len(squares), shares)
        owner[squares] = generator.permutation(np.repeat(np.arange(n), counts))
    return owner.reshape(rows, cols)


def share_counts(total: int, props: tuple[float, ...]) -> list[int]:
    """Divide squares by proportions: largest remainders, at least one each where possible.

    Parameters
    ----------
    total
        Number of squares.
    props
        Share of each data set, any unit; none below 0 and one above.

    Returns
    -------
    Number of squares of each data set; they add up to `total`. A data set whose proportion is 0
    gets none.
    """
    exact = np.asarray(props, np.float64) * (total / sum(props))
    counts = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    wanted = exact > 0
    if total >= wanted.sum():
        for empty in np.flatnonzero(wanted & (counts == 0)):
            counts[empty] = 1
            counts[np.argmax(counts)] -= 1
    return [int(count) for count in counts]


def leave_guard(cells: Array, guard_cells: int) -> Array:
    """Take away cells so that ground lies between any two data sets.

    A later data set keeps its cells and an earlier one gives way: a cell is left out when a cell
    that a later data set keeps lies within the guard, in rows and columns (Chebyshev distance).

    Parameters
    ----------
    cells : (n, h, w) bool
        Cells of each data set; none belongs to two.
    guard_cells
        Width of the ground between, cells.

    Returns
    -------
    (n, h, w) bool; between cells of two data sets lie at least `guard_cells` others, in rows or in
    columns. The last data set is whole.
    """
    kept = cells.copy()
    if guard_cells == 0:
        return kept
    later = np.zeros(cells.shape[1:], bool)
    for index in range(len(cells) - 1, -1, -1):
        kept[index] &= ~grow(later, guard_cells)
        later |= kept[index]
    return kept


def whole_squares(cells: Array, factor: int) -> Array:
    """Say which squares have all their cells set.

    Parameters
    ----------
    cells : (h, w) bool
        By cell.
    factor
        Side of a square, cells.

    Returns
    -------
    (h // factor, w // factor) bool
    """
    rows, cols = cells.shape[0] // factor, cells.shape[1] // factor
    whole = cells[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
    return np.asarray(whole.all(axis=(1, 3)))


def safe_square_px(patch_px: int, guard_px: int) -> int:
    """Return the side of a square that keeps a whole patch whatever lies around it.

    Patches lie side by side from the corner of the tile, like squares, so a square of k patches
    loses ceil(guard / patch) of them on each side to a guard band.

    Parameters
    ----------
    patch_px
        Side of a patch.
    guard_px
        Width of the guard band, same unit.
    """
    return patch_px * (1 + 2 * -(-guard_px // patch_px))


def usable_cells(values: Array, nodata: float | None = None) -> Array:
    """Read a region raster: what is not 0 may be used.

    Parameters
    ----------
    values : (h, w)
        Any number.
    nodata
        The raster's own mark of cells without a value; they may not be used.

    Returns
    -------
    (h, w) bool

    Raises
    ------
    ValueError
        A value is not a number: it says neither yes nor no.
    """
    if values.dtype.kind == "f" and (missing := int(np.isnan(values).sum())):
        raise ValueError(f"{missing} of {values.size} values are NaN")
    usable = values != 0
    return np.asarray(usable if nodata is None else usable & (values != nodata))


def colours(n: int) -> tuple[tuple[int, int, int], ...]:
    """Return red, green and blue, 0..255, for each of n data sets."""
    found = []
    for index in range(n):
        tone = colorsys.hsv_to_rgb((0.57 + index * _GOLDEN) % 1.0, 0.62, 0.86)
        found.append((round(255 * tone[0]), round(255 * tone[1]), round(255 * tone[2])))
    return tuple(found)


def region_picture(cells: Array) -> Picture:
    """Show the data sets of a tile in `colours`, one pixel per cell.

    Parameters
    ----------
    cells : (n, h, w) bool
        Cells of each data set.

    Returns
    -------
    (h, w, 3) uint8; light grey where a cell belongs to none.
    """
    picture: Picture = np.full((*cells.shape[1:], 3), _NO_DATA_SET, np.uint8)
    for mask, colour in zip(cells, colours(len(cells)), strict=True):
        picture[mask] = colour
    return picture


def _spread(squares: Array, factor: int, shape: tuple[int, int]) -> Array:
    """Return (n, h, w): the cells of (n, rows, cols) squares; False beyond the last whole one."""
    spread = squares.repeat(factor, axis=1).repeat(factor, axis=2)
    cells = np.zeros((len(squares), *shape), bool)
    cells[:, : spread.shape[1], : spread.shape[2]] = spread
    return cells
