"""Mosaics of an ordered stack of dates: at each pixel the first date that can be used."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from decloud_lib.arrays.masks import box_share
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

UNFILLED = -1


@dataclass(frozen=True, slots=True)
class Layer:
    """What one image of a mosaic looks like."""

    bands: int
    """Number of bands."""
    dtype: DTypeLike
    """Type of the stored values."""
    nodata: int
    """Value where no date could be used."""


class FirstUsable:
    """A mosaic that is filled date by date, so that the caller stops reading when it is full.

    Attributes
    ----------
    pixels : dict of (H, W, C) arrays by layer, the layer's no-data value where nothing was found
    chosen : (H, W) int16, number of the date that fills a pixel; -1 = none
    """

    def __init__(self, shape: tuple[int, int], layers: dict[str, Layer]) -> None:
        # Bands are contiguous planes in memory, as GDAL gives them: masked copies are then fast.
        self.pixels = {
            name: np.moveaxis(np.full((layer.bands, *shape), layer.nodata, dtype=layer.dtype), 0, 2)
            for name, layer in layers.items()
        }
        self.chosen = np.full(shape, UNFILLED, dtype=np.int16)

    @property
    def open(self) -> Array:
        """(H, W) bool, True where no date was found yet."""
        return np.asarray(self.chosen == UNFILLED)

    @property
    def is_full(self) -> bool:
        """Whether all pixels are filled."""
        return not bool(self.open.any())

    def add(self, number: int, layers: dict[str, Array], usable: Array) -> None:
        """Fill the pixels that are still open from one date.

        Parameters
        ----------
        number
            What `chosen` records for this date, 0..32767.
        layers
            (H, W, C) array of each layer.
        usable
            (H, W) bool, True where all layers of this date can be used.
        """
        take = usable & self.open
        for name, pixels in self.pixels.items():
            np.copyto(pixels, layers[name], where=take[:, :, np.newaxis])
        self.chosen[take] = number

    def fill_from(self, other: "FirstUsable") -> None:
        """Fill the pixels that are still open from another mosaic of the same layers."""
        take = self.open & ~other.open
        for name, pixels in self.pixels.items():
            np.copyto(pixels, other.pixels[name], where=take[:, :, np.newaxis])
        self.chosen[take] = other.chosen[take]


def of_chosen(values: Sequence[int], chosen: Array) -> Array:
    """Return (H, W) int64, the value of the image that fills each pixel; the first where none does.

    Parameters
    ----------
    values
        One per image, such as its time.
    chosen : (H, W) int16
        See `FirstUsable`.
    """
    found = np.full(chosen.shape, values[0], np.int64)
    # Several times as fast as a look-up, for few images.
    for number in range(1, int(chosen.max()) + 1):
        np.copyto(found, values[number], where=chosen == number)
    return found


def first_usable(
    stack: Sequence[Array], usable: Sequence[Array], nodata: int, preferred: Sequence[Array] = ()
) -> tuple[Array, Array]:
    """Build the mosaic of an ordered stack: at each pixel the first date that can be used.

    Parameters
    ----------
    stack
        (H, W, C) images, best first, same dtype.
    usable
        (H, W) bool per image, True where it has data.
    nodata
        Value where no image has data.
    preferred
        (H, W) bool per image: the first image that has data *and* is preferred (free of clouds)
        wins; only where there is none, the first one that has data.

    Returns
    -------
    (H, W, C) mosaic and (H, W) int16 number of the image at each pixel, -1 = none.

    Raises
    ------
    ShapeError
        The stack is empty, or the numbers of images and masks differ.
    """
    if not stack or len(usable) != len(stack) or len(preferred) not in (0, len(stack)):
        raise ShapeError(
            f"found {len(stack)} images, {len(usable)} and {len(preferred)} masks; "
            "expected one mask per image"
        )
    shape = (stack[0].shape[0], stack[0].shape[1])
    layer = {"image": Layer(stack[0].shape[2], stack[0].dtype, nodata)}
    mosaic, fallback = FirstUsable(shape, layer), FirstUsable(shape, layer)
    for number, image in enumerate(stack):
        fallback.add(number, {"image": image}, usable[number])
        if preferred:
            mosaic.add(number, {"image": image}, usable[number] & preferred[number])
    mosaic.fill_from(fallback)
    return mosaic.pixels["image"], mosaic.chosen


def clear_weight(clear: Array, feather_px: int) -> Array:
    """Say how much of an observed pixel is kept beside what replaces its cloudy neighbours.

    Parameters
    ----------
    clear : (H, W) bool
        True where the observation can be used; beyond the border nothing is known, and counts as
        the outermost pixels do.
    feather_px
        Width of the transition, pixels; 0 = none.

    Returns
    -------
    (H, W) float32: 0 where it is not clear, 1 where all within `feather_px` is, growing in between.
    The share of clear pixels in a box is a half beside a straight edge and 1 at a distance of
    `feather_px`; twice that share less one is the weight.
    """
    if feather_px == 0:
        return clear.astype(np.float32)
    share = box_share(clear, feather_px)
    return np.asarray(np.clip(2 * share - 1, 0, 1) * clear, dtype=np.float32)
