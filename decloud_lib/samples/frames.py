"""The frames of a TFRecord file, followed without TensorFlow: how many, and which are damaged.

Each record stands between its length (8 bytes, with a checksum of 4) and a checksum of its content.
"""

from collections.abc import Sequence
from pathlib import Path

from decloud_lib.errors import RecordError
from decloud_lib.samples.records import masked_crc

_LENGTH_BYTES = 8
_CRC_BYTES = 4
#: Around the content of a record.
FRAME_BYTES = _LENGTH_BYTES + 2 * _CRC_BYTES


def count_records(path: Path) -> int:
    """Return the number of records of a file by following their lengths, without reading them.

    Raises
    ------
    RecordError
        The file does not consist of whole records.
    """
    return len(_frames(path))


def damaged_records(path: Path) -> list[int]:
    """Return the numbers of the records of a file whose checksums are wrong; reads all of it.

    Raises
    ------
    RecordError
        The file does not consist of whole records.
    """
    return _damaged(path, _frames(path))


def without_damaged(path: Path, folder: Path) -> tuple[Path, list[int]]:
    """Give a file without the damaged records of another.

    Parameters
    ----------
    path
        A record file.
    folder
        Where a copy is made when one is needed.

    Returns
    -------
    The file itself, or the copy; the numbers of the records that are left out. Where a length is
    wrong or the file is cut, the number of that record stands for all that follow.
    """
    frames, is_cut = _whole_frames(path)
    damaged = _damaged(path, frames)
    if not damaged and not is_cut:
        return path, damaged
    copy = folder / path.name
    with path.open("rb") as source, copy.open("wb") as target:
        for number, (position, size) in enumerate(frames):
            if number not in damaged:
                source.seek(position)
                target.write(source.read(size))
    return copy, [*damaged, *([len(frames)] if is_cut else [])]


def _frames(path: Path) -> list[tuple[int, int]]:
    """Return position and size of each record, frame included."""
    found, is_cut = _whole_frames(path)
    if is_cut:
        raise RecordError(
            f"{path}: found {path.stat().st_size} bytes, which are no whole TFRecords; it is "
            f"damaged or cut short behind record {len(found)}: copy it again, make the samples "
            "again, or leave the rest of it out with --skip-damaged"
        )
    return found


def _whole_frames(path: Path) -> tuple[list[tuple[int, int]], bool]:
    """Return the records up to the end or to a length that leads beyond it; say if there is one."""
    total, position = path.stat().st_size, 0
    found: list[tuple[int, int]] = []
    with path.open("rb") as file:
        while position < total:
            file.seek(position)
            size = FRAME_BYTES + int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if position + size > total:
                return found, True
            found.append((position, size))
            position += size
    return found, False


def _damaged(path: Path, frames: Sequence[tuple[int, int]]) -> list[int]:
    with path.open("rb") as file:
        return [number for number, (_, size) in enumerate(frames) if not _is_whole(file.read(size))]


def _is_whole(frame: bytes) -> bool:
    length, content = frame[:_LENGTH_BYTES], frame[_LENGTH_BYTES + _CRC_BYTES : -_CRC_BYTES]
    stored = frame[_LENGTH_BYTES : _LENGTH_BYTES + _CRC_BYTES], frame[-_CRC_BYTES:]
    return stored == (masked_crc(length), masked_crc(content))
