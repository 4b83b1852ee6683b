"""Files behind `https://` and `http://`: they can be read, and neither listed nor written.

Proxies (`HTTPS_PROXY`, `NO_PROXY`) and certificates (`SSL_CERT_FILE`) are those of the environment.
"""

import logging
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError

from decloud_lib.errors import StorageError
from decloud_lib.storage.entry import Entry
from decloud_lib.storage.failures import MissingFileError, os_errors

logger = logging.getLogger(__name__)

SCHEMES = ("https://", "http://")

_ATTEMPTS = 4
_BACKOFF_S = 0.25
_TIMEOUT = urllib3.Timeout(connect=3, read=60)
#: An unreachable server is given up after at most 4 x 3 s of trying and 2 s of waiting. How long a
#: server asks to wait (`Retry-After`) is not heeded: it could ask for a day.
_RETRY = urllib3.Retry(
    total=None,
    connect=_ATTEMPTS - 1,
    read=_ATTEMPTS - 1,
    status=_ATTEMPTS - 1,
    other=0,
    redirect=5,
    status_forcelist=(429, 500, 502, 503, 504),
    backoff_factor=_BACKOFF_S,
    respect_retry_after_header=False,
    raise_on_status=False,
)
#: Compressed answers have other lengths than the file.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "decloud"}
_BLOCK_BYTES = 1 << 20
#: Of a server that sends the whole file when asked for a part, no more than this is read.
_WHOLE_BYTES = 64 << 20
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
#: Answers to HEAD of servers that may answer GET: an address that is signed for GET alone, say.
_NO_HEAD = {*_REFUSED, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}

_Result = TypeVar("_Result")


def is_web(uri: str) -> bool:
    """Say whether a URI is an address in the web."""
    return uri.lower().startswith(SCHEMES)


def shown(uri: str) -> str:
    """Return an address without password, query and fragment: they hold keys and signatures."""
    parts = _split(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def escaped(uri: str) -> str:
    """Return an address whose blanks and other odd characters are escaped."""
    return quote(uri, safe="/:?#[]@!$&'()*+,;=%~")


def stat(uri: str) -> Entry | None:
    """Return size and ETag of a file, or None when it is not there.

    The entry's URI is the address without its query.
    """
    status, headers = _headers_of("HEAD", uri, {})
    if status in _NO_HEAD:
        status, headers = _headers_of("GET", uri, {"Range": "bytes=0-0"})
    if status in _GONE:
        return None
    if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        _refuse(uri, status)
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    if not re.fullmatch(r"\d{1,18}", total):
        raise StorageError(
            f"{shown(uri)}: the server does not tell the size of the file (Content-Length); "
            "download it, and name the local copy"
        )
    etag = headers.get("ETag", "").removeprefix("W/").strip('"')
    return Entry(shown(uri), int(total), etag or headers.get("Last-Modified", "") or total)


def read_bytes(uri: str) -> bytes:
    """Return the content of a file; a connection that is cut is tried again."""
    return _tried(uri, lambda: b"".join(_blocks(uri)))


def read_range(uri: str, start: int, stop: int) -> bytes:
    """Return a part of a file."""
    return _tried(uri, lambda: _read_part(uri, start, stop))


def download(uri: str, path: Path) -> None:
    """Bring a file to a local path; the caller sees to it that half a file is not seen."""

    def save() -> None:
        with os_errors(f"{shown(uri)} to {path}"), path.open("wb") as target:
            target.writelines(_blocks(uri))

    _tried(uri, save)


def has_children(uri: str) -> bool:  # noqa: ARG001
    """Say whether anything lies below an address: servers do not tell."""
    return False


def list_files(uri: str) -> list[Entry]:
    """Refuse: the web has no listings."""
    _unlistable(uri)


def list_children(uri: str) -> list[str]:
    """Refuse: the web has no listings."""
    _unlistable(uri)


def write_bytes(uri: str, data: bytes, *, create_only: bool) -> None:  # noqa: ARG001
    """Refuse: the web is read only."""
    read_only(uri)


def upload(path: Path, uri: str, *, create_only: bool) -> None:  # noqa: ARG001
    """Refuse: the web is read only."""
    read_only(uri)


def delete(uri: str) -> None:
    """Refuse: the web is read only."""
    read_only(uri)


def delete_prefix(uri: str) -> int:
    """Refuse: the web is read only."""
    read_only(uri)


def create_bucket(uri: str) -> None:
    """Refuse: the web is read only."""
    read_only(uri)


def read_only(uri: str) -> NoReturn:
    """Say that nothing can be written."""
    raise StorageError(
        f"{shown(uri)}: can be read, not written; expected s3://bucket/prefix or a local path"
    )


def _unlistable(uri: str) -> NoReturn:
    raise StorageError(
        f"{shown(uri)}: an address in the web cannot be listed; name a file, or use "
        "s3://bucket/prefix or a local folder"
    )


def _tried(uri: str, attempt: Callable[[], _Result]) -> _Result:
    """Return what an attempt gives; after a connection that was cut, try again from the start."""
    with _errors(uri):
        for number in range(1, _ATTEMPTS):
            try:
                return attempt()
            except (ProtocolError, ReadTimeoutError):
                logger.info("%s: the connection was cut while reading; once more", shown(uri))
                time.sleep(_BACKOFF_S * 2 ** (number - 1))
        return attempt()


def _blocks(uri: str) -> Iterator[bytes]:
    with closing(_request("GET", uri, {})) as answer:
        if answer.status != HTTPStatus.OK:
            _refuse(uri, answer.status)
        yield from answer.stream(_BLOCK_BYTES, decode_content=False)


def _read_part(uri: str, start: int, stop: int) -> bytes:
    part = {"Range": f"bytes={start}-{stop - 1}"}
    with closing(_request("GET", uri, part)) as answer:
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return b""
        first = _first_byte(uri, answer, (start, stop))
        found = bytearray()
        for block in answer.stream(_BLOCK_BYTES, decode_content=False):
            found += block
            # A server that sends more than it was asked for is left in the middle of it.
            if len(found) >= stop - first:
                break
    return bytes(found[start - first : stop - first])


def _first_byte(uri: str, answer: urllib3.BaseHTTPResponse, part: tuple[int, int]) -> int:
    """Return where in the file an answer begins."""
    start, stop = part
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        if answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return start
    elif answer.status != HTTPStatus.OK:
        _refuse(uri, answer.status)
    elif stop <= _WHOLE_BYTES:
        return 0
    raise StorageError(
        f"{shown(uri)}: the server does not answer requests for a part of a file; download it, and "
        "name the local copy"
    )


def _headers_of(method: str, uri: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
    with _errors(uri), closing(_request(method, uri, headers)) as answer:
        return answer.status, answer.headers


def _request(method: str, uri: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """Return an answer whose content is not read yet."""
    pool = _pool(os.getpid(), _proxy_of(uri))
    return pool.request(
        method,
        escaped(uri),
        headers={**_HEADERS, **headers},
        preload_content=False,
        retries=_RETRY,
        timeout=_TIMEOUT,
    )


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise StorageError(
            f"{uri!r}: is no address ({error}); expected https://host/path"
        ) from error


def _proxy_of(uri: str) -> str | None:
    parts = _split(uri)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme.lower())


@lru_cache(maxsize=8)
def _pool(_pid: int, proxy: str | None) -> urllib3.PoolManager:
    """Return connections that all threads of a process share."""
    # Containers often have no certificates of their own.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if proxy is not None:
        return urllib3.ProxyManager(proxy, maxsize=8, ssl_context=context)
    return urllib3.PoolManager(maxsize=8, ssl_context=context)


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Turn what the network says about an address into our errors."""
    try:
        yield
    except HTTPError as error:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        # The text of the error may hold the query.
        text = re.sub(r"\?[^\s)]*", "", str(reason or error))
        raise StorageError(
            f"{shown(uri)}: cannot be read from {_split(shown(uri)).netloc}: {text}; check the "
            "address, the network and HTTPS_PROXY"
        ) from error


def _refuse(uri: str, status: int) -> NoReturn:
    if status in _GONE:
        raise MissingFileError(f"{shown(uri)}: there is no such file; check the address")
    if status in _REFUSED:
        raise StorageError(
            f"{shown(uri)}: the server refuses to give it ({status}); is it public, or has its "
            "signature ended?"
        )
    try:
        said = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = str(status)
    todo = "try again later" if status >= 500 or status == 429 else "check the address"
    raise StorageError(f"{shown(uri)}: the server answered {said}; {todo}")
