"""From a network on normalised inputs to a Keras model on stored values, by its name."""

from collections.abc import Callable, Mapping, Sequence

import keras
from keras import KerasTensor

from decloud_lib.errors import ShapeError
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec, register

#: Normalised inputs by sample key (dates and flags as they are) -> estimates by target key.
Network = Callable[[dict[str, KerasTensor]], Mapping[str, KerasTensor]]


def assemble(
    name: str, input_keys: Sequence[str], target_keys: Sequence[str], network: Network
) -> keras.Model:
    """Put inputs and normalisation before a network.

    Parameters
    ----------
    name
        Of the Keras model.
    input_keys
        Sample keys that the model takes, in order.
    target_keys
        Sample keys that it estimates; the network may give more, such as `<key>_scale`.
    network
        What lies between.

    Raises
    ------
    ShapeError
        The network does not give them all.
    """
    inputs = make_inputs(input_keys)
    outputs = dict(network(normalise(inputs)))
    if missing := [key for key in target_keys if key not in outputs]:
        raise ShapeError(
            f"model {name}: its network gives {', '.join(sorted(outputs)) or 'nothing'}, and no "
            f"{', '.join(missing)}; expected a tensor for each of {', '.join(target_keys)}"
        )
    return keras.Model(inputs, outputs, name=name)


def register_network(
    name: str,
    network: Network,
    input_keys: Sequence[str],
    target_keys: Sequence[str] = ("s2_target",),
    reach: tuple[int, int] = (1, 0),
    aliases: Sequence[str] = (),
) -> ModelDefinition:
    """Register a network under a name.

    Parameters
    ----------
    name, network, input_keys, target_keys
        As for `assemble`; a network takes `dem` as optional when it is among the keys.
    reach
        Total stride, and how far a pixel of the output looks, both in pixels at 10 m.
    aliases
        Other names.
    """

    def build(spec: ModelSpec) -> keras.Model:
        return assemble(name, definition.keys(spec), target_keys, network)

    definition = ModelDefinition(
        name=name,
        build=build,
        input_keys=tuple(input_keys),
        target_keys=tuple(target_keys),
        stride=reach[0],
        reach_px=reach[1],
        aliases=tuple(aliases),
        source=getattr(network, "func", network).__module__,
    )
    return register(definition)
