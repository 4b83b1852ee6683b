"""Reflectance of the ground: how the cover of each parcel and the texture within it look."""

import numpy as np

from decloud_lib.bands import S2_10M_BANDS, S2_20M_BANDS
from decloud_lib.synthetic.classes import LandClass
from decloud_lib.synthetic.landscape import Landscape
from decloud_lib.synthetic.noise import fractal
from decloud_lib.synthetic.phenology import LandState
from decloud_lib.types import Array

BANDS = S2_10M_BANDS + S2_20M_BANDS
_B8 = BANDS.index("B8")
_VISIBLE = np.isin(np.array(BANDS), ("B2", "B3", "B4", "B5"))


def _spectrum(*values: float) -> Array:
    """Put reflectances that are given by wavelength (B2 B3 B4 B5 B6 B7 B8 B8A B11 B12) in order."""
    named = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
    table = dict(zip(named, values, strict=True))
    return np.array([table[band] for band in BANDS], dtype=np.float32)


#: Typical surface reflectances; what is green scales with the canopy's near infrared.
_DRY_SOIL = _spectrum(0.106, 0.130, 0.163, 0.180, 0.205, 0.217, 0.229, 0.238, 0.300, 0.272)
_WET_SOIL = _spectrum(0.052, 0.064, 0.079, 0.091, 0.104, 0.112, 0.120, 0.126, 0.135, 0.116)
_STRAW = _spectrum(0.082, 0.110, 0.140, 0.182, 0.228, 0.252, 0.280, 0.300, 0.335, 0.240)
_LEAF = _spectrum(0.027, 0.056, 0.025, 0.100, 0.365, 0.450, 0.480, 0.488, 0.185, 0.088)
_TREE = _spectrum(0.025, 0.043, 0.021, 0.070, 0.350, 0.450, 0.480, 0.490, 0.175, 0.080)
_NEEDLE = _spectrum(0.020, 0.034, 0.021, 0.060, 0.330, 0.440, 0.480, 0.490, 0.165, 0.080)
_FLOWER = _spectrum(0.004, 0.072, 0.066, 0.040, 0.010, 0.010, 0.010, 0.010, 0.020, 0.015)
_LITTER = _spectrum(0.036, 0.050, 0.058, 0.085, 0.125, 0.145, 0.165, 0.180, 0.190, 0.120)
#: Change of a soil's spectrum with its iron: less blue, more red.
_RED_SOIL = _spectrum(-1.0, -0.3, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
_FIXED = {
    LandClass.WATER: _spectrum(0.045, 0.058, 0.044, 0.038, 0.028, 0.026, 0.022, 0.020, 0.012, 0.01),
    LandClass.ROAD: _spectrum(0.098, 0.112, 0.122, 0.135, 0.150, 0.158, 0.168, 0.172, 0.190, 0.175),
    LandClass.TRACK: _spectrum(0.118, 0.145, 0.172, 0.192, 0.215, 0.226, 0.238, 0.245, 0.290, 0.26),
    LandClass.TILES: _spectrum(0.078, 0.092, 0.142, 0.165, 0.182, 0.192, 0.208, 0.215, 0.23, 0.215),
    LandClass.CONCRETE: _spectrum(0.12, 0.132, 0.142, 0.152, 0.162, 0.17, 0.18, 0.185, 0.20, 0.19),
    LandClass.HALL: _spectrum(0.290, 0.305, 0.310, 0.315, 0.320, 0.325, 0.335, 0.330, 0.300, 0.270),
}  # fmt: skip
_LEAF_B8 = float(_LEAF[_B8])
#: How much brightness varies from one unit of a class to the next, and from pixel to pixel.
_UNIT_SPREAD = {LandClass.TILES: 0.28, LandClass.CONCRETE: 0.42, LandClass.HALL: 0.25}
_GRAIN = {
    LandClass.ARABLE: 0.030, LandClass.MEADOW: 0.045, LandClass.ORCHARD: 0.10,
    LandClass.BROADLEAF: 0.10, LandClass.CONIFER: 0.12, LandClass.HEDGE: 0.15,
    LandClass.GARDEN: 0.15, LandClass.WATER: 0.04, LandClass.ROAD: 0.08, LandClass.TRACK: 0.10,
    LandClass.TILES: 0.20, LandClass.CONCRETE: 0.24, LandClass.HALL: 0.15,
}  # fmt: skip


class Surface:
    """The reflectance of a landscape; textures are drawn once, the cover comes from the day."""

    def __init__(self, rng: np.random.Generator, landscape: Landscape) -> None:
        self._labels = landscape.labels
        self._classes = landscape.classes
        shape, count = landscape.labels.shape, landscape.classes.size
        spread = np.full(count, 0.12)
        for land_class, value in _UNIT_SPREAD.items():
            spread[landscape.classes == land_class] = value
        self._brightness = np.exp(rng.normal(0.0, 1.0, count) * spread).astype(np.float32)
        self._redness = rng.normal(0.0, 0.06, count).astype(np.float32)
        # Within fields: broad patches of better and worse soil, and streaks of one pixel or two.
        broad = fractal(rng, shape, slope=1.6, longest_px=45)
        fine = fractal(rng, shape, slope=0.7, longest_px=12)
        self.patches = (0.75 * broad + 0.65 * fine).astype(np.float32)
        self._season = fractal(rng, shape, slope=1.5, longest_px=30)
        grain = np.zeros(int(max(LandClass)) + 1, dtype=np.float32)
        for land_class, value in _GRAIN.items():
            grain[land_class] = value
        rough = fractal(rng, shape, slope=0.35, longest_px=5)
        self._grain = (1.0 + grain[landscape.classes][landscape.labels] * rough).astype(np.float32)
        self._heterogeneity = rng.uniform(0.35, 1.5, count).astype(np.float32)

    def reflectance(self, state: LandState, season: float) -> Array:
        """Return what a perfect sensor would see.

        Parameters
        ----------
        state
            Cover of the labels.
        season
            Phase of the slow change of the texture, radians.

        Returns
        -------
        Array
            (H, W, 10) float32, surface reflectance; bands in the order of `BANDS`.
        """
        mean, change = self._spectra(state)
        texture = np.cos(season) * self.patches + np.sin(season) * self._season
        pixels = change[self._labels]
        pixels *= np.clip(texture, -2.5, 2.5)[..., None]
        pixels += mean[self._labels]
        pixels *= self._grain[..., None]
        return np.maximum(pixels, np.float32(0.004), out=pixels)

    def _spectra(self, state: LandState) -> tuple[Array, Array]:
        """Return the mean of each label and its change with one unit of texture, (L, 10) each."""
        wet = np.clip(1.15 * state.moisture, 0.0, 1.0)[:, None]
        soil = _DRY_SOIL + (_WET_SOIL - _DRY_SOIL) * wet
        soil = soil * self._brightness[:, None]
        soil = soil * (1.0 + self._redness[:, None] * _RED_SOIL)
        straw = _STRAW * (0.65 + 0.35 * self._brightness[:, None]) * (1.0 - 0.35 * wet)
        leaf = np.broadcast_to(_LEAF, soil.shape).copy()
        wooded = np.isin(self._classes, (LandClass.BROADLEAF, LandClass.HEDGE, LandClass.ORCHARD))
        leaf[wooded] = _TREE
        leaf[self._classes == LandClass.CONIFER] = _NEEDLE
        spring = np.exp(-(((state.of_year - 118.0) / 38.0) ** 2))
        summer = np.exp(-(((state.of_year - 210.0) / 45.0) ** 2))
        level = (state.near_infrared / _LEAF_B8)[:, None] * (1.0 + 0.14 * spring - 0.10 * summer)
        # Chlorophyll hides the level of the canopy in the visible bands.
        leaf = leaf * np.where(_VISIBLE, 1.0 + 0.35 * (level - 1.0), level)
        straw[wooded] = _LITTER
        straw[self._classes == LandClass.CONIFER] = _LITTER
        green, dry = state.green[:, None], state.dry[:, None]
        mean = green * leaf + dry * straw + np.clip(1.0 - green - dry, 0.0, 1.0) * soil
        mean = mean + state.flower[:, None] * green * _FLOWER
        # Texture: thinner or denser cover where something grows, brighter or darker soil elsewhere.
        sway = (0.30 * green * (1.12 - green) + 0.012) * self._heterogeneity[:, None]
        change = sway * (leaf - soil) - 0.055 * self._heterogeneity[:, None] * (1 - green) * soil
        for land_class, spectrum in _FIXED.items():
            here = self._classes == land_class
            mean[here] = spectrum * self._brightness[here, None]
            change[here] = 0.03 * mean[here]
        # A low sun leaves shadows between leaves, clods and houses.
        low_sun = np.maximum(np.cos(2 * np.pi * (state.of_year - 5.0) / 365.25), 0.0)
        light = np.where(_VISIBLE, 1.0 - 0.30 * low_sun, 1.0)
        return (mean * light).astype(np.float32), (change * light).astype(np.float32)
