"""Radar backscatter of the ground, with speckle."""

import numpy as np

from decloud_lib.synthetic.classes import LandClass
from decloud_lib.synthetic.landscape import Landscape
from decloud_lib.synthetic.noise import fractal, smoothed
from decloud_lib.synthetic.phenology import LandState
from decloud_lib.types import Array

#: VV and VH/VV of land that is not arable, dB; and how much pixels differ for good, dB.
_FIXED_DB = {
    LandClass.MEADOW: (-9.6, -7.4, 1.6),
    LandClass.ORCHARD: (-8.4, -6.8, 1.3),
    LandClass.BROADLEAF: (-8.0, -5.9, 1.0),
    LandClass.CONIFER: (-8.4, -5.7, 1.0),
    LandClass.HEDGE: (-7.6, -6.2, 1.6),
    LandClass.GARDEN: (-6.2, -7.6, 2.8),
    LandClass.WATER: (-17.0, -7.5, 0.8),
    LandClass.ROAD: (-9.2, -8.8, 1.8),
    LandClass.TRACK: (-9.6, -8.6, 1.5),
    LandClass.TILES: (-2.4, -9.6, 3.6),
    LandClass.CONCRETE: (-1.6, -10.0, 4.0),
    LandClass.HALL: (1.5, -11.0, 3.5),
}
_BARE_VV_DB, _BARE_RATIO_DB, _ARABLE_GRAIN_DB = -8.7, -9.3, 2.1
#: Weights of neighbouring pixels in a detected image: 20 m resolution on 10 m pixels.
_RESOLUTION = (0.25, 0.5, 0.25)
_KEPT_VARIANCE = sum(weight**2 for weight in _RESOLUTION) ** 2


class Backscatter:
    """The radar side of a landscape; what is constant is drawn once."""

    def __init__(self, rng: np.random.Generator, landscape: Landscape) -> None:
        self._labels = landscape.labels
        self._classes = landscape.classes
        count, shape = landscape.classes.size, landscape.labels.shape
        common_db = rng.normal(0.0, 1.9, (count, 1))
        self._unit_db = (common_db + rng.normal(0.0, 0.45, (count, 2))).astype(np.float32)
        grain = np.full(int(max(LandClass)) + 1, _ARABLE_GRAIN_DB, dtype=np.float32)
        for land_class, (_, _, spread) in _FIXED_DB.items():
            grain[land_class] = spread
        spread_px = grain[landscape.classes][landscape.labels]
        common = fractal(rng, shape, slope=0.9, longest_px=8)
        own = fractal(rng, shape, slope=0.9, longest_px=8)
        self._grain_db = np.stack(
            [spread_px * common, spread_px * (0.85 * common + 0.25 * own)], axis=-1
        )

    def sigma0(
        self, rng: np.random.Generator, state: LandState, looks: float, *, ascending: bool
    ) -> Array:
        """Return one date.

        Parameters
        ----------
        rng
            Source of the date's speckle and offsets.
        state
            Cover of the labels.
        looks
            Equivalent number of looks of the speckle.
        ascending
            Evening pass: seen from the other side, with dew gone.

        Returns
        -------
        Array
            (H, W, 2) float32, sigma nought, linear power, VV then VH; always positive.
        """
        level_db: Array = self._level_db(state) + self._unit_db
        level_db = level_db + rng.normal(0.0, (0.35, 0.3), level_db.shape)
        level_db = level_db + rng.normal(0.0, 0.45) + rng.normal(0.0, (0.15, 0.35))
        if ascending:
            level_db = level_db + np.array([-0.25, -0.15])
        pixels_db = level_db.astype(np.float32)[self._labels] + self._grain_db
        power = np.power(np.float32(10.0), pixels_db / np.float32(10.0), dtype=np.float32)
        # Speckle of fewer looks, averaged by the sensor's resolution, has the looks asked for.
        shape = looks * _KEPT_VARIANCE
        power *= rng.standard_gamma(shape, power.shape, dtype=np.float32) / np.float32(shape)
        for axis in (0, 1):
            power = smoothed(power, _RESOLUTION, axis)
        return np.asarray(np.maximum(power, np.float32(1e-5), out=power))

    def _level_db(self, state: LandState) -> Array:
        """Return VV and VH of each label, (L, 2), dB."""
        wet = 3.6 * (state.moisture - 0.35)
        canopy = state.green + 0.35 * state.dry
        bare = np.clip(1.0 - 0.75 * state.green, 0.0, 1.0)
        co = _BARE_VV_DB + wet * bare + 2.6 * state.rough * bare + state.vv_db * canopy
        ratio = _BARE_RATIO_DB + state.ratio_db * canopy - 0.4 * state.rough
        for land_class, (level, cross, _) in _FIXED_DB.items():
            here = self._classes == land_class
            season = 0.5 * wet[here] * bare[here]
            co[here] = level + season
            ratio[here] = cross + 1.8 * (state.green[here] - 0.7) * (state.green[here] > 0)
        return np.stack([co, co + ratio], axis=-1)
