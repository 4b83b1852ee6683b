"""What a fit predicts from, laid out for the processor: rows below each other, each in planes.

A row of a plane is contiguous, and a few rows of all planes stay in the cache. Differences to the
linear estimate are not taken where only their products with coefficients count: see `fit_grid`.
"""

from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.temporal import Neighbours, local_mean
from decloud_lib.types import Array

IMAGES = 5
"""The linear estimate, and the four images around the date."""
RADAR_BANDS = 2
"""VV and VH."""


@dataclass(frozen=True, slots=True)
class FitPlanes:
    """The images around a date, in planes."""

    values: Array
    """(H, 1 + 5 B + 2, W) float32: a 1; the linear estimate, `before`, `before_2`, `after` and
    `after_2` of `Neighbours`; the 5 px means of the radar change."""
    found: Array
    """(H, W) bool, False where no image is usable; the images are 0 there."""

    @property
    def images(self) -> Array:
        """(H, 5, B, W) float32, a view: the linear estimate and the four images."""
        height, _, width = self.values.shape
        return self.values[:, 1:-RADAR_BANDS].reshape(height, IMAGES, -1, width)

    @property
    def linear(self) -> Array:
        """(H, B, W) float32, a view: the linear estimate."""
        return self.images[:, 0]

    @property
    def radar(self) -> Array:
        """(H, 2, W) float32, a view: the 5 px means of the radar change."""
        return self.values[:, -RADAR_BANDS:]

    def features(self) -> Array:
        """Return (H, 3 + 10 B + 2, W) float32 features; see `fitting.fit_features`."""
        height, planes, width = self.values.shape
        local = planes - 1 - RADAR_BANDS
        features = np.empty((height, 1 + 2 * local + RADAR_BANDS, width), np.float32)
        here = features[:, 1 : 1 + local]
        features[:, 0] = 1.0
        here[:] = self.values[:, 1 : 1 + local]
        split = here.reshape(height, IMAGES, -1, width)
        split[:, 1:] -= split[:, :1]
        features[:, 1 + local : 1 + 2 * local] = local_mean(here, self.found)
        features[:, 1 + 2 * local :] = self.radar
        return features


def empty_planes(shape: tuple[int, int], n_bands: int) -> Array:
    """Return values of `FitPlanes` in which nothing is filled in but the ones."""
    values = np.empty((shape[0], 1 + IMAGES * n_bands + RADAR_BANDS, shape[1]), np.float32)
    values[:, 0] = 1.0
    return values


def planes_of(neighbours: Neighbours, radar_change: Array | None = None) -> FitPlanes:
    """Lay out what was seen around a date; see `fitting.fit_features`."""
    images = (
        neighbours.linear,
        *(neighbours.before, neighbours.before_2, neighbours.after, neighbours.after_2),
    )
    planes = FitPlanes(
        empty_planes(neighbours.found.shape, neighbours.before.shape[2]), neighbours.found
    )
    for number, image in enumerate(images):
        planes.images[:, number] = np.moveaxis(image, 2, 1)
    planes.radar[:] = 0.0
    if radar_change is not None:
        everywhere = np.ones_like(neighbours.found)
        planes.radar[:] = local_mean(np.moveaxis(radar_change, 2, 1), everywhere)
    return planes
