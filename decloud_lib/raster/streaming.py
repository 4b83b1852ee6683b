"""Going through a raster strip by strip, with the next strip read while this one is written."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from decloud_lib.types import Grid, Window

T = TypeVar("T")
R = TypeVar("R")

_MAX_ROWS = 1024
"""Rows of a strip at most: bounds the memory, whatever the blocks of the input."""


def strip_rows(multiples_px: Iterable[int], input_blocks_px: Iterable[int]) -> int:
    """Choose the height of strips.

    Parameters
    ----------
    multiples_px
        Each must divide the height: output blocks, patches.
    input_blocks_px
        Heights of the blocks of the files that are read. A strip covers whole blocks where that
        keeps it low enough, so that no block is decompressed twice.

    Returns
    -------
    Rows, pixels.
    """
    base = math.lcm(*multiples_px)
    wanted = max((rows for rows in input_blocks_px if rows <= _MAX_ROWS), default=base)
    return max(base, -(-wanted // base) * base)


def strips(grid: Grid, rows: int) -> list[Window]:
    """Cut a raster into strips of full width, from top to bottom; the last one may be lower."""
    return [
        Window(row, 0, min(rows, grid.height - row), grid.width)
        for row in range(0, grid.height, rows)
    ]


def read_ahead(items: Iterable[T], read: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Yield each item with what `read` makes of it; the next one is read meanwhile.

    At most two results exist at a time. An exception of `read` is raised here. `read` runs in one
    other thread, in the order of the items.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as executor:
        pending = None
        for item in items:
            upcoming = (item, executor.submit(read, item))
            if pending is not None:
                yield pending[0], pending[1].result()
            pending = upcoming
        if pending is not None:
            yield pending[0], pending[1].result()
