"""Products of any size as they are delivered, for the benchmarks.

Theia and S1Tiling: GeoTIFFs in blocks of 512 px, DEFLATE-1, no predictor. ESA: lossless JPEG 2000
in tiles of 1024 px at 10 m and 640 px at 20 m, as in the products of the public archives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from benchmarks.textures import Texture, repeated
from decloud_lib.bands import S1_BANDS, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.raster.environment import BLOCK_THREADS
from decloud_lib.types import Array

THEIA = "SENTINEL2B_{}-105848-497_L2A_T31TEJ_C_V2-2"
SAFE = "S2B_MSIL2A_20201012T105849_N0500_R094_T31TEJ_20230401T120000.SAFE"
RADAR = "s1b_31TEJ_{}_DES_110_20201011t060008.tif"
TILE = "T31TEJ"
_GEOTIFF: dict[str, Any] = {
    "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512,
    "compress": "deflate", "zlevel": 1, "num_threads": BLOCK_THREADS,
}  # fmt: skip
_JPEG2000: dict[str, Any] = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True}
_OFFSET = 1000
"""What ESA adds to reflectance x 10000 since processing baseline 04.00."""
_METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product
 xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info>
<Product_Info><PROCESSING_BASELINE>05.00</PROCESSING_BASELINE></Product_Info>
<Product_Image_Characteristics>
<Special_Values>
<SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
</Special_Values>
<QUANTIFICATION_VALUES_LIST>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
</QUANTIFICATION_VALUES_LIST>
<BOA_ADD_OFFSET_VALUES_LIST>{}</BOA_ADD_OFFSET_VALUES_LIST>
</Product_Image_Characteristics>
</n1:General_Info>
</n1:Level-2A_User_Product>
"""


def write_theia(folder: Path, texture: Texture, size: int, day: str = "20201012") -> Path:
    """Write one Theia product of `size` px at 10 m; return its folder."""
    name = THEIA.format(day)
    product = folder / name
    for band in (*S2_10M_BANDS, *S2_20M_STACK_BANDS):
        path = product / f"{name}_FRE_{band}.tif"
        _write_band(path, texture.optical[band], size, is_fine=band in S2_10M_BANDS)
    masks = {"CLM_R1": texture.cloud, "EDG_R1": np.zeros_like(texture.cloud)}
    for mask, plane in masks.items():
        _write_band(product / "MASKS" / f"{name}_{mask}.tif", plane, size, is_fine=True)
    return product


def write_radar(folder: Path, texture: Texture, size: int) -> Path:
    """Write one S1Tiling pair of `size` px; return the VH file."""
    for polarisation in S1_BANDS:
        path = folder / RADAR.format(polarisation.lower())
        _write_band(path, texture.sigma0[polarisation], size, is_fine=True)
    return folder / RADAR.format("vh")


def write_safe(folder: Path, texture: Texture, size: int) -> Path:
    """Write one ESA product of `size` px at 10 m; return its folder."""
    product = folder / SAFE
    images = product / "GRANULE" / "L2A_T31TEJ_A018800_20201012T105849" / "IMG_DATA"
    for band in (*S2_10M_BANDS, *S2_20M_STACK_BANDS):
        is_fine = band in S2_10M_BANDS
        stored = np.maximum(texture.optical[band].astype(np.int32) + _OFFSET, 1).astype(np.uint16)
        word = band if len(band) == 3 else f"B0{band[1:]}"
        _write_jp2(images, word, stored, size, is_fine=is_fine)
    classes = np.where(texture.cloud[::2, ::2] > 0, 9, 4).astype(np.uint8)
    _write_jp2(images, "SCL", classes, size, is_fine=False)
    offsets = "".join(
        f'<BOA_ADD_OFFSET band_id="{number}">-{_OFFSET}</BOA_ADD_OFFSET>' for number in range(13)
    )
    (product / "MTD_MSIL2A.xml").write_text(_METADATA.format(offsets))
    return product


def _write_jp2(images: Path, word: str, plane: Array, size: int, *, is_fine: bool) -> None:
    resolution, block_px = ("10m", 1024) if is_fine else ("20m", 640)
    path = images / f"R{resolution}" / f"{TILE}_20201012T105849_{word}_{resolution}.jp2"
    options = _JPEG2000 | {"blockxsize": block_px, "blockysize": block_px}
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
        _write_band(path, plane, size, options, is_fine=is_fine)


def _write_band(
    path: Path,
    plane: Array,
    size: int,
    options: Mapping[str, Any] = _GEOTIFF,
    *,
    is_fine: bool,
) -> None:
    """Write a texture, repeated over the whole raster."""
    side, pixel_m = (size, 10) if is_fine else (size // 2, 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", count=1, height=side, width=side, dtype=plane.dtype, crs="EPSG:32631",
        transform=Affine(pixel_m, 0, 5e5, 0, -pixel_m, 49e5), **options,
    ) as file:  # fmt: skip
        if options["driver"] != "GTiff":
            # Made from a finished image; all of it is in memory for that.
            file.write(repeated(plane, (side, side)), 1)
            return
        rows = plane.shape[0]
        for row in range(0, side, rows):
            height = min(rows, side - row)
            strip = np.tile(plane, (1, -(-side // plane.shape[1])))[:height, :side]
            file.write(strip, 1, window=Window(0, row, side, height))
