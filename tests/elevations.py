"""Small elevation rasters, written with plain rasterio and not with our own writer."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform

from decloud_lib.types import Array, Grid

#: Pixels of a degree in the small copy of the Copernicus layout; the real one has 3600.
PER_DEGREE = 120

Surface = Callable[[Array, Array], Array]


def write_dem(
    path: Path,
    pixels: Array,
    place: Affine,
    crs: str = "EPSG:32631",
    nodata: float | None = None,
    **options: object,
) -> Path:
    """Write (H, W) elevations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        dtype=pixels.dtype,
        crs=crs,
        transform=place,
        nodata=nodata,
        **options,
    ) as file:
        file.write(pixels, 1)
    return path


def sample(surface: Surface, place: Affine, shape: tuple[int, int]) -> Array:
    """Return the values of a surface at the centres of the pixels."""
    rows, cols = np.indices(shape) + 0.5
    return surface(place.c + cols * place.a, place.f + rows * place.e)


def sample_on(surface: Surface, crs: str, grid: Grid) -> Array:
    """Return the values of a surface of another CRS at the centres of a grid's pixels."""
    rows, cols = np.indices(grid.shape) + 0.5
    xs = (grid.left + cols * grid.pixel_m).ravel()
    ys = (grid.top - rows * grid.pixel_m).ravel()
    there = transform(grid.crs, crs, xs.tolist(), ys.tolist())
    return surface(*(np.array(axis).reshape(grid.shape) for axis in there))


def tile_name(lat: int, lon: int) -> str:
    """Return the name of a tile of the Copernicus layout."""
    north, east = "NS"[lat < 0], "EW"[lon < 0]
    return f"Copernicus_DSM_COG_10_{north}{abs(lat):02d}_00_{east}{abs(lon):03d}_00_DEM"


def write_copernicus(
    root: Path, corners: Iterable[tuple[int, int]], surface: Surface, *, flat: bool = False
) -> list[Path]:
    """Write tiles of the layout: (latitude, longitude) of their south-western corners.

    As in the real ones, pixels are wider from 50 degrees of latitude on, and a tile begins half a
    pixel west and north of its square.
    """
    paths = []
    for lat, lon in corners:
        width = PER_DEGREE * 2 // 3 if lat >= 50 else PER_DEGREE
        wide, high = 1 / width, 1 / PER_DEGREE
        place = Affine(wide, 0, lon - wide / 2, 0, -high, lat + 1 + high / 2)
        pixels = sample(surface, place, (PER_DEGREE, width)).astype(np.float32)
        name = tile_name(lat, lon)
        path = root / f"{name}.tif" if flat else root / name / f"{name}.tif"
        options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        paths.append(write_dem(path, pixels, place, "EPSG:4326", **options))
    return paths
