"""A prepared series of one place in memory, and the samples that models take from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from decloud_lib import storage
from decloud_lib.arrays.hidden_dates import HiddenDate
from decloud_lib.bands import CLOUD_BANDS, DEM_BANDS, S1_BANDS, S2_10M_BANDS, S2_NODATA
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.progress import track
from decloud_lib.raster.products.prepared import PreparedS2, list_s1, list_s2
from decloud_lib.raster.views import open_image
from decloud_lib.types import Array, Window

LARGEST_PX = 512
"""Longest side of a place: all dates are in memory, and networks see it as one window."""


@dataclass(frozen=True, slots=True)
class Series:
    """All dates of one place, by time."""

    optical: Array
    """(D, H, W, 4) int16, reflectance x 10000."""
    flagged: Array
    """(D, H, W) uint8, not 0 = cloud or shadow."""
    times: tuple[datetime, ...]
    """(D,) UTC."""
    radar: Array
    """(R, H, W, 2) uint16 as prepared."""
    radar_times: tuple[datetime, ...]
    ascending: tuple[bool, ...]
    elevation: Array | None
    """(H/2, W/2, 1) int16."""

    @property
    def days(self) -> list[int]:
        """Calendar day of each optical date, UTC."""
        return [time.date().toordinal() for time in self.times]

    @property
    def covers(self) -> Array:
        """(D,) share of flagged pixels, 0-1; NaN for dates with pixels without data."""
        whole = (self.optical != S2_NODATA).all(axis=(1, 2, 3))
        return np.where(whole, (self.flagged != 0).mean(axis=(1, 2)), np.nan)

    def sample(self, case: HiddenDate, image: Array, mask: Array) -> dict[str, Array]:
        """Return the raw inputs of any model for one hidden date, with a batch axis of 1.

        Parameters
        ----------
        case
            The date and its neighbours.
        image : (H, W, 4), reflectance x 10000
            What a sensor would show of the date, clouds included.
        mask : (H, W) bool
            What a detector would flag of it.
        """
        dates = {
            "tm1": case.before[0],
            "tp1": case.after[0],
            "tm2": case.before[1] if len(case.before) > 1 else None,
            "tp2": case.after[1] if len(case.after) > 1 else None,
        }
        found: dict[str, Any] = {}
        for name, date in dates.items():
            found |= self._date(name, date, case.target)
        found |= self._date("t", case.target, case.target)
        found |= {"s2_t": image, "s2_cld10m_t": mask[..., None]}
        found["s2_timestamp_target"] = found["s2_timestamp_t"]
        if self.elevation is not None:
            found["dem"] = self.elevation
        return {key: np.asarray(value)[None] for key, value in found.items()}

    def _date(self, name: str, date: int | None, target: int) -> dict[str, Any]:
        """Return the arrays of one date; of a missing one no data, flagged everywhere."""
        size = self.optical.shape[1:3]
        if date is None:
            optical = np.full((*size, len(S2_10M_BANDS)), S2_NODATA, np.int16)
            flagged = np.ones((*size, 1), np.uint8)
            time = self.times[target]
        else:
            optical, flagged = self.optical[date], self.flagged[date][..., None]
            time = self.times[date]
        found: dict[str, Any] = {
            f"s2_{name}": optical,
            f"s2_cld10m_{name}": flagged,
            f"s2_timestamp_{name}": np.float64(time.timestamp()),
        }
        if self.radar_times:
            away = [abs((radar - time).total_seconds()) for radar in self.radar_times]
            nearest = int(np.argmin(away))
            radar = self.radar[nearest] if date is not None else np.zeros((*size, 2), np.uint16)
            found |= {
                f"s1_{name}": radar,
                f"s1_timestamp_{name}": np.float64(self.radar_times[nearest].timestamp()),
                f"s1_ascending_{name}": np.float64(self.ascending[nearest]),
            }
        return found


def read_series(
    s2_root: str, s1_root: str | None, dem_root: str | None, tile: str, window: Window | None
) -> Series:
    """Read a prepared tile, or a window of it.

    Parameters
    ----------
    s2_root, s1_root, dem_root
        Folders as in the tiles JSON.
    tile
        With the leading T.
    window
        10 m pixels, whole 20 m pixels; None = the whole tile.

    Raises
    ------
    NoSampleError
        There is no prepared Sentinel-2 product of the tile.
    ConfigError
        The place is too large to be held in memory.
    """
    optical = list_s2(s2_root, tile)
    if not optical:
        raise NoSampleError(f"{s2_root}: no prepared Sentinel-2 product of {tile}; prepare some")
    radar = list_s1(s1_root, tile) if s1_root else []
    place = _place(optical[0], window)
    names = (S2_10M_BANDS, CLOUD_BANDS, S1_BANDS)
    jobs: list[tuple[str, Sequence[str]]] = [
        *((item.stack_10m, names[0]) for item in optical),
        *((item.cloud_mask, names[1]) for item in optical),
        *((item.uri, names[2]) for item in radar),
    ]
    arrays = [_read(uri, bands, place) for uri, bands in track(jobs, len(jobs), "series", "image")]
    count = len(optical)
    dem = None if dem_root is None else storage.join(dem_root, f"{tile}.tif")
    size = (place.height, place.width)
    return Series(
        optical=np.stack(arrays[:count]),
        flagged=np.stack([array[..., 0] for array in arrays[count : 2 * count]]),
        times=tuple(item.acquired for item in optical),
        radar=np.stack(arrays[2 * count :]) if radar else np.zeros((0, *size, 2), np.uint16),
        radar_times=tuple(item.acquired for item in radar),
        ascending=tuple(item.ascending for item in radar),
        elevation=None if dem is None else _read(dem, DEM_BANDS, place.coarsened(2)),
    )


def _place(first: PreparedS2, window: Window | None) -> Window:
    if window is None:
        with open_image(first.stack_10m, S2_10M_BANDS) as reader:
            window = Window(0, 0, reader.grid.height, reader.grid.width)
    if max(window.shape) > LARGEST_PX or any(
        value % 2 for value in (window.row, window.col, *window.shape)
    ):
        raise ConfigError(
            f"a place of {window.height} x {window.width} px at row {window.row}, column "
            f"{window.col}; expected at most {LARGEST_PX} px a side and even numbers: choose a "
            f"part with --window ROW COL HEIGHT WIDTH"
        )
    return window


def _read(uri: str, bands: Sequence[str], window: Window) -> Array:
    with open_image(uri, tuple(bands)) as reader:
        return np.ascontiguousarray(reader.read(window, bands))
