"""From a trained network to a model folder in the bucket and a logged model in MLflow."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from decloud_lib import checksums, manifest, signing, storage
from decloud_lib.models.contract import NAME as CONTRACT
from decloud_lib.models.contract import ModelContract
from decloud_lib.models.registry import ModelDefinition
from decloud_lib.samples.profile import NAME as PROFILE
from decloud_lib.samples.profile import Profile
from decloud_lib.tracking import Run, Tensors

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

RESULT = "train.json"


class TrainRecord(BaseModel):
    """Content of `train.json` in the model folder: how the network came to be."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    epochs: int
    """Epochs done."""
    kept_epoch: int = 0
    """After which the weights were those in the folder; 0: before the first."""
    metrics: dict[str, float]
    """By MLflow name, of the weights in the folder."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a network goes, and what is said about it."""

    uri: str
    """Model folder."""
    definition: ModelDefinition
    contract: ModelContract
    planned: manifest.Manifest


def publish(
    model: "keras.Model", to: Destination, record: TrainRecord, run: Run, profile: Profile
) -> None:
    """Export a network, record it in MLflow, and bring it to its place; the manifest comes last.

    Parameters
    ----------
    model
        The trained network.
    to
        Where to, with contract and manifest.
    record
        Written beside the network.
    run
        Open MLflow run.
    profile
        Of the training samples, written beside the network.
    """
    from decloud_lib.models.store import export_model, requirements

    with tempfile.TemporaryDirectory(prefix="decloud-") as temporary:
        folder = export_model(model, to.definition, Path(temporary, "sm"), to.contract)
        Path(folder, RESULT).write_text(record.model_dump_json(indent=2), encoding="utf-8")
        Path(folder, PROFILE).write_text(profile.model_dump_json(), encoding="utf-8")
        checksums.seal_folder(folder)
        signing.sign_folder(folder)
        inputs, outputs = signature(to.contract)
        name, needed = to.definition.name, requirements()
        run.log_model(folder, name, inputs, outputs, needed, record.kept_epoch)
        storage.delete_prefix(to.uri)
        names = sorted(
            (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
            # Whoever finds a contract finds a whole network beside it.
            key=lambda name: (name == CONTRACT, name),
        )
        for name in names:
            storage.upload(folder / name, storage.join(to.uri, name))
    written = [storage.join(to.uri, name) for name in names]
    manifest.write(
        storage.join(to.uri, manifest.NAME),
        to.planned,
        written,
        counts={"epochs": record.epochs, "parameters": model.count_params()},
    )
    logger.info("exported %s to %s", to.definition.name, to.uri)


def read_record(folder_uri: str) -> TrainRecord:
    """Read how the network of a model folder came to be."""
    return TrainRecord.model_validate_json(storage.read_bytes(storage.join(folder_uri, RESULT)))


def signature(contract: ModelContract) -> tuple[Tensors, Tensors]:
    """Return names, types and shapes of inputs and outputs; -1 = any size."""
    inputs = {
        item.key: (item.dtype, (-1, -1, -1, len(item.bands)) if item.bands else (-1,))
        for item in contract.inputs
    }
    outputs = {item.tensor: ("float32", (-1, -1, -1, len(item.bands))) for item in contract.outputs}
    return inputs, outputs
