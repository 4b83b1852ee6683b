"""How GDAL reads from the same bucket as boto3, in windows, without a download."""

from urllib.parse import urlsplit

from decloud_lib.storage.client import endpoint, variable
from decloud_lib.storage.s3 import SCHEME
from decloud_lib.storage.web import escaped, is_web

BLOCK_CACHE_MB = 64
"""How much GDAL keeps of the blocks it has read, 2^20 bytes."""


def gdal_path(uri: str) -> str:
    """Return the name under which GDAL opens a URI, straight from the bucket or the web."""
    if is_web(uri):
        return f"/vsicurl/{escaped(uri)}"
    return f"/vsis3/{uri.removeprefix(SCHEME)}" if uri.startswith(SCHEME) else uri


def gdal_options(block_cache_mb: int = BLOCK_CACHE_MB) -> dict[str, str | int | bool]:
    """Return the GDAL options for reading from the bucket that the AWS variables name.

    Parameters
    ----------
    block_cache_mb
        How much GDAL keeps of the blocks it has read, 2^20 bytes.

    Notes
    -----
    GDAL finds the credentials itself, where boto3 does: variables, profile, pod identity. The
    block cache is bounded (GDAL's default is 5 % of the machine's memory). Listing the folder of
    each opened file is switched off because it costs a request per file, and so is keeping what
    was read of a closed file, because the object may have been replaced since. An option that is
    set as an environment variable stays as it is there.
    """
    options: dict[str, str | int | bool] = {
        # In bytes: rasterio takes this number as bytes, GDAL itself a small one as megabytes. With
        # next to no cache, threads that read write out the half-written blocks of others.
        "GDAL_CACHEMAX": block_cache_mb << 20,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsicurl/",
        "GDAL_HTTP_CONNECTTIMEOUT": 3,
        "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
        "GDAL_HTTP_LOW_SPEED_TIME": 60,
        "GDAL_HTTP_MAX_RETRY": 3,
        "GDAL_HTTP_RETRY_DELAY": 1,
    }
    if (address := endpoint()) is not None:
        parts = urlsplit(address)
        options["AWS_S3_ENDPOINT"] = parts.netloc
        options["AWS_HTTPS"] = "YES" if parts.scheme == "https" else "NO"
        options["AWS_VIRTUAL_HOSTING"] = False
    if (credentials := variable("AWS_SHARED_CREDENTIALS_FILE")) is not None:
        options["CPL_AWS_CREDENTIALS_FILE"] = credentials
    return {name: value for name, value in options.items() if variable(name) is None}
