"""Listing a zip archive where it lies; GDAL reads its members through `/vsizip/`."""

import io
import uuid
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import rasterio
from rasterio.errors import RasterioError

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 18


def list_members(entry: storage.Entry) -> list[str]:
    """List the files in a zip archive, sorted; only its directory is read, also from a bucket.

    Raises
    ------
    ProductError
        Not a zip archive, or one that was cut short.
    """
    try:
        if not storage.is_s3(entry.uri):
            with zipfile.ZipFile(entry.uri) as archive:
                return _files_of(archive)
        with (
            io.BufferedReader(_RemoteFile(entry), _BUFFER_BYTES) as remote,
            zipfile.ZipFile(remote) as archive,
        ):
            found = _files_of(archive)
    except zipfile.BadZipFile as error:
        raise ProductError(
            f"{entry.uri}: not a whole zip archive ({error}); was it delivered completely?"
        ) from error
    _tell_gdal_the_size(entry.uri)
    return found


def member_uri(archive_uri: str, member: str) -> str:
    """Return the path under which GDAL opens a file inside an archive."""
    # Braces: the archive is told from the folders in it whatever the names look like.
    return f"/vsizip/{{{storage.gdal_path(archive_uri)}}}/{member}"


def _tell_gdal_the_size(uri: str) -> None:
    """Make GDAL list the folder of an archive in a bucket.

    Some S3 servers answer a request for a part with status 200 instead of 206; GDAL then takes the
    part for the whole, and finds no archive, unless a listing has told it the size. It lists the
    folder of any file that it opens but of archives, so it is asked for one that is not there.
    """
    beside = storage.join(storage.parent_of(uri), f"{uuid.uuid4().hex}.tif")
    with (
        suppress(RasterioError),
        gdal_environment(),
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
        rasterio.open(storage.gdal_path(beside)),
    ):
        pass


def _files_of(archive: zipfile.ZipFile) -> list[str]:
    return sorted(info.filename for info in archive.infolist() if not info.is_dir())


class _RemoteFile(io.RawIOBase):
    """An object in a bucket as a seekable file: each read fetches just its bytes."""

    def __init__(self, entry: storage.Entry) -> None:
        super().__init__()
        self._entry = entry
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._entry.size)
        if stop <= self._position:
            return 0
        data = storage.read_range(self._entry.uri, self._position, stop)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
