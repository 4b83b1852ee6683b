"""Model folders of the existing system: a SavedModel alone, with the signature `serving_default`.

Its inputs are named by the keys of the samples. Its outputs are named by the layers that gave them,
each whole (reflectance) and cropped (`<name>_pad64` and so on, multiplied by 10000). Everything a
contract says is told from that; what a signature cannot tell is known of the published networks by
the names of their layers, and measured otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from decloud_lib.errors import ModelFolderError, ShapeError
from decloud_lib.models import registry
from decloud_lib.models.contract import ModelContract, ModelInput, ModelOutput, margin_px
from decloud_lib.models.devices import check_gpus
from decloud_lib.models.keys import canonical, kind_of
from decloud_lib.models.measure import Probe, reach_px, total_stride
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.types import Array

GRAPH = "saved_model.pb"
SERVE = "serving_default"

#: Total stride of a published network -> a name of the graph that tells it, and one it lacks.
_TOLD_BY = {
    32: (b"conv6_bn_relu", b"\0no such name"),
    4: (b"deconv2_bn_relu", b"conv6_bn_relu"),
    1: (b"add_pad64", b"conv3_bn_relu"),
}

_Tensors = dict[str, tf.Tensor]


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a SavedModel says about its inputs and outputs, without its weights being read."""

    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    """Name -> type and shape; -1 = any size."""
    outputs: tuple[str, ...]
    graph: bytes


def derive_contract(folder: Path) -> ModelContract:
    """Tell the contract of a SavedModel that has none.

    Raises
    ------
    ModelFolderError
        It has no such signature, an input or output of another meaning than the sample keys have,
        or a reach that cannot be measured. A `model.json` beside it can say what is not told.
    """
    signature = _read_signature(folder)
    inputs = tuple(_input(folder, key, *signature.inputs[key]) for key in sorted(signature.inputs))
    names = {canonical(name) for name in signature.outputs}
    tensors = [name for name in ("s2_estim", "s2_20m_estim") if name in names]
    if "s2_estim" not in tensors:
        raise ModelFolderError(
            f"{folder}: the SavedModel gives {', '.join(sorted(signature.outputs))}; expected an "
            "output s2_estim, or add or tf.math.add of an old export"
        )
    known = _known(signature, [item.key for item in inputs], len(tensors))
    if known is not None:
        targets = known.target_keys
        stride, reach = int(known.stride or 1), int(known.reach_px or 0)
        order = known.keys(ModelSpec())
        inputs = tuple(sorted(inputs, key=lambda item: order.index(item.key)))
    else:
        targets = ("s2_target", "s2_20m_target")[: len(tensors)]
        stride, reach = _measure(folder, inputs, tensors)
    outputs = []
    for target, tensor in zip(targets, tensors, strict=True):
        kind = kind_of(target)
        outputs.append(
            ModelOutput(target_key=target, tensor=tensor, bands=kind.bands, factor=kind.factor)
        )
    return ModelContract(
        name=known.name if known is not None else folder.name or "foreign",
        inputs=inputs,
        outputs=tuple(outputs),
        stride=stride,
        reach_px=reach,
        margin_px=margin_px(reach, stride),
    )


def serving(signature: Callable[..., _Tensors]) -> Callable[..., _Tensors]:
    """Return a signature under our names, which takes dates as one number per sample."""
    specs = signature.structured_input_signature[1]  # type: ignore[attr-defined]

    def serve(**inputs: tf.Tensor) -> _Tensors:
        given = {}
        for name, spec in specs.items():
            value = tf.cast(inputs[name], spec.dtype)
            # Some hold a date as (N, 1).
            given[name] = value[:, None] if len(spec.shape) == 2 else value
        return {canonical(name): value for name, value in signature(**given).items()}

    return serve


def open_graph(folder: Path) -> Any:
    """Load a SavedModel, ours or another, with its weights.

    Raises
    ------
    ModelFolderError
        There is none, or a part of it is missing.
    ConfigError
        GPUs were promised that are not there.
    """
    check_gpus()
    try:
        return tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ModelFolderError(
            f"{folder}: no readable SavedModel ({error}); export or copy the model again"
        ) from error


def _read_signature(folder: Path) -> _Signature:
    graph = (folder / GRAPH).read_bytes()
    message: Any = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString(graph)
    except DecodeError as error:
        raise ModelFolderError(f"{folder / GRAPH}: not a SavedModel; copy it again") from error
    found = {
        name: definition
        for meta in message.meta_graphs
        for name, definition in meta.signature_def.items()
    }
    if SERVE not in found:
        raise ModelFolderError(
            f"{folder}: no model.json, and no signature {SERVE} in {GRAPH}; expected a folder "
            "written by `decloud train`, or a SavedModel of the existing system"
        )
    inputs = {
        name: (
            tf.dtypes.as_dtype(tensor.dtype).name,
            tuple(dim.size for dim in tensor.tensor_shape.dim),
        )
        for name, tensor in found[SERVE].inputs.items()
    }
    return _Signature(inputs, tuple(found[SERVE].outputs), graph)


def _input(folder: Path, key: str, dtype: str, shape: tuple[int, ...]) -> ModelInput:
    try:
        kind = kind_of(key)
    except ValueError as error:
        raise ModelFolderError(
            f"{folder}: the SavedModel takes {key!r}; expected keys of samples, such as s2_t or dem"
        ) from error
    fits = shape[3:] == (len(kind.bands),) if kind.bands else len(shape) in (1, 2)
    if not fits:
        bands = f"{len(kind.bands)} bands ({', '.join(kind.bands)})" if kind.bands else "a number"
        raise ModelFolderError(f"{folder}: input {key} has shape {shape}, expected {bands}")
    return ModelInput(key=key, bands=kind.bands, factor=kind.factor, dtype=dtype, scale=kind.scale)


def _known(signature: _Signature, keys: Sequence[str], n_outputs: int) -> ModelDefinition | None:
    """Return the published network that has these inputs, outputs and layers."""
    for name in registry.names():
        definition = registry.get(name)
        if not definition.input_keys or len(definition.target_keys) != n_outputs:
            continue
        needed, missing = _TOLD_BY.get(definition.stride or 0, (b"\0", b""))
        if needed not in signature.graph or missing in signature.graph:
            continue
        choices = (set(definition.keys(ModelSpec(use_dem=use_dem))) for use_dem in (True, False))
        if set(keys) in choices:
            return definition
    return None


def _measure(
    folder: Path, inputs: tuple[ModelInput, ...], tensors: Sequence[str]
) -> tuple[int, int]:
    graph = open_graph(folder)
    serve = serving(graph.signatures[SERVE])

    def predict(arrays: Mapping[str, Array]) -> dict[str, Array]:
        found = serve(**{key: tf.constant(value) for key, value in arrays.items()})
        return {name: np.asarray(found[name]) for name in tensors}

    factors = {name: 2 if name == "s2_20m_estim" else 1 for name in tensors}
    probe = Probe(folder.name, predict, [item.key for item in inputs], factors)
    try:
        stride = total_stride(probe)
        return stride, reach_px(probe, stride)
    except ShapeError as error:
        raise ModelFolderError(
            f"{folder}: cannot tell stride and margin of this SavedModel ({error}); write a "
            "model.json beside it"
        ) from error
