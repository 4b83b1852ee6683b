"""The GDAL settings under which rasters are opened."""

from rasterio._env import get_gdal_config

from decloud_lib.raster.environment import gdal_environment


def test_the_block_cache_holds_64_megabytes() -> None:
    with gdal_environment():
        assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20
