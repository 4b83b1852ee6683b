"""Pixels that compress as real ones do: from the generator, or from real images where there are.

The generator (`decloud_lib.synthetic`) is calibrated against 16 months of real images. Large
rasters repeat one drawn scene; a codec cannot make use of that, because it sees one block at a
time and no block is as large as the scene.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from decloud_lib.bands import S1_BANDS, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.synthetic import BANDS, Scene, SyntheticConfig
from decloud_lib.types import Array

#: Side of the scene that large rasters repeat.
SCENE_PX = 1024
_COVER = 0.3


@dataclass(frozen=True, slots=True)
class Texture:
    """The pixels of one date of each sensor; planes by band, as they are delivered."""

    optical: dict[str, Array]
    """(H, W) int16 by band, the 20 m bands at half the size; reflectance x 10000."""
    cloud: Array
    """(H, W) uint8 bit field."""
    sigma0: dict[str, Array]
    """(H, W) float32, linear power, VV and VH."""


def generated(size: int = SCENE_PX, seed: int = 0) -> Texture:
    """Draw a scene of farmland with a third of it under clouds."""
    config = SyntheticConfig(
        seed=seed, size_px=size, days=30, s2_dates=1, s2_zipped=0, edges=0.0, covers=(_COVER,)
    )
    scene = Scene(config)
    view = scene.view(scene.optical_dates[0])
    stored = np.rint(view.seen * 10000).astype(np.int16)
    optical = {}
    for index, band in enumerate(BANDS):
        plane = stored[..., index]
        optical[band] = plane if band in S2_10M_BANDS else _halved(plane)
    power = scene.sigma0(scene.radar_dates[0])
    sigma0 = {name: power[..., index] for index, name in enumerate(S1_BANDS)}
    return Texture(optical, view.sky.mask.astype(np.uint8), sigma0)


def real(folder: Path) -> Texture:
    """Lay the dates of a real series of one small place side by side.

    Parameters
    ----------
    folder
        With `SENTINEL2/<tile>/<product>` and `SENTINEL1/<tile>`, as delivered.
    """
    optical = {
        band: _mosaic(sorted(folder.glob(f"SENTINEL2/*/*/*_FRE_{band}.tif")))
        for band in (*S2_10M_BANDS, *S2_20M_STACK_BANDS)
    }
    cloud = _mosaic(sorted(folder.glob("SENTINEL2/*/*/MASKS/*_CLM_R1.tif")))
    sigma0 = {
        name: _mosaic(sorted(folder.glob(f"SENTINEL1/*/*_{name.lower()}_*.tif")))
        for name in S1_BANDS
    }
    return Texture(optical, cloud, sigma0)


def repeated(plane: Array, shape: tuple[int, int]) -> Array:
    """Return a plane of some shape: one beside itself as often as it takes."""
    times = [-(-wanted // side) for wanted, side in zip(shape, plane.shape, strict=True)]
    tiled: Array = np.tile(plane, times)
    return tiled[: shape[0], : shape[1]]


def _halved(plane: Array) -> Array:
    rows, cols = (side // 2 for side in plane.shape)
    means = plane.reshape(rows, 2, cols, 2).mean(axis=(1, 3))
    halved: Array = np.rint(means).astype(plane.dtype)
    return halved


def _mosaic(paths: list[Path]) -> Array:
    """Lay the images side by side, in as many rows as columns; those left over are left out."""
    side = int(len(paths) ** 0.5)
    images = []
    for path in paths[: side * side]:
        with rasterio.open(path) as file:
            images.append(file.read(1))
    return np.block([images[row * side : (row + 1) * side] for row in range(side)])
