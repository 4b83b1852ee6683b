"""Which samples a training failed on, so that somebody can look at them."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from decloud_lib.learning.course import BadBatchError
from decloud_lib.learning.feeding import Feeding
from decloud_lib.learning.record_sets import LocalRecords
from decloud_lib.samples.shards import FOOTPRINTS
from decloud_lib.types import Array

ARRAYS = "bad-batch.npz"
REPORT = "bad-batch.json"

_READ = 16


def examine(error: BadBatchError, feeding: Feeding) -> dict[str, bytes]:
    """Describe the batch whose loss is no number.

    Parameters
    ----------
    error
        Says which one it is.
    feeding
        Gave the batch, and gives it again.

    Returns
    -------
    File name -> content: the arrays of the batch as the records hold them (`inputs/KEY` and
    `targets/KEY`), and a report with the record file and number of each sample, and the range of
    each array and how many of its values are no finite number.
    """
    batches = feeding.stored(error.epoch).skip(error.step).take(1).as_numpy_iterator()
    inputs, targets = next(batches)
    samples = [
        _sample(inputs, targets, index) for index in range(len(next(iter(targets.values()))))
    ]
    places = _find({_digest(sample) for sample in samples}, feeding)
    report = {
        "epoch": error.epoch + 1,
        "batch": error.step + 1,
        "error": str(error),
        "samples": [
            {"found_in": places.get(_digest(sample), []), "arrays": _facts(sample)}
            for sample in samples
        ],
    }
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"inputs/{key}": array for key, array in inputs.items()}
    np.savez_compressed(buffer, **arrays, **{f"targets/{k}": array for k, array in targets.items()})
    return {ARRAYS: buffer.getvalue(), REPORT: json.dumps(report, indent=2).encode()}


def _sample(
    inputs: Mapping[str, Array], targets: Mapping[str, Array], index: int
) -> dict[str, Array]:
    named = {f"inputs/{key}": array for key, array in inputs.items()}
    named |= {f"targets/{key}": array for key, array in targets.items()}
    return {key: array[index] for key, array in named.items()}


def _digest(sample: Mapping[str, Array]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in sample.values():
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _find(wanted: set[bytes], feeding: Feeding) -> dict[bytes, list[dict[str, Any]]]:
    """Look through the records: digest -> the places that hold such a sample."""
    found: dict[bytes, list[dict[str, Any]]] = {}
    for file in feeding.records.files:
        part = LocalRecords(feeding.records.source, (file,))
        batches = part.batches(feeding.sight.inputs, feeding.sight.targets, _READ)
        record = 0
        for inputs, targets in batches.as_numpy_iterator():
            for index in range(len(next(iter(targets.values())))):
                digest = _digest(_sample(inputs, targets, index))
                if digest in wanted:
                    place = {"file": file.name, "record": record, **_provenance(file, record)}
                    found.setdefault(digest, []).append(place)
                record += 1
    return found


def _provenance(file: Path, record: int) -> dict[str, Any]:
    """Return what the footprints beside a record file say about a sample: tile, dates, products."""
    footprints = file.with_suffix(FOOTPRINTS)
    if not footprints.is_file():
        return {}
    features = json.loads(footprints.read_text(encoding="utf-8")).get("features", [])
    return dict(features[record].get("properties") or {}) if record < len(features) else {}


def _facts(sample: Mapping[str, Array]) -> dict[str, dict[str, float | int | None]]:
    facts: dict[str, dict[str, float | int | None]] = {}
    for key, array in sample.items():
        finite = array[np.isfinite(array)] if array.ndim else np.atleast_1d(array)
        facts[key] = {
            "min": float(finite.min()) if finite.size else None,
            "max": float(finite.max()) if finite.size else None,
            "not_finite": int(array.size - finite.size),
        }
    return facts
