"""The clear dates around a date: nearest ones per pixel, and linear interpolation between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.types import Array

RADIUS_PX = 2
"""Local means are over boxes of 5 x 5 pixels: less than a field, enough against noise."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What was seen of the ground before and after a date, per pixel.

    Where one side has no image, the other side stands in for it; a second image that is missing is
    the first one again.
    """

    before: Array
    """(H, W, B) float32, nearest usable image before the date."""
    before_2: Array
    """(H, W, B) float32, the one before that."""
    after: Array
    """(H, W, B) float32, nearest usable image after the date."""
    after_2: Array
    """(H, W, B) float32, the one after that."""
    ratio: Array
    """(H, W, 1) float32, where the date lies between `before` (0) and `after` (1)."""
    found: Array
    """(H, W) bool, False where no image is usable; the pixels are 0 there."""

    @property
    def linear(self) -> Array:
        """(H, W, B) float32, linear interpolation in time between the nearest images."""
        return np.asarray(self.before + (self.after - self.before) * self.ratio)


@dataclass(frozen=True, slots=True)
class Side:
    """What was seen of the ground before a date, or after it, per pixel."""

    nearest: Array
    """(H, W, B) float32, 0 where not found."""
    second: Array
    """(H, W, B) float32, the one beyond it; the nearest again where there is none."""
    distance: Array
    """(H, W) float, time from the nearest to the date, 0 or more, in any one unit."""
    found: Array
    """(H, W) bool."""


def find_neighbours(
    images: Sequence[Array], usable: Sequence[Array], days: Sequence[float | Array]
) -> Neighbours:
    """Find at each pixel the two nearest usable images before a date and the two after it.

    Parameters
    ----------
    images
        (H, W, B) each, reflectance, in any order.
    usable
        (H, W) bool each, True where the image shows the ground.
    days
        Time of each image less the time of the date, in any one unit; a number, or (H, W) for a
        mosaic of dates. 0 counts as before.

    Raises
    ------
    ShapeError
        No image, or not as many masks and times as images.
    """
    if not images or not len(images) == len(usable) == len(days):
        raise ShapeError(
            f"found {len(images)} images, {len(usable)} masks and {len(days)} times; "
            "expected at least one image, and a mask and a time for each"
        )
    shape = images[0].shape
    times = np.stack([np.broadcast_to(np.asarray(day, np.float64), shape[:2]) for day in days])
    stack = np.stack([np.asarray(image, np.float32) for image in images])
    masks = np.stack([np.asarray(mask, bool) for mask in usable])
    stack[~masks] = 0.0
    past = _nearest_two(stack, masks & (times <= 0), -times)
    future = _nearest_two(stack, masks & (times > 0), times)
    return between(past, future)


def between(past: Side, future: Side) -> Neighbours:
    """Join what was seen before and after a date; one side stands in for the other."""
    both = past.found & future.found
    span = past.distance + future.distance
    ratio = np.divide(
        past.distance, span, out=np.zeros(span.shape, np.float32), where=both & (span > 0)
    )
    only_after, only_before = future.found & ~both, past.found & ~both
    return Neighbours(
        before=_replaced(past.nearest, future.nearest, only_after),
        before_2=_replaced(past.second, future.second, only_after),
        after=_replaced(future.nearest, past.nearest, only_before),
        after_2=_replaced(future.second, past.second, only_before),
        ratio=ratio[..., None],
        found=past.found | future.found,
    )


def _replaced(image: Array, other: Array, where: Array) -> Array:
    """Return an image with the pixels of another; itself, as mostly, where there are none."""
    return np.where(where[..., None], other, image) if where.any() else image


def local_mean(planes: Array, known: Array) -> Array:
    """Average the known pixels of the 5 x 5 box around each pixel.

    Parameters
    ----------
    planes : (H, C, W) float32
        0 where not known.
    known : (H, W) bool

    Returns
    -------
    (H, C, W) float32; boxes are cut at the border; 0 where nothing in the box is known.
    """
    total = _sum_of_five(_sum_of_five(planes, 0), 2)
    if known.all():
        down, across = (_sum_of_five(np.ones(size, np.float32), 0) for size in known.shape)
        count = down[:, None] * across[None, :]
    else:
        count = _sum_of_five(_sum_of_five(known.astype(np.float32), 0), 1)
    total *= (1 / np.maximum(count, 1))[:, None, :]
    return total


def _nearest_two(stack: Array, masks: Array, distance: Array) -> Side:
    far = np.where(masks, distance, np.inf)
    order = np.argsort(far, axis=0, kind="stable")
    first = order[0]
    found = np.isfinite(np.take_along_axis(far, first[None], axis=0)[0])
    second = order[1] if len(order) > 1 else first
    reach = np.take_along_axis(far, second[None], axis=0)[0]
    second = np.where(np.isfinite(reach), second, first)
    rows, cols = np.indices(first.shape)
    near = np.where(found[..., None], stack[first, rows, cols], np.float32(0))
    nearer = np.take_along_axis(far, first[None], axis=0)[0]
    next_one = np.where(found[..., None], stack[second, rows, cols], np.float32(0))
    return Side(near, next_one, np.where(found, nearer, 0.0), found)


def _sum_of_five(values: Array, axis: int) -> Array:
    """Sum five values that follow each other along an axis; beyond the border is nothing."""
    found = np.empty_like(values)
    along, total = values.swapaxes(0, axis), found.swapaxes(0, axis)
    if len(along) < 2 * RADIUS_PX + 1:
        for at in range(len(along)):
            total[at] = along[max(at - RADIUS_PX, 0) : at + RADIUS_PX + 1].sum(axis=0)
        return found
    two = along[:-1] + along[1:]
    inner = total[RADIUS_PX:-RADIUS_PX]
    np.add(two[:-3], two[2:-1], out=inner)
    inner += along[2 * RADIUS_PX :]
    total[0], total[1] = two[0] + along[2], two[0] + two[2]
    total[-1], total[-2] = two[-1] + along[-3], two[-1] + two[-3]
    return found
