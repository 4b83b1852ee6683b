"""The files of a delivered product: in a folder, or in a zip archive that is read where it lies.

Nothing is ever unpacked: GDAL reads the members through `/vsizip/`. What an archive says of itself
is not believed before it was checked.
"""

import io
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import rasterio
from rasterio.errors import RasterioError
from rasterio.session import DummySession

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.products.names import parse_s2_name
from decloud_lib.storage.failures import os_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 18
#: A delivered band has at most 241 MB; nothing in a product comes near this.
_LARGEST_MEMBER = 4 << 30
#: What deflate can reach at most, and what a member of a few bytes may claim more.
_LARGEST_RATIO, _RATIO_SLACK = 1032, 1032
_MOST_MEMBERS = 100_000
#: More than the directory of that many members, and than any text that is read at once.
_LARGEST_READ = 32 << 20
#: What GDAL reads in place.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files of a product; hidden ones and what macOS adds are left out."""

    uri: str
    """The folder or archive."""
    paths: dict[str, str]
    """What `open_raster` takes, by path inside the product with `/` between the parts."""
    entries: dict[str, storage.Entry]
    """The stored file of each path inside the product: the archive for all of its members."""
    members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    """What the archive's directory says, by path inside the product; empty for a folder."""

    def take(self, names: Iterable[str]) -> tuple[storage.Entry, ...]:
        """Check the files that are going to be read, and return the stored files they lie in.

        Raises
        ------
        ProductError
            A member of the archive that is encrypted, cut short, packed in a way that GDAL cannot
            read, or that claims an impossible size.
        """
        names = list(names)
        for name in names:
            if name in self.members:
                _check_member(self.uri, self.members[name], self.entries[name].size)
        return tuple(dict.fromkeys(self.entries[name] for name in names))

    def read(self, name: str, limit_bytes: int) -> bytes:
        """Return the content of a small file.

        Raises
        ------
        ProductError
            It is larger than the limit, or damaged.
        """
        member = self.members.get(name)
        size = self.entries[name].size if member is None else member.file_size
        if size > limit_bytes:
            raise ProductError(
                f"{self.paths[name]}: has {size} bytes, expected at most {limit_bytes}; was it "
                "delivered like this?"
            )
        if member is None:
            return storage.read_bytes(self.entries[name].uri)
        _check_member(self.uri, member, self.entries[name].size)
        try:
            with _opened(self.uri, self.entries[name].size) as archive:
                return archive.read(member)
        except (zlib.error, EOFError) as error:
            raise ProductError(
                f"{self.uri}: {name} cannot be unpacked ({error}); is the archive damaged?"
            ) from error


def list_delivery(uri: str) -> Delivery:
    """List the files of a product; of an archive only the directory is read, also from a bucket.

    Parameters
    ----------
    uri
        The product's folder, or its `.zip`.

    Raises
    ------
    ProductError
        There is nothing; an archive that is damaged, or whose directory no honest program writes;
        several products in one.
    """
    if storage.name_of(uri).lower().endswith(".zip"):
        found = _list_archive(uri)
    else:
        entries = {storage.relative_path(e.uri, uri): e for e in storage.list_files(uri)}
        entries = {name: entry for name, entry in entries.items() if _is_visible(name)}
        found = Delivery(uri, {name: entry.uri for name, entry in entries.items()}, entries)
    if not found.paths:
        raise ProductError(
            f"{uri}: there is no such product, or nothing in it; expected the files of a product: "
            "check the path"
        )
    folders = {part for name in found.paths for part in name.split("/")[:-1]}
    products = sorted(folder for folder in folders if _is_product(folder))
    if len(products) > 1:
        raise ProductError(
            f"{uri}: holds {len(products)} products, {', '.join(products[:3])} ...; expected one: "
            "deliver each by itself"
        )
    return found


def list_members(entry: storage.Entry) -> list[str]:
    """List the files in any zip archive, sorted; only its directory is read.

    Raises
    ------
    ProductError
        An archive that is damaged, or that no honest program writes.
    """
    found = _members(entry.uri, entry.size)
    for member in found.values():
        _check_member(entry.uri, member, entry.size)
    return sorted(found)


def member_uri(archive_uri: str, member: str) -> str:
    """Return the path under which GDAL opens a file inside an archive."""
    # Braces: the archive is told from the folders in it whatever the names look like.
    return f"/vsizip/{{{storage.gdal_path(archive_uri)}}}/{member}"


def _list_archive(uri: str) -> Delivery:
    entry = storage.stat(uri)
    if entry is None:
        raise ProductError(f"{uri}: there is no such archive; check the path")
    members = {n: m for n, m in sorted(_members(uri, entry.size).items()) if _is_visible(n)}
    if storage.is_s3(uri):
        _tell_gdal_the_size(uri)
    paths = {name: member_uri(uri, name) for name in members}
    return Delivery(uri, paths, dict.fromkeys(paths, entry), members)


def _members(uri: str, size: int) -> dict[str, zipfile.ZipInfo]:
    with _opened(uri, size) as archive:
        found = archive.infolist()
    _check_directory(uri, found)
    return {member.filename: member for member in found if not member.is_dir()}


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _is_product(folder: str) -> bool:
    try:
        parse_s2_name(folder)
    except ProductError:
        return False
    return True


def _check_directory(uri: str, members: list[zipfile.ZipInfo]) -> None:
    """Refuse a directory that no honest program writes."""
    if len(members) > _MOST_MEMBERS:
        raise ProductError(
            f"{uri}: holds {len(members)} files, expected at most {_MOST_MEMBERS}: is it a zip "
            "bomb?"
        )
    seen: set[str] = set()
    for member in members:
        # zipfile cuts names at a zero byte; GDAL may not.
        name = member.orig_filename
        outside = name.startswith("/") or ".." in re.split(r"[/\\]", name)
        if outside or re.match("[A-Za-z]:", name) or "\\" in name or "\0" in name:
            raise ProductError(
                f"{uri}: the member {name!r} would lie outside of the archive; expected paths "
                "inside it with / between folders: pack it again"
            )
        if name in seen:
            raise ProductError(f"{uri}: the member {name} is there twice; pack it again")
        seen.add(name)


def _check_member(uri: str, member: zipfile.ZipInfo, archive_size: int) -> None:
    """Refuse a member that GDAL cannot read, or that is not what it claims to be."""
    packed, size = member.compress_size, member.file_size
    stored = member.compress_type == zipfile.ZIP_STORED
    problem = None
    if member.flag_bits & 1:
        problem = "is encrypted, expected an archive without a password: pack it again"
    elif member.compress_type not in _METHODS:
        problem = (
            f"is packed with method {member.compress_type}, expected stored or deflated: pack it "
            "again"
        )
    elif size > _LARGEST_MEMBER:
        problem = f"claims to hold {size} bytes, expected at most 4 GiB: is it a zip bomb?"
    elif (stored and size != packed) or size > _LARGEST_RATIO * packed + _RATIO_SLACK:
        problem = f"claims to hold {size} bytes in {packed}: is it a zip bomb?"
    elif member.header_offset < 0 or member.header_offset + packed > archive_size:
        # zipfile takes an archive for whole whose beginning is lost.
        problem = "does not lie in the archive as a whole: was it delivered completely?"
    if problem:
        raise ProductError(f"{uri}: {member.filename} {problem}")


@contextmanager
def _opened(uri: str, size: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading; the errors of reading it become ours."""
    remote = storage.is_s3(uri) or storage.is_web(uri)
    try:
        with os_errors(uri):
            raw: io.RawIOBase = _RemoteFile(uri, size) if remote else io.FileIO(uri)
        with _Bounded(raw, _BUFFER_BYTES) as content, zipfile.ZipFile(content) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ProductError(
            f"{uri}: not a whole zip archive ({error}); was it delivered completely?"
        ) from error


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
        rasterio.Env(session=DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="FALSE"),
        rasterio.open(storage.gdal_path(beside)),
    ):
        pass


class _Bounded(io.BufferedReader):
    """A file of which nothing large is read at once: a directory is as large as it says itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _LARGEST_READ + 1 if size is None or size < 0 else size
        if wanted > _LARGEST_READ + 1:
            raise zipfile.BadZipFile(f"its directory has {wanted} bytes: is it a zip bomb?")
        return super().read(wanted)


class _RemoteFile(io.RawIOBase):
    """A file in a bucket or in the web that can be searched: each read fetches just its bytes."""

    def __init__(self, uri: str, size: int) -> None:
        super().__init__()
        self._uri, self._size = uri, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        position = start[whence] + offset
        if position < 0:
            raise OSError("before the beginning of the file")
        self._position = position
        return position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._size)
        if stop <= self._position:
            return 0
        data = storage.read_range(self._uri, self._position, stop)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
