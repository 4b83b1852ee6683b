"""The GDAL settings under which rasters are opened."""

from rasterio._env import get_gdal_config

from decloud_lib.raster.environment import block_cache, gdal_environment


def test_the_block_cache_holds_64_megabytes() -> None:
    with gdal_environment():
        assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20


def test_the_least_of_several_caches_counts_while_it_lasts() -> None:
    with block_cache(16):
        with block_cache(32), gdal_environment():
            assert get_gdal_config("GDAL_CACHEMAX") == 16 << 20
        with gdal_environment():
            assert get_gdal_config("GDAL_CACHEMAX") == 16 << 20
    with gdal_environment():
        assert get_gdal_config("GDAL_CACHEMAX") == 64 << 20
