"""Make a whole series of products from a seed."""

import json
import logging
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from decloud_lib.errors import OutputConflictError
from decloud_lib.progress import track
from decloud_lib.synthetic.config import SyntheticConfig
from decloud_lib.synthetic.delivery import Raster, write_optical, write_radar, write_raster
from decloud_lib.synthetic.scene import Scene
from decloud_lib.synthetic.schedule import OpticalDate, RadarDate
from decloud_lib.types import Grid

logger = logging.getLogger(__name__)

_SENSORS = ("SENTINEL1", "SENTINEL2", "DEM")
_RECORD = "series.json"
#: Rises when the same settings begin to give other pixels.
_GENERATOR = 1


@dataclass(frozen=True, slots=True)
class SyntheticOptical:
    """One Sentinel-2 product on disk."""

    name: str
    """Product name."""
    path: Path
    """Folder or `.zip`; of ESA's products the folder ends with `.SAFE`."""
    acquired: datetime
    """UTC."""
    cover: float
    """Wanted share of flagged pixels of the scene, 0-1."""
    cut: bool
    """Part of it lies beyond the edge of the swath."""
    truth: Path
    """B2, B3, B4, B8 without clouds, 10 m, int16, reflectance x 10000."""
    truth_20m: Path
    """B5, B6, B7, B8A, B11, B12 without clouds, 20 m."""


@dataclass(frozen=True, slots=True)
class SyntheticRadar:
    """One Sentinel-1 date on disk."""

    vv: Path
    """VV file."""
    vh: Path
    """VH file."""
    acquired: datetime
    """UTC; the real time also where the name masks it."""
    masked: bool
    """The names carry `txxxxxx`."""


@dataclass(frozen=True, slots=True)
class SyntheticSeries:
    """A series of products on disk, with its truth."""

    config: SyntheticConfig
    """Settings it was made from."""
    root: Path
    """Folder with SENTINEL1, SENTINEL2 and DEM."""
    truth: Path
    """Folder with the cloud-free image of each optical date."""
    grid: Grid
    """10 m grid."""
    optical: tuple[SyntheticOptical, ...]
    """Sentinel-2, by time."""
    radar: tuple[SyntheticRadar, ...]
    """Sentinel-1, by time."""
    dem: Path
    """Elevation, 20 m."""


def make_products(
    config: SyntheticConfig, root: Path, *, truth: Path | None = None
) -> SyntheticSeries:
    """Write a synthetic series in delivery layout; what is complete already is left alone.

    Parameters
    ----------
    config
        What to make.
    root
        Gets `SENTINEL1/<TILE>/*.tif`, `SENTINEL2/<TILE>/<product>[.SAFE|.zip]` and
        `DEM/<TILE>.tif`.
    truth
        Gets the cloud-free images and `series.json`, the record of what was made; default: the
        folder `truth` beside `root`.

    Returns
    -------
    SyntheticSeries
        Paths and times of all products. One date is in memory at a time.

    Raises
    ------
    OutputConflictError
        The folders hold other products, or a series of other settings.
    ConfigError
        There are fewer satellite passes than dates asked for.
    """
    truth = root.parent / "truth" if truth is None else truth
    begun = time.monotonic()
    scene = Scene(config)
    series = describe_series(scene, root, truth)
    if _is_made(config, root, truth):
        logger.info("%s: synthetic series is there already", root)
        return series
    truth.mkdir(parents=True, exist_ok=True)
    _write_record(config, truth, complete=False)
    write_raster(
        series.dem,
        scene.elevation()[..., None],
        scene.grid.coarsened(2),
        Raster((), None, {}),
    )
    dates: list[OpticalDate | RadarDate] = [*scene.optical_dates, *scene.radar_dates]
    for date in track(dates, len(dates), "synthetic products", "date"):
        _write_date(scene, date, root, truth)
    _write_record(config, truth, complete=True)
    logger.info(
        "%s: %d optical and %d radar dates of %d x %d px in %.1f s",
        root,
        len(series.optical),
        len(series.radar),
        config.size_px,
        config.size_px,
        time.monotonic() - begun,
    )
    return series


def describe_series(scene: Scene, root: Path, truth: Path) -> SyntheticSeries:
    """Return the paths and times that `make_products` gives, without writing anything."""
    tile = scene.config.tile
    s1, s2 = (root / sensor / tile for sensor in ("SENTINEL1", "SENTINEL2"))
    return SyntheticSeries(
        config=scene.config,
        root=root,
        truth=truth,
        grid=scene.grid,
        optical=tuple(
            SyntheticOptical(
                name=date.name,
                path=s2 / date.delivered_name,
                acquired=date.acquired,
                cover=date.cover,
                cut=date.cut,
                truth=truth / f"{date.name}_truth.tif",
                truth_20m=truth / f"{date.name}_truth_20m.tif",
            )
            for date in scene.optical_dates
        ),
        radar=tuple(
            SyntheticRadar(
                vv=s1 / date.file_name(tile, "vv"),
                vh=s1 / date.file_name(tile, "vh"),
                acquired=date.acquired,
                masked=date.masked,
            )
            for date in scene.radar_dates
        ),
        dem=root / "DEM" / f"{tile}.tif",
    )


def _write_date(scene: Scene, date: OpticalDate | RadarDate, root: Path, truth: Path) -> None:
    tile = scene.config.tile
    if isinstance(date, OpticalDate):
        folder = root / "SENTINEL2" / tile
        write_optical(date, scene.view(date), scene.grid, folder, truth)
    else:
        folder = root / "SENTINEL1" / tile
        write_radar(date, scene.sigma0(date), scene.grid, folder, tile)


def _is_made(config: SyntheticConfig, root: Path, truth: Path) -> bool:
    """Say whether the series is complete; refuse folders that hold something else."""
    record = truth / _RECORD
    if not record.is_file():
        taken = [name for name in _SENSORS if (root / name).exists()]
        if taken:
            raise OutputConflictError(
                f"{root}: found {', '.join(taken)} but no record of a synthetic series in {truth};"
                " expected an empty folder: choose another one"
            )
        return False
    found = json.loads(record.read_text(encoding="utf-8"))
    if {**found, "complete": True} != _record(config, complete=True):
        raise OutputConflictError(
            f"{root}: found a synthetic series of other settings ({record});"
            " choose another folder or delete both"
        )
    return bool(found["complete"]) and (root / "DEM").is_dir()


def _write_record(config: SyntheticConfig, truth: Path, *, complete: bool) -> None:
    text = json.dumps(_record(config, complete=complete), indent=2)
    (truth / _RECORD).write_text(text + "\n", encoding="utf-8")


def _record(config: SyntheticConfig, *, complete: bool) -> dict[str, Any]:
    settings = config.model_dump(mode="json")
    if not config.s2_safe:
        # Series that were made before there was the choice are still the same.
        del settings["s2_safe"]
    return {"config": settings, "generator": _GENERATOR, "complete": complete}
