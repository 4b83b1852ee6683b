"""Rasters that are there to their end, and those that are not."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from decloud_lib import storage
from decloud_lib.raster.whole import damage_of
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Grid

GRID = Grid("EPSG:32631", 300000.0, 4900000.0, 10.0, 300, 400)


@pytest.fixture(params=["pixel", "band", "cog", "one block"])
def raster(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A raster of noise, so that each block takes its room."""
    path = tmp_path / "image.tif"
    grid = GRID.coarsened(4) if request.param == "one block" else GRID
    pixels = np.random.default_rng(0).integers(0, 9000, (*grid.shape, 4)).astype(np.int16)
    bands = ("B2", "B3", "B4", "B8")
    profile = RasterProfile(bands, "int16", block_px=64, cog=request.param == "cog")
    write_raster(str(path), grid, profile, pixels)
    if request.param == "band":
        separate = tmp_path / "separate.tif"
        rasterio.shutil.copy(path, separate, driver="GTiff", INTERLEAVE="BAND", TILED="YES")
        return separate
    return path


def damage(path: Path) -> str:
    entry = storage.stat(str(path))
    assert entry is not None
    return damage_of(entry)


def test_a_whole_raster_has_no_damage(raster: Path) -> None:
    assert damage(raster) == ""


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.8, 0.99])
def test_a_raster_that_ends_early_is_found_whatever_is_left(raster: Path, share: float) -> None:
    content = raster.read_bytes()
    raster.write_bytes(content[: int(share * len(content))])
    assert str(raster) in damage(raster)


def test_a_raster_that_was_mended_is_whole_again(raster: Path) -> None:
    content = raster.read_bytes()
    raster.write_bytes(content[:-500])
    assert "is cut short" in damage(raster)
    raster.write_bytes(content)
    assert damage(raster) == ""


def test_blocks_that_were_never_written_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "sparse_ok": True}
    with rasterio.open(
        path, "w", driver="GTiff", width=400, height=300, count=1, dtype="int16",
        transform=GRID.transform, crs=GRID.crs, **options,
    ) as image:  # fmt: skip
        image.write(np.ones((64, 64), np.int16), 1, window=rasterio.windows.Window(0, 0, 64, 64))
    assert damage(path) == ""
