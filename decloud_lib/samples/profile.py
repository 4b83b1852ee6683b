"""What the inputs of a network look like: histograms that training and serving count alike.

The bins are fixed, so that histograms of many samples or products simply add up.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict

from decloud_lib import bands, storage
from decloud_lib.types import Array

NAME = "profile.json"

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_REFLECTANCE = (
    *range(-500, 0, 250),
    *range(0, 2000, 100),
    *range(2000, 5000, 250),
    *range(5000, 10001, 1000),
)
_SIGMA0 = tuple(range(0, 65536, 2048))
_METRES = tuple(range(-200, 5001, 200))
_PERCENT = tuple(range(0, 101, 5))
_DAYS = (0, 1, 2, 3, 5, 8, 11, 15, 20, 25, 30, 40, 60, 90)
_HOURS = (0, 1, 6, 12, 18, 24, 36, 48, 72)


class Histogram(BaseModel):
    """Counts between edges; what lies outside counts in the first or last bin."""

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    """(B + 1,) ascending."""
    counts: tuple[int, ...]
    """(B,)"""

    @classmethod
    def of(cls, values: Array, edges: tuple[float, ...]) -> "Histogram":
        """Count values."""
        inside = np.clip(values, edges[0], np.nextafter(edges[-1], -np.inf))
        counts, _ = np.histogram(inside, edges)
        return cls(edges=edges, counts=tuple(int(count) for count in counts))

    def __add__(self, other: "Histogram") -> "Histogram":
        """Return the histogram of both together."""
        pairs = zip(self.counts, other.counts, strict=True)
        return Histogram(edges=self.edges, counts=tuple(one + two for one, two in pairs))

    @property
    def mean(self) -> float:
        """Mean of the centres of the bins; NaN without items."""
        total = sum(self.counts)
        centres = (np.asarray(self.edges[1:]) + np.asarray(self.edges[:-1])) / 2
        return float(centres @ np.asarray(self.counts) / total) if total else float("nan")


class Profile(BaseModel):
    """The inputs that a network was trained on."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    items: int
    """Samples that were looked at."""
    moments: int = 0
    """Of how many different sets of dates they are; 0: not known. Samples of the same dates have
    the same gaps and clouds."""
    features: dict[str, Histogram]
    """`values/<key>/<band>`, `nodata_percent/<key>`, `cloud_percent/<date>`, `days/<date>`,
    `hours/<date>`."""


def profile_of(items: Iterable[Mapping[str, Array]]) -> Profile:
    """Return the profile of samples, each as arrays by key."""
    features: dict[str, Histogram] = {}
    moments: list[tuple[float, ...]] = []
    for arrays in items:
        times = _times(arrays)
        moments.append(tuple(times[key] for key in sorted(times)))
        for name, found in features_of(arrays).items():
            features[name] = features[name] + found if name in features else found
    return Profile(
        items=len(moments), moments=len(set(moments)), features=dict(sorted(features.items()))
    )


def features_of(arrays: Mapping[str, Array]) -> dict[str, Histogram]:
    """Return the features of one sample, or of one scene.

    Parameters
    ----------
    arrays
        Stored values by the keys of samples: images (..., H, W, C), times in seconds. Targets, and
        what is no input, may be among them and are left out.
    """
    return dict([*_image_features(arrays), *_time_features(arrays)])


def read_profile(folder: str) -> Profile | None:
    """Read the profile in a model folder; None where it was trained without."""
    uri = storage.join(folder, NAME)
    if storage.stat(uri) is None:
        return None
    return Profile.model_validate_json(storage.read_bytes(uri))


def _image_features(arrays: Mapping[str, Array]) -> Iterator[tuple[str, Histogram]]:
    for key, pixels in arrays.items():
        if key.startswith("s2_cld10m_"):
            percent = 100.0 * np.mean(pixels != 0)
            yield f"cloud_percent/{_date(key)}", Histogram.of(np.array([percent]), _PERCENT)
            continue
        kind = _kind(key)
        if kind is None:
            continue
        names, nodata, edges = kind
        flat = pixels.reshape(-1, pixels.shape[-1])
        missing = np.all(flat == nodata, axis=1)
        percent = 100.0 * np.mean(missing)
        yield f"nodata_percent/{key}", Histogram.of(np.array([percent]), _PERCENT)
        for position, band in enumerate(names):
            values = flat[~missing, position]
            yield f"values/{key}/{band}", Histogram.of(values[values != nodata], edges)


def _time_features(arrays: Mapping[str, Array]) -> Iterator[tuple[str, Histogram]]:
    times = _times(arrays)
    optical = {_date(key): time for key, time in times.items() if key.startswith("s2_")}
    radar = {_date(key): time for key, time in times.items() if key.startswith("s1_")}
    reference = optical.get("t", optical.get("target"))
    for date, time in optical.items():
        if reference is not None and date not in ("t", "target"):
            days = abs(time - reference) / _DAY_S
            yield f"days/s2_{date}", Histogram.of(np.array([days]), _DAYS)
    for date, time in radar.items():
        if date in optical:
            hours = abs(time - optical[date]) / _HOUR_S
            yield f"hours/s1_{date}", Histogram.of(np.array([hours]), _HOURS)


def _times(arrays: Mapping[str, Array]) -> dict[str, float]:
    return {key: float(np.mean(value)) for key, value in arrays.items() if "_timestamp_" in key}


def _date(key: str) -> str:
    return key.rpartition("_")[2]


def _kind(key: str) -> tuple[tuple[str, ...], int, tuple[float, ...]] | None:
    """Return bands, no-data value and edges of an image; None for what is no image of the input."""
    if key == "dem":
        return bands.DEM_BANDS, bands.DEM_NODATA, _METRES
    if key.endswith("_target") or "timestamp" in key or "ascending" in key:
        return None
    if key.startswith("s1_"):
        return bands.S1_BANDS, bands.S1_NODATA, _SIGMA0
    if key.startswith("s2_20m_"):
        return bands.S2_20M_STACK_BANDS, bands.S2_NODATA, _REFLECTANCE
    if key.startswith("s2_"):
        return bands.S2_10M_BANDS, bands.S2_NODATA, _REFLECTANCE
    return None
