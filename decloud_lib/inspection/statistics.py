"""Rasters of counts per elementary patch."""

import numpy as np

from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.errors import GridMismatchError
from decloud_lib.raster.describe import StoredRaster, open_plain
from decloud_lib.types import Array

PATCH_PIXELS = ELEMENTARY_PATCH_PX**2


def patch_counts(uri: str) -> tuple[Array, StoredRaster]:
    """Return (h, w) int64 pixels counted in each patch, and how the raster is stored."""
    with open_plain(uri) as raster:
        strips = [pixels[..., 0].astype(np.int64) for _, pixels in raster.strips()]
        return np.concatenate(strips), raster.stored


def visible_count(flagged: Array, outside: Array, uris: tuple[str, str]) -> int:
    """Return how many pixels are flagged, without those that must lie outside.

    A mask may flag what is outside of the image too. In a patch that is cut by its edge no more can
    be flagged inside than there is; everywhere else the count is exact.

    Parameters
    ----------
    flagged, outside : (h, w) int64
        Pixels of each patch.
    uris
        Where they come from.

    Raises
    ------
    GridMismatchError
        The two are of different size.
    """
    if flagged.shape != outside.shape:
        raise GridMismatchError(
            f"{uris[0]} has {flagged.shape} patches and {uris[1]} {outside.shape}; expected the "
            "same number of rows and columns: prepare the product again"
        )
    return int(np.minimum(flagged, PATCH_PIXELS - outside).sum())
