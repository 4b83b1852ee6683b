"""Model folders: a TensorFlow SavedModel with two signatures, and its contract beside it.

A folder is loaded without any of the code that built the network. Signature `predict` gives the
estimates as reflectance. Signature `serving_default` gives, beside them, the historic outputs: the
ten bands as one stack at 10 m, `s2_all_bands_estim`, where the network estimates those at 20 m too;
and of each tensor `<tensor>_pad<n>`, multiplied by 10000 and cropped by n of its own pixels on each
side.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from decloud_lib.bands import S2_SCALE
from decloud_lib.errors import ConfigError, ModelFolderError, ShapeError
from decloud_lib.models.contract import ModelContract, read_contract, write_contract
from decloud_lib.models.foreign import SERVE, open_graph, serving
from decloud_lib.models.keys import canonical
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.types import Array

PADS_PX = (32, 64, 128, 256)
FINE, COARSE, ALL_BANDS = "s2_estim", "s2_20m_estim", "s2_all_bands_estim"
PREDICT = "predict"

_Tensors = dict[str, tf.Tensor]


class ServedModel:
    """A network ready to be used, and its contract."""

    def __init__(
        self,
        contract: ModelContract,
        predict: Callable[..., _Tensors],
        serve: Callable[..., _Tensors] | None = None,
        owner: object = None,
    ) -> None:
        self.contract = contract
        self._predict = predict
        self._serve = serve
        # Signatures hold their variables only weakly.
        self._owner = owner

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Estimate the targets.

        Parameters
        ----------
        inputs
            Key -> (N, H, W, C) stored values of any number type, or (N,) dates; keys that the model
            does not need are ignored.

        Returns
        -------
        Tensor name -> (N, H, W, C) float32 reflectance.

        Raises
        ------
        ShapeError
            An input is missing or has a shape that the contract does not allow.
        """
        return self._call(self._predict, inputs)

    def serve(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the historic outputs too: `<tensor>_pad<n>`, DN, cropped by n pixels a side.

        Raises
        ------
        ShapeError
            As `predict`.
        ModelFolderError
            The model is not loaded from a folder.
        """
        if self._serve is None:
            raise ModelFolderError(f"model {self.contract.name} has no cropped outputs: export it")
        return self._call(self._serve, inputs)

    def _call(
        self, function: Callable[..., _Tensors], inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        self.contract.check_shapes({key: np.shape(value) for key, value in inputs.items()})
        tensors = {
            item.key: tf.constant(np.asarray(inputs[item.key], dtype=item.dtype, order="C"))
            for item in self.contract.inputs
        }
        return {name: tensor.numpy() for name, tensor in function(**tensors).items()}


def serve_definition(definition: ModelDefinition, spec: ModelSpec | None = None) -> ServedModel:
    """Build a model as it is before training, and make it usable without a folder."""
    spec = spec or ModelSpec()
    return serve_network(definition.build(spec), definition.contract(spec))


def serve_by_name(definition: ModelDefinition, option: str = "--savedmodel") -> ServedModel:
    """Make a model usable that needs no folder: it has no weights, or the package brings them.

    Parameters
    ----------
    definition
        The model.
    option
        What takes the folder of another model, for the message.

    Raises
    ------
    ConfigError
        The model must be trained first.
    """
    from decloud_lib.models.shipped import load_weights

    if not definition.is_ready:
        raise ConfigError(f"model {definition.name} has weights: give its model folder in {option}")
    spec = ModelSpec()
    model = definition.build(spec)
    if definition.trainable:
        load_weights(model, definition)
    return serve_network(model, definition.contract(spec))


def serve_network(model: keras.Model, contract: ModelContract) -> ServedModel:
    """Make a network usable without a folder."""
    estimate = _estimator(model, contract)
    # One graph for all sizes: a graph takes seconds to make, and memory.
    serve = _signature(lambda inputs: estimate(**inputs), contract)
    return ServedModel(contract, lambda **inputs: serve(inputs))


def export_model(
    model: keras.Model, definition: ModelDefinition, folder: Path, contract: ModelContract
) -> Path:
    """Write a model folder: SavedModel and contract.

    Parameters
    ----------
    model
        Network with dict inputs by sample key and dict outputs by target key.
    definition
        What it was built from.
    folder
        Where to write; made when missing.
    contract
        Contract to write beside it.

    Raises
    ------
    ModelFolderError
        The network is of another model than the contract, or the disk is full.
    """
    if contract.name != definition.name:
        raise ModelFolderError(f"a contract of {contract.name} for a model {definition.name}")
    estimate = _estimator(model, contract)
    signatures = {
        PREDICT: _signature(lambda inputs: estimate(**inputs), contract),
        SERVE: _signature(lambda inputs: _historic(estimate(**inputs)), contract),
    }
    # Not Keras' own archive: it writes each weight twice, and a process that loads it has both.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    try:
        tf.saved_model.save(module, str(folder), signatures)
        write_contract(contract, folder)
    except (OSError, tf.errors.OpError) as error:
        raise ModelFolderError(
            f"{folder}: the network cannot be written there ({error}); check the disk"
        ) from error
    return folder


def load_model(folder: Path) -> ServedModel:
    """Load a model folder, or a SavedModel of the existing system (see `foreign`).

    Raises
    ------
    ModelFolderError
        There is no SavedModel or no contract, or its signatures do not match the contract.
    """
    contract = read_contract(folder)
    saved = open_graph(folder)
    signatures = saved.signatures
    if SERVE not in signatures:
        raise ModelFolderError(
            f"{folder}: the SavedModel has no signature {SERVE}; "
            f"found {', '.join(sorted(signatures)) or 'none'}; export the model again"
        )
    serve = serving(signatures[SERVE])
    called = signatures[PREDICT if PREDICT in signatures else SERVE]
    asked = set(called.structured_input_signature[1])
    if asked != set(contract.input_keys):
        raise ModelFolderError(
            f"{folder}: the SavedModel takes {', '.join(sorted(asked))}, its contract names "
            f"{', '.join(sorted(contract.input_keys))}; export the model again"
        )
    served = {canonical(name) for name in called.structured_outputs}
    wanted = {item.tensor for item in contract.outputs}
    if not wanted <= served:
        raise ModelFolderError(
            f"{folder}: the SavedModel gives {', '.join(sorted(served))}, its contract promises "
            f"{', '.join(sorted(wanted))}; export the model again"
        )

    def whole(**inputs: tf.Tensor) -> _Tensors:
        outputs = serve(**inputs)
        return {name: outputs[name] for name in wanted}

    return ServedModel(contract, signatures.get(PREDICT, whole), serve, owner=saved)


def requirements() -> list[str]:
    """Return what serving a model folder needs, as for pip."""
    return [f"numpy=={np.__version__}", f"tensorflow=={tf.__version__}"]


def _signature(
    function: Callable[[_Tensors], _Tensors], contract: ModelContract
) -> Callable[[_Tensors], _Tensors]:
    """Return a function as one graph for any number of images of any size."""
    specs = {
        item.key: tf.TensorSpec(
            (None, None, None, len(item.bands)) if item.bands else (None,), item.dtype, item.key
        )
        for item in contract.inputs
    }
    compiled: Callable[[_Tensors], _Tensors] = tf.function(
        function, input_signature=[specs], autograph=False
    )
    return compiled


def _estimator(model: keras.Model, contract: ModelContract) -> Callable[..., _Tensors]:
    names = {item.target_key: item.tensor for item in contract.outputs}
    names |= {
        f"{item.target_key}_scale": item.scale_tensor
        for item in contract.outputs
        if item.scale_tensor is not None
    }
    missing = sorted(set(names) - set(model.output))
    if missing:
        raise ShapeError(f"model {contract.name} gives no {', '.join(missing)}")

    def estimate(**inputs: tf.Tensor) -> _Tensors:
        outputs = model(inputs, training=False)
        return {names[key]: ops.cast(outputs[key], "float32") for key in names}

    return estimate


def _historic(estimates: _Tensors) -> _Tensors:
    """Add the stack of all bands, and the crops."""
    whole = dict(estimates)
    if FINE in whole and COARSE in whole:
        nearest = ops.repeat(ops.repeat(whole[COARSE], 2, axis=1), 2, axis=2)
        whole[ALL_BANDS] = ops.concatenate([whole[FINE], nearest], axis=-1)
    outputs = dict(whole)
    for name, tensor in whole.items():
        dn = tensor * (1.0 / S2_SCALE)
        for pad in PADS_PX:
            outputs[f"{name}_pad{pad}"] = dn[:, pad:-pad, pad:-pad, :]
    return outputs
