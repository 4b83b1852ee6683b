"""Tiny delivered products, written with plain rasterio and not with our own writer."""

import zipfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from decloud_lib.types import Array

S2_NAME = "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
S1_STEM = "s1b_31TEJ_{}_DES_110_20201011t060008"
BANDS_10M = ("B2", "B3", "B4", "B8")
BANDS_20M = ("B5", "B6", "B7", "B8A", "B11", "B12")
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
    **options: object,
) -> Path:
    """Write (H, W) or (C, H, W) pixels."""
    planes = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
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


def zip_product(folder: Path, name: str = S2_NAME) -> Path:
    """Pack a product folder into `<name>.zip` beside it."""
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted((folder / name).rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


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
