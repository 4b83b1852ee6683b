"""Boolean masks: no data, cloud and edge, their counts per patch, and box morphology."""

import numpy as np

from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.errors import ShapeError
from decloud_lib.types import Array


def all_nodata(pixels: Array, nodata: float) -> Array:
    """Say for which pixels all bands hold no data.

    Parameters
    ----------
    pixels : (H, W, C)
        Any type.
    nodata
        The value that marks no data; NaN is understood.

    Returns
    -------
    (H, W) bool
    """
    hit = np.isnan(pixels) if np.isnan(nodata) else pixels == nodata
    return np.asarray(np.all(hit, axis=-1))


def count_per_patch(mask: Array, patch_px: int = ELEMENTARY_PATCH_PX) -> Array:
    """Count the set pixels of each whole patch.

    Parameters
    ----------
    mask : (H, W) bool or integer
        Non-zero = set.
    patch_px
        Side of a patch, pixels, at most 255.

    Returns
    -------
    (H // patch_px, W // patch_px) uint16, 0..patch_px**2. What lies beyond the last whole patch,
    at the right and at the bottom, is not counted.
    """
    if mask.ndim != 2:
        raise ShapeError(f"found a mask of shape {mask.shape}, expected (H, W)")
    rows, cols = mask.shape[0] // patch_px, mask.shape[1] // patch_px
    whole = mask[: rows * patch_px, : cols * patch_px] != 0
    # Along rows first: this sum runs over contiguous bytes, which is several times faster.
    per_row = whole.reshape(rows * patch_px, cols, patch_px).sum(axis=-1, dtype=np.uint16)
    counts: Array = per_row.reshape(rows, patch_px, cols).sum(axis=1, dtype=np.uint16)
    return counts


def cloud_percent(counts: Array, factor: int) -> Array:
    """Turn counts of cloudy pixels into a percentage per working patch.

    Parameters
    ----------
    counts : (h, w) uint16
        Cloudy pixels per elementary patch.
    factor
        Elementary patches along the side of a working patch (P / 64).

    Returns
    -------
    (h // factor, w // factor) float64, 0..100: the mean over the cells of a working patch.
    """
    percent = counts.astype(np.float64) * (100.0 / ELEMENTARY_PATCH_PX**2)
    return np.asarray(_cells(percent, factor).mean(axis=(1, 3)))


def is_valid(counts: Array, factor: int) -> Array:
    """Say which working patches hold no edge pixel at all.

    Parameters
    ----------
    counts : (h, w) uint16
        Edge or no-data pixels per elementary patch.
    factor
        Elementary patches along the side of a working patch (P / 64).

    Returns
    -------
    (h // factor, w // factor) bool
    """
    return np.asarray(_cells(counts, factor).max(axis=(1, 3)) == 0)


def grow(mask: Array, radius_px: int) -> Array:
    """Set the pixels within a box of side 2 * radius_px + 1 around each set pixel.

    Parameters
    ----------
    mask : (H, W) bool
        Beyond the border nothing is set.
    radius_px
        Pixels, 0 or more.

    Returns
    -------
    (H, W) bool
    """
    grown: Array = mask != 0
    for axis in (0, 1):
        grown = _any_within(grown, radius_px, axis)
    return grown


def erode_mask(mask: Array, radius_px: int) -> Array:
    """Clear the pixels within a box around each clear pixel; the border itself clears nothing."""
    return ~grow(mask == 0, radius_px)


def close_mask(mask: Array, radius_px: int) -> Array:
    """Fill gaps narrower than a box of side 2 * radius_px + 1: `grow`, then `erode_mask`."""
    return erode_mask(grow(mask, radius_px), radius_px)


def box_share(mask: Array, radius_px: int) -> Array:
    """Return the share of set pixels in a box of side 2 * radius_px + 1 around each pixel.

    Parameters
    ----------
    mask : (H, W) bool
        Beyond the border counts what the outermost pixels are.
    radius_px
        Pixels, 0 or more.

    Returns
    -------
    (H, W) float64, 0..1
    """
    share = np.pad(mask, radius_px, mode="edge").astype(np.float64)
    side = 2 * radius_px + 1
    for axis, size in enumerate(mask.shape):
        running = np.insert(np.cumsum(share, axis=axis), 0, 0.0, axis=axis)
        ends = np.take(running, np.arange(side, side + size), axis=axis)
        share = (ends - np.take(running, np.arange(size), axis=axis)) / side
    return share


def scl_table(classes: frozenset[int]) -> Array:
    """Return the table that turns ESA's scene classification into the bits of Theia's cloud mask.

    Parameters
    ----------
    classes
        Classes that count as cloud; all others become 0.

    Returns
    -------
    (256,) uint8, by class. 8 and 9 (cloud of medium and high probability) become bits 0 and 1,
    10 (thin cirrus) bit 7, 3 (cloud shadow) bits 0 and 5, any other class that counts bit 0.

    Notes
    -----
    Bits as in the format of MAJA's L2A products: 0 clouds and shadows, 1 clouds, 5 shadows of
    clouds inside the image, 7 high clouds seen at 1.38 um. Classes as in ESA's L2A products.
    """
    bits = {3: 0b0010_0001, 8: 0b11, 9: 0b11, 10: 0b1000_0000}
    table = np.zeros(256, np.uint8)
    for number in classes:
        table[number] = bits.get(number, 1)
    return table


def _cells(values: Array, factor: int) -> Array:
    """Return (rows, factor, cols, factor): the cells of each whole working patch."""
    if values.ndim != 2 or factor < 1:
        raise ShapeError(f"found shape {values.shape}, factor {factor}; expected (h, w), 1 or more")
    rows, cols = values.shape[0] // factor, values.shape[1] // factor
    whole = values[: rows * factor, : cols * factor]
    return whole.reshape(rows, factor, cols, factor)


def _any_within(mask: Array, radius_px: int, axis: int) -> Array:
    """Say whether any pixel within the radius along one axis is set, by a running sum."""
    size = mask.shape[axis]
    padding = [(0, 0), (0, 0)]
    padding[axis] = (1, 0)
    running = np.pad(np.cumsum(mask, axis=axis, dtype=np.int32), padding)
    positions = np.arange(size)
    after = np.take(running, np.minimum(positions + radius_px + 1, size), axis=axis)
    before = np.take(running, np.maximum(positions - radius_px, 0), axis=axis)
    return np.asarray(after > before)
