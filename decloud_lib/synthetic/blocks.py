"""Cut the land: blocks of about a square kilometre, strips and plots in their own directions."""

from dataclasses import dataclass

import numpy as np

from decloud_lib.synthetic.noise import cell_random, fractal
from decloud_lib.types import Array

_BLOCK_PX = 88
_STRIPS = 14
_PLOTS = 16


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of land on the pixel grid."""

    number: Array
    """(H, W) int32."""
    border_px: Array
    """(H, W) float32, distance to the border of the block."""
    border_draw: Array
    """(H, W) float32 in 0..1, one number per border between two blocks."""
    along: Array
    """(H, W) float32, coordinate along the block's own axis, pixels."""
    across: Array
    """(H, W) float32, coordinate across it."""


def draw_blocks(rng: np.random.Generator, size_px: int, key: int) -> Blocks:
    """Assign each pixel to the nearest seed of a jittered lattice, with bent borders."""
    shape = (size_px, size_px)
    axis = np.arange(size_px, dtype=np.float32)
    rows: Array = axis[:, None] + 7.0 * fractal(rng, shape, slope=2.5, longest_px=170)
    cols: Array = axis[None, :] + 7.0 * fractal(rng, shape, slope=2.5, longest_px=170)
    cell_row = np.floor(rows / _BLOCK_PX).astype(np.int32)
    cell_col = np.floor(cols / _BLOCK_PX).astype(np.int32)
    first_row, first_col = int(cell_row.min()) - 1, int(cell_col.min()) - 1
    lattice = np.meshgrid(
        np.arange(first_row, int(cell_row.max()) + 2),
        np.arange(first_col, int(cell_col.max()) + 2),
        indexing="ij",
    )
    jitter = [0.08 + 0.84 * cell_random(key + draw, *lattice) for draw in (1, 2)]
    at_rows, at_cols = ((lattice[i] + jitter[i]) * np.float32(_BLOCK_PX) for i in (0, 1))
    near = np.full((2, *shape), np.inf, dtype=np.float32)
    seeds = np.zeros((2, *shape), dtype=np.int32)
    for step in range(9):
        row = cell_row - first_row + step // 3 - 1
        seed = row * lattice[0].shape[1] + cell_col - first_col + step % 3 - 1
        distance = np.hypot(rows - at_rows.ravel()[seed], cols - at_cols.ravel()[seed])
        first = distance < near[0]
        second = ~first & (distance < near[1])
        near[1] = np.where(first, near[0], np.where(second, distance, near[1]))
        seeds[1] = np.where(first, seeds[0], np.where(second, seed, seeds[1]))
        near[0] = np.where(first, distance, near[0])
        seeds[0] = np.where(first, seed, seeds[0])
    number, other = seeds
    apart = np.hypot(*(at.ravel()[number] - at.ravel()[other] for at in (at_rows, at_cols)))
    angle = (np.pi * cell_random(key + 3, np.arange(at_rows.size))).astype(np.float32)[number]
    return Blocks(
        number=number,
        border_px=(near[1] ** 2 - near[0] ** 2) / (2.0 * np.maximum(apart, 1.0)),
        border_draw=cell_random(key + 4, np.minimum(number, other), np.maximum(number, other)),
        along=np.cos(angle) * cols + np.sin(angle) * rows,
        across=np.cos(angle) * rows - np.sin(angle) * cols,
    )


def cut_parcels(blocks: Blocks, key: int) -> tuple[Array, Array]:
    """Cut blocks into strips and these into plots of 100 to 300 m.

    Returns the number of the strip and of the plot of each pixel, (H, W) int32 each.
    """
    scale = 0.75 + 0.85 * cell_random(key + 5, blocks.number) ** 1.5
    strip, _ = cut(blocks.along, (blocks.number,), (11.0, 24.0), scale, (key + 6, _STRIPS))
    plot, _ = cut(blocks.across, (blocks.number, strip), (13.0, 36.0), scale, (key + 7, _PLOTS))
    return strip, plot


def cut(
    along: Array,
    keys: tuple[Array, ...],
    between_px: tuple[float, float],
    scale: Array,
    draw: tuple[int, int],
) -> tuple[Array, Array]:
    """Cut a coordinate into pieces of irregular length.

    Returns the number of the piece of each pixel and the distance to the nearer end of it. Groups
    of pieces have a fixed length in all, so the ground may be of any size.
    """
    seed, pieces = draw
    low, high = between_px
    period = pieces * (low + high) / 2.0 * scale
    lap = np.floor(along / period).astype(np.int32)
    offset = along - lap * period
    joined = lap.astype(np.int64)
    for key in keys:
        joined = joined * 65536 + key + 32768
    groups, group = np.unique(joined, return_inverse=True)
    draws = [cell_random(seed + 31 * index, groups) for index in range(pieces)]
    lengths = low + (high - low) * np.stack(draws, axis=1)
    share = np.cumsum(lengths, axis=1) / lengths.sum(axis=1, keepdims=True)
    number = np.zeros(along.shape, dtype=np.int32)
    nearest = offset.copy()
    group = group.reshape(along.shape)
    for index in range(pieces):
        edge = share[group, index].astype(np.float32) * period
        number += offset >= edge
        nearest = np.minimum(nearest, np.abs(offset - edge))
    return lap * pieces + np.minimum(number, pieces - 1), nearest
