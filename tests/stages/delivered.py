"""Tiny delivered products, written with plain rasterio and not with our own writer."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile

from decloud_lib.types import Array

S2_NAME = "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
SAFE_NAME = "S2B_MSIL2A_20220501T105029_N0400_R051_T31TEJ_20220501T133000"
S1_STEM = "s1b_31TEJ_{}_DES_110_20201011t060008"
BANDS_10M = ("B2", "B3", "B4", "B8")
BANDS_20M = ("B5", "B6", "B7", "B8A", "B11", "B12")
_EARTH_SEARCH = (
    *("blue", "green", "red", "nir"),
    *("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22", "scl"),
)
LEFT, TOP = 500040.0, 4900020.0
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real"
WITHOUT_REAL = f"no real products at {REAL}"


def write_tif(
    path: Path,
    pixels: Array,
    pixel_m: float = 10.0,
    *,
    tags: dict[str, str] | None = None,
    left: float = LEFT,
    nodata: float | None = None,
    driver: str = "GTiff",
    **options: object,
) -> Path:
    """Write (H, W) or (C, H, W) pixels."""
    planes = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver=driver,
        count=planes.shape[0],
        height=planes.shape[1],
        width=planes.shape[2],
        dtype=planes.dtype,
        crs="EPSG:32631",
        transform=Affine(pixel_m, 0, left, 0, -pixel_m, TOP),
        nodata=nodata,
        **options,
    ) as file:
        file.write(planes)
        file.update_tags(**(tags or {}))
    return path


def write_theia(
    folder: Path,
    name: str = S2_NAME,
    shape: tuple[int, int] = (128, 192),
    cloud: Array | None = None,
    edge: Array | None = None,
) -> dict[str, Array]:
    """Write a product folder in `folder`; return the pixels by band or mask."""
    rng = np.random.default_rng(1)
    coarse = (shape[0] // 2, shape[1] // 2)
    pixels = {band: rng.integers(-50, 9000, shape).astype(np.int16) for band in BANDS_10M}
    pixels |= {band: rng.integers(-50, 9000, coarse).astype(np.int16) for band in BANDS_20M}
    for band, values in pixels.items():
        pixel_m = 10.0 if band in BANDS_10M else 20.0
        path = folder / name / f"{name}_FRE_{band}.tif"
        write_tif(path, values, pixel_m, nodata=-10000, compress="deflate")
        # What a delivery also holds, and what must not be taken for it.
        path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset/>")
        (folder / name / f"{name}_SRE_{band}.tif").write_bytes(b"not read")
    empty = np.zeros(shape, np.uint8)
    pixels["CLM_R1"] = empty if cloud is None else cloud
    pixels["EDG_R1"] = empty if edge is None else edge
    for mask in ("CLM_R1", "EDG_R1"):
        write_tif(folder / name / "MASKS" / f"{name}_{mask}.tif", pixels[mask])
        (folder / name / "MASKS" / f"{name}_{mask.replace('R1', 'R2')}.tif").write_bytes(b"no")
    return pixels


def zip_product(
    folder: Path, name: str = S2_NAME, method: int = zipfile.ZIP_DEFLATED, end: str = ".zip"
) -> Path:
    """Pack a product folder into `<name>.zip` beside it."""
    archive = folder / f"{name.removesuffix('.SAFE')}{end}"
    with zipfile.ZipFile(archive, "w", method) as file:
        for path in sorted((folder / name).rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


def write_jp2(path: Path, pixels: Array, pixel_m: float) -> Path:
    """Write (H, W) pixels without loss, as ESA's images are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": 1,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "dtype": pixels.dtype,
        "crs": "EPSG:32631",
        "transform": Affine(pixel_m, 0, LEFT, 0, -pixel_m, TOP),
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(pixels, 1)
        options = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": "64", "BLOCKYSIZE": "64"}
        with memory.open() as file:
            rasterio.shutil.copy(file, path, driver="JP2OpenJPEG", **options)
    return path


def stored_values(
    shape: tuple[int, int], offset: int | None, scene: Array | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return what ESA stores, by band and `SCL`, and the DN that it stands for, by band."""
    rng = np.random.default_rng(2)
    coarse = (shape[0] // 2, shape[1] // 2)
    stored = {band: rng.integers(1, 9000, shape).astype(np.uint16) for band in BANDS_10M}
    stored |= {band: rng.integers(1, 9000, coarse).astype(np.uint16) for band in BANDS_20M}
    stored["SCL"] = rng.integers(1, 12, coarse).astype(np.uint8) if scene is None else scene
    outside = stored["SCL"] == 0
    for band in BANDS_10M:
        stored[band][outside.repeat(2, 0).repeat(2, 1)] = 0
    for band in BANDS_20M:
        stored[band][outside] = 0
    dn = {
        band: np.where(stored[band] == 0, -10000, stored[band].astype(np.int32) + (offset or 0))
        for band in (*BANDS_10M, *BANDS_20M)
    }
    return stored, {band: values.astype(np.int16) for band, values in dn.items()}


def write_safe(
    folder: Path,
    name: str = SAFE_NAME,
    shape: tuple[int, int] = (128, 192),
    offset: int | None = -1000,
    scene: Array | None = None,
    *,
    zipped: bool = False,
) -> dict[str, Array]:
    """Write `<name>.SAFE`, or `<name>.zip` of it; return the DN by band, and `SCL`.

    `offset` None is a product of a baseline before 04.00.
    """
    stored, dn = stored_values(shape, offset, scene)
    safe = folder / f"{name}.SAFE"
    granule = safe / "GRANULE" / "L2A_T31TEJ_A026905_20220501T105500"
    _, _, start, *_ = name.split("_")
    tile = name.split("_")[5]
    for band, values in stored.items():
        fine = band in BANDS_10M
        word = f"B{band[1:]:0>2}" if band[0] == "B" else band
        images = granule / "IMG_DATA" / ("R10m" if fine else "R20m")
        end = "10m" if fine else "20m"
        write_jp2(images / f"{tile}_{start}_{word}_{end}.jp2", values, 10.0 if fine else 20.0)
        # What a delivery also holds, and what must not be taken for it.
        copies = granule / "IMG_DATA" / "R60m" / f"{tile}_{start}_{word}_60m.jp2"
        copies.parent.mkdir(exist_ok=True)
        copies.write_bytes(b"not read")
        if fine:
            (granule / "IMG_DATA" / "R20m").mkdir(exist_ok=True)
            copy = granule / "IMG_DATA" / "R20m" / f"{tile}_{start}_{word}_20m.jp2"
            copy.write_bytes(b"not read")
    (granule / "QI_DATA").mkdir()
    (granule / "QI_DATA" / "MSK_CLDPRB_20m.jp2").write_bytes(b"not read")
    (granule / "MTD_TL.xml").write_text("<not-read/>")
    (safe / "MTD_MSIL2A.xml").write_text(metadata_xml(name, offset))
    if zipped:
        zip_product(folder, safe.name)
        shutil.rmtree(safe)
    return {**dn, "SCL": stored["SCL"]}


def metadata_xml(name: str = SAFE_NAME, offset: int | None = -1000, **values: str) -> str:
    """Return MTD_MSIL2A.xml, laid out as ESA's; `values` replace texts by the name of the tag."""
    texts = {
        "PRODUCT_URI": f"{name}.SAFE",
        "PROCESSING_LEVEL": "Level-2A",
        "PROCESSING_BASELINE": "04.00" if offset is not None else "03.01",
        "SENSING_ORBIT_NUMBER": "51",
        "BOA_QUANTIFICATION_VALUE": "10000",
        "SPECIAL_VALUE_INDEX": "0",
    } | values
    start = "https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"
    offsets = "".join(
        f'<BOA_ADD_OFFSET band_id="{number}">{offset}</BOA_ADD_OFFSET>' for number in range(13)
    )
    listed = f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="{start}">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_URI>{texts["PRODUCT_URI"]}</PRODUCT_URI>
      <PROCESSING_LEVEL>{texts["PROCESSING_LEVEL"]}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{texts["PROCESSING_BASELINE"]}</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="GS2B_20220501T105029_026905_N04.00">
        <SENSING_ORBIT_NUMBER>{texts["SENSING_ORBIT_NUMBER"]}</SENSING_ORBIT_NUMBER>
      </Datatake>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>{texts["SPECIAL_VALUE_INDEX"]}</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE>{texts["BOA_QUANTIFICATION_VALUE"]}</BOA_QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
      {listed if offset is not None else ""}
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>
"""


def write_stac(
    folder: Path,
    shape: tuple[int, int] = (128, 192),
    offset: int | None = -1000,
    scene: Array | None = None,
    archive: str = "earth-search",
) -> tuple[Path, dict[str, Array]]:
    """Write an item and its COGs beside it; return its path, and the DN by band, and `SCL`.

    `archive` is whose items it looks like: `earth-search`, `planetary` or `copernicus`; `offset`
    None is a product of a baseline before 04.00.
    """
    stored, dn = stored_values(shape, offset, scene)
    keys = dict(zip((*BANDS_10M, *BANDS_20M, "SCL"), _EARTH_SEARCH, strict=True))
    assets: dict[str, dict[str, Any]] = {}
    for band, values in stored.items():
        fine = band in BANDS_10M
        word = f"B{band[1:]:0>2}" if band[0] == "B" else band
        file_name = f"{word}.tif"
        write_tif(
            folder / file_name,
            values,
            10.0 if fine else 20.0,
            nodata=0,
            driver="COG",
            blocksize=128,
            overviews="none",
        )
        asset: dict[str, Any] = {"href": f"./{file_name}", "type": "image/tiff", "roles": ["data"]}
        scaling = {"scale": 0.0001, "offset": (offset or 0) / 10000}
        match archive:
            case "earth-search":
                key = keys[band]
                asset["raster:bands"] = [{"nodata": 0, "data_type": "uint16", **scaling}]
            case "copernicus":
                key = f"{word}_{10 if fine else 20}m"
                asset |= {f"raster:{name}": value for name, value in scaling.items()}
            case _:
                key = word
        assets[key] = asset
    baseline = "04.00" if offset is not None else "03.01"
    facts: dict[str, Any] = {
        "datetime": "2022-05-01T10:56:21.024000Z",
        "platform": "Sentinel-2B",
        "s2:processing_baseline": baseline,
        "sat:relative_orbit": 51,
        "grid:code": "MGRS-31TEJ",
    }
    item_id = "S2B_31TEJ_20220501_0_L2A"
    match archive:
        case "earth-search":
            facts |= {
                "s2:product_uri": f"{SAFE_NAME}.SAFE",
                "earthsearch:boa_offset_applied": False,
            }
        case "planetary":
            facts["s2:product_uri"] = f"{SAFE_NAME}.SAFE"
            item_id = SAFE_NAME.replace("_N0400", "")
            assets["product-metadata"] = {"href": "./MTD_MSIL2A.xml", "type": "application/xml"}
            (folder / "MTD_MSIL2A.xml").write_text(metadata_xml(offset=offset))
        case _:
            item_id = SAFE_NAME
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Point", "coordinates": [3.0, 44.0]},
        "bbox": [3.0, 44.0, 3.0, 44.0],
        "properties": facts,
        "links": [{"rel": "self", "href": "file:///elsewhere/item.json"}],
        "assets": assets,
    }
    path = folder / "item.json"
    path.write_text(json.dumps(item))
    return path, {**dn, "SCL": stored["SCL"]}


def write_s1(
    folder: Path,
    vv: Array,
    vh: Array,
    stem: str = S1_STEM,
    tags: dict[str, str] | None = None,
) -> str:
    """Write a pair; return the path of its VH file."""
    for polarisation, pixels in (("vv", vv), ("vh", vh)):
        path = folder / f"{stem.format(polarisation)}.tif"
        write_tif(path, pixels.astype(np.float32), nodata=0, tags=tags)
    return str(folder / f"{stem.format('vh')}.tif")
