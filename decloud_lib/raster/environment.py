"""The GDAL settings under which all rasters are opened."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.session import DummySession

from decloud_lib import storage

#: Threads that compress or decompress blocks; more than four bring nothing for one file.
BLOCK_THREADS = min(4, os.cpu_count() or 1)

_block_caches: list[int] = []


@contextmanager
def block_cache(megabytes: int) -> Iterator[None]:
    """Keep no more blocks than this in memory while the context lasts.

    GDAL has one cache for all files and threads of a process, so the least of several counts. It
    counts for files that are opened from now on.
    """
    _block_caches.append(megabytes)
    try:
        yield
    finally:
        _block_caches.remove(megabytes)


@contextmanager
def gdal_environment() -> Iterator[rasterio.Env]:
    """Apply the GDAL options of `storage` to this thread while the context lasts; gives them.

    The session does nothing: GDAL finds the credentials by itself, in the same variables, profiles
    and pod identities as the AWS SDK, and no SDK session is made for each opened file. Side files
    (`.aux.xml`) are not looked at: they could give a band another place or no-data value.
    """
    with rasterio.Env(
        session=DummySession(),
        GDAL_PAM_ENABLED=False,
        **storage.gdal_options(min(_block_caches, default=storage.BLOCK_CACHE_MB)),
    ) as environment:
        yield environment
