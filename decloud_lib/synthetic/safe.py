"""Write products as ESA delivers them: SAFE folders of JPEG 2000 images."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from rasterio.io import MemoryFile

from decloud_lib.bands import S2_10M_BANDS, S2_20M_BANDS, S2_NODATA
from decloud_lib.synthetic.schedule import OpticalDate
from decloud_lib.synthetic.sky import BIT_CIRRUS, BIT_CLOUD, BIT_SHADOW, BIT_SHADOW_FROM_OUTSIDE
from decloud_lib.types import Array, Grid

#: Since processing baseline 04.00: stored = DN - offset, so that dark ground is not cut at 0.
_BOA_OFFSET = -1000
_BAND_IDS = 13
#: Classes of the scene classification SCL.
_NO_DATA, _SHADOW, _GROUND, _CLOUD, _CIRRUS = 0, 3, 4, 9, 10
_FROM_CLM = ((BIT_SHADOW | BIT_SHADOW_FROM_OUTSIDE, _SHADOW), (BIT_CIRRUS, _CIRRUS))


def write_safe(
    date: OpticalDate, fine: Array, coarse: Array, clouds: Array, grid: Grid, tile_folder: Path
) -> Path:
    """Write one product; only the files that hold or explain the ten bands and the classification.

    Parameters
    ----------
    date
        The pass; `date.name` is ESA's name.
    fine, coarse
        (H, W, 4) and (H/2, W/2, 6) int16 DN, bands in the order of `bands.py`; -10000 = no data.
    clouds
        (H, W) uint8, Theia's CLM, the same within each 20 m pixel.
    grid
        10 m grid.
    tile_folder
        Gets `<name>.SAFE`.

    Returns
    -------
    Path
        The folder.
    """
    _, _, start, _, orbit, tile, _ = date.name.split("_")
    folder = tile_folder / f"{date.name}.SAFE"
    images = folder / "GRANULE" / f"L2A_{tile}_A{date.index + 1:06d}_{start}" / "IMG_DATA"
    for bands, pixels, factor in ((S2_10M_BANDS, fine, 1), (S2_20M_BANDS, coarse, 2)):
        stored = np.where(pixels == S2_NODATA, 0, pixels.astype(np.int32) - _BOA_OFFSET)
        for index, band in enumerate(bands):
            path = images / f"R{factor}0m" / f"{tile}_{start}_B{band[1:]:0>2}_{factor}0m.jp2"
            _write_jp2(path, stored[..., index].astype(np.uint16), grid.coarsened(factor))
    classes = _classes(clouds[::2, ::2], coarse[..., 0] == S2_NODATA)
    _write_jp2(images / "R20m" / f"{tile}_{start}_SCL_20m.jp2", classes, grid.coarsened(2))
    text = _metadata(date.name, int(orbit[1:]))
    (folder / "MTD_MSIL2A.xml").write_text(text, encoding="utf-8")
    return folder


def _classes(clouds: Array, outside: Array) -> Array:
    """Turn the bits of Theia's mask into classes of ESA's."""
    classes = np.full(clouds.shape, _GROUND, np.uint8)
    classes[clouds != 0] = _CLOUD
    for bits, value in _FROM_CLM:
        classes[(clouds & bits) != 0] = value
    # What is opaque counts as cloud where its own bit says so.
    classes[((clouds & BIT_CLOUD) != 0) & ((clouds & BIT_CIRRUS) == 0)] = _CLOUD
    classes[outside] = _NO_DATA
    return classes


def _write_jp2(path: Path, pixels: Array, grid: Grid) -> None:
    """Write (H, W) pixels without loss; the format can only be written as a copy of a raster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": pixels.dtype.name,
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "crs": grid.crs,
        "transform": grid.transform,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(pixels, 1)
        with memory.open() as source:
            rasterio.shutil.copy(
                source, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES"
            )


def _metadata(name: str, orbit: int) -> str:
    """Return the part of MTD_MSIL2A.xml that says how stored values become reflectance."""
    baseline = name.split("_")[3]
    offsets = "\n".join(
        f'        <BOA_ADD_OFFSET band_id="{number}">{_BOA_OFFSET}</BOA_ADD_OFFSET>'
        for number in range(_BAND_IDS)
    )
    space = "https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="{space}">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline[1:3]}.{baseline[3:]}</PROCESSING_BASELINE>
      <Datatake>
        <SENSING_ORBIT_NUMBER>{orbit}</SENSING_ORBIT_NUMBER>
      </Datatake>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
      <BOA_ADD_OFFSET_VALUES_LIST>
{offsets}
      </BOA_ADD_OFFSET_VALUES_LIST>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>
"""
