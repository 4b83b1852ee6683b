"""When the satellites pass, and what their products are called."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.synthetic.config import SyntheticConfig

#: Two relative orbits see the tile, two and three days apart, as where swaths overlap.
_S2_ORBITS = ((0, time(10, 58, 48)), (2, time(10, 48, 51)))
_S2_ORBIT_NUMBERS = (94, 51)
_S2_CYCLE_DAYS = 5
_S1_MORNING = (110, time(5, 59, 58))
_S1_EVENING = (30, time(17, 48, 12))
#: Share of flagged pixels per date in real series (statistics of 118 dates): cumulated share of the
#: dates, and the share of flagged pixels there.
_COVER_STEPS = np.array([0.0, 0.28, 0.37, 0.468, 0.487, 0.545, 0.66, 0.672, 1.0])
_COVER_VALUES = np.array([0.0, 0.001, 0.01, 0.10, 0.30, 0.80, 0.999, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class OpticalDate:
    """One Sentinel-2 pass over the tile."""

    index: int
    """Position in the series, from 0."""
    acquired: datetime
    """UTC, milliseconds kept."""
    name: str
    """Product name, Theia's grammar, or ESA's where `safe`."""
    cover: float
    """Wanted share of flagged pixels, 0-1."""
    cut: bool
    """The edge of the swath crosses the scene."""
    zipped: bool
    """Delivered as an archive."""
    safe: bool = False
    """Delivered by ESA."""

    @property
    def delivered_name(self) -> str:
        """Name of the folder or archive."""
        if self.zipped:
            return f"{self.name}.zip"
        return f"{self.name}.SAFE" if self.safe else self.name


@dataclass(frozen=True, slots=True)
class RadarDate:
    """One Sentinel-1 pass over the tile."""

    index: int
    """Position in the series, from 0."""
    acquired: datetime
    """UTC, whole seconds; the truth even where the name masks it."""
    satellite: str
    """`s1a` or `s1b`."""
    ascending: bool
    """Evening pass."""
    orbit: int
    """Relative orbit."""
    masked: bool
    """The name carries `txxxxxx` instead of the time of day."""
    tagged: bool
    """The files carry the tag ACQUISITION_DATETIME."""
    cut: bool
    """The edge of the swath crosses the scene."""

    def file_name(self, tile: str, polarisation: str) -> str:
        """Return the S1Tiling name of one polarisation (`vv`, `vh`); `tile` with the leading T."""
        direction = "ASC" if self.ascending else "DES"
        clock = "xxxxxx" if self.masked else f"{self.acquired:%H%M%S}"
        day = f"{self.acquired:%Y%m%d}t{clock}"
        return f"{self.satellite}_{tile[1:]}_{polarisation}_{direction}_{self.orbit:03d}_{day}.tif"


def optical_dates(config: SyntheticConfig) -> tuple[OpticalDate, ...]:
    """Choose the Sentinel-2 dates and how cloudy each is.

    Covers are drawn by strata of the distribution of real series, so that a short series too holds
    clear, partly cloudy and hidden dates.

    Raises
    ------
    ConfigError
        There are fewer passes in the time span than dates asked for.
    """
    rng = np.random.default_rng([config.seed, 1])
    phase = int(rng.integers(_S2_CYCLE_DAYS))
    passes = [
        (day, orbit)
        for day in range(config.days)
        for orbit, (shift, _) in enumerate(_S2_ORBITS)
        if (day - phase - shift) % _S2_CYCLE_DAYS == 0
    ]
    count = config.s2_dates
    if count > len(passes):
        raise ConfigError(
            f"{count} optical dates in {config.days} days; there are {len(passes)} passes:"
            " ask for fewer dates or more days"
        )
    covers = config.covers or _covers(rng, count)
    cut = _some(rng, count, config.edges)
    zipped = _marked(rng, count, config.s2_zipped)
    # From numbers of its own, so that all else stays as it is without.
    safe = _marked(np.random.default_rng([config.seed, 13]), count, config.s2_safe)
    chosen = _spread(rng, count, len(passes))
    dates = (
        _optical(rng, config, index, passes[position], (covers[index], cut[index], zipped[index]))
        for index, position in enumerate(chosen)
    )
    return tuple(
        _by_esa(date, config.tile, passes[chosen[date.index]][1]) if safe[date.index] else date
        for date in dates
    )


def radar_dates(config: SyntheticConfig) -> tuple[RadarDate, ...]:
    """List the Sentinel-1 dates: a morning pass every few days, and evening passes if asked for."""
    rng = np.random.default_rng([config.seed, 2])
    start = datetime.combine(config.start, time(), UTC)
    first = int(rng.integers(min(config.s1_every_days, config.days)))
    events: list[tuple[datetime, bool]] = []
    for day in range(first, config.days, config.s1_every_days):
        events.append((_at(start, day, _S1_MORNING[1]), False))
        if config.s1_ascending and day + 1 < config.days:
            events.append((_at(start, day + 1, _S1_EVENING[1]), True))
    masked = _some(rng, len(events), config.s1_masked)
    cut = _some(rng, len(events), config.edges)
    hidden = np.cumsum(masked)
    return tuple(
        RadarDate(
            index=index,
            acquired=when + timedelta(seconds=int(rng.integers(-2, 3))),
            satellite="s1b" if (when - start).days // config.s1_every_days % 2 else "s1a",
            ascending=ascending,
            orbit=_S1_EVENING[0] if ascending else _S1_MORNING[0],
            masked=bool(masked[index]),
            # Every second masked date says its time in the file, and so do all others.
            tagged=bool(not masked[index] or hidden[index] % 2),
            cut=bool(cut[index]),
        )
        for index, (when, ascending) in enumerate(events)
    )


def _optical(
    rng: np.random.Generator,
    config: SyntheticConfig,
    index: int,
    passing: tuple[int, int],
    looks: tuple[float, bool, bool],
) -> OpticalDate:
    day, orbit = passing
    start = datetime.combine(config.start, time(), UTC)
    # Frames of one orbit drift by some seconds from pass to pass.
    drift = timedelta(milliseconds=int(rng.integers(-6000, 6001)))
    acquired = _at(start, day, _S2_ORBITS[orbit][1]) + drift
    satellite = "AB"[(start + timedelta(days=day)).toordinal() // _S2_CYCLE_DAYS % 2]
    stamp = f"{acquired:%Y%m%d-%H%M%S}-{acquired.microsecond // 1000:03d}"
    name = f"SENTINEL2{satellite}_{stamp}_L2A_{config.tile}_C_V2-2"
    cover, cut, zipped = looks
    return OpticalDate(index, acquired, name, float(cover), bool(cut), bool(zipped))


def _by_esa(date: OpticalDate, tile: str, orbit: int) -> OpticalDate:
    """Name a date as ESA does; these names hold whole seconds."""
    acquired = date.acquired.replace(microsecond=0)
    made = acquired + timedelta(hours=3)
    satellite = date.name[len("SENTINEL") : len("SENTINEL2A")]
    name = (
        f"S{satellite}_MSIL2A_{acquired:%Y%m%dT%H%M%S}_N0500_R{_S2_ORBIT_NUMBERS[orbit]:03d}_{tile}"
        f"_{made:%Y%m%dT%H%M%S}"
    )
    return replace(date, acquired=acquired, name=name, safe=True)


def _at(start: datetime, day: int, clock: time) -> datetime:
    return datetime.combine((start + timedelta(days=day)).date(), clock, UTC)


def _covers(rng: np.random.Generator, count: int) -> tuple[float, ...]:
    strata = (rng.permutation(count) + rng.uniform(0.05, 0.95, count)) / count
    return tuple(np.interp(strata, _COVER_STEPS, _COVER_VALUES).tolist())


def _some(rng: np.random.Generator, count: int, share: float) -> list[bool]:
    """Mark a share of the dates; at least one when the share is not zero and there are four."""
    wanted = round(share * count)
    if share > 0 and count >= 4:
        wanted = max(wanted, 1)
    return _marked(rng, count, wanted)


def _marked(rng: np.random.Generator, count: int, wanted: int) -> list[bool]:
    marked = np.zeros(count, dtype=bool)
    marked[rng.permutation(count)[:wanted]] = True
    return [bool(value) for value in marked]


def _spread(rng: np.random.Generator, count: int, available: int) -> list[int]:
    """Choose increasing positions, about evenly spread with jitter."""
    wanted = np.sort(np.arange(count) + 2.5 * rng.random(count)) * available / (count + 1.5)
    chosen: list[int] = []
    for index, position in enumerate(wanted.astype(int).tolist()):
        lowest = chosen[-1] + 1 if chosen else 0
        chosen.append(min(max(position, lowest), available - count + index))
    return chosen
