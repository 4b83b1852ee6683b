"""Pixels without elevation: counted by kind, and treated as asked for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rasterio.fill import fillnodata

from decloud_lib.bands import DEM_NODATA
from decloud_lib.types import Array, Window

VoidPolicy = Literal["zero", "fill", "keep", "refuse"]
"""What becomes of pixels without elevation; see `VoidTreatment`."""

#: How far a hole's values may come from, pixels.
FILL_PX = 100
#: Beyond these lie marks of no data that the source does not declare, and no ground, metres.
_LOWEST_M, _HIGHEST_M = -12000.0, 12000.0

#: Pixels around a hole that can count.
_REACH_PX = FILL_PX + 1

Strip = tuple[Window, Array]
_Sorted = tuple[Array, Array | None]


@dataclass(slots=True)
class VoidCounts:
    """Numbers of pixels."""

    px: int = 0
    voids: int = 0
    """Without elevation: holes and beyond."""
    holes: int = 0
    """Inside the source."""
    beyond: int = 0
    """Outside of it: sea that it leaves out, or other ground."""
    filled: int = 0
    """Holes that were interpolated."""
    zero: int = 0
    """Voids that became 0 m."""
    kept: int = 0
    """Voids that stay without data."""
    first: tuple[int, int] | None = None
    """Row and column of the first void."""


class VoidTreatment:
    """Turns elevation into whole metres, strip by strip from top to bottom.

    `zero`: voids become 0 m. `fill`: holes inside the source are interpolated from the values
    around them, at most 100 px away; those left and what lies beyond the source become 0 m.
    `keep`: voids become -32768. `refuse`: nothing becomes of them; see `counts`.

    Parameters
    ----------
    policy
        What becomes of voids.
    covered
        Says for a window which pixels the source covers, (H, W) bool; asked where there are voids.

    Attributes
    ----------
    counts : VoidCounts
        Of the strips so far.
    """

    def __init__(self, policy: VoidPolicy, covered: Callable[[Window], Array]) -> None:
        self._policy = policy
        self._covered = covered
        self.counts = VoidCounts()

    def strips(self, strips: Iterable[Strip]) -> Iterator[Strip]:
        """Turn (H, W) float32 metres, NaN for voids, into (H, W, 1) int16 metres.

        Three strips are held at a time with `fill`, else one. Each but the last must be higher than
        the distance that holes are filled from.
        """
        found = ((window, self._sorted_out(window, strip)) for window, strip in strips)
        if self._policy == "fill":
            yield from self._filled(found)
            return
        for window, (metres, _) in found:
            yield window, self._whole(metres)

    def _sorted_out(self, window: Window, strip: Array) -> _Sorted:
        """Return metres with NaN for voids, and where the holes are; count."""
        counts = self.counts
        void = ~((strip > _LOWEST_M) & (strip < _HIGHEST_M))
        counts.px += void.size
        found = int(void.sum())
        if not found:
            return strip, None
        holes = void & self._covered(window)
        inside = int(holes.sum())
        counts.voids += found
        counts.holes += inside
        counts.beyond += found - inside
        if counts.first is None:
            row, col = np.argwhere(void)[0]
            counts.first = (window.row + int(row), window.col + int(col))
        return np.where(void, np.float32(np.nan), strip), holes if inside else None

    def _filled(self, strips: Iterator[tuple[Window, _Sorted]]) -> Iterator[Strip]:
        """Fill each strip with what lies around it, in the strips above and below too."""
        above = np.empty((0, 0), np.float32)
        waiting = next(strips, None)
        while waiting is not None:
            window, (metres, holes) = waiting
            upcoming = next(strips, None)
            below = upcoming[1][0] if upcoming else metres[:0]
            if holes is None:
                yield window, self._whole(metres)
            else:
                around = [above.reshape(-1, window.width), metres, below[:_REACH_PX]]
                filled = metres.copy()
                filled[holes] = _interpolated(around, holes)
                self.counts.filled += int((holes & ~np.isnan(filled)).sum())
                yield window, self._whole(filled)
            above, waiting = metres[-_REACH_PX:], upcoming

    def _whole(self, metres: Array) -> Array:
        void = np.isnan(metres)
        kept = self._policy == "keep"
        found = int(void.sum())
        self.counts.kept += found if kept else 0
        self.counts.zero += 0 if kept else found
        rounded = np.rint(np.where(void, np.float32(DEM_NODATA if kept else 0), metres))
        return rounded.astype(np.int16)[..., np.newaxis]


def _interpolated(around: list[Array], holes: Array) -> Array:
    """Return the values for the holes of the middle one of three strips; NaN where none is near."""
    rows, cols = np.nonzero(holes)
    rows += around[0].shape[0]
    whole = np.concatenate(around)
    top, left = max(rows.min() - _REACH_PX, 0), max(cols.min() - _REACH_PX, 0)
    part = whole[top : rows.max() + _REACH_PX + 1, left : cols.max() + _REACH_PX + 1]
    known = ~np.isnan(part)
    # GDAL leaves a pixel that nothing is near as it is.
    filled = fillnodata(part, mask=known.astype(np.uint8), max_search_distance=FILL_PX)
    return np.asarray(filled[rows - top, cols - left])
