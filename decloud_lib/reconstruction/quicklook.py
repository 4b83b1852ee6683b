"""A small picture of a date before and after, made of the windows as they pass by."""

import io
from typing import Protocol

import numpy as np

from decloud_lib.arrays.masks import all_nodata
from decloud_lib.arrays.pictures import enlarged, true_colour, value_range
from decloud_lib.bands import S2_10M_BANDS, S2_NODATA, S2_SCALE
from decloud_lib.types import Array, Window

SIDE_PX = 512
_GAP_PX = 8
_SHOWN_PERCENTS = (2.0, 98.0)
#: Narrower ranges of reflectance would show little but noise.
_LEAST_RANGE = 0.05
_POSITIONS = [S2_10M_BANDS.index(band) for band in ("B4", "B3", "B2")]


class Writer(Protocol):
    """Where windows go."""

    def write(self, window: Window, pixels: Array) -> None:
        """Take (H, W, C) pixels."""


class Thumbnail:
    """Keeps every n-th row and column of an image whose windows it is given.

    Parameters
    ----------
    shape
        Height and width of the image, pixels.
    nodata
        Its no-data value.
    """

    def __init__(self, shape: tuple[int, int], nodata: int) -> None:
        self._step = max(1, -(-max(shape) // SIDE_PX))
        self._nodata = nodata
        rows, cols = (-(-side // self._step) for side in shape)
        self.pixels = np.full((rows, cols, len(_POSITIONS)), S2_NODATA, dtype=np.int32)
        """(h, w, 3) DN: B4, B3, B2; -10000 = no data."""

    def write(self, window: Window, pixels: Array) -> None:
        """Take the pixels of a 10 m image that fall on the small one."""
        first_row, first_col = -window.row % self._step, -window.col % self._step
        taken = pixels[first_row :: self._step, first_col :: self._step].astype(np.int32)
        if not taken.size:
            return
        taken[all_nodata(taken, self._nodata)] = S2_NODATA
        row = (window.row + first_row) // self._step
        col = (window.col + first_col) // self._step
        self.pixels[row : row + taken.shape[0], col : col + taken.shape[1]] = taken[..., _POSITIONS]


def draw(before: Thumbnail | None, after: Thumbnail) -> bytes:
    """Draw the date as it was seen and as it was rebuilt, side by side, as PNG.

    Both have the same colours: reflectance from black to white follows the rebuilt image.

    Parameters
    ----------
    before
        None: only the rebuilt image is drawn.
    after
        The rebuilt image.
    """
    from PIL import Image

    valid = ~all_nodata(after.pixels, S2_NODATA)
    low, high = value_range(after.pixels * S2_SCALE, valid, _SHOWN_PERCENTS)
    high = max(high, low + _LEAST_RANGE)
    shown = [after] if before is None else [before, after]
    panels = [
        enlarged(true_colour(item.pixels, black=low, white=high), SIDE_PX // 2) for item in shown
    ]
    gap = np.full((panels[0].shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    joined = panels[0] if before is None else np.concatenate([panels[0], gap, panels[1]], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(joined).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
