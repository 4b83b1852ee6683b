"""A place seen on many partly cloudy dates, as readers over arrays and as prepared products."""

import numpy as np

from decloud_lib.arrays.fitting import fill_gap
from decloud_lib.arrays.temporal import find_neighbours
from decloud_lib.types import Array
from tests.unit.reconstruction.scenes import Scene

DAYS = (-35.0, -20.0, -10.0, 0.0, 10.0, 25.0, 40.0)


def clouds(seed: int, shape: tuple[int, int], share: float = 0.4) -> Array:
    """Smooth patches of some 30 px, True = cloud."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((shape[0] // 24 + 3, shape[1] // 24 + 3))
    rows = np.linspace(0, coarse.shape[0] - 1.01, shape[0])
    cols = np.linspace(0, coarse.shape[1] - 1.01, shape[1])
    low, left = rows.astype(int), cols.astype(int)
    down, across = (rows - low)[:, None], (cols - left)[None, :]
    upper = coarse[low][:, left] * (1 - across) + coarse[low][:, left + 1] * across
    lower = coarse[low + 1][:, left] * (1 - across) + coarse[low + 1][:, left + 1] * across
    smooth = upper * (1 - down) + lower * down
    return smooth > np.quantile(smooth, 1 - share)


def add_dates(scene: Scene, days: tuple[float, ...] = DAYS, *, haze: float = 0.0) -> None:
    """Write dates of one ground that changes, each hidden by clouds of its own.

    The date 0 differs from interpolation by what depends on the ground, more and more from left to
    right, so that a regional fit has something to follow; `haze` makes it stronger.
    """
    rng = np.random.default_rng(scene.seed)
    ground = rng.integers(300, 4000, (scene.shape[0] // 6 + 1, scene.shape[1] // 6 + 1, 4))
    ground = ground.repeat(6, axis=0).repeat(6, axis=1)[: scene.shape[0], : scene.shape[1]]
    growth = rng.normal(0, 12, ground.shape)
    across = np.linspace(0.5, 1.5, scene.shape[1])[None, :, None]
    for day in days:
        pixels = ground + growth * day + rng.normal(0, 15, ground.shape)
        if day == 0:
            pixels += (100 + 0.08 * ground + haze * ground) * across
        pixels = np.clip(pixels, 1, 9000).astype(np.int16)
        cloud = clouds(round(100 + day), scene.shape)
        scene.add_s2(day, pixels=np.where(cloud[..., None], 8000, pixels), cloud=cloud)
        scene.add_s1(day + 0.5)


def expected_fit(
    scene: Scene,
    stored_images: dict[float, Array],
    masks: dict[float, Array],
    radar: dict[float, Array],
) -> Array:
    """The definition: all dates in memory, one fit for the whole image; DN, not rounded."""
    around = [day for day in stored_images if day != 0]
    scaled = {day: image * np.float32(1e-4) for day, image in stored_images.items()}
    usable = [masks[day] == 0 for day in around]
    neighbours = find_neighbours([scaled[day] for day in around], usable, around)
    radars = {day: pixels.astype(np.float32) / 65535 for day, pixels in radar.items()}
    before, after = (_radar_of_nearest(radars, masks, around, sign) for sign in (-1, 1))
    known = (before.min(axis=2) >= 0) & (after.min(axis=2) >= 0)
    change = radars[0.0] - (before + (after - before) * neighbours.ratio)
    change = np.where(known[..., None], change, 0).astype(np.float32)
    return 10000 * fill_gap(neighbours, change, scaled[0.0], masks[0.0] == 0)


def _radar_of_nearest(
    radars: dict[float, Array], masks: dict[float, Array], around: list[float], sign: int
) -> Array:
    found = np.full((*masks[0.0].shape, 2), -9.0, np.float32)
    for day in sorted((day for day in around if day * sign > 0), key=abs, reverse=True):
        found = np.where((masks[day] == 0)[..., None], radars[day], found)
    return found
