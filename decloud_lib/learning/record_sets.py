"""Record folders in use: their files on this machine, their schema, and what they are made of."""

import hashlib
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, NoSampleError, RecordError, ShapeError
from decloud_lib.models import registry
from decloud_lib.models.contract import ModelContract
from decloud_lib.samples.schema import SampleSchema

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)

#: Fields of a manifest that say nothing about the samples.
_NOT_CONTENT = {"created", "code_version", "schema_version", "skipped"}
_END_BYTES, _READERS = 4, 16


@dataclass(frozen=True, slots=True)
class RecordSet:
    """One record folder, found but not read."""

    uri: str
    name: str
    """Under which its scores are logged: the last component of the path, with as many before it as
    tell it from the other folders."""
    schema: SampleSchema
    entries: tuple[storage.Entry, ...]
    made_by: manifest.Manifest | None
    """Manifest of the sampling; None for records of the existing system."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the manifest of the sampling.

        Where there is none, over name, size and end of each file, which is the checksum of its last
        record: records of as many samples have the same names and sizes whatever they hold.
        """
        if self.made_by is None:
            content: Any = _ends(self.entries)
        else:
            content = self.made_by.model_dump(mode="json", exclude=_NOT_CONTENT)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def layout(self) -> dict[str, Any] | None:
        """The acquisition layout that the samples follow, in its JSON form, where known."""
        layout = self.made_by.config.get("layout") if self.made_by is not None else None
        return layout if isinstance(layout, dict) else None

    @property
    def layout_name(self) -> str:
        """Name of that layout; empty where it is unknown."""
        return str(self.made_by.config.get("layout_name", "")) if self.made_by is not None else ""

    @property
    def samples(self) -> int:
        """Number of samples, where known; else 0."""
        return self.made_by.counts.get("samples", 0) if self.made_by is not None else 0

    def check(self, contract: ModelContract, targets: Sequence[str]) -> None:
        """Check that the samples hold what a model needs, at a size it can take.

        Raises
        ------
        ConfigError
            A key is missing; the message says which models would fit.
        ShapeError
            Another number of bands, or a side that is no multiple of the model's stride.
        """
        keys = set(self.schema.keys)
        missing = [key for key in (*contract.input_keys, *targets) if key not in keys]
        if missing:
            fitting = ", ".join(registry.fitting(keys)) or "none of the known ones"
            raise ConfigError(
                f"{self.uri}: the samples hold no {', '.join(missing)}, which model "
                f"{contract.name} needs; they hold {', '.join(self.schema.keys)}; "
                f"models that fit: {fitting}"
            )
        try:
            contract.check_shapes({key: (1, *shape) for key, shape in self.schema.shapes.items()})
        except ShapeError as error:
            raise ShapeError(f"{self.uri}: {error}; sample patches of another size") from error


@dataclass(frozen=True, slots=True)
class LocalRecords:
    """Record files on this machine."""

    source: RecordSet
    files: tuple[Path, ...]

    @property
    def samples(self) -> int:
        """Number of samples in the files."""
        from decloud_lib.samples.frames import count_records

        return sum(count_records(path) for path in self.files)

    def batches(
        self,
        input_keys: Sequence[str],
        target_keys: Sequence[str],
        batch: int,
        *,
        shuffle: int = 0,
        seed: int = 0,
    ) -> "tf.data.Dataset":
        """Return batches of (inputs, targets); all samples, the last batch may be smaller."""
        from decloud_lib.samples.dataset import read_dataset

        return read_dataset(
            self.files, self.source.schema, input_keys, target_keys, batch, shuffle, seed
        )


def find_record_sets(uris: Sequence[str]) -> list[RecordSet]:
    """Look at record folders without reading their samples.

    Raises
    ------
    NoSampleError
        A folder that is not there, or holds no records.
    ConfigError
        A folder without schema files, or named twice.
    """
    repeated = [uri for uri, count in Counter(uri.rstrip("/") for uri in uris).items() if count > 1]
    if repeated:
        raise ConfigError(f"record folder {repeated[0]} is given twice; give each once")
    return [_find(uri.rstrip("/"), name) for uri, name in zip(uris, _names(uris), strict=True)]


def _names(uris: Sequence[str]) -> list[str]:
    """Return the last component of each path, with as many before it as tell it from the others."""
    paths = [uri.rstrip("/").split("/") for uri in uris]
    depths = [1] * len(paths)
    while True:
        names = ["-".join(path[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        counts = Counter(names)
        deeper = [
            min(depth + (counts[name] > 1), len(path))
            for name, depth, path in zip(names, depths, paths, strict=True)
        ]
        if deeper == depths:
            return names
        depths = deeper


@contextmanager
def local_records(
    sets: Sequence[RecordSet], *, skip_damaged: bool = False
) -> Iterator[list[LocalRecords]]:
    """Bring record folders to this machine for as long as they are used.

    Parameters
    ----------
    sets
        What to bring.
    skip_damaged
        Leave out records whose checksum is wrong and what is cut off, and say how many; all files
        are read for that.

    Raises
    ------
    RecordError
        A file that is cut short, fewer samples than were made, or a damaged record that is met
        while the records are used.
    """
    from decloud_lib.samples.dataset import named_damage, record_files

    with ExitStack() as stack:
        found = []
        for item in sets:
            folder = stack.enter_context(storage.local_copy(item.uri))
            files = tuple(record_files(folder, check=not skip_damaged))
            if skip_damaged:
                files = _without_damaged(files, stack)
            found.append(LocalRecords(item, files))
            _check_number(found[-1], skip_damaged=skip_damaged)
        with named_damage([path for item in found for path in item.files]):
            yield found


def _check_number(records: LocalRecords, *, skip_damaged: bool) -> None:
    """Compare the number of samples with that of the manifest: a file may be gone, or cut."""
    made, found = records.source.samples, records.samples
    if not found and (skip_damaged or not made):
        problem = "no sample is whole" if skip_damaged else "found no sample in its files"
        raise NoSampleError(f"{records.source.uri}: {problem}; make the samples again")
    if not made or made == found:
        return
    told = f"{records.source.uri}: found {found} samples, its manifest says {made}"
    if not skip_damaged:
        raise RecordError(
            f"{told}; copy the folder again, make the samples again, or use what is there with "
            "--skip-damaged"
        )
    logger.warning("%s", told)


def _without_damaged(files: Sequence[Path], stack: ExitStack) -> tuple[Path, ...]:
    from decloud_lib.samples.frames import without_damaged

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="decloud-")))
    found = []
    for path in files:
        usable, damaged = without_damaged(path, folder)
        if damaged:
            logger.warning("%s: left out %d damaged records", path, len(damaged))
        found.append(usable)
    return tuple(found)


def _find(uri: str, name: str) -> RecordSet:
    entries = tuple(storage.list_files(uri))
    if not any(entry.uri.endswith(".records") for entry in entries):
        raise NoSampleError(
            f"{uri}: no *.records there (found {len(entries)} other files); "
            f"expected a folder made by `decloud sample`"
        )
    made_by = manifest.read(storage.join(uri, manifest.NAME))
    return RecordSet(uri, name, SampleSchema.read(uri), entries, made_by)


@lru_cache(maxsize=16)
def _ends(entries: tuple[storage.Entry, ...]) -> list[tuple[str, int, str]]:
    """Return name, size and last bytes of each record file."""
    files = [entry for entry in entries if entry.uri.endswith(".records")]

    def end(entry: storage.Entry) -> tuple[str, int, str]:
        start = max(entry.size - _END_BYTES, 0)
        last = storage.read_range(entry.uri, start, entry.size) if entry.size else b""
        return storage.name_of(entry.uri), entry.size, last.hex()

    with ThreadPoolExecutor(_READERS) as pool:
        return sorted(pool.map(end, files))
