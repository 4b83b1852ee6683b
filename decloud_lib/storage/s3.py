"""Objects in S3 buckets, with the same functions as `local`."""

import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from botocore.exceptions import (
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from decloud_lib.errors import AlreadyExistsError, StorageError
from decloud_lib.storage.client import Variables, client, endpoint, server, variables
from decloud_lib.storage.entry import Entry
from decloud_lib.storage.failures import MissingFileError, code_of, os_errors, s3_errors

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        ObjectTypeDef,
    )

logger = logging.getLogger(__name__)

SCHEME = "s3://"
_ONE_REQUEST_BYTES = 8 << 20
_DELETE_BATCH = 1000
_READ_ATTEMPTS = 4
#: Listings of one prefix at the same time.
_LISTINGS = 8
#: A prefix that holds more prefixes than this is listed in one go.
_MOST_PARTS = 64
#: Answers of servers that do not know conditional writes at all.
_UNKNOWN = {"501", "NotImplemented", "400", "InvalidArgument", "InvalidRequest"}
#: What was found out about conditional writes, by AWS variables and bucket.
_create_only: dict[tuple[Variables, str], bool] = {}
#: Buckets that were seen to be there.
_seen: set[tuple[Variables, str]] = set()


def split(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of a URI; the key of a bucket itself is empty."""
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket; expected s3://bucket/prefix")
    return bucket, key


def list_files(uri: str) -> list[Entry]:
    """List all objects below a prefix, sorted by URI; the marks of empty folders are left out."""
    bucket, key = split(_folder(uri))
    with _errors(uri):
        page = client().list_objects_v2(Bucket=bucket, Prefix=key)
        items = _list_in_parts(bucket, key) if page.get("IsTruncated") else page.get("Contents", [])
        found = [
            Entry(f"{SCHEME}{bucket}/{item['Key']}", item["Size"], _etag(item))
            for item in items
            if not item["Key"].endswith("/")
        ]
    return sorted(found, key=lambda entry: entry.uri)


def _list_in_parts(bucket: str, key: str) -> "list[ObjectTypeDef]":
    """List a long prefix by the prefixes in it, several at once.

    An answer holds a thousand objects, and the next one must wait for it. Prefixes with many others
    in them, such as one for each product, stay whole.
    """

    def look(part: str) -> "ListObjectsV2OutputTypeDef":
        return client().list_objects_v2(Bucket=bucket, Prefix=part, Delimiter="/")

    def all_of(part: str) -> "list[ObjectTypeDef]":
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=part)
        return [item for page in pages for item in page.get("Contents", [])]

    found: list[ObjectTypeDef] = []
    whole: list[str] = []
    parts = [key]
    with ThreadPoolExecutor(_LISTINGS) as pool:
        while parts and len(whole) + len(parts) < _LISTINGS:
            below: list[str] = []
            for part, page in zip(parts, pool.map(look, parts), strict=True):
                inner = [item["Prefix"] for item in page.get("CommonPrefixes", [])]
                if page.get("IsTruncated") or len(inner) > _MOST_PARTS:
                    whole.append(part)
                else:
                    found += page.get("Contents", [])
                    below += inner
            parts = below
        for items in pool.map(all_of, whole + parts):
            found += items
    return found


def list_children(uri: str) -> list[str]:
    """List objects and prefixes directly below a prefix, sorted."""
    bucket, key = split(_folder(uri))
    found: list[str] = []
    with _errors(uri):
        paginator = client().get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=bucket, Prefix=key, Delimiter="/"):
            found += [item["Key"] for item in page.get("Contents", []) if item["Key"] != key]
            found += [item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", [])]
    return sorted(f"{SCHEME}{bucket}/{item}" for item in found)


def has_children(uri: str) -> bool:
    """Say whether anything lies below a prefix."""
    bucket, key = split(_folder(uri))
    with _errors(uri):
        answer = client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return bool(answer.get("Contents"))


def stat(uri: str) -> Entry | None:
    """Return size and ETag of an object, or None when it is not there."""
    bucket, key = split(uri)
    if not key or key.endswith("/"):
        return None
    try:
        with _errors(uri):
            head = client().head_object(Bucket=bucket, Key=key)
    except MissingFileError:
        _require_bucket(bucket)
        return None
    return Entry(uri, head["ContentLength"], _etag(head))


def read_bytes(uri: str) -> bytes:
    """Return the content of an object; a connection that is cut is tried again."""
    bucket, key = split(uri)
    return _whole(uri, lambda: client().get_object(Bucket=bucket, Key=key)["Body"])


def read_range(uri: str, start: int, stop: int) -> bytes:
    """Return a part of an object."""
    bucket, key = split(uri)
    part = f"bytes={start}-{stop - 1}"
    return _whole(uri, lambda: client().get_object(Bucket=bucket, Key=key, Range=part)["Body"])


def write_bytes(uri: str, data: bytes, *, create_only: bool) -> None:
    """Write an object in one request."""
    bucket, key = split(uri)
    if create_only:
        _write_new(uri, data)
        return
    with _errors(uri):
        client().put_object(Bucket=bucket, Key=key, Body=data)


def upload(path: Path, uri: str, *, create_only: bool) -> None:
    """Bring a local file to its place, in several parts when it is large."""
    bucket, key = split(uri)
    with os_errors(f"{path} to {uri}"):
        large = path.stat().st_size > _ONE_REQUEST_BYTES
        if not large:
            write_bytes(uri, path.read_bytes(), create_only=create_only)
            return
        with path.open("rb") as content, _errors(uri):
            if create_only:
                _write_new(uri, content)
            else:
                # Not `upload_file`: it hides the server's answer in a text.
                client().upload_fileobj(content, bucket, key)


def download(uri: str, path: Path) -> None:
    """Bring an object to a local path; the caller sees to it that half a file is not seen."""
    bucket, key = split(uri)
    try:
        with os_errors(f"{uri} to {path}"), _errors(uri):
            client().download_file(bucket, key, str(path))
    except MissingFileError:
        _require_bucket(bucket)
        raise


def delete(uri: str) -> None:
    """Delete an object; no error when it is not there."""
    bucket, key = split(uri)
    with _errors(uri):
        client().delete_object(Bucket=bucket, Key=key)


def delete_prefix(uri: str) -> int:
    """Delete all objects below a prefix, and return their number."""
    bucket, _ = split(uri)
    keys = [split(entry.uri)[1] for entry in list_files(uri)]
    for start in range(0, len(keys), _DELETE_BATCH):
        batch = keys[start : start + _DELETE_BATCH]
        with _errors(uri):
            answer = client().delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
            )
        if failed := answer.get("Errors"):
            text = f"{failed[0].get('Key')}: {failed[0].get('Message', failed[0].get('Code'))}"
            raise StorageError(f"{uri}: {len(failed)} objects were not deleted, first {text}")
    return len(keys)


def check_bucket(uri: str) -> None:
    """Raise with the reason when a bucket cannot be used."""
    bucket, _ = split(uri)
    with _errors(uri):
        client().list_objects_v2(Bucket=bucket, MaxKeys=1)


def check_region(uri: str) -> None:
    """Raise when a bucket says that it lies in another region than the one that is set."""
    bucket, _ = split(uri)
    with _errors(uri):
        answer = client().head_bucket(Bucket=bucket)
        asked = client().meta.region_name
    lies = answer.get("BucketRegion")
    if lies and lies != asked:
        raise StorageError(
            f"{uri}: the bucket is in region {lies}, and AWS_REGION says {asked}: set "
            f"AWS_REGION={lies}, and run where the data are"
        )


def create_bucket(uri: str) -> None:
    """Make a bucket when it is missing."""
    bucket, _ = split(uri)
    with suppress(MissingFileError), _errors(uri):
        client().head_bucket(Bucket=bucket)
        return
    with _errors(uri):
        region = client().meta.region_name
        if endpoint() is None and region not in {"us-east-1", "aws-global"}:
            place = {"LocationConstraint": region}
            client().create_bucket(Bucket=bucket, CreateBucketConfiguration=place)  # type: ignore[arg-type]
        else:
            client().create_bucket(Bucket=bucket)


def honours_create_only(uri: str) -> bool:
    """Find out, once per process and bucket, whether the server refuses to replace an object."""
    bucket, prefix = split(_folder(uri))
    known = (variables(), bucket)
    if known not in _create_only:
        _create_only[known] = _probe(bucket, f"{prefix}.create-only-probe-{uuid.uuid4().hex}")
        if not _create_only[known]:
            logger.warning(
                "the S3 server at %s ignores If-None-Match: of two writers of one object at the "
                "same instant, the later wins",
                server(),
            )
    return _create_only[known]


def _probe(bucket: str, key: str) -> bool:
    uri = f"{SCHEME}{bucket}/{key}"
    try:
        with _errors(uri):
            for _ in range(2):
                client().put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")
    except AlreadyExistsError:
        return True
    except StorageError as error:
        if not (isinstance(error.__cause__, ClientError) and code_of(error.__cause__) in _UNKNOWN):
            raise
    finally:
        delete(uri)
    return False


def _write_new(uri: str, content: bytes | BinaryIO) -> None:
    bucket, key = split(uri)
    if honours_create_only(uri.rpartition("/")[0]):
        with _errors(uri):
            client().put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        return
    if stat(uri) is not None:
        raise AlreadyExistsError(f"{uri}: exists already and must not be replaced")
    with _errors(uri):
        client().put_object(Bucket=bucket, Key=key, Body=content)


def _require_bucket(bucket: str) -> None:
    """Raise when a bucket is missing: the answer to HEAD is the same 404 as for an object."""
    key = (variables(), bucket)
    if key not in _seen:
        check_bucket(f"{SCHEME}{bucket}")
        _seen.add(key)


def _folder(uri: str) -> str:
    return uri.rstrip("/") + "/"


def _etag(answer: "HeadObjectOutputTypeDef | ObjectTypeDef") -> str:
    # A server without ETags still says, to the second, when an object was written.
    return answer.get("ETag", "").strip('"') or f"{int(answer['LastModified'].timestamp()):x}"


def _errors(uri: str) -> AbstractContextManager[None]:
    return s3_errors(uri, server())


def _whole(uri: str, fetch: Callable[[], "StreamingBody"]) -> bytes:
    """Read an answer to its end; one that is cut is asked for again."""
    with _errors(uri):
        for left in reversed(range(_READ_ATTEMPTS)):
            try:
                return fetch().read()
            except (IncompleteReadError, ResponseStreamingError, ReadTimeoutError):
                if not left:
                    raise
                logger.info("%s: the connection was cut while reading; once more", uri)
    raise AssertionError("the loop returns or raises")
