"""TFRecord shards in the format of the existing system, and the footprints beside them.

Uncompressed TFRecord; one Example per sample; per key a bytes feature with one element: the
serialised TensorProto of the array. `geoinfo` holds the upper left and lower right corner.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from decloud_lib.errors import ShapeError
from decloud_lib.samples.records import RecordForm
from decloud_lib.samples.schema import GEOINFO_KEY, SampleSchema
from decloud_lib.types import Array

RECORDS = ".records"
FOOTPRINTS = ".geojson"

Corner = tuple[float, float]
Corners = tuple[Corner, Corner, Corner, Corner]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training example and where it comes from."""

    arrays: Mapping[str, Array]
    """By key, in the order of the schema."""
    corners: Corners
    """Longitude and latitude, degrees: upper left, upper right, lower right, lower left."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """JSON values and times for the footprint file; training does not read them."""

    @property
    def geoinfo(self) -> Array:
        """(4,) float32: upper left lon, lat, lower right lon, lat."""
        return geoinfo(self.corners)


def geoinfo(corners: Corners) -> Array:
    """Return what records tell of a footprint: (4,) float32, see `Sample.geoinfo`."""
    return np.array([*corners[0], *corners[2]], dtype=np.float32)


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
    form, written = RecordForm(schema), []
    record = form.blank()
    with (folder / f"{number}{RECORDS}").open("wb") as file:
        for sample in samples:
            schema.check(sample.arrays)
            form.fill(record, {**sample.arrays, GEOINFO_KEY: sample.geoinfo})
            file.write(record.data)
            written.append((sample.provenance, sample.corners))
    text = footprints_json(number, *zip(*written, strict=True))
    (folder / f"{number}{FOOTPRINTS}").write_text(text, encoding="utf-8")
    return len(written)


def footprints_json(
    number: int, sources: Iterable[Mapping[str, Any]], corners: Iterable[Corners]
) -> str:
    """Return the content of `<number>.geojson`: a polygon per sample, and where it comes from."""
    features = [
        {
            "type": "Feature",
            "properties": {"sample_id": sample_id, **source},
            "geometry": {"type": "Polygon", "coordinates": [[*four, four[0]]]},
        }
        for sample_id, (source, four) in enumerate(zip(sources, corners, strict=True))
    ]
    collection = {
        "type": "FeatureCollection",
        "name": f"{number}_geoinfo",
        "features": features,
    }
    return json.dumps(collection, default=_as_text)


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


def _as_text(value: object) -> str:
    """Write times, which JSON does not know, in ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    raise TypeError(f"{value!r} is no JSON value")
