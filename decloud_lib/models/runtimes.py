"""What computes a SavedModel: TensorFlow, or OpenVINO on CPUs where it is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.models.contract import ModelContract, read_contract
from decloud_lib.models.keys import canonical
from decloud_lib.types import Array

RuntimeName = Literal["tensorflow", "openvino"]


class ReadyModel(Protocol):
    """A network that is ready to be used."""

    @property
    def contract(self) -> ModelContract:
        """What goes in and comes out."""

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return tensor name -> (N, H, W, C) float32 reflectance."""


def check_runtime(name: RuntimeName) -> None:
    """Raise unless a runtime is installed.

    Raises
    ------
    ConfigError
        It is not; the message says how to get it.
    """
    if name == "openvino" and find_spec("openvino") is None:
        raise ConfigError(
            "--runtime openvino: OpenVINO is not installed; `pip install openvino`, or use "
            "--runtime tensorflow"
        )


def load_for(runtime: RuntimeName, folder: Path) -> ReadyModel:
    """Load a model folder with one of the runtimes.

    Raises
    ------
    ConfigError
        The runtime is not installed.
    ModelFolderError
        There is no readable SavedModel or no contract, or the runtime cannot compute it.
    """
    check_runtime(runtime)
    if runtime == "openvino":
        return OpenVinoModel(folder)
    # A process that uses the other runtime needs no TensorFlow in its memory.
    from decloud_lib.models.store import load_model

    return load_model(folder)


class OpenVinoModel:
    """A SavedModel that OpenVINO computes on the CPU, in float32."""

    def __init__(self, folder: Path) -> None:
        import openvino

        self.contract = read_contract(folder)
        try:
            # Not `openvino.convert_model`: it takes seconds, starts a process for each message that
            # it would send home, and silences the log.
            whole = openvino.Core().read_model(str(folder))
        except RuntimeError as error:
            raise ModelFolderError(f"{folder}: {self._reason(str(error))}") from error
        self._outputs = self._wanted(folder, whole)
        graph = openvino.Model(
            [whole.output(name) for name in self._outputs.values()], whole.get_parameters()
        )
        self._types = {
            name: item.element_type.to_dtype() for item in whole.inputs for name in item.names
        }
        self._ranks = {
            name: item.partial_shape.rank.get_length()
            for item in whole.inputs
            for name in item.names
        }
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._compiled: Any = openvino.compile_model(graph, "CPU", settings)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Estimate the targets; see `store.ServedModel.predict`.

        Raises
        ------
        ShapeError
            An input is missing or has a shape that the contract does not allow.
        """
        self.contract.check_shapes({key: np.shape(value) for key, value in inputs.items()})
        given = {}
        for item in self.contract.inputs:
            value = np.asarray(inputs[item.key], dtype=self._types[item.key])
            # Some hold a date as (N, 1).
            given[item.key] = value[:, None] if self._ranks[item.key] == value.ndim + 1 else value
        found = self._compiled(given)
        # Without a copy the next call would write into these arrays.
        return {tensor: np.array(found[name]) for tensor, name in self._outputs.items()}

    def _reason(self, said: str) -> str:
        """Say why OpenVINO does not take a network, and what to do."""
        if lacking := said.partition("for operations:")[2].splitlines()[:1]:
            return (
                f"OpenVINO cannot compute {self.contract.name} (it has no {lacking[0].strip()}); "
                "use --runtime tensorflow"
            )
        return (
            f"OpenVINO cannot read this SavedModel ({said}); export or copy the model again, or "
            "use --runtime tensorflow"
        )

    def _wanted(self, folder: Path, whole: Any) -> dict[str, str]:
        """Return the name in the graph of each tensor that the contract promises."""
        named = {canonical(name): name for item in whole.outputs for name in sorted(item.names)}
        wanted = [item.tensor for item in self.contract.outputs]
        wanted += [item.scale_tensor for item in self.contract.outputs if item.scale_tensor]
        missing = sorted(set(wanted) - set(named))
        if missing:
            raise ModelFolderError(
                f"{folder}: the SavedModel gives {', '.join(sorted(named))}, its contract promises "
                f"{', '.join(missing)}; export the model again"
            )
        return {tensor: named[tensor] for tensor in wanted}
