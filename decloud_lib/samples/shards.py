"""TFRecord shards in the format of the existing system, and the footprints beside them.

Uncompressed TFRecord; one Example per sample; per key a bytes feature with one element: the
serialised TensorProto of the array. `geoinfo` holds the upper left and lower right corner.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from decloud_lib.errors import ShapeError
from decloud_lib.samples.schema import GEOINFO_KEY, SampleSchema
from decloud_lib.types import Array

RECORDS = ".records"
FOOTPRINTS = ".geojson"

Corner = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training example and where it comes from."""

    arrays: Mapping[str, Array]
    """By key, in the order of the schema."""
    corners: tuple[Corner, Corner, Corner, Corner]
    """Longitude and latitude, degrees: upper left, upper right, lower right, lower left."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values for the footprint file; training does not read them."""

    @property
    def geoinfo(self) -> Array:
        """(4,) float32: upper left lon, lat, lower right lon, lat."""
        return np.array([*self.corners[0], *self.corners[2]], dtype=np.float32)


def serialise_array(array: Array) -> bytes:
    """Return the serialised TensorProto of an array of numbers or booleans."""
    proto = tensor_pb2.TensorProto(
        dtype=tf.as_dtype(array.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(array.shape).as_proto(),
        tensor_content=array.tobytes(),
    )
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def serialise_sample(sample: Sample) -> bytes:
    """Return the serialised Example of a sample; equal samples give equal bytes."""
    arrays = {**sample.arrays, GEOINFO_KEY: sample.geoinfo}
    features = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[serialise_array(array)]))
        for key, array in arrays.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    content: bytes = example.SerializeToString(deterministic=True)
    return content


def write_shard(folder: Path, number: int, samples: Iterable[Sample], schema: SampleSchema) -> int:
    """Write `<number>.records` and `<number>.geojson` into a local folder.

    Returns
    -------
    Number of samples.

    Raises
    ------
    ShapeError
        A sample does not have the schema's keys, shapes and types.
    """
    features = []
    with tf.io.TFRecordWriter(str(folder / f"{number}{RECORDS}")) as writer:
        for sample_id, sample in enumerate(samples):
            schema.check(sample.arrays)
            writer.write(serialise_sample(sample))
            features.append(_feature(sample_id, sample))
    collection = {
        "type": "FeatureCollection",
        "name": f"{number}_geoinfo",
        "features": features,
    }
    (folder / f"{number}{FOOTPRINTS}").write_text(json.dumps(collection), encoding="utf-8")
    return len(features)


def write_shards(
    folder: Path,
    samples: Iterable[Sample],
    schema: SampleSchema,
    n_samples_per_shard: int = 100,
    *,
    drop_remainder: bool = False,
) -> list[Path]:
    """Write a whole record folder: shards `0.records`, ..., footprints and the schema files.

    Parameters
    ----------
    folder
        Local folder; made when it is missing.
    samples
        Consumed one by one, except with `drop_remainder` (one shard at a time).
    schema
        What a sample holds.
    n_samples_per_shard
        Samples of a full shard.
    drop_remainder
        Leave out the last samples that do not fill a shard.

    Returns
    -------
    The record files, in order.
    """
    if n_samples_per_shard < 1:
        raise ShapeError(f"{n_samples_per_shard} samples per shard; expected 1 or more")
    folder.mkdir(parents=True, exist_ok=True)
    schema.write(folder)
    written: list[Path] = []
    for number, group in enumerate(_groups(iter(samples), n_samples_per_shard)):
        if drop_remainder and len(group) < n_samples_per_shard:
            break
        write_shard(folder, number, group, schema)
        written.append(folder / f"{number}{RECORDS}")
    return written


def _groups(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    while group := list(islice(samples, size)):
        yield group


def _feature(sample_id: int, sample: Sample) -> dict[str, Any]:
    ring = [list(corner) for corner in (*sample.corners, sample.corners[0])]
    return {
        "type": "Feature",
        "properties": {"sample_id": sample_id, **sample.provenance},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
