"""What grows on each parcel on a day: crops, cuts, harvest, ploughing, and the weather."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from decloud_lib.synthetic.classes import CROPS, Crop, LandClass
from decloud_lib.synthetic.config import SyntheticConfig
from decloud_lib.synthetic.landscape import Landscape
from decloud_lib.types import Array

_YEAR_DAYS = 365.25
#: Seasonal green cover of land that is no arable land: winter, summer, spring day, autumn day.
_PERENNIAL = {
    LandClass.MEADOW: (0.74, 0.90, 82.0, 330.0),
    LandClass.ORCHARD: (0.40, 0.72, 95.0, 305.0),
    LandClass.BROADLEAF: (0.22, 0.97, 108.0, 303.0),
    LandClass.CONIFER: (0.93, 0.97, 100.0, 300.0),
    LandClass.HEDGE: (0.30, 0.88, 104.0, 306.0),
    LandClass.GARDEN: (0.55, 0.74, 85.0, 320.0),
}
_CROP_FIELDS = (
    "sown", "winter", "rise", "rise_days", "full", "ripen", "ripen_days", "harvest", "stubble",
    "near_infrared", "vv_db", "ratio_db", "flower",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LandState:
    """Cover of each label on one day; every array is (L,) float32."""

    of_year: float
    """Day of the year, from 0."""
    green: Array
    """Green cover, 0-1."""
    dry: Array
    """Straw, stubble and litter, 0-1; what remains to 1 is soil."""
    flower: Array
    """Yellow flowers, 0-1."""
    rough: Array
    """Roughness by recent tillage, 0-1."""
    moisture: Array
    """Water in the top soil, 0-1."""
    near_infrared: Array
    """B8 of the full canopy, reflectance."""
    vv_db: Array
    """Change of VV by the full canopy, dB."""
    ratio_db: Array
    """Change of VH/VV by the full canopy, dB."""


class Phenology:
    """The life of all parcels of a landscape over the years of a series."""

    def __init__(self, config: SyntheticConfig, landscape: Landscape) -> None:
        rng = np.random.default_rng([config.seed, 4])
        self._start = config.start
        self._classes = landscape.classes
        count = landscape.classes.size
        self._arable = landscape.classes == LandClass.ARABLE
        last = (config.start + timedelta(days=config.days)).year
        self._years = range(config.start.year, last + 2)
        self._rotation = [_draw_crops(rng, count) for _ in self._years]
        self._earliness = rng.normal(0.0, 4.0, count).astype(np.float32)
        self._vigour = np.clip(rng.normal(1.0, 0.09, count), 0.6, 1.12).astype(np.float32)
        self._wetness = rng.normal(0.0, 0.09, count).astype(np.float32)
        self._cuts = _draw_cuts(rng, count)
        self._rain = _draw_rain(rng, config)

    def state(self, day: float) -> LandState:
        """Return the cover of all labels.

        Parameters
        ----------
        day
            Days since the beginning of the series.

        Returns
        -------
        LandState
            Arrays of one value per label.
        """
        count = self._classes.size
        columns = {
            name: np.zeros(count, dtype=np.float32) for name in ("green", "dry", "flower", "rough")
        }
        traits = {"near_infrared": 0.45, "vv_db": 0.0, "ratio_db": 3.0}
        traits_of = {name: np.full(count, value, np.float32) for name, value in traits.items()}
        for year, crops in zip(self._years, self._rotation, strict=True):
            offset = (date(year, 1, 1) - self._start).days
            self._grow(day - offset, crops, columns, traits_of)
        self._perennials(day, columns, traits_of)
        columns["dry"] = np.minimum(columns["dry"], 1.0 - columns["green"])
        rain = float(np.interp(day, np.arange(self._rain.size) - 1, self._rain))
        moisture = np.clip(rain + self._wetness, 0.03, 1.0).astype(np.float32)
        return LandState(of_year=self._of_year(day), **columns, moisture=moisture, **traits_of)

    def _of_year(self, day: float) -> float:
        today = self._start + timedelta(days=int(np.floor(day)))
        return (today - date(today.year, 1, 1)).days + day % 1.0

    def _grow(
        self,
        day: float,
        crops: dict[str, Array],
        columns: dict[str, Array],
        traits: dict[str, Array],
    ) -> None:
        """Add the crop of one harvest year, its stubble and tillage, and the catch crop before."""
        now = day - self._earliness
        standing = now < crops["harvest"]
        sown = _logistic((now - crops["sown"] - 12.0) / 7.0)
        ripe = _logistic((now - crops["ripen"]) / crops["ripen_days"])
        rise = _logistic((now - crops["rise"]) / crops["rise_days"])
        green = (crops["winter"] * sown + (crops["full"] - crops["winter"]) * rise) * sown
        green = green * self._vigour * (1.0 - 0.95 * ripe) * standing
        since = now - crops["harvest"]
        tilled = now - crops["tillage"]
        dry = crops["full"] * 0.92 * ripe * standing
        left = crops["stubble"] * np.exp(-np.maximum(since, 0.0) / 120.0)
        dry = np.where(~standing & (tilled < 0), left, dry)
        # Volunteers green the stubble until it is ploughed.
        regrowth = crops["regrowth"] * _logistic((since - 24.0) / 6.0)
        green = np.where(~standing & (tilled < 0), regrowth, green)
        catch = crops["catch"] * _logistic((now - crops["catch_rise"]) / 7.0)
        green = np.where((now < crops["catch_end"]) & (now < crops["sown"]), catch, green)
        flower = crops["flower"] * np.exp(-(((now - 109.0) / 9.5) ** 2))
        bed = np.exp(-np.maximum(now - crops["sown"] + 6.0, 0.0) / 30.0) * (now > crops["sown"] - 6)
        ploughed = np.exp(-np.maximum(tilled, 0.0) / 40.0) * (tilled >= 0)
        values = {"green": green, "dry": dry, "flower": flower}
        values["rough"] = np.maximum(ploughed, 0.6 * bed)
        growing = (now > crops["sown"]) & standing & self._arable
        for name, value in values.items():
            columns[name] = np.where(
                self._arable, np.maximum(columns[name], value), columns[name]
            ).astype(np.float32)
        for name in traits:
            traits[name] = np.where(growing, crops[name], traits[name]).astype(np.float32)

    def _perennials(self, day: float, columns: dict[str, Array], traits: dict[str, Array]) -> None:
        """Set meadows (with cuts), trees and gardens."""
        now = self._of_year(day) - 1.2 * self._earliness
        for land_class, (low, high, spring, autumn) in _PERENNIAL.items():
            here = self._classes == land_class
            season = _logistic((now - spring) / 7.0) * (1.0 - _logistic((now - autumn) / 7.0))
            green = (low + (high - low) * season) * np.minimum(self._vigour, 1.04)
            litter = np.full_like(green, 0.65) * (1.0 - green)
            if land_class == LandClass.MEADOW:
                green, litter = self._mown(now, green, litter)
            columns["green"] = np.where(here, green, columns["green"]).astype(np.float32)
            columns["dry"] = np.where(here, litter, columns["dry"]).astype(np.float32)
        trees = np.isin(self._classes, (LandClass.BROADLEAF, LandClass.HEDGE, LandClass.ORCHARD))
        traits["near_infrared"][trees] = 0.38
        traits["near_infrared"][self._classes == LandClass.CONIFER] = 0.27
        traits["ratio_db"][self._classes == LandClass.MEADOW] = 2.4

    def _mown(self, now: Array, green: Array, litter: Array) -> tuple[Array, Array]:
        """Apply the cuts of the year: a sudden loss of green that grows back in weeks."""
        # In a dry summer grass turns yellow.
        drought = 0.28 * np.exp(-(((now - 215.0) / 32.0) ** 2)) * (1.0 + self._wetness * 4)
        green = green * (1.0 - np.clip(drought, 0.0, 0.6))
        for cut in self._cuts.T:
            since = now - cut
            loss = np.where(since >= 0, np.exp(-np.maximum(since, 0.0) / 17.0), 0.0)
            green = green * (1.0 - 0.62 * loss)
            litter = np.maximum(litter, 0.55 * loss)
        return green, litter


def _logistic(value: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))


def _draw_crops(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """Choose the crop of every label for one harvest year, and its personal calendar."""
    crops: list[Crop] = list(CROPS.values())
    shares = np.array([crop.share for crop in crops])
    chosen = rng.choice(len(crops), size=count, p=shares / shares.sum())
    table: dict[str, Array] = {
        name: np.array([getattr(crop, name) for crop in crops], dtype=np.float32)[chosen]
        for name in _CROP_FIELDS
    }
    for name, spread in (("sown", 8.0), ("rise", 6.0), ("ripen", 5.0), ("harvest", 7.0)):
        table[name] = table[name] + rng.normal(0.0, spread, count).astype(np.float32)
    table["near_infrared"] = table["near_infrared"] * rng.normal(1.0, 0.06, count)
    table["vv_db"] = table["vv_db"] + rng.normal(0.0, 0.5, count)
    table["tillage"] = table["harvest"] + rng.gamma(2.0, 16.0, count).astype(np.float32) + 2.0
    table["regrowth"] = rng.uniform(0.05, 0.5, count) * (table["harvest"] < 210)
    table["winter"] = np.clip(table["winter"] * rng.uniform(0.0, 2.5, count), 0.0, 0.95)
    spring = table["sown"] > 0
    with_catch = spring & (rng.random(count) < 0.55)
    table["catch"] = np.where(with_catch, rng.uniform(0.7, 0.97, count), 0.0)
    table["catch_rise"] = rng.normal(-102.0, 12.0, count)
    table["catch_end"] = rng.uniform(-30.0, 85.0, count)
    return {name: np.asarray(value, dtype=np.float32) for name, value in table.items()}


def _draw_cuts(rng: np.random.Generator, count: int) -> Array:
    """Choose the days of the year on which meadows are mown; a third is grazed and never mown."""
    first = rng.normal(142.0, 10.0, count)
    gaps = rng.normal(43.0, 6.0, (3, count))
    days = first + np.concatenate([np.zeros((1, count)), np.cumsum(gaps, axis=0)])
    mown = rng.integers(1, 5, count)
    days[np.arange(4)[:, None] >= mown] = 1e4
    days[:, rng.random(count) < 0.35] = 1e4
    return np.asarray(days.T, dtype=np.float32)


def _draw_rain(rng: np.random.Generator, config: SyntheticConfig) -> Array:
    """Draw the moisture of the top soil for each day from the one before the start: 0-1."""
    total = config.days + 62
    showers = np.where(rng.random(total) < 0.28, rng.gamma(1.2, 0.16, total), 0.0)
    level = np.zeros(total)
    for index in range(1, total):
        today = config.start + timedelta(days=index - 61)
        season = np.cos(2 * np.pi * (today.timetuple().tm_yday - 15) / _YEAR_DAYS)
        keep = 0.86 + 0.07 * season
        level[index] = min(level[index - 1] * keep + showers[index] * (0.75 + 0.45 * season), 1.0)
    return np.asarray(level[60:], dtype=np.float32)
