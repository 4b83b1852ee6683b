"""What a fit predicts from, filled in from the composed dates of a window.

The clear images around the date lie in planes, a strip of rows at a time, so that what is made of
them stays in the processor's cache.
"""

from collections.abc import Mapping

import numpy as np

from decloud_lib import bands
from decloud_lib.arrays.fit_planes import FitPlanes, empty_planes
from decloud_lib.arrays.temporal import RADIUS_PX, local_mean
from decloud_lib.types import Array

STRIP_PX = 32
"""Rows of a strip; a multiple of 16, so that any of them holds all folds."""
_SCALE = np.float32(bands.S2_SCALE)


def room_for(width: int) -> Array:
    """Return room for the planes of a strip so wide, to be used again and again."""
    return empty_planes((STRIP_PX + 2 * RADIUS_PX, width), len(bands.S2_10M_BANDS))


def fill_planes(reading: Mapping[str, Array], room: Array) -> FitPlanes:
    """Fill in the clear images around the date, and how radar changed between them.

    Where one side has no image, the other side stands in for it; a second image that is missing is
    the first one again: see `temporal.Neighbours`.

    Parameters
    ----------
    reading
        (H, W, C) arrays by the keys of `five_dates.composed_sources`, as they are stored.
    room
        Of `room_for`, at least (H, planes, W); filled, and held by what is returned.
    """
    past, future = (reading[key][..., 0] != bands.S2_NODATA for key in ("s2_tm1", "s2_tp1"))
    planes = FitPlanes(room[: past.shape[0], :, : past.shape[1]], past | future)
    images = planes.images
    for number, key in enumerate(("s2_tm1", "s2_tm2", "s2_tp1", "s2_tp2"), start=1):
        np.multiply(np.moveaxis(reading[key], 2, 1), _SCALE, out=images[:, number])
    before, after = images[:, 1:3], images[:, 3:5]
    for side, key in ((before, "s2_tm2"), (after, "s2_tp2")):
        _replace(side[:, 1], side[:, 0], reading[key][..., 0] == bands.S2_NODATA)
    _replace(before, after, ~past)
    _replace(after, before, ~future)
    _replace(images[:, 1:], np.float32(0), ~planes.found)
    linear = planes.linear
    ratio = _ratio(reading, past & future)
    np.subtract(after[:, 0], before[:, 0], out=linear)
    linear *= ratio
    linear += before[:, 0]
    planes.radar[:] = local_mean(_radar_change(reading, ratio), np.ones_like(past))
    return planes


def _replace(planes: Array, other: Array | np.float32, where: Array) -> None:
    """Replace pixels in all planes, where there are any."""
    if where.any():
        mask = where[(slice(None), *(None,) * (planes.ndim - 2))]
        np.copyto(planes, other, where=mask)


def _ratio(reading: Mapping[str, Array], both: Array) -> Array:
    """Return (H, 1, W) float32: where the date lies between those around it."""
    past, now, future = (reading[f"s2_timestamp_{name}"][..., 0] for name in ("tm1", "t", "tp1"))
    # Differences are exact before they become short.
    since, left = ((time - now).astype(np.float32) for time in (past, future))
    np.abs(since, out=since)
    span = since + np.abs(left, out=left)
    ratio = np.divide(since, span, out=np.zeros(both.shape, np.float32), where=both & (span > 0))
    return ratio[:, None]


def _radar_change(reading: Mapping[str, Array], ratio: Array) -> Array:
    """Return (H, 2, W) float32: the date less the interpolation between its neighbours."""
    before, now, after = (np.moveaxis(reading[f"s1_{name}"], 2, 1) for name in ("tm1", "t", "tp1"))
    change = np.subtract(before, after, dtype=np.float32)
    change *= ratio
    change += now
    change -= before
    change *= np.float32(bands.S1_SCALE)
    unknown = (before == 0) | (now == 0) | (after == 0)
    if unknown.any():
        change[unknown] = 0.0
    return change
