"""A synthetic place: its map, its seasons, and what the satellites see of it on a date."""

from dataclasses import dataclass

import numpy as np

from decloud_lib.synthetic.config import SyntheticConfig
from decloud_lib.synthetic.ground import elevation, tile_grid
from decloud_lib.synthetic.landscape import draw_landscape
from decloud_lib.synthetic.noise import doubled, fractal, halved, smoothed
from decloud_lib.synthetic.phenology import Phenology
from decloud_lib.synthetic.radar import Backscatter
from decloud_lib.synthetic.schedule import OpticalDate, RadarDate, optical_dates, radar_dates
from decloud_lib.synthetic.sky import HAZE, Sky, draw_sky
from decloud_lib.synthetic.surface import Surface
from decloud_lib.types import Array

_DAY_S = 86400.0
_TEXTURE_PERIOD_DAYS = 500.0
#: How strongly each band answers to the small changes from date to date.
_UNREST = np.array([1.5, 1.4, 1.5, 0.8, 1.3, 1.0, 0.8, 0.8, 1.0, 1.2], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class OpticalView:
    """What Sentinel-2 sees on one date, on the 10 m grid; bands in the order of `surface.BANDS`."""

    seen: Array
    """(H, W, 10) float32, reflectance under the real sky; meaningless where `outside`."""
    truth: Array
    """(H, W, 10) float32, reflectance of the same date without clouds and shadows."""
    sky: Sky
    """Clouds, shadows and the detector's mask."""
    outside: Array
    """(H, W) bool, True = beyond the edge of the swath; whole 20 m pixels."""


class Scene:
    """One place for one seed; every date is drawn on its own, in any order."""

    def __init__(self, config: SyntheticConfig) -> None:
        self.config = config
        self.grid = tile_grid(config.tile, config.size_px)
        self.optical_dates = optical_dates(config)
        self.radar_dates = radar_dates(config)
        self.landscape = draw_landscape(np.random.default_rng([config.seed, 3]), config.size_px)
        self._phenology = Phenology(config, self.landscape)
        self._surface = Surface(np.random.default_rng([config.seed, 5]), self.landscape)
        self._backscatter = Backscatter(np.random.default_rng([config.seed, 6]), self.landscape)

    def day_of(self, date: OpticalDate | RadarDate) -> float:
        """Return the time of a pass in days since the beginning of the series."""
        days = (date.acquired.date() - self.config.start).days
        clock = date.acquired.time()
        return days + (clock.hour * 3600 + clock.minute * 60 + clock.second) / _DAY_S

    def elevation(self) -> Array:
        """Return the (H/2, W/2) int16 elevation on the 20 m grid, metres."""
        rng = np.random.default_rng([self.config.seed, 7])
        heights = halved(elevation(rng, self.landscape.river_px))
        return np.rint(heights).astype(np.int16)

    def reflectance(self, day: float) -> Array:
        """Return the ground on a day, without sensor or atmosphere.

        Parameters
        ----------
        day
            Days since the beginning of the series.

        Returns
        -------
        Array
            (H, W, 10) float32, surface reflectance, bands in the order of `surface.BANDS`.
        """
        season = 2 * np.pi * day / _TEXTURE_PERIOD_DAYS
        return self._surface.reflectance(self._phenology.state(day), season)

    def clouds(self, date: OpticalDate) -> Sky:
        """Return the clouds and shadows of a date."""
        rng = np.random.default_rng([self.config.seed, 8, date.index])
        return draw_sky(rng, self.grid.shape, date.cover, date.acquired)

    def truth(self, date: OpticalDate) -> Array:
        """Return what the sensor would see on a date without clouds: (H, W, 10) float32.

        The ground with the date's atmosphere and light, registration error, blur and noise.
        """
        rng = np.random.default_rng([self.config.seed, 9, date.index])
        pixels = self.reflectance(self.day_of(date))
        labels, count = self.landscape.labels, self.landscape.classes.size
        # Direction of light and view, dew and dust change the look of each parcel, of spots within
        # it and of the whole scene a little; more so in the visible bands.
        parcels = rng.normal(0.0, 0.075, count).astype(np.float32)[labels]
        spots = 0.065 * fractal(rng, labels.shape, slope=1.0, longest_px=16)
        unrest = np.float32(min(rng.lognormal(0.0, 0.4), 1.8)) * (parcels + spots)
        pixels *= np.exp(unrest[..., None] * _UNREST) * np.float32(1.0 + rng.normal(0.0, 0.065))
        veil = rng.normal(0.0, 0.0085) + 0.004 * rng.lognormal(0.0, 0.5) * fractal(
            rng, labels.shape, slope=1.4, longest_px=60
        )
        for axis in (0, 1):
            shift = float(np.clip(rng.normal(0.0, 0.25), -0.5, 0.5))
            pixels = smoothed(pixels, _shifted_blur(shift), axis)
        pixels += veil[..., None] * HAZE
        grain = rng.standard_normal(labels.shape, dtype=np.float32)
        pixels += (np.float32(0.0022) * grain)[..., None]
        pixels *= 1.0 + np.float32(0.018) * rng.standard_normal(pixels.shape, dtype=np.float32)
        return np.maximum(pixels, np.float32(0.001), out=pixels)

    def view(self, date: OpticalDate) -> OpticalView:
        """Return everything that Sentinel-2 sees on a date, and the truth under it."""
        truth, sky = self.truth(date), self.clouds(date)
        outside = self._swath([10, date.index], cut=date.cut)
        return OpticalView(seen=sky.over(truth), truth=truth, sky=sky, outside=outside)

    def sigma0(self, date: RadarDate) -> Array:
        """Return a radar date: (H, W, 2) float32, VV then VH, linear power; 0 = no data."""
        rng = np.random.default_rng([self.config.seed, 11, date.index])
        state = self._phenology.state(self.day_of(date))
        power = self._backscatter.sigma0(rng, state, self.config.s1_looks, ascending=date.ascending)
        power[self._swath([12, date.index], cut=date.cut)] = 0.0
        return power

    def _swath(self, key: list[int], *, cut: bool) -> Array:
        """Return where a date has no data: beyond an oblique line when its swath is cut."""
        height, width = self.grid.shape
        if not cut:
            return np.zeros((height, width), dtype=bool)
        rng = np.random.default_rng([self.config.seed, *key])
        rows, cols = np.mgrid[0 : height // 2, 0 : width // 2]
        slant = rng.uniform(0.18, 0.30)
        position = rng.uniform(0.08, 0.42) * width / 2
        east = bool(rng.random() < 0.5)
        across = width // 2 - 1 - cols if east else cols
        return doubled(across + slant * (rows - height / 4) < position)


def _shifted_blur(shift_px: float) -> tuple[float, float, float]:
    """Return three taps that blur by the sensor's point spread and move by part of a pixel."""
    blur = 0.11
    before, after = max(shift_px, 0.0), max(-shift_px, 0.0)
    return (blur + before * 0.8, 1.0 - 2 * blur - (before + after) * 0.8, blur + after * 0.8)
