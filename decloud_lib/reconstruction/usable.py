"""Dates that look fine by their names, and cannot give an image."""

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.masks import all_nodata
from decloud_lib.errors import NoSampleError
from decloud_lib.raster.products.prepared import PreparedS2
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.views import open_image
from decloud_lib.reconstruction.inputs import SceneInputs
from decloud_lib.types import Array, Window

_STRIP_PX = 1024
#: A date with less than this share of clear ground is taken as wholly cloudy.
_LEAST_CLEAR = 0.005


def has_data(product: PreparedS2, extent: Window) -> bool:
    """Say whether any pixel of an extent has data; reads strips until one has.

    Raises
    ------
    ProductError
        The image cannot be read.
    """
    with open_image(product.stack_10m) as reader:
        for row in range(extent.row, extent.row + extent.height, _STRIP_PX):
            height = min(_STRIP_PX, extent.row + extent.height - row)
            pixels = reader.read(Window(row, extent.col, height, extent.width))
            if not all_nodata(pixels, bands.S2_NODATA).all():
                return True
    return False


def check_has_data(product: PreparedS2, extent: Window) -> None:
    """Check that a date has data in an extent.

    Raises
    ------
    NoSampleError
        It is empty.
    """
    if not has_data(product, extent):
        raise NoSampleError(
            f"{product.name} has no data in the extent: a model that takes the date itself (s2_t) "
            "could estimate nothing; leave the date out, or use a model that does without it "
            "(gap-filling, OS1) and no --skip-nodata-images"
        )


def check_clear_neighbours(inputs: SceneInputs) -> None:
    """Check that each side has a date that is not wholly cloudy.

    Raises
    ------
    NoSampleError
        All dates of a side are: the image would be made of clouds.
    """
    for word, dates in (("before", inputs.s2_before), ("after", inputs.s2_after)):
        if dates and all(clear_share(item) < _LEAST_CLEAR for item in dates):
            days = ", ".join(f"{item.acquired:%Y-%m-%d}" for item in dates)
            raise NoSampleError(
                f"no clear pixel {word} {inputs.target.acquired:%Y-%m-%d}: the dates "
                f"there are wholly cloudy or empty ({days}); widen --max-days, prepare more dates, "
                "or take clouds as they are with --priority closest"
            )


def clear_share(product: PreparedS2) -> float:
    """Return the share of the ground that is neither cloud nor outside, 0..1, by the statistics."""
    flagged = _counts(product.cloud_stats) + _counts(product.edge_stats)
    # A pixel may be flagged as both.
    clear = np.maximum(bands.ELEMENTARY_PATCH_PX**2 - flagged, 0)
    return float(np.mean(clear) / bands.ELEMENTARY_PATCH_PX**2)


def _counts(uri: str) -> Array:
    with open_raster(uri) as reader:
        return reader.read(Window(0, 0, *reader.grid.shape))[..., 0].astype(np.int64)
