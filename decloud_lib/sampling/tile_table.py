"""The table of a tile: one Parquet file with a row for each prepared image (docs/data.md).

With it a search opens no raster. A row holds what a person wants to know of an image, the files
that it was read from, as they were then, and the counts per elementary patch.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import storage
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.manifest import FileRef, code_version
from decloud_lib.types import Array, Grid

logger = logging.getLogger(__name__)

#: Images of a row group: what is held decoded at a time, 4 MB for a whole tile.
ROWS_PER_GROUP = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD_KEY = b"decloud"
_DIGEST_KEY, _NO_DIGEST = b"decloud_sha256", b"0" * 64
_COUNT = np.dtype("<u2")
_COUNTS = ("edge_counts", "cloud_counts")
_FILES = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field("uri", pa.string(), nullable=False),
                pa.field("size", pa.int64(), nullable=False),
                pa.field("etag", pa.string(), nullable=False),
            ]
        ),
        nullable=False,
    )
)
#: Counts are plain bytes: as lists they take 6 times as long to read and a fifth more room.
_SCHEMA = pa.schema(
    [
        pa.field("sensor", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("acquired", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("time_is_assumed", pa.bool_(), nullable=False),
        pa.field("satellite", pa.string(), nullable=False),
        pa.field("relative_orbit", pa.int16()),
        pa.field("ascending", pa.bool_()),
        pa.field("cloud_percent", pa.float64()),
        pa.field("nodata_percent", pa.float64()),
        pa.field("valid_patch_percent", pa.float64()),
        pa.field("statistics", _FILES, nullable=False),
        pa.field("images", _FILES, nullable=False),
        pa.field("grid_checked", pa.bool_(), nullable=False),
        pa.field("problem", pa.string()),
        *(pa.field(name, pa.binary()) for name in _COUNTS),
    ]
)


class TableHead(BaseModel):
    """What a table says of the tile as a whole: JSON in the file's metadata, key `decloud`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    tile: str
    grid: Grid
    """Of the 10 m rasters."""
    patch_px: Literal[64] = 64
    """Side of an elementary patch, 10 m pixels."""
    elevation: FileRef | None
    """The elevation whose grid was checked."""
    code_version: str = Field(default_factory=code_version)

    def says_the_same(self, other: "TableHead") -> bool:
        """Say whether two heads differ in nothing but the code that wrote them."""
        return self == other.model_copy(update={"code_version": self.code_version})


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image; the fields are the columns of the table, but for the counts."""

    sensor: Literal["S1", "S2"]
    name: str
    uri: str
    """Sentinel-1: the image; Sentinel-2: the product's folder."""
    acquired: datetime
    """UTC."""
    time_is_assumed: bool
    satellite: str
    """`S1A` ... `S2D`."""
    relative_orbit: int | None
    ascending: bool | None
    """None for Sentinel-2."""
    statistics: tuple[storage.Entry, ...]
    """The files that the counts were read from: while they stay the same the counts hold."""
    images: tuple[storage.Entry, ...]
    """The image's own files."""
    cloud_percent: float | None = None
    """Sentinel-2: flagged pixels in 100 pixels of the elementary patches that are valid."""
    nodata_percent: float | None = None
    """Pixels without data in 100 pixels of all elementary patches."""
    valid_patch_percent: float | None = None
    """Elementary patches without a single pixel without data, in 100."""
    grid_checked: bool = False
    """The image's own files, as named here, were opened and lie on the tile's grid."""
    problem: str | None = None
    """Why the image cannot be used; then it has no counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Set pixels per elementary patch, (h, w) uint16, 0..4096."""

    edge: Array
    """Pixels without data."""
    cloud: Array | None
    """Flagged pixels; None for Sentinel-1."""

    @property
    def cloud_percent(self) -> float | None:
        """Flagged pixels in 100 pixels of the valid patches; None where there is none."""
        valid = self.edge == 0
        if self.cloud is None or not valid.any():
            return None
        return float(self.cloud[valid].mean(dtype=np.float64) * (100 / ELEMENTARY_PATCH_PX**2))

    @property
    def nodata_percent(self) -> float:
        """Pixels without data in 100."""
        return float(self.edge.mean(dtype=np.float64) * (100 / ELEMENTARY_PATCH_PX**2))

    @property
    def valid_patch_percent(self) -> float:
        """Valid patches in 100."""
        return float((self.edge == 0).mean() * 100)


class TileTable:
    """A table that was read and found whole; counts are decoded when they are asked for.

    Attributes
    ----------
    head : TableHead
        What it says of the tile.
    rows : dict of str to ImageRow
        By the image's `uri`, in the order of the file.
    """

    def __init__(self, content: bytes) -> None:
        # Arrow maps no file: what was read is what is checked and used.
        self._file = pq.ParquetFile(pa.BufferReader(content))
        found_digest = (self._file.metadata.metadata or {}).get(_DIGEST_KEY)
        if found_digest is None or found_digest != _sealed(content, found_digest)[1]:
            raise ValueError("it does not fit its checksum")
        found = self._file.schema_arrow
        if not found.equals(_SCHEMA):
            raise ValueError(f"holds the columns {', '.join(found.names)} or other types")
        self.head = TableHead.model_validate_json((found.metadata or {}).get(_HEAD_KEY, b""))
        self.rows: dict[str, ImageRow] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._decoded: tuple[int, pa.Table] = (-1, None)
        for group in range(self._file.num_row_groups):
            self._read_group(group)

    def counts(self, uri: str) -> Counts:
        """Return the counts of an image without problem; fast in the order of `rows`."""
        edge, cloud = (self._array(uri, name) for name in _COUNTS)
        assert edge is not None
        return Counts(edge, cloud)

    def _array(self, uri: str, name: str) -> Array | None:
        group, row = self._places[uri]
        if self._decoded[0] != group:
            self._decoded = (group, self._file.read_row_group(group, list(_COUNTS)))
        value = self._decoded[1][name][row]
        if not value.is_valid:
            return None
        shape = self.head.grid.coarsened(ELEMENTARY_PATCH_PX).shape
        return np.frombuffer(value.as_buffer(), _COUNT).reshape(shape)

    def _read_group(self, group: int) -> None:
        """Read the rows of a group, and see that all of it can be decoded and makes sense."""
        names = [field.name for field in fields(ImageRow)]
        table = self._file.read_row_group(group, names)
        # As numbers: Arrow would look for a database of time zones.
        times = table["acquired"].cast(pa.int64()).to_pylist()
        rows = table.drop_columns("acquired").to_pylist()
        for number, (values, time) in enumerate(zip(rows, times, strict=True)):
            values["acquired"] = _EPOCH + timedelta(microseconds=time)
            for name in ("statistics", "images"):
                values[name] = tuple(storage.Entry(**entry) for entry in values[name])
            row = ImageRow(**values)
            if row.uri in self.rows:
                raise ValueError(f"{row.uri} is there twice")
            self.rows[row.uri] = row
            self._places[row.uri] = (group, number)
            if row.problem is None:
                self._check_counts(row)

    def _check_counts(self, row: ImageRow) -> None:
        expected = {"edge_counts": True, "cloud_counts": row.sensor == "S2"}
        for name, is_there in expected.items():
            found = self._array(row.uri, name)
            if (found is not None) != is_there:
                raise ValueError(f"{row.uri} has {'no ' * is_there}{name}")
            if found is not None and found.max(initial=0) > ELEMENTARY_PATCH_PX**2:
                raise ValueError(f"{row.uri}: {name} up to {found.max()}, at most 4096 can be")


def read_table(uri: str, tile: str) -> TileTable | None:
    """Read the table of a tile; None where there is none.

    A table that is damaged, of another schema or of another tile is none, and it is said: all it
    holds can be read again from the rasters.
    """
    try:
        table = TileTable(storage.read_bytes(uri))
    except storage.MissingFileError:
        return None
    # Arrow has an exception for each kind of damage; most are ValueError or OSError.
    except (pa.ArrowException, ValidationError, ValueError, OSError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        logger.warning("%s: no table of a tile of this version, made anew: %s", uri, reason)
        return None
    if table.head.tile != tile:
        logger.warning("%s: is a table of %s, not of %s: made anew", uri, table.head.tile, tile)
        return None
    return table


class TableWriter:
    """Makes a table in memory, group by group: compressed, the counts take 12 to 24 kB an image."""

    def __init__(self, head: TableHead) -> None:
        text = head.model_dump_json().encode()
        self._schema = _SCHEMA.with_metadata({_HEAD_KEY: text})
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=["sensor", "satellite"],
            write_statistics=["sensor", "acquired", "cloud_percent"],
        )

    def add(self, rows: Sequence[tuple[ImageRow, Counts | None]]) -> None:
        """Write some rows, `ROWS_PER_GROUP` at most, as a group."""
        names = [field.name for field in fields(ImageRow)]
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row, _ in rows] for name in names
        }
        for name in ("statistics", "images"):
            columns[name] = [list(map(_as_dict, entries)) for entries in columns[name]]
        for name, which in (("edge_counts", "edge"), ("cloud_counts", "cloud")):
            columns[name] = [_as_bytes(getattr(counts, which, None)) for _, counts in rows]
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def finish(self) -> bytes:
        """Return the content of the file."""
        self._writer.add_key_value_metadata({_DIGEST_KEY: _NO_DIGEST})
        self._writer.close()
        return _sealed(bytes(self._sink.getvalue()), _NO_DIGEST)[0]


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut a sequence as a table is cut into groups."""
    for begin in range(0, len(items), ROWS_PER_GROUP):
        yield items[begin : begin + ROWS_PER_GROUP]


def _sealed(content: bytes, digest: bytes) -> tuple[bytes, bytes]:
    """Return a file with its checksum in the place of another one, and the checksum.

    It is that of the whole file with zeros in this place. Parquet has checksums of pages only, not
    of what says where they are and how to decode them.
    """
    place = content.rindex(digest)
    before, after = content[:place], content[place + len(digest) :]
    found = hashlib.sha256(before + _NO_DIGEST + after).hexdigest().encode()
    return before + found + after, found


def _as_dict(entry: storage.Entry) -> dict[str, Any]:
    return {"uri": entry.uri, "size": entry.size, "etag": entry.etag}


def _as_bytes(counts: Array | None) -> bytes | None:
    return None if counts is None else counts.astype(_COUNT, casting="safe").tobytes()
