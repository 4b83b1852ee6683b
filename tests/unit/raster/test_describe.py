"""Rasters as they come: headers, strips and overviews."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.describe import open_plain
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.types import Grid
from tests.stages.delivered import write_tif

GRID = Grid("EPSG:32631", 500000.0, 4900000.0, 10.0, 600, 500)


def test_the_header_of_one_of_our_rasters(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.tif")
    pixels = np.ones((600, 500, 2), np.int16)
    write_raster(uri, GRID, RasterProfile(("B2", "B3"), "int16", -10000), pixels, {"A": "b"})
    with open_plain(uri) as raster:
        stored = raster.stored
    assert (stored.bands, stored.dtype, stored.nodata) == (("B2", "B3"), "int16", -10000.0)
    assert (stored.height, stored.width, stored.block_shape) == (600, 500, (256, 256))
    assert (stored.crs, stored.left, stored.top) == ("EPSG:32631", 500000.0, 4900000.0)
    assert (stored.pixel, stored.unit, stored.codec) == ((10.0, 10.0), "metre", "ZSTD")
    assert stored.overviews == ()
    assert stored.tags == {"A": "b"}


def test_strips_make_up_the_raster_in_the_wanted_order_of_bands(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 99, (2, 130, 70)).astype(np.uint8)
    path = write_tif(tmp_path / "a.tif", planes)
    with open_plain(str(path), unnamed=("X", "Y")) as raster:
        strips = list(raster.strips(("Y", "X")))
        with pytest.raises(MissingBandError, match="band Z is missing; found X, Y"):
            next(raster.strips(("Z",)))
    assert strips[0][0] == 0
    whole = np.concatenate([pixels for _, pixels in strips])
    assert np.array_equal(whole, np.moveaxis(planes[::-1], 0, -1))


def test_large_rasters_come_in_several_strips(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.tif")
    grid = Grid("EPSG:32631", 0.0, 0.0, 10.0, 1100, 8192)
    pixels = np.zeros((1100, 8192, 4), np.uint8)
    pixels[:, 0, 0] = np.arange(1100) % 251
    write_raster(uri, grid, RasterProfile(("a", "b", "c", "d"), "uint8", predictor=1), pixels)
    with open_plain(uri) as raster:
        strips = list(raster.strips())
    assert [row for row, _ in strips] == [0, 1024]
    assert np.array_equal(np.concatenate([part for _, part in strips])[:, 0], pixels[:, 0])


@pytest.mark.parametrize(("at_least", "height"), [(None, 600), (500, 600), (300, 300), (10, 150)])
def test_the_smallest_overview_that_is_large_enough(
    tmp_path: Path, at_least: int | None, height: int
) -> None:
    uri = str(tmp_path / "a.tif")
    profile = RasterProfile(("B2",), "int16", cog=True)
    write_raster(uri, GRID, profile, np.full((600, 500, 1), 7, np.int16))
    with open_plain(uri, at_least_px=at_least) as raster:
        rows = sum(pixels.shape[0] for _, pixels in raster.strips())
        values = {int(value) for _, pixels in raster.strips() for value in np.unique(pixels)}
    assert (raster.stored.height, rows) == (height, height)
    assert values == {7}


def test_a_text_that_names_other_files_is_not_followed(tmp_path: Path) -> None:
    source = write_tif(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    text = (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    path = tmp_path / "b.tif"
    path.write_text(text)
    with pytest.raises(ProductError, match="cannot be opened as a raster"), open_plain(str(path)):
        pass
