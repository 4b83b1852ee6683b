"""Writing rasters: whole or not at all, with names, tags and blocks."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from decloud_lib import storage
from decloud_lib.errors import ShapeError
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.write import RasterProfile, create_raster, write_raster
from decloud_lib.types import Grid, Window

GRID = Grid("EPSG:32631", 500040.0, 4900020.0, 10.0, 600, 530)
BANDS = ("B2", "B3", "B4", "B8")
PIXELS = np.random.default_rng(0).integers(-100, 9000, (600, 530, 4)).astype(np.int16)
WHOLE = Window(0, 0, 600, 530)


@pytest.mark.parametrize("cog", [False, True])
def test_what_was_written_by_windows_is_read_back(bucket, cog):
    uri = storage.join(bucket, "new", "stack.tif")
    profile = RasterProfile(BANDS, "int16", -10000, cog=cog)
    with create_raster(uri, GRID, profile, {"A_TAG": "text"}) as writer:
        for row in range(0, 600, 256):
            window = Window(row, 0, min(256, 600 - row), 530)
            writer.write(window, PIXELS[row : row + 256])
        assert storage.stat(uri) is None
    with open_raster(uri) as reader:
        np.testing.assert_array_equal(reader.read(WHOLE), PIXELS)
        assert (reader.grid, reader.bands, reader.nodata) == (GRID, BANDS, -10000)
        assert reader.tags["A_TAG"] == "text"
        assert reader.block_shape == (256, 256)


@pytest.mark.parametrize("codec", ["ZSTD", "DEFLATE"])
@pytest.mark.parametrize("cog", [False, True])
def test_storage_is_as_the_profile_says(tmp_path, codec, cog):
    uri = str(tmp_path / "stack.tif")
    profile = RasterProfile(BANDS, "int16", -10000, 128, codec, cog=cog)
    write_raster(uri, GRID, profile, PIXELS)
    with rasterio.open(uri) as file:
        structure = file.tags(ns="IMAGE_STRUCTURE")
        assert structure["COMPRESSION"] == codec
        assert structure["PREDICTOR"] == "2"
        assert structure["INTERLEAVE"] == "PIXEL"
        assert structure.get("LAYOUT") == ("COG" if cog else None)
        assert file.block_shapes[0] == (128, 128)
        assert bool(file.overviews(1)) == cog
        assert [item.name for item in file.colorinterp] == ["gray"] + ["undefined"] * 3


def test_overviews_leave_no_data_out(tmp_path):
    uri = str(tmp_path / "cog.tif")
    pixels = np.full((600, 530, 1), 1000, np.int16)
    pixels[::2] = -10000
    write_raster(uri, GRID, RasterProfile(("B2",), "int16", -10000, 128, cog=True), pixels)
    with rasterio.open(uri, overview_level=0) as file:
        assert (file.read(1) == 1000).all()


def test_nothing_appears_after_an_error(bucket):
    uri = storage.join(bucket, "stack.tif")

    def stop_half_way():
        with create_raster(uri, GRID, RasterProfile(BANDS, "int16")) as writer:
            writer.write(WHOLE, PIXELS)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert storage.list_files(bucket) == []


_ON_A_FULL_DISK = """
import resource, signal, sys
import numpy as np
from decloud_lib.errors import StorageError
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Grid
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
pixels = np.random.default_rng(0).integers(-30000, 30000, (512, 512, 2)).astype(np.int16)
profile = RasterProfile(("B2", "B3"), "int16", cog=sys.argv[3] == "cog")
try:
    write_raster(sys.argv[1], Grid("EPSG:32631", 0, 0, 10, 512, 512), profile, pixels)
except StorageError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("kind", ["plain", "cog"])
@pytest.mark.parametrize("limit", [1000, 500_000, 1_048_000])
def test_a_full_disk_is_noticed(tmp_path, kind, limit):
    # 4 blocks of 262159 bytes: nothing, the second half, or a part of the last one is missing.
    target = tmp_path / "stack.tif"
    command = [sys.executable, "-c", _ON_A_FULL_DISK, str(target), str(limit), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"refused: {target}: could not be written whole")
    assert "make room on the disk" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(bucket):
    uri = storage.join(bucket, "stack.tif")
    storage.write_bytes(uri, b"old")
    with create_raster(uri, GRID, RasterProfile(BANDS, "int16")) as writer:
        writer.write(WHOLE, PIXELS)
        assert storage.read_bytes(uri) == b"old"
    with open_raster(uri) as reader:
        assert reader.bands == BANDS


@pytest.mark.parametrize("pixels", [PIXELS[..., :3], PIXELS[:-1], PIXELS.astype(np.int32)])
def test_other_pixels_than_announced_are_refused(tmp_path, pixels):
    with pytest.raises(ShapeError, match=r"expected \(600, 530, 4\) int16"):
        write_raster(str(tmp_path / "a.tif"), GRID, RasterProfile(BANDS, "int16"), pixels)


@pytest.mark.parametrize(("shape", "block_px"), [((1, 1), 16), ((171, 171), 176), ((3, 40), 48)])
def test_blocks_are_no_larger_than_needed(tmp_path, shape, block_px):
    grid = replace(GRID, height=shape[0], width=shape[1])
    uri = str(tmp_path / "small.tif")
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(*shape, 1)
    write_raster(uri, grid, RasterProfile(("count",), "uint16", predictor=1), pixels)
    with open_raster(uri) as reader:
        assert reader.block_shape == (block_px, block_px)
        np.testing.assert_array_equal(reader.read(Window(0, 0, *shape)), pixels)
