"""Files in an S3 bucket or in a local folder, behind one small set of functions.

A URI is `s3://bucket/key` or a local path. An object appears whole or not at all. Where the bucket
is follows from the standard variables of the AWS SDK (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, profiles, pod identity); GDAL is told the same endpoint.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from decloud_lib.errors import AlreadyExistsError, StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

_SCHEME = "s3://"
_PARTIAL = ".partial-"
_MISSING = {"404", "NoSuchKey", "NotFound"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file."""

    uri: str
    size: int
    """Bytes."""
    etag: str
    """Changes with the content: the S3 ETag, or size and modification time of a local file."""


def is_s3(uri: str) -> bool:
    """Say whether a URI lies in a bucket."""
    return uri.startswith(_SCHEME)


def join(uri: str, *parts: str) -> str:
    """Append path components to a URI."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def name_of(uri: str) -> str:
    """Return the last path component; a trailing slash does not count."""
    return uri.rstrip("/").rpartition("/")[2]


def parent_of(uri: str) -> str:
    """Return the URI without its last path component (`.` for a bare local name)."""
    return uri.rstrip("/").rpartition("/")[0] or "."


def list_files(uri: str) -> list[Entry]:
    """List all files below a folder or prefix, sorted by URI; empty when there is none.

    Raises
    ------
    StorageError
        The bucket does not exist, cannot be reached or refuses the credentials.
    """
    if not is_s3(uri):
        root = Path(uri)
        paths = (path for path in root.rglob("*") if path.is_file() and _PARTIAL not in path.name)
        return sorted((_local_entry(path) for path in paths), key=lambda entry: entry.uri)
    bucket, key = _split(uri.rstrip("/") + "/")
    with _translated(uri):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = [
            Entry(f"{_SCHEME}{bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))
            for page in pages
            for item in page.get("Contents", [])
            if not item["Key"].endswith("/")
        ]
    return sorted(found, key=lambda entry: entry.uri)


def list_children(uri: str) -> list[str]:
    """List the files and folders directly below a URI, sorted, without trailing slashes."""
    if not is_s3(uri):
        root = Path(uri)
        return sorted(str(path) for path in root.iterdir()) if root.is_dir() else []
    bucket, key = _split(uri.rstrip("/") + "/")
    found: list[str] = []
    with _translated(uri):
        paginator = _client().get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=bucket, Prefix=key, Delimiter="/"):
            found += [item["Key"] for item in page.get("Contents", []) if item["Key"] != key]
            found += [item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", [])]
    return sorted(f"{_SCHEME}{bucket}/{item}" for item in found)


def stat(uri: str) -> Entry | None:
    """Return size and ETag of one file, or None when it is not there."""
    if not is_s3(uri):
        path = Path(uri)
        return _local_entry(path) if path.is_file() else None
    bucket, key = _split(uri)
    try:
        with _translated(uri):
            head = _client().head_object(Bucket=bucket, Key=key)
    except _MissingObjectError:
        return None
    return Entry(uri, head["ContentLength"], head["ETag"].strip('"'))


def exists(uri: str) -> bool:
    """Say whether a file, or a folder with something in it, is there."""
    return stat(uri) is not None or bool(list_children(uri))


def read_bytes(uri: str) -> bytes:
    """Return the content of one file.

    Raises
    ------
    StorageError
        There is no such file, or the bucket refuses.
    """
    try:
        if not is_s3(uri):
            return Path(uri).read_bytes()
        bucket, key = _split(uri)
        with _translated(uri):
            return _client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except (FileNotFoundError, IsADirectoryError, _MissingObjectError) as error:
        raise StorageError(f"{uri}: there is no such file; check the path") from error


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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "content")
        path.write_bytes(data)
        upload(path, uri, create_only=create_only)


def upload(path: Path, uri: str, *, create_only: bool = False) -> None:
    """Bring one finished local file to a URI, whole or not at all; see `write_bytes`."""
    if is_s3(uri):
        _upload_s3(path, uri, create_only=create_only)
        return
    target = Path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{_PARTIAL}{os.getpid()}-{target.name}")
    try:
        shutil.copyfile(path, partial)
        if create_only:
            os.link(partial, target)
        else:
            partial.replace(target)
    except FileExistsError as error:
        raise AlreadyExistsError(f"{uri}: exists already and must not be replaced") from error
    finally:
        partial.unlink(missing_ok=True)


def upload_folder(folder: Path, uri: str) -> None:
    """Bring all files of a local folder below a URI, in sorted order."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        upload(path, join(uri, path.relative_to(folder).as_posix()))


def download(uri: str, path: Path) -> None:
    """Bring one file to a local path, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
    try:
        if is_s3(uri):
            bucket, key = _split(uri)
            with _translated(uri):
                _client().download_file(bucket, key, str(partial))
        else:
            shutil.copyfile(uri, partial)
        partial.replace(path)
    except (FileNotFoundError, _MissingObjectError) as error:
        raise StorageError(f"{uri}: there is no such file; check the path") from error
    finally:
        partial.unlink(missing_ok=True)


def download_folder(uri: str, folder: Path) -> None:
    """Bring all files below a URI into a local folder."""
    prefix = uri.rstrip("/") + "/"
    for entry in list_files(uri):
        download(entry.uri, folder / entry.uri.removeprefix(prefix))


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Give a local folder or file with the content of a URI: itself, or a temporary download."""
    if not is_s3(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        path = Path(folder, name_of(uri))
        if stat(uri) is None:
            download_folder(uri, path)
        else:
            download(uri, path)
        yield path


@contextmanager
def staged(uri: str) -> Iterator[Path]:
    """Give a local path to write to; what stands there at the end is brought to the URI.

    After an exception nothing appears at the URI.
    """
    with tempfile.TemporaryDirectory(prefix="decloud-") as folder:
        path = Path(folder, name_of(uri))
        yield path
        upload(path, uri)


def delete(uri: str) -> None:
    """Delete one file; no error when it is not there."""
    if not is_s3(uri):
        Path(uri).unlink(missing_ok=True)
        return
    bucket, key = _split(uri)
    with suppress(_MissingObjectError), _translated(uri):
        _client().delete_object(Bucket=bucket, Key=key)


def delete_prefix(uri: str) -> int:
    """Delete all files below a folder or prefix and return their number."""
    entries = list_files(uri)
    for entry in entries:
        delete(entry.uri)
    if not is_s3(uri):
        shutil.rmtree(uri, ignore_errors=True)
    return len(entries)


def check_bucket(uri: str) -> None:
    """Fail early, with the reason, when the bucket of a URI cannot be used.

    Raises
    ------
    StorageError
        The bucket does not exist, cannot be reached or refuses the credentials.
    """
    if is_s3(uri):
        bucket, _ = _split(uri)
        with _translated(uri):
            _client().list_objects_v2(Bucket=bucket, MaxKeys=1)


def create_bucket(uri: str) -> None:
    """Make the bucket or folder of a URI when it is missing."""
    if not is_s3(uri):
        Path(uri).mkdir(parents=True, exist_ok=True)
        return
    bucket, _ = _split(uri)
    with _translated(uri):
        names = [item["Name"] for item in _client().list_buckets().get("Buckets", [])]
        if bucket not in names:
            _client().create_bucket(Bucket=bucket)


@lru_cache(maxsize=8)
def honours_create_only(folder: str) -> bool:
    """Find out, once per process, whether a server really refuses to replace with `create_only`.

    Some S3 servers ignore `If-None-Match`; there, `create_only` looks first and then writes, so two
    writers at the same instant are not kept apart. It is said in the log.
    """
    if not is_s3(folder):
        return True
    probe = join(folder, f".create-only-probe-{os.getpid()}")
    bucket, key = _split(probe)
    try:
        with _translated(probe):
            for _ in range(2):
                _client().put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")
    except AlreadyExistsError:
        return True
    finally:
        delete(probe)
    logger.warning(
        "%s: the S3 server ignores If-None-Match; two writers of one object are not kept apart",
        os.environ.get("AWS_ENDPOINT_URL", "S3"),
    )
    return False


def gdal_path(uri: str) -> str:
    """Return the name under which GDAL opens a URI, straight from the bucket."""
    return f"/vsis3/{uri.removeprefix(_SCHEME)}" if is_s3(uri) else uri


def gdal_options() -> dict[str, str | int | bool]:
    """Return the GDAL options for reading from the bucket that the AWS variables name.

    The block cache is bounded (GDAL's default is 5 % of the machine's memory); listing the folder
    of each opened file is switched off because it costs a request per file.
    """
    options: dict[str, str | int | bool] = {
        "GDAL_CACHEMAX": 64,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": 3,
        "GDAL_HTTP_RETRY_DELAY": 1,
    }
    endpoint = _endpoint()
    if endpoint:
        parts = urlsplit(endpoint)
        options["AWS_S3_ENDPOINT"] = parts.netloc
        options["AWS_HTTPS"] = "YES" if parts.scheme == "https" else "NO"
        options["AWS_VIRTUAL_HOSTING"] = False
    return options


class _MissingObjectError(StorageError):
    """No such key; becomes None or a message in the public functions."""


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _client() -> "S3Client":
    return _cached_client(os.getpid(), _endpoint(), os.environ.get("AWS_ACCESS_KEY_ID"))


@lru_cache(maxsize=4)
def _cached_client(_pid: int, endpoint: str | None, _key: str | None) -> "S3Client":
    config = Config(
        retries={"max_attempts": 4, "mode": "standard"},
        connect_timeout=10,
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    # A session of its own: the default one is not safe to share between threads.
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket; expected s3://bucket/prefix")
    return bucket, key


def _local_entry(path: Path) -> Entry:
    status = path.stat()
    return Entry(str(path), status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")


def _upload_s3(path: Path, uri: str, *, create_only: bool) -> None:
    bucket, key = _split(uri)
    with _translated(uri):
        if not create_only:
            _client().upload_file(str(path), bucket, key)
            return
        if not honours_create_only(f"{_SCHEME}{bucket}") and stat(uri) is not None:
            raise AlreadyExistsError(f"{uri}: exists already and must not be replaced")
        with path.open("rb") as body:
            _client().put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn the client's errors into ours, each with what to do."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        bucket = _split(uri)[0]
        if code == "NoSuchBucket":
            message = f"{uri}: there is no bucket {bucket!r} at {_endpoint() or 'AWS'}"
            raise StorageError(f"{message}; create it or check the name") from error
        if code in _MISSING:
            raise _MissingObjectError(f"{uri}: not found") from error
        if code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
            raise AlreadyExistsError(f"{uri}: exists already and must not be replaced") from error
        if code in {"403", "AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"}:
            message = f"{uri}: the S3 server refuses these credentials ({code})"
            raise StorageError(
                f"{message}; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        raise StorageError(f"{uri}: the S3 server answered {code or error}") from error
    except BotoCoreError as error:
        message = f"{uri}: cannot talk to the S3 server at {_endpoint() or 'AWS'}: {error}"
        raise StorageError(f"{message}; check AWS_ENDPOINT_URL and the credentials") from error
