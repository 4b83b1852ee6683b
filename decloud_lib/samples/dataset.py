"""Record folders as `tf.data` data sets: seeded, in a fixed order, nothing dropped unasked."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from decloud_lib.bands import S2_SCALE
from decloud_lib.errors import ConfigError, NoSampleError, RecordError
from decloud_lib.samples.frames import count_records, damaged_records
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.samples.shards import RECORDS
from decloud_lib.types import Array

_READ_BYTES = 256 << 10
_OPEN_FILES = 8
#: Samples that are parsed at the same time: much of it is waiting for memory.
_PARSERS = min(24, 3 * max(2, os.cpu_count() or 1))
_BATCHES_AHEAD = 2


def record_files(folder: Path, *, check: bool = True) -> list[Path]:
    """List the record files of a local folder, by number and then by name.

    Parameters
    ----------
    folder
        Or one file.
    check
        Refuse a file that does not consist of whole records.

    Raises
    ------
    NoSampleError
        There is none; a folder that does not exist is not made.
    RecordError
        A file that is refused.
    """
    found = [folder] if folder.is_file() else sorted(folder.glob(f"*{RECORDS}"), key=_rank)
    if not found:
        raise NoSampleError(f"{folder}: no *{RECORDS} file; expected a folder made by sampling")
    for path in found if check else ():
        count_records(path)
    return found


@contextmanager
def named_damage(files: Sequence[Path]) -> Iterator[None]:
    """Say which record of which file is damaged when reading stops at it.

    Raises
    ------
    RecordError
        A wrong checksum.
    """
    try:
        yield
    except tf.errors.DataLossError as error:
        for path in files:
            if damaged := damaged_records(path):
                numbers = ", ".join(map(str, damaged[:5]))
                raise RecordError(
                    f"{path}: record {numbers} of {count_records(path)} is damaged (its checksum "
                    "is wrong); copy the file again, make the samples again, or leave damaged "
                    "records out with --skip-damaged"
                ) from error
        raise


def read_dataset(  # noqa: PLR0913 - each says one thing, and callers name them
    files: Sequence[str | Path],
    schema: SampleSchema,
    input_keys: Iterable[str],
    target_keys: Iterable[str],
    batch: int,
    shuffle: int = 0,
    seed: int = 0,
    *,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Read record files as batches of (inputs, targets).

    Parameters
    ----------
    files
        Local record files. Without `shuffle` the samples come in exactly this order.
    schema
        Of the files, see `SampleSchema.read`.
    input_keys, target_keys
        Only these are parsed. `geoinfo` cannot be asked.
    batch
        Samples of a batch.
    shuffle
        Samples of the shuffle buffer; the files are shuffled too. 0 = stored order. Each pass has
        another order, and the same seed gives the same orders.
    seed
        Of the shuffling.
    drop_remainder
        Leave out the last batch when it is not full.

    Returns
    -------
    Data set of (inputs, targets), dictionaries by key. Inputs are the stored numbers as float32
    (networks scale them inside), times and flags as float64; targets are reflectances, float32.

    Raises
    ------
    ConfigError
        A key that the samples do not hold.
    NoSampleError
        No file.
    """
    names, inputs, targets = [str(path) for path in files], tuple(input_keys), tuple(target_keys)
    if not names:
        raise NoSampleError("no record file was given; expected the *.records of a sample folder")
    _check_keys(schema, (*inputs, *targets))
    if shuffle:
        order = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names), seed=seed)
        files_at_once = min(_OPEN_FILES, len(names))
        records = order.interleave(_open, cycle_length=files_at_once).shuffle(shuffle, seed=seed)
    else:
        records = _open(names)
    keys = tuple(dict.fromkeys((*inputs, *targets)))
    samples = records.map(_parser(schema, keys), num_parallel_calls=_PARSERS, deterministic=True)
    return _batches(samples, inputs, targets, batch, drop_remainder=drop_remainder)


def stream_dataset(
    samples: Iterable[Mapping[str, Array]],
    schema: SampleSchema,
    input_keys: Iterable[str],
    target_keys: Iterable[str],
    batch: int,
) -> tf.data.Dataset:
    """Give samples that are made on the fly as batches of (inputs, targets).

    Parameters
    ----------
    samples
        Arrays by key; gone through once per pass.
    schema
        What a sample holds.
    input_keys, target_keys, batch
        See `read_dataset`, as for what comes out and for the errors.
    """
    inputs, targets = tuple(input_keys), tuple(target_keys)
    keys = tuple(dict.fromkeys((*inputs, *targets)))
    _check_keys(schema, keys)
    signature = {key: tf.TensorSpec(schema.shapes[key], schema.dtypes[key]) for key in keys}
    made = tf.data.Dataset.from_generator(
        lambda: ({key: sample[key] for key in keys} for sample in samples),
        output_signature=signature,
    )
    return _batches(made, inputs, targets, batch, drop_remainder=False)


def _batches(
    samples: tf.data.Dataset,
    inputs: Sequence[str],
    targets: Sequence[str],
    batch: int,
    *,
    drop_remainder: bool,
) -> tf.data.Dataset:
    # Stored integers are half the bytes of what networks take: they become that in their batch.
    batches = (
        samples.batch(batch, drop_remainder=drop_remainder)
        .map(_splitter(inputs, targets), num_parallel_calls=_BATCHES_AHEAD, deterministic=True)
        .prefetch(_BATCHES_AHEAD)
    )
    # The thread that tunes a pipeline sleeps for many seconds between its rounds, and a pipeline
    # that was read to its end is only taken down after them: up to 15 s lost per epoch.
    options = tf.data.Options()
    options.autotune.enabled = False
    # Threads of its own: those of the networks' operations are as many as cores, and busy.
    options.threading.private_threadpool_size = _PARSERS + _BATCHES_AHEAD
    return batches.with_options(options)


def _open(names: object) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(names, buffer_size=_READ_BYTES)


def _parser(schema: SampleSchema, keys: Sequence[str]) -> object:
    """Return the function that turns one serialised Example into its stored arrays."""
    features = {key: tf.io.FixedLenFeature([], tf.string) for key in keys}

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.io.parse_single_example(record, features)
        stored = {}
        for key in keys:
            tensor = tf.io.parse_tensor(found[key], tf.as_dtype(schema.dtypes[key]))
            stored[key] = tf.ensure_shape(tensor, schema.shapes[key])
        return stored

    return parse


def _splitter(inputs: Sequence[str], targets: Sequence[str]) -> object:
    """Return the function that turns a batch of stored arrays into (inputs, targets)."""

    def split(stored: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        return (
            {key: _as_input(stored[key]) for key in inputs},
            {key: tf.cast(stored[key], tf.float32) * S2_SCALE for key in targets},
        )

    return split


def _as_input(tensor: tf.Tensor) -> tf.Tensor:
    """Cast pixels to float32; numbers per sample keep 64 bits (a date does not fit into 32)."""
    return tf.cast(tensor, tf.float32 if tensor.shape.rank > 1 else tf.float64)


def _check_keys(schema: SampleSchema, keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in schema.shapes]
    if missing:
        raise ConfigError(
            f"the samples hold no {', '.join(missing)}; they hold {', '.join(schema.keys)}: "
            "make them with another layout, or with the 20 m bands or the elevation"
        )


def _rank(path: Path) -> tuple[int, int, str]:
    number = path.name.removesuffix(RECORDS)
    return (0, int(number), path.name) if number.isdigit() else (1, 0, path.name)
