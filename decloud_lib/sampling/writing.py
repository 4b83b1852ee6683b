"""Write the drawn samples of one data set as shards below a URI.

Samples are written in the order in which their pixels are read, each to its own place in its shard:
the order in the shards stays random, and a block of a raster is decoded once.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from decloud_lib import storage
from decloud_lib.progress import track
from decloud_lib.samples.records import RecordForm
from decloud_lib.samples.schema import GEOINFO_KEY, SHAPES_FILE, TYPES_FILE, SampleSchema
from decloud_lib.samples.shards import FOOTPRINTS, RECORDS, footprints_json, geoinfo
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.patches import areas, read_area
from decloud_lib.sampling.provenance import TABLE, Footprints, SampleTable, provenance
from decloud_lib.sampling.rasters import OpenRasters
from decloud_lib.storage.failures import os_errors
from decloud_lib.types import Array

T = TypeVar("T")
#: Numbered shards and the samples of each.
_Shards = Sequence[tuple[int, range]]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """How the samples of a data set are cut into files."""

    schema: SampleSchema
    per_shard: int
    """Samples of a full shard."""
    drop_remainder: bool
    workers: int = 1
    """Threads that read and write."""

    def shards(self, total: int) -> list[range]:
        """Return the samples of each shard."""
        cut = [
            range(begin, min(begin + self.per_shard, total))
            for begin in range(0, total, self.per_shard)
        ]
        return [shard for shard in cut if len(shard) == self.per_shard or not self.drop_remainder]


@dataclass(frozen=True, slots=True)
class WrittenSet:
    """The files of a data set."""

    uris: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each record file, by its name."""


def write_data_set(drawn: DrawnSamples, output: str, plan: ShardPlan) -> WrittenSet:
    """Write all shards, footprints, the table of the samples and the schema files of a data set.

    The files appear whole: all together in a local folder; in a bucket as many at a time as fit
    into half of the room for temporary files.

    Parameters
    ----------
    drawn
        What to write, in this order.
    output
        Folder or prefix.
    plan
        How it is cut.
    """
    numbered = list(enumerate(plan.shards(len(drawn))))
    written, footprints = WrittenSet(), Footprints(drawn)
    with (
        storage.staged(storage.join(output, TABLE)) as path,
        SampleTable(path, drawn.layout, footprints.bounds) as table,
    ):
        for part in _parts(numbered, output, plan):
            written.checksums.update(_write_shards(drawn, footprints, output, part, plan))
            for number, shard in part:
                corners = [footprints.of(sample) for sample in shard]
                sources = [provenance(drawn, sample) for sample in shard]
                table.add(number, sources, corners)
                text = footprints_json(number, sources, corners)
                storage.write_bytes(storage.join(output, f"{number}{FOOTPRINTS}"), text.encode())
    schema_files = {TYPES_FILE: plan.schema.types_json(), SHAPES_FILE: plan.schema.shapes_json()}
    for name, text in schema_files.items():
        storage.write_bytes(storage.join(output, name), text.encode())
    names = [f"{number}{end}" for number, _ in numbered for end in (RECORDS, FOOTPRINTS)]
    written.uris.extend(storage.join(output, name) for name in (*names, TABLE, *schema_files))
    return written


def _parts(numbered: _Shards, output: str, plan: ShardPlan) -> Iterator[_Shards]:
    """Yield the shards that are written together."""
    step = len(numbered)
    if storage.is_s3(output):
        shard_bytes = RecordForm(plan.schema).length * plan.per_shard
        step = max(1, shutil.disk_usage(tempfile.gettempdir()).free // 2 // shard_bytes)
    for begin in range(0, len(numbered), step):
        yield numbered[begin : begin + step]


def _write_shards(
    drawn: DrawnSamples, footprints: Footprints, output: str, shards: _Shards, plan: ShardPlan
) -> dict[str, str]:
    """Write record files; return the checksum of each, by name."""
    form = RecordForm(plan.schema)
    found = areas(drawn, np.arange(shards[0][1].start, shards[-1][1].stop))
    todo = _Shared(track(found, len(found), f"write {output}", "area"))
    with ExitStack() as stack, ThreadPoolExecutor(plan.workers) as pool:
        files = {}
        for number, shard in shards:
            uri = storage.join(output, f"{number}{RECORDS}")
            files[number] = stack.enter_context(storage.staged(uri))
            with os_errors(uri):
                _reserve(files[number], form.length * len(shard))

        def work(_: int) -> None:
            record = form.blank()
            with todo.ended_by_errors(), OpenRasters(drawn.indexes) as rasters:
                for area in todo:
                    for sample, arrays in read_area(rasters, drawn, area, plan.schema):
                        arrays[GEOINFO_KEY] = geoinfo(footprints.of(sample))
                        form.fill(record, arrays)
                        number, place = divmod(sample, plan.per_shard)
                        _write_at(files[number], record, place * form.length)

        with todo.ended_by_errors():
            list(pool.map(work, range(plan.workers)))
        names = [path.name for path in files.values()]
        return dict(zip(names, pool.map(_sha256, files.values()), strict=True))


class _Shared(Generic[T]):
    """Items that several threads take one by one."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items, self._lock = iter(items), Lock()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            return next(self._items)

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """After an error or an interruption nobody gets another item."""
        try:
            yield
        except BaseException:
            with self._lock:
                self._items = iter(())
            raise


def _reserve(path: Path, size: int) -> None:
    """Make a file of its final size: a disk that is too small is seen before the work."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _write_at(path: Path, record: Array, offset: int) -> None:
    with os_errors(str(path)), path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(record.data)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
