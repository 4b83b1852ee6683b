"""What the GDAL behind rasterio can do here."""

from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from decloud_lib.raster.environment import gdal_environment

#: Drivers that products and outputs need, and what for.
DRIVERS = {
    "GTiff": "stacks",
    "COG": "cloud-optimised outputs",
    "VRT": "views of delivered products",
    "JP2OpenJPEG": "Sentinel-2 products of ESA",
}
CODECS = ("DEFLATE", "ZSTD")


def gdal_version() -> str:
    """Return the version of GDAL."""
    return str(rasterio.__gdal_version__)


def missing_drivers() -> tuple[str, ...]:
    """Return the drivers of `DRIVERS` that this GDAL has not."""
    with gdal_environment() as environment:
        found = environment.drivers()
    return tuple(name for name in DRIVERS if name not in found)


def missing_codecs() -> tuple[str, ...]:
    """Return the codecs of `CODECS` with which a tiny image cannot be written and read back."""
    return tuple(codec for codec in CODECS if not _works(codec))


def _works(codec: str) -> bool:
    pixels = np.arange(256, dtype=np.int16).reshape(1, 16, 16)
    form: dict[str, Any] = {
        "driver": "GTiff",
        "height": 16,
        "width": 16,
        "count": 1,
        "dtype": "int16",
    }
    # Without a place in the world an image is opened with a warning.
    form["transform"] = Affine.scale(10, -10)
    try:
        with gdal_environment(), MemoryFile() as memory:
            with memory.open(**form, compress=codec) as image:
                image.write(pixels)
            with memory.open() as image:
                same = np.array_equal(image.read(), pixels)
                return same and image.compression.value == codec
    except RasterioError:
        return False
