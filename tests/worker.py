"""One of several processes that train together: `python -m tests.worker FOLDER BATCH STRATEGY`.

Trains on the same batches whatever the number of workers, and writes what it ends with.
"""

import sys
from pathlib import Path

import numpy as np

from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.training import Optimisation, Strategy, Trainer


def main(folder: Path, batch: int, strategy: Strategy) -> None:
    # Of several workers each must be known before TensorFlow does anything.
    how = Optimisation(
        1e-2, seed=1, strategy=strategy, scale_rate=False, clip_norm=1e-2, all_metrics=True
    )
    trainer = Trainer(ModelDefinition("tiny", _build, ("s2_t",)), ModelSpec(), how)
    import tensorflow as tf

    rng = np.random.default_rng(0)
    image = rng.uniform(0, 4000, (9, 12, 12, 4)).astype("float32")
    targets = {"s2_target": (image * 0.9e-4).astype("float32")}
    samples = tf.data.Dataset.from_tensor_slices(({"s2_t": image}, targets)).batch(batch)
    for _ in range(2):
        steps = list(trainer.train(samples, 0))
    state = trainer.state()
    found = {f"state_{index}": array for index, array in enumerate(state)}
    found |= {f"train_{name}": np.array(value) for name, value in trainer.scores().items()}
    found |= {f"valid_{name}": np.array(v) for name, v in trainer.evaluate(samples).items()}
    # What the others say does not count.
    facts = {"seconds": trainer.agreed(5.0 if trainer.is_chief else 1000.0)}
    facts |= {"steps": steps[-1], "devices": trainer.devices, "is_chief": trainer.is_chief}
    name = f"worker-{'chief' if trainer.is_chief else 'other'}.npz"
    np.savez(folder / name, **found, **facts)


def _build(_: ModelSpec) -> object:
    import keras

    from decloud_lib.models.normalise import make_inputs, normalise

    inputs = make_inputs(["s2_t"])
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(normalise(inputs)["s2_t"])
    return keras.Model(inputs, {"s2_target": keras.layers.Conv2D(4, 3, padding="same")(x)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])  # type: ignore[arg-type]
