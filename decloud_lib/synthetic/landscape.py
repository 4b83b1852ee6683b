"""The map under the clouds: parcels, woods, a river, roads and villages, as one label per pixel.

Blocks of about a square kilometre have their own orientation and plot size and are cut into strips
and these into parcels. Roads and hedges run along the borders of blocks. Villages replace parcels
by houses, gardens and streets.
"""

from dataclasses import dataclass

import numpy as np

from decloud_lib.synthetic.blocks import Blocks, cut, cut_parcels, draw_blocks
from decloud_lib.synthetic.classes import LandClass
from decloud_lib.synthetic.noise import cell_random, fractal
from decloud_lib.types import Array


@dataclass(frozen=True, slots=True)
class Landscape:
    """What lies where."""

    labels: Array
    """(H, W) int32, index of the parcel (or shared unit) of each pixel."""
    classes: Array
    """(L,) uint8, `LandClass` of each label."""
    block_of: Array
    """(L,) int32, block of each label; neighbours in one block resemble each other."""
    river_px: Array
    """(H, W) float32, distance to the river axis, pixels."""


def draw_landscape(rng: np.random.Generator, size_px: int) -> Landscape:
    """Draw a map.

    Parameters
    ----------
    rng
        Source of randomness.
    size_px
        Side, 10 m pixels.

    Returns
    -------
    Landscape
        With (size_px, size_px) rasters.
    """
    key = int(rng.integers(2**31))
    blocks = draw_blocks(rng, size_px, key)
    river = _draw_river(rng, size_px)
    parcel = cut_parcels(blocks, key)
    woods = fractal(rng, (size_px, size_px), slope=1.9, longest_px=130)
    detail = fractal(rng, (size_px, size_px), slope=1.4, longest_px=25)
    unit, classes = _classify_parcels(parcel, blocks, (woods, river), key)
    land = classes[unit]
    extra = np.zeros(unit.shape, dtype=np.int32)
    village = _village(rng, size_px, detail)
    _draw_lines(land, extra, blocks, (river, detail))
    _draw_village(land, extra, blocks, village, key)
    _draw_water(land, extra, river, detail)
    return _merge(unit, land, extra, blocks.number, river)


def _draw_river(rng: np.random.Generator, size_px: int) -> Array:
    """Return the distance of each pixel to a meandering axis that crosses the scene."""
    axis = np.arange(size_px, dtype=np.float32) - size_px / 2
    cols, rows = np.meshgrid(axis, axis)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * cols + np.sin(angle) * rows
    across = np.cos(angle) * rows - np.sin(angle) * cols
    course = np.full_like(along, rng.uniform(-0.22, 0.22) * size_px)
    slope = np.zeros_like(along)
    for wavelength, height in ((340.0, 26.0), (150.0, 12.0), (62.0, 4.5)):
        phase = rng.uniform(0, 2 * np.pi)
        turn = 2 * np.pi / (wavelength * rng.uniform(0.85, 1.15))
        course += height * np.sin(turn * along + phase)
        slope += height * turn * np.cos(turn * along + phase)
    distance = np.abs(across - course) / np.sqrt(1.0 + slope**2)
    return np.asarray(distance, dtype=np.float32)


def _classify_parcels(
    parcel: tuple[Array, Array], blocks: Blocks, fields: tuple[Array, Array], key: int
) -> tuple[Array, Array]:
    """Give each parcel a class: wood, meadow or arable land; return parcel numbers and classes."""
    woods, river = fields
    strip, plot = parcel
    joined = (blocks.number.astype(np.int64) * 4096 + strip + 2048) * 65536 + plot + 32768
    _, unit = np.unique(joined, return_inverse=True)
    unit = unit.reshape(joined.shape).astype(np.int32)
    count = np.bincount(unit.ravel())
    wooded = np.bincount(unit.ravel(), woods.ravel()) / count
    wet = np.bincount(unit.ravel(), river.ravel()) / count
    draw = cell_random(key + 8, np.arange(count.size))
    pasture = cell_random(key + 9, _first(unit, blocks.number)) ** 2 * 0.55
    classes = np.full(count.size, LandClass.ARABLE, dtype=np.uint8)
    classes[(draw < pasture) | ((wet < 22) & (draw < 0.6))] = LandClass.MEADOW
    classes[draw > 0.965] = LandClass.ORCHARD
    broadleaved = cell_random(key + 10, _first(unit, blocks.number)) < 0.7
    dense = wooded + 0.25 * draw > 1.25
    classes[dense] = np.where(broadleaved, LandClass.BROADLEAF, LandClass.CONIFER)[dense]
    return unit, classes


def _draw_lines(land: Array, extra: Array, blocks: Blocks, fields: tuple[Array, Array]) -> None:
    """Draw roads, tracks and hedges along the borders of blocks."""
    river, detail = fields
    draw, border = blocks.border_draw, blocks.border_px
    for limit, low, high, land_class in (
        (0.75, 0.0, 0.16, LandClass.ROAD),
        (0.5, 0.16, 0.45, LandClass.TRACK),
        (0.9, 0.45, 0.72, LandClass.HEDGE),
    ):
        line = (border < limit) & (draw >= low) & (draw < high)
        if land_class == LandClass.HEDGE:
            line &= detail > -0.5
        land[line], extra[line] = land_class, 1
    trees = (river < 6.0 + 1.5 * detail) & (detail > -0.6)
    land[trees], extra[trees] = LandClass.HEDGE, 2


def _village(rng: np.random.Generator, size_px: int, detail: Array) -> Array:
    """Return how far inside a village each pixel lies: positive inside, 1 in the centre."""
    axis = np.arange(size_px, dtype=np.float32)
    rows, cols = np.meshgrid(axis, axis, indexing="ij")
    inside = np.full((size_px, size_px), -np.inf, dtype=np.float32)
    area_km2 = (size_px / 100.0) ** 2
    villages = max(1, round(0.09 * area_km2))
    farms = round(0.8 * area_km2)
    radii = [*rng.uniform(16, 36, villages), *rng.uniform(2.5, 5.0, farms)]
    radii[0] = min(radii[0], size_px / 8)
    for radius in radii:
        row, col = rng.uniform(0.02, 0.98, 2) * size_px
        distance = np.hypot(rows - row, cols - col)
        inside = np.maximum(inside, 1.0 - distance / radius + 0.22 * detail * (radius > 8))
    return inside


def _draw_village(land: Array, extra: Array, blocks: Blocks, inside: Array, key: int) -> None:
    """Replace parcels inside villages by houses, gardens and streets."""
    built = inside > 0
    inside, number = inside[built], blocks.number[built]
    along, across = blocks.along[built], blocks.across[built]
    one = np.ones_like(inside)
    house_col, _ = cut(along, (number,), (1.6, 3.2), one, (key + 11, 8))
    house_row, _ = cut(across, (number,), (1.5, 3.4), one, (key + 12, 8))
    lane, lane_edge = cut(along, (number,), (8.0, 15.0), one, (key + 13, 6))
    draw = cell_random(key + 14, number, house_col, house_row)
    house = draw < np.clip(0.30 + 0.45 * inside, 0.0, 0.62)
    roof = np.where(draw * 97 % 1.0 < 0.62, LandClass.TILES, LandClass.CONCRETE)
    new = np.where(house, roof, np.where(draw > 0.86, LandClass.HEDGE, LandClass.GARDEN))
    hall_row = (across // 7).astype(np.int32)
    hall = cell_random(key + 17, number, lane, hall_row) > 0.975
    new[hall] = LandClass.HALL
    street = (inside > 0.06) & (cell_random(key + 16, lane) < 0.8) & (lane_edge < 0.55)
    street |= blocks.border_px[built] < 0.9
    new[street] = LandClass.ROAD
    variant = (cell_random(key + 15, number, house_col, house_row) * 8).astype(np.int32)
    land[built], extra[built] = new, np.where(street, 2, variant)


def _draw_water(land: Array, extra: Array, river: Array, detail: Array) -> None:
    """Draw the river over everything but bridges."""
    water = (river < 2.0 + 0.4 * detail) & (land != LandClass.ROAD)
    land[water], extra[water] = LandClass.WATER, 0


def _merge(unit: Array, land: Array, extra: Array, block: Array, river: Array) -> Landscape:
    """Number what was drawn: parcels keep their own number, the rest shares one per kind."""
    parcels = int(unit.max()) + 1
    shared = land > LandClass.LAST_PARCEL
    raw = np.where(shared, parcels + land.astype(np.int32) * 16 + extra, unit)
    used, labels = np.unique(raw, return_inverse=True)
    labels = labels.reshape(raw.shape).astype(np.int32)
    return Landscape(
        labels=labels,
        classes=_first(labels, land),
        block_of=np.where(used < parcels, _first(labels, block), -1).astype(np.int32),
        river_px=river,
    )


def _first(labels: Array, values: Array) -> Array:
    """Return, for each label, the value at one of its pixels."""
    result = np.zeros(int(labels.max()) + 1, dtype=values.dtype)
    result[labels.ravel()[::-1]] = values.ravel()[::-1]
    return result
