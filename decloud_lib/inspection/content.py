"""What a file is by its first bytes, whatever it is called."""

from decloud_lib import storage

_FIRST_BYTES = 512
_MAGIC = (
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"II+\x00", "a BigTIFF"),
    (b"MM\x00+", "a BigTIFF"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
)
_IMAGES = ("a TIFF", "a BigTIFF", "a JPEG 2000 image")


def content_of(entry: storage.Entry) -> str:
    """Say in words what a file is.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    if entry.size == 0:
        return "an empty file"
    start = storage.read_range(entry.uri, 0, min(entry.size, _FIRST_BYTES))
    for magic, words in _MAGIC:
        if start.startswith(magic):
            return words
    if not start.strip(b"\x00"):
        return "nothing but zero bytes"
    return _text(start)


def is_image(content: str) -> bool:
    """Say whether such a file can be a raster."""
    return content in _IMAGES


def _text(start: bytes) -> str:
    plain = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if plain.startswith((b"<!doctype html", b"<html")):
        return "HTML text, as servers send instead of a file"
    if plain.startswith(b"<"):
        return "XML text"
    if plain.startswith((b"{", b"[")):
        return "JSON text"
    control = sum(byte < 9 or 13 < byte < 32 for byte in start)
    return "bytes of no known format" if control else "plain text"
