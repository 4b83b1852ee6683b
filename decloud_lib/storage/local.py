"""Files in a local folder, with the same functions as `s3`."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decloud_lib.errors import StorageError
from decloud_lib.storage.entry import Entry
from decloud_lib.storage.failures import os_errors

_PARTIAL = ".partial-"


def list_files(uri: str) -> list[Entry]:
    """List all files below a folder, also through linked folders; sorted by path."""
    root = Path(uri)
    with os_errors(uri):
        found = list(_walk(root, frozenset())) if root.is_dir() else []
    return sorted(found, key=lambda entry: entry.uri)


def list_children(uri: str) -> list[str]:
    """List files and folders directly below a folder, sorted."""
    with os_errors(uri):
        root = Path(uri)
        return sorted(str(path) for path in _visible(root)) if root.is_dir() else []


def has_children(uri: str) -> bool:
    """Say whether anything lies below a folder."""
    return bool(list_children(uri))


def stat(uri: str) -> Entry | None:
    """Return size and ETag of a file, or None when it is not there."""
    with os_errors(uri):
        path = Path(uri)
        return _entry(path, str(path)) if path.is_file() else None


def read_bytes(uri: str) -> bytes:
    """Return the content of a file."""
    with os_errors(uri):
        return Path(uri).read_bytes()


def read_range(uri: str, start: int, stop: int) -> bytes:
    """Return a part of a file."""
    with os_errors(uri), Path(uri).open("rb") as content:
        content.seek(start)
        return content.read(stop - start)


def write_bytes(uri: str, data: bytes, *, create_only: bool) -> None:
    """Write a file, whole or not at all."""
    with appearing(uri, create_only=create_only) as partial, os_errors(uri):
        partial.write_bytes(data)


def upload(path: Path, uri: str, *, create_only: bool) -> None:
    """Copy a file to its place, whole or not at all."""
    with appearing(uri, create_only=create_only) as partial, os_errors(f"{path} to {uri}"):
        shutil.copyfile(path, partial)


def download(uri: str, path: Path) -> None:
    """Copy a file from its place, whole or not at all."""
    with os_errors(uri):
        if not Path(uri).is_file():
            # Said before the copy, so that the message names the source and not the target.
            raise FileNotFoundError
    upload(Path(uri), str(path), create_only=False)


def delete(uri: str) -> None:
    """Delete a file; no error when it is not there."""
    with os_errors(uri):
        Path(uri).unlink(missing_ok=True)


def delete_unfinished(uri: str) -> None:
    """Delete what a process that died left of a file that it was writing with `appearing`."""
    target = Path(uri)
    for folder in target.parent.glob(f"{_PARTIAL}*"):
        if (folder / target.name).exists():
            shutil.rmtree(folder, ignore_errors=True)


def delete_prefix(uri: str) -> int:
    """Delete a folder with all that is in it; what links point to stays."""
    root = Path(uri)
    if not root.is_dir():
        return 0
    with os_errors(uri):
        if root.is_symlink() or root.resolve() == Path(root.resolve().anchor):
            raise StorageError(f"{uri}: is a link or the root folder; name the folder itself")
        count = sum(len(names) for _, _, names in os.walk(root))
        shutil.rmtree(root)
    return count


def create_bucket(uri: str) -> None:
    """Make a folder when it is missing."""
    with os_errors(uri):
        Path(uri).mkdir(parents=True, exist_ok=True)


@contextmanager
def appearing(uri: str, *, create_only: bool = False) -> Iterator[Path]:
    """Give a path on the same file system; the file made there appears at the URI at the end.

    It lies in a hidden folder beside its place that no listing shows. After an exception, nothing
    is left of it.
    """
    with os_errors(uri):
        target = Path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent)
    try:
        partial = Path(folder, target.name)
        yield partial
        with os_errors(uri):
            if create_only:
                # Of many who link, the file system lets one succeed.
                os.link(partial, target)
            else:
                partial.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    """Give the files below a folder; asks the system once for each, as there may be a million."""
    try:
        status = folder.stat()
        with os.scandir(folder) as content:
            items = [item for item in content if not item.name.startswith(_PARTIAL)]
    except FileNotFoundError:
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    start = "" if folder == Path() else f"{str(folder).rstrip('/')}/"
    for item in items:
        if item.is_dir():
            # Only the folders above: a folder that is linked twice is listed twice.
            yield from _walk(folder / item.name, above | {here})
        elif (entry := _entry(item, start + item.name)) is not None:
            yield entry


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith(_PARTIAL))


def _entry(file: "Path | os.DirEntry[str]", uri: str) -> Entry | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        # Deleted since the listing, or a link to nothing.
        return None
    return Entry(uri, status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")
