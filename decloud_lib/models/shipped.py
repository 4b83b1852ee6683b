"""Weights that come with the package: arrays by the path of the variable, and no code."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from decloud_lib.errors import ConfigError
from decloud_lib.models.registry import ModelDefinition
from decloud_lib.types import Array

NAME = "shipped"
"""What stands for them where a folder of weights is asked for."""
_FOLDER = Path(__file__).with_name("weights")


def read_weights(definition: ModelDefinition) -> dict[str, Array]:
    """Return the arrays of a model by the path of their variable, such as `advice_1/kernel`.

    Raises
    ------
    ConfigError
        No weights of this model come with the package.
    """
    file = weights_file(definition)
    if file is None:
        raise ConfigError(
            f"model {definition.name}: no weights come with the package; train it, and give the "
            f"folder of the result"
        )
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def weights_file(definition: ModelDefinition) -> Path | None:
    """Return the file of a model's weights, None where none come with the package."""
    return _FOLDER / definition.weights if definition.weights else None


def write_weights(model: keras.Model, path: Path) -> None:
    """Write the arrays of a model as they come with the package."""
    arrays: dict[str, Any] = {variable.path: variable.numpy() for variable in model.weights}
    np.savez_compressed(path, **arrays)


def load_weights(model: keras.Model, definition: ModelDefinition) -> None:
    """Put the weights of the package into a network.

    Raises
    ------
    ConfigError
        There are none, or the network has another size.
    """
    arrays = read_weights(definition)
    shapes = {variable.path: tuple(variable.shape) for variable in model.weights}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise ConfigError(
            f"model {definition.name}: the weights of the package fit the default settings only, "
            f"a network of {sum(array.size for array in arrays.values())} weights, not one of "
            f"{model.count_params()}; leave --width at its default, or train from the beginning"
        )
    for variable in model.weights:
        variable.assign(arrays[variable.path])
