"""Checksums of a model folder: a SavedModel is code, so it is loaded only if nothing was changed.

`SHA256SUMS` in the folder has the format of the program of that name (`sha256sum -c SHA256SUMS`
checks it without any of this). The digest of a folder is the SHA-256 of that text, with the paths
in sorted order; MLflow keeps it beside the model, where who can change the folder cannot reach.
"""

import hashlib
from pathlib import Path

from decloud_lib.errors import ModelFolderError

NAME = "SHA256SUMS"
SIGNATURE = "model.sig"
#: Written when the network is there already; they are about the folder, not of it.
NOT_COUNTED = frozenset({NAME, SIGNATURE, "manifest.json"})
_SEPARATOR = "  "
_DIGITS_SHOWN = 12


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the digest of all files of a folder, in hexadecimal digits."""
    return _digest_of(_listing(folder))


def seal_folder(folder: Path) -> str:
    """Write the checksums of all files into the folder, and return its digest."""
    listing = _listing(folder)
    (folder / NAME).write_text(_text(listing), encoding="utf-8")
    return _digest_of(listing)


def check_folder(folder: Path, uri: str, digest: str | None = None) -> bool:
    """Check that a model folder is what it was when it was written.

    Parameters
    ----------
    folder
        The folder on this machine.
    uri
        What the user named, for messages.
    digest
        What was recorded elsewhere; None where there is no such record.

    Returns
    -------
    False where there was nothing to compare with: no digest, and no checksums in the folder, as in
    a SavedModel of the existing system.

    Raises
    ------
    ModelFolderError
        A file is missing, was added, or has another content.
    """
    path = folder / NAME
    found = _listing(folder) if path.is_file() or digest is not None else {}
    if path.is_file():
        _compare(uri, _parse(uri, path), found)
    if digest is not None and _digest_of(found) != digest:
        raise ModelFolderError(
            f"{uri}: these files are not the model that was recorded (digest "
            f"{_digest_of(found)[:_DIGITS_SHOWN]}, recorded {digest[:_DIGITS_SHOWN]}); it is not "
            f"loaded, because a SavedModel is code: find out who changed it, or use another version"
        )
    return path.is_file() or digest is not None


def _compare(uri: str, recorded: dict[str, str], found: dict[str, str]) -> None:
    kinds = {
        "changed": sorted(
            name for name in recorded.keys() & found if recorded[name] != found[name]
        ),
        "missing": sorted(recorded.keys() - found.keys()),
        "added": sorted(found.keys() - recorded.keys()),
    }
    told = [f"{', '.join(names)} {kind}" for kind, names in kinds.items() if names]
    if told:
        raise ModelFolderError(
            f"{uri}: {'; '.join(told)} since {NAME} was written; it is not loaded, because a "
            f"SavedModel is code: copy or export the model again"
        )


def _listing(folder: Path) -> dict[str, str]:
    """Return path below the folder -> SHA-256, in the order of the paths."""
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: file_sha256(files[name]) for name in sorted(files) if name not in NOT_COUNTED}


def _text(listing: dict[str, str]) -> str:
    return "".join(f"{digest}{_SEPARATOR}{name}\n" for name, digest in listing.items())


def _digest_of(listing: dict[str, str]) -> str:
    return hashlib.sha256(_text(listing).encode()).hexdigest()


def _parse(uri: str, path: Path) -> dict[str, str]:
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, separator, name = line.partition(_SEPARATOR)
        if not separator:
            raise ModelFolderError(
                f"{uri}: {NAME} holds {line[:80]!r}, expected lines of a checksum, two spaces and "
                f"a path; copy or export the model again"
            )
        found[name] = digest
    return found
