"""The contract of a model folder (`model.json`): what goes in, what comes out, with which margin.

Read without TensorFlow, so that a reconstruction can plan its windows before it loads the network.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import __version__
from decloud_lib.errors import ModelFolderError, ShapeError

NAME = "model.json"


class ModelInput(BaseModel):
    """One input of a network: raw stored values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    bands: tuple[str, ...]
    """In order; empty for one number per sample."""
    factor: int
    """Pixel size in units of 10 m."""
    dtype: str
    scale: float
    """What the network multiplies the stored values with; for information."""


class ModelOutput(BaseModel):
    """One output of a network: reflectance 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_key: str
    tensor: str
    """Name in the served signature."""
    bands: tuple[str, ...]
    factor: int
    scale_tensor: str | None = None
    """Name in the served signature of the expected absolute error (scale of a Laplace distribution)
    per pixel and band, reflectance; None where the network gives none."""


class ModelContract(BaseModel):
    """What a user of a model folder must know, beside the network itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    schema_version: Literal[1] = 1
    name: str
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    stride: int = Field(ge=1)
    """Windows and margins must each be a multiple of this, 10 m pixels."""
    reach_px: int = Field(ge=0)
    """How far a pixel of the output looks, 10 m pixels, worst phase."""
    margin_px: int = Field(ge=0)
    """Smallest margin that makes windows seamless: the reach rounded up to the stride."""
    in_context: bool = False
    """Each estimate depends on all of the window beside what lies within the reach, as that of a
    fit does: windows are made to overlap and fade into each other."""
    simulated_gaps: bool = False
    """Trained on gaps that its code lays over clear dates, and to be scored on such gaps."""
    layout: dict[str, Any] | None = None
    """The acquisition layout of the training samples, where known."""
    data_fingerprint: str | None = None
    """SHA-256 over the manifest of the training records."""
    code_version: str = __version__
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def input_keys(self) -> tuple[str, ...]:
        """Keys of the inputs, in order."""
        return tuple(item.key for item in self.inputs)

    @property
    def target_keys(self) -> tuple[str, ...]:
        """Keys of the samples that the outputs estimate, in order."""
        return tuple(item.target_key for item in self.outputs)

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Check a batch against the contract before it reaches the network.

        Parameters
        ----------
        shapes
            Key -> (N, H, W, C) for images, (N,) for numbers. More keys than needed are allowed.

        Raises
        ------
        ShapeError
            A key is missing, has another number of bands or another ground size than the rest, or
            a side is no multiple of the stride.
        """
        missing = sorted(set(self.input_keys) - set(shapes))
        if missing:
            raise ShapeError(
                f"model {self.name}: no input {', '.join(missing)}; "
                f"found {', '.join(sorted(shapes)) or 'none'}, needs {', '.join(self.input_keys)}"
            )
        ground: tuple[int, int] | None = None
        for item in self.inputs:
            size = self._ground_size(item, shapes[item.key])
            if size is None:
                continue
            ground = ground or size
            if size != ground:
                raise ShapeError(
                    f"model {self.name}: input {item.key} of shape {shapes[item.key]} covers "
                    f"{size[0]} x {size[1]} px at 10 m, the inputs before it "
                    f"{ground[0]} x {ground[1]}; all inputs must cover the same ground"
                )

    def _ground_size(self, item: ModelInput, shape: tuple[int, ...]) -> tuple[int, int] | None:
        rank = 4 if item.bands else 1
        if len(shape) != rank or (item.bands and shape[-1] != len(item.bands)):
            expected = f"(N, H, W, {len(item.bands)})" if item.bands else "(N,)"
            raise ShapeError(
                f"model {self.name}: input {item.key} has shape {shape}, expected {expected}"
            )
        if not item.bands:
            return None
        height, width = shape[1] * item.factor, shape[2] * item.factor
        if height % self.stride or width % self.stride or not height or not width:
            raise ShapeError(
                f"model {self.name}: input {item.key} covers {height} x {width} px at 10 m; "
                f"each side must be a multiple of {self.stride}"
            )
        return (height, width)


def margin_px(reach_px: int, stride: int) -> int:
    """Return the smallest multiple of the stride that is no smaller than the reach."""
    return -(-reach_px // stride) * stride


def read_contract(folder: Path) -> ModelContract:
    """Read the contract of a model folder; that of a SavedModel alone is told from its signature.

    Raises
    ------
    ModelFolderError
        There is no contract and none can be told, or it cannot be parsed.
    """
    path = folder / NAME
    if not path.is_file() and (folder / "saved_model.pb").is_file():
        # Only a SavedModel without a contract needs TensorFlow to be understood.
        from decloud_lib.models.foreign import derive_contract

        return derive_contract(folder)
    if not path.is_file():
        found = ", ".join(sorted(item.name for item in folder.glob("*"))) or "nothing"
        raise ModelFolderError(
            f"{folder}: no {NAME} in this model folder (found: {found}); "
            f"expected a folder written by `decloud train`"
        )
    try:
        return ModelContract.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelFolderError(
            f"{path}: not a model contract ({place}: {first['msg']}); export the model again"
        ) from error


def write_contract(contract: ModelContract, folder: Path) -> None:
    """Write the contract into a model folder."""
    (folder / NAME).write_text(contract.model_dump_json(indent=2), encoding="utf-8")
