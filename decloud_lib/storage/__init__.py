"""Files in an S3 bucket or in a local folder, behind one small set of functions.

A URI is `s3://bucket/key` or a local path; an address in the web (`https://`, `http://`) can be
read, and neither listed nor written. An object appears whole or not at all. Where the bucket is
follows from the standard variables of the AWS SDK (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, profiles, pod identity); GDAL is told the same endpoint.
"""

import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from decloud_lib.errors import StorageError
from decloud_lib.garbage import uncollected
from decloud_lib.storage import local, s3, web
from decloud_lib.storage.client import use_environment
from decloud_lib.storage.entry import Entry
from decloud_lib.storage.failures import MissingFileError
from decloud_lib.storage.gdal import BLOCK_CACHE_MB, gdal_options, gdal_path
from decloud_lib.storage.web import is_web

__all__ = [
    "BLOCK_CACHE_MB",
    "Entry",
    "MissingFileError",
    "check_bucket",
    "check_region",
    "create_bucket",
    "delete",
    "delete_prefix",
    "delete_unfinished",
    "download",
    "download_folder",
    "exists",
    "gdal_options",
    "gdal_path",
    "honours_create_only",
    "is_s3",
    "is_web",
    "join",
    "list_children",
    "list_files",
    "local_copy",
    "name_of",
    "parent_of",
    "read_bytes",
    "read_range",
    "read_text",
    "relative_path",
    "staged",
    "stat",
    "upload",
    "upload_folder",
    "use_environment",
    "write_bytes",
]


_DOWNLOADS = 8
#: Two letters at least: one is a drive.
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")
_SLASHES_OF_A_SERVER = 2


def is_s3(uri: str) -> bool:
    """Say whether a URI lies in a bucket; if not, it is a local path or an address in the web.

    Raises
    ------
    StorageError
        Another scheme: taken for a local path, it would become a folder of that name.
    """
    if uri.startswith(s3.SCHEME):
        return True
    if not is_web(uri) and (scheme := _OTHER_SCHEME.match(uri)):
        raise StorageError(
            f"{uri}: {scheme[0]} is no place that can be used; expected s3://bucket/prefix or a "
            "local path, or https://host/path for what is only read"
        )
    return False


def join(uri: str, *parts: str) -> str:
    """Append path components to a URI; empty ones are left out."""
    stripped = [part.strip("/") for part in parts]
    path, query = _without_query(uri)
    return "/".join([path.rstrip("/"), *(part for part in stripped if part)]) + query


def name_of(uri: str) -> str:
    """Return the last path component; a trailing slash and the query of an address do not count."""
    return _without_query(uri)[0].rstrip("/").rpartition("/")[2]


def parent_of(uri: str) -> str:
    """Return the URI without its last path component.

    `.` for a bare local name; a bucket or a server is its own parent. The query of an address does
    not lead to its neighbours, and is dropped.
    """
    path = _without_query(uri)[0].rstrip("/")
    alone = is_web(path) and path.count("/") == _SLASHES_OF_A_SERVER
    if alone or (is_s3(path) and not s3.split(path)[1]):
        return path
    head, slash, _ = path.rpartition("/")
    return head or slash or "."


def relative_path(uri: str, folder: str) -> str:
    """Return the path of a listed file below the folder that was listed, with `/` between parts.

    Raises
    ------
    StorageError
        The file does not lie there, or its name would lead out of a local copy of the folder.
    """
    if is_s3(uri) or is_web(uri):
        path = uri.removeprefix(folder.rstrip("/") + "/")
        bad = path == uri or path.startswith("/") or ".." in path.split("/")
    else:
        inside = PurePosixPath(uri).is_relative_to(folder)
        path = PurePosixPath(uri).relative_to(folder).as_posix() if inside else uri
        bad = not inside or ".." in path.split("/")
    if bad:
        raise StorageError(f"{uri}: is no path inside {folder}; rename the object")
    return path


def list_files(uri: str) -> list[Entry]:
    """List all files below a folder or prefix, sorted by URI; empty when there is none.

    Raises
    ------
    StorageError
        The bucket does not exist, cannot be reached or refuses the credentials.
    """
    with uncollected():
        return _place(uri).list_files(uri)


def list_children(uri: str) -> list[str]:
    """List the files and folders directly below a URI, sorted, without trailing slashes."""
    return _place(uri).list_children(uri)


def stat(uri: str) -> Entry | None:
    """Return size and ETag of one file, or None when it is not there."""
    return _place(uri).stat(uri)


def exists(uri: str) -> bool:
    """Say whether a file, or a folder with something in it, is there."""
    return stat(uri) is not None or _place(uri).has_children(uri)


def read_bytes(uri: str) -> bytes:
    """Return the content of one file.

    Raises
    ------
    MissingFileError
        There is no such file.
    StorageError
        The bucket is missing or refuses.
    """
    return _place(uri).read_bytes(uri)


def read_range(uri: str, start: int, stop: int) -> bytes:
    """Return the bytes from `start` up to, not including, `stop`; fewer at the end of the file."""
    return _place(uri).read_range(uri, start, stop) if stop > start else b""


def read_text(uri: str) -> str:
    """Return the content of one UTF-8 file."""
    try:
        return read_bytes(uri).decode("utf-8")
    except UnicodeDecodeError as error:
        raise StorageError(f"{uri}: expected UTF-8 text, found other bytes") from error


def write_bytes(uri: str, data: bytes, *, create_only: bool = False) -> None:
    """Write one file, whole or not at all.

    Parameters
    ----------
    uri
        Where to write.
    data
        The content.
    create_only
        Refuse to replace a file that is there (`If-None-Match: *` on S3).

    Raises
    ------
    AlreadyExistsError
        `create_only` and the file is there.
    """
    _place(uri).write_bytes(uri, data, create_only=create_only)


def upload(path: Path, uri: str, *, create_only: bool = False) -> None:
    """Bring one finished local file to a URI, whole or not at all; see `write_bytes`."""
    _place(uri).upload(path, uri, create_only=create_only)


def upload_folder(folder: Path, uri: str) -> None:
    """Bring all files of a local folder below a URI, in sorted order."""
    for entry in local.list_files(str(folder)):
        upload(Path(entry.uri), join(uri, relative_path(entry.uri, str(folder))))


def download(uri: str, path: Path) -> None:
    """Bring one file to a local path, whole or not at all."""
    if not is_s3(uri) and not is_web(uri):
        local.download(uri, path)
        return
    with local.appearing(str(path)) as partial:
        if is_web(uri):
            web.download(uri, partial)
        else:
            s3.download(uri, partial)


def download_folder(uri: str, folder: Path) -> None:
    """Bring all files below a URI into a local folder.

    Raises
    ------
    StorageError
        An object's name would lead out of the folder.
    """
    _download_all(list_files(uri), uri, folder)


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Give a local folder or file with the content of a URI: itself, or a temporary download.

    Raises
    ------
    MissingFileError
        Neither a file nor a folder with something in it is there.
    """
    missing = MissingFileError(f"{uri}: there is no such file or folder; check the path")
    if not is_s3(uri) and not is_web(uri):
        if not exists(uri):
            raise missing
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        path = Path(folder, name_of(uri))
        if stat(uri) is not None:
            download(uri, path)
        elif not is_web(uri) and (entries := list_files(uri)):
            _download_all(entries, uri, path)
        else:
            raise missing
        yield path


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """Give a local path to write to; the file that stands there at the end appears at the URI.

    After an exception nothing appears. For a local URI the path lies on the same file system, so
    that a large file is not written twice.

    Raises
    ------
    MissingFileError
        Nothing was written.
    StorageError
        The URI can only be read.
    """
    if is_web(uri):
        web.read_only(uri)
    if not is_s3(uri):
        with local.appearing(uri) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        path = Path(folder, name_of(uri))
        yield path
        upload(path, uri)


def delete(uri: str) -> None:
    """Delete one file; no error when it is not there."""
    _place(uri).delete(uri)


def delete_unfinished(uri: str) -> None:
    """Delete what is left of a file after the process that was writing it has died.

    A bucket never shows such a thing. Do not call it while another process writes the same file.
    """
    if not is_s3(uri) and not is_web(uri):
        local.delete_unfinished(uri)


def delete_prefix(uri: str) -> int:
    """Delete all files below a folder or prefix and return their number."""
    return _place(uri).delete_prefix(uri)


def check_bucket(uri: str) -> None:
    """Fail early, with the reason, when the bucket of a URI cannot be used.

    Raises
    ------
    StorageError
        The bucket does not exist, cannot be reached or refuses the credentials; or the place can
        only be read.
    """
    if is_web(uri):
        web.read_only(uri)
    if is_s3(uri):
        s3.check_bucket(uri)


def check_region(uri: str) -> None:
    """Fail when the bucket of a URI lies in another region than `AWS_REGION` says.

    Amazon's client finds its way all the same; GDAL pays for it with each request.

    Raises
    ------
    StorageError
        It does. A server that does not tell where it is passes.
    """
    if is_s3(uri):
        s3.check_region(uri)


def create_bucket(uri: str) -> None:
    """Make the bucket or folder of a URI when it is missing."""
    _place(uri).create_bucket(uri)


def honours_create_only(folder: str) -> bool:
    """Find out, once per process and bucket, whether `create_only` holds against other writers.

    Some S3 servers ignore `If-None-Match`; there, `create_only` looks first and then writes, so two
    writers at the same instant are not kept apart. It is said in the log.
    """
    return s3.honours_create_only(folder) if is_s3(folder) else True


def _download_all(entries: list[Entry], uri: str, folder: Path) -> None:
    targets = {entry.uri: folder / relative_path(entry.uri, uri) for entry in entries}
    # Many small files wait for the server rather than for the line.
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for _ in pool.map(download, targets.keys(), targets.values()):
            pass


class _Place(Protocol):
    """What `local`, `s3` and `web` offer."""

    def list_files(self, uri: str) -> list[Entry]: ...
    def list_children(self, uri: str) -> list[str]: ...
    def has_children(self, uri: str) -> bool: ...
    def stat(self, uri: str) -> Entry | None: ...
    def read_bytes(self, uri: str) -> bytes: ...
    def read_range(self, uri: str, start: int, stop: int) -> bytes: ...
    def write_bytes(self, uri: str, data: bytes, *, create_only: bool) -> None: ...
    def upload(self, path: Path, uri: str, *, create_only: bool) -> None: ...
    def delete(self, uri: str) -> None: ...
    def delete_prefix(self, uri: str) -> int: ...
    def create_bucket(self, uri: str) -> None: ...


def _place(uri: str) -> _Place:
    if is_web(uri):
        return web
    return s3 if is_s3(uri) else local


def _without_query(uri: str) -> tuple[str, str]:
    """Split a URI before the query of an address in the web; names elsewhere may hold a `?`."""
    cut = re.search(r"[?#]", uri) if is_web(uri) else None
    return (uri[: cut.start()], uri[cut.start() :]) if cut else (uri, "")
