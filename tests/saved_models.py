"""SavedModels as the existing system exports them: one signature, no contract."""

from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from decloud_lib.models.keys import kind_of

PADS = (32, 64, 128, 256)
OS2 = ("s1_tm1", "s2_tm1", "s1_t", "s2_t", "s1_tp1", "s2_tp1", "dem")

Tensors = Mapping[str, tf.Tensor]


def export_foreign(
    folder: Path,
    keys: tuple[str, ...],
    network: Callable[[Tensors], Tensors],
    scope: str = "a_network",
) -> Path:
    """Export a network with the signature of the published models.

    Parameters
    ----------
    folder
        Where to.
    keys
        Of the inputs; all float32.
    network
        Normalised inputs -> reflectance by output name; the crops are added.
    scope
        A name that the graph then holds, as it holds the names of layers.
    """
    module = tf.Module()
    specs = {
        key: tf.TensorSpec(
            (None, None, None, len(kind_of(key).bands)) if kind_of(key).bands else (None,),
            tf.float32,
            key,
        )
        for key in keys
    }

    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.name_scope(scope):
            scaled = {key: value * kind_of(key).scale for key, value in inputs.items()}
            found = dict(network(scaled))
        crops = {
            f"{name}_pad{pad}": 10000.0 * value[:, pad:-pad, pad:-pad]
            for name, value in found.items()
            for pad in PADS
        }
        return found | crops

    module.serve = tf.function(serve)
    tf.saved_model.save(
        module, str(folder), {"serving_default": module.serve.get_concrete_function(**specs)}
    )
    assert not (folder / "model.json").exists()
    return folder


def copy_of(key: str, name: str = "s2_estim") -> Callable[[Tensors], Tensors]:
    """Return a network that gives one of its inputs back, under some name."""
    return lambda scaled: {name: tf.identity(scaled[key])}
