"""Draw samples: what goes into a network, what should come out, and what does."""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from decloud_lib import manifest, storage, tracking
from decloud_lib.arrays.stretch import draw_sample_image
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.models import registry
from decloud_lib.progress import track

if TYPE_CHECKING:
    from decloud_lib.learning.record_sets import LocalRecords
    from decloud_lib.models.store import ServedModel
    from decloud_lib.types import Array

logger = logging.getLogger(__name__)

_RECORDS = ".records"
_DN = 10000.0


class DrawRecordsConfig(StageConfig):
    """Settings of `draw-records`."""

    valid_records: tuple[str, ...] = Field(
        min_length=1, description="Folders of records, or single *.records files of them."
    )
    savedmodel: str | None = Field(
        default=None,
        description="Network: a model folder, models:/NAME@ALIAS or models:/NAME/VERSION.",
    )
    model: str | None = Field(
        default=None,
        description="Model to use instead that needs no folder, by name: one without weights, or "
        "residual with the weights of the package.",
    )
    outdir: str = Field(description="Folder of the pictures.")
    model_output_key: str | None = Field(
        default=None,
        description="Key of the sample that the drawn output estimates; default: the first output.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="Samples per step.", json_schema_extra={"flags": ["-bv"]}
    )
    limit: int | None = Field(
        default=None, ge=1, description="Draw so many samples of each set, not all."
    )


@dataclass(frozen=True, slots=True)
class DrawRecordsResult:
    """What was drawn."""

    outdir: str
    samples: int
    pictures: int


def draw_records(config: DrawRecordsConfig) -> DrawRecordsResult:
    """Write PNG files `<records>_<i>_<key>.png` and `<records>_<i>_reconstructed.png`.

    All pictures have the same fixed stretch, so they can be compared. A network that was trained on
    simulated gaps is shown such gaps, the same ones as in `evaluate`.

    Raises
    ------
    ConfigError
        The model has no such output, or neither or both of network and model are given.
    NoSampleError, ShapeError
        There are no records, or they do not fit the model.
    OutputConflictError
        The folder holds pictures of other records or models.
    """
    from decloud_lib.learning.record_sets import find_record_sets, local_records

    if (config.savedmodel is None) == (config.model is None):
        raise ConfigError("give --savedmodel or --model, one of the two")
    wanted = dict.fromkeys(map(_folder_of, config.valid_records))
    sets = find_record_sets(tuple(wanted))
    with _model(config) as served:
        target = config.model_output_key or served.contract.target_keys[0]
        if target not in served.contract.target_keys:
            raise ConfigError(
                f"--model-output-key {target}: model {served.contract.name} gives "
                f"{', '.join(served.contract.target_keys)}"
            )
        for item in sets:
            item.check(served.contract, (target,))
        planned = manifest.plan("draw-records", config, [e for item in sets for e in item.entries])
        done = storage.join(config.outdir, manifest.NAME)
        if manifest.is_current(done, planned, overwrite=config.overwrite):
            found = manifest.read(done)
            counts = found.counts if found is not None else {}
            return DrawRecordsResult(config.outdir, counts["samples"], counts["pictures"])
        written: list[str] = []
        samples = 0
        with local_records(sets) as records:
            for local in records:
                chosen = _chosen(local, config.valid_records)
                for name, pictures in _draw(chosen, served, target, config):
                    samples += 1
                    for key, picture in pictures.items():
                        uri = storage.join(config.outdir, f"{name}_{key}.png")
                        storage.write_bytes(uri, _png(picture))
                        written.append(uri)
    counts = {"samples": samples, "pictures": len(written)}
    manifest.write(done, planned, written, counts=counts)
    logger.info("%d pictures of %d samples in %s", len(written), samples, config.outdir)
    return DrawRecordsResult(config.outdir, samples, len(written))


def _draw(
    records: "LocalRecords", served: "ServedModel", target: str, config: DrawRecordsConfig
) -> "Iterator[tuple[str, Mapping[str, Array]]]":
    """Yield the name of each sample, and its pictures by key."""
    from decloud_lib.learning.feeding import Sight

    contract = served.contract
    output = next(item for item in contract.outputs if item.target_key == target)
    images = [item.key for item in contract.inputs if item.bands]
    known = registry.trained_as(contract, str(config.savedmodel))
    simulate, extra = (known.simulate, known.simulation_keys) if known else (None, ())
    held = [key for key in extra if key in records.source.schema.keys]
    sight = Sight((*contract.input_keys, *held), (target,), simulate)
    batches = sight.all(records, config.batch_size)
    limit = config.limit or records.samples
    steps = -(-min(limit, records.samples) // config.batch_size)
    number = 0
    for inputs, targets in track(
        batches.take(steps).as_numpy_iterator(), steps, records.source.name, "batch"
    ):
        estimates = served.predict(inputs)[output.tensor]
        for index, estimate in enumerate(estimates):
            if number >= limit:
                return
            shown = {key: draw_sample_image(key, inputs[key][index]) for key in images}
            truth = targets[output.target_key][index] * _DN
            shown["target"] = draw_sample_image(output.target_key, truth)
            shown["reconstructed"] = draw_sample_image(output.target_key, estimate * _DN)
            yield f"{records.source.name}_{number}", shown
            number += 1


@contextmanager
def _model(config: DrawRecordsConfig) -> "Iterator[ServedModel]":
    from decloud_lib.models.store import load_model, serve_by_name

    if config.savedmodel is not None:
        with tracking.model_folder(config.savedmodel) as folder:
            yield load_model(folder)
        return
    yield serve_by_name(registry.get(str(config.model)))


def _folder_of(uri: str) -> str:
    return storage.parent_of(uri) if uri.endswith(_RECORDS) else uri.rstrip("/")


def _chosen(local: "LocalRecords", wanted: tuple[str, ...]) -> "LocalRecords":
    """Leave out the files that are not wanted, where single files of a folder are."""
    from decloud_lib.learning.record_sets import LocalRecords

    mine = [uri for uri in wanted if _folder_of(uri) == local.source.uri]
    if any(not uri.endswith(_RECORDS) for uri in mine):
        return local
    names = {storage.name_of(uri) for uri in mine}
    missing = names - {path.name for path in local.files}
    if missing:
        raise ConfigError(f"{local.source.uri}: no {', '.join(sorted(missing))} there")
    return LocalRecords(local.source, tuple(path for path in local.files if path.name in names))


def _png(picture: "Array") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG")
    return buffer.getvalue()
