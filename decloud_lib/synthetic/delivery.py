"""Write products as Theia, ESA and S1Tiling deliver them, and the truth beside them."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from decloud_lib.bands import S1_BANDS, S1_NODATA, S2_10M_BANDS, S2_20M_BANDS, S2_NODATA
from decloud_lib.synthetic.noise import halved
from decloud_lib.synthetic.safe import write_safe
from decloud_lib.synthetic.scene import OpticalView
from decloud_lib.synthetic.schedule import OpticalDate, RadarDate
from decloud_lib.types import Array, Grid

_QUANTIFICATION = 10_000
_BLOCK_PX = 256
#: A fixed time for the members of archives, so that the same series gives the same bytes.
_ARCHIVE_TIME = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Raster:
    """What one GeoTIFF holds."""

    bands: tuple[str, ...]
    """Band descriptions; the empty tuple leaves the only band without one, as deliveries do."""
    nodata: float | None
    """Value of the no-data tag."""
    tags: dict[str, str]
    """Metadata items."""


def write_optical(
    date: OpticalDate, view: OpticalView, grid: Grid, tile_folder: Path, truth_folder: Path
) -> Path:
    """Write one product of Theia or ESA, and its truth.

    Parameters
    ----------
    date
        The pass.
    view
        What was seen, and the truth.
    grid
        10 m grid.
    tile_folder
        `.../SENTINEL2/<TILE>`.
    truth_folder
        Where `<product>_truth.tif` (B2, B3, B4, B8 at 10 m) and `<product>_truth_20m.tif`
        (B5 ... B12 at 20 m) go: int16, reflectance x 10000, no gaps.

    Returns
    -------
    Path
        The product's folder or archive.
    """
    clouds = np.where(view.outside, np.uint8(0), view.sky.mask)
    if date.safe:
        folder = write_safe(date, *_seen(view), clouds, grid, tile_folder)
    else:
        folder = tile_folder / date.name
        _write_theia(date.name, view, clouds, grid, folder)
    fine, coarse = _to_stored(view.truth)
    truth_folder.mkdir(parents=True, exist_ok=True)
    for suffix, pixels, bands, factor in (
        ("truth", fine, S2_10M_BANDS, 1),
        ("truth_20m", coarse, S2_20M_BANDS, 2),
    ):
        path = truth_folder / f"{date.name}_{suffix}.tif"
        write_raster(path, pixels, grid.coarsened(factor), Raster(bands, None, {}))
    return _archived(folder, date.delivered_name) if date.zipped else folder


def write_radar(
    date: RadarDate, power: Array, grid: Grid, tile_folder: Path, tile: str
) -> tuple[Path, Path]:
    """Write the VV and VH files of one S1Tiling date.

    Parameters
    ----------
    date
        The pass.
    power
        (H, W, 2) float32, sigma nought, linear; 0 = no data.
    grid
        10 m grid.
    tile_folder
        `.../SENTINEL1/<TILE>`.
    tile
        Tile with the leading T.

    Returns
    -------
    tuple[Path, Path]
        VV file, VH file.
    """
    tags = {"FLYING_UNIT_CODE": date.satellite}
    tags["ORBIT_DIRECTION"] = "ASC" if date.ascending else "DES"
    if date.tagged:
        tags["ACQUISITION_DATETIME"] = f"{date.acquired:%Y:%m:%dT%H:%M:%SZ}"
    paths = []
    for index, name in enumerate(S1_BANDS):
        path = tile_folder / date.file_name(tile, name.lower())
        raster = Raster((), S1_NODATA, {**tags, "POLARIZATION": name.lower()})
        write_raster(path, power[..., index : index + 1], grid, raster)
        paths.append(path)
    return paths[0], paths[1]


def write_raster(path: Path, pixels: Array, grid: Grid, raster: Raster) -> None:
    """Write one compressed GeoTIFF.

    Parameters
    ----------
    path
        Where; folders are made.
    pixels
        (H, W, C) array of the type to be stored.
    grid
        Georeferencing, of the same size.
    raster
        Names, no data and tags.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": pixels.dtype.name,
        "height": height,
        "width": width,
        "count": count,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": raster.nodata,
        "compress": "DEFLATE",
        "zlevel": 1,
        "predictor": 3 if pixels.dtype.kind == "f" else 2,
    }
    if min(height, width) >= _BLOCK_PX:
        profile |= {"tiled": True, "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX}
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.moveaxis(pixels, 2, 0))
        for index, name in enumerate(raster.bands, start=1):
            target.set_band_description(index, name)
        if raster.tags:
            target.update_tags(**raster.tags)


def _write_theia(name: str, view: OpticalView, clouds: Array, grid: Grid, folder: Path) -> None:
    """Write the ten FRE bands and the two masks of a product."""
    fine, coarse = _seen(view)
    raster = Raster((), S2_NODATA, {})
    for bands, pixels, factor in ((S2_10M_BANDS, fine, 1), (S2_20M_BANDS, coarse, 2)):
        for index, band in enumerate(bands):
            path = folder / f"{name}_FRE_{band}.tif"
            write_raster(path, pixels[..., index : index + 1], grid.coarsened(factor), raster)
    masks = folder / "MASKS"
    edge = view.outside.astype(np.uint8)
    plain = Raster((), None, {})
    write_raster(masks / f"{name}_EDG_R1.tif", edge[..., None], grid, plain)
    write_raster(masks / f"{name}_CLM_R1.tif", clouds[..., None], grid, plain)


def _seen(view: OpticalView) -> tuple[Array, Array]:
    """Return the stored integers of what was seen; no data beyond the edge of the swath."""
    fine, coarse = _to_stored(view.seen)
    fine[view.outside] = S2_NODATA
    coarse[view.outside[::2, ::2]] = S2_NODATA
    return fine, coarse


def _to_stored(reflectance: Array) -> tuple[Array, Array]:
    """Turn (H, W, 10) reflectance into the stored integers at 10 m and, averaged, at 20 m."""
    split = len(S2_10M_BANDS)
    parts = (reflectance[..., :split], halved(reflectance[..., split:]))
    fine, coarse = (np.rint(part * _QUANTIFICATION).astype(np.int16) for part in parts)
    return fine, coarse


def _archived(folder: Path, name: str) -> Path:
    """Replace a product folder by a zip archive of it."""
    archive = folder.with_name(name)
    members = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in members:
            info = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), _ARCHIVE_TIME)
            target.writestr(info, path.read_bytes())
    shutil.rmtree(folder)
    return archive
