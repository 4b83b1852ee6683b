"""How long a training takes from the start of the process to the end of its first step.

Imports, building of the network and of the optimiser, tracing, one step on random samples. The
limit counts the time of all threads together: an idle machine takes no longer by the clock, and one
that does other work at the same time does not stretch it.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Cost, alternated, report
from benchmarks.results import Row, compared

#: Network -> seconds that its first step may take.
LIMITS_S = {
    "crga_os2_david": 25.0,
    "residual": 25.0,
    "crga_os1_unet": 45.0,
    "crga_os2_unet": 45.0,
    "meraner_unet": 45.0,
}
_BATCH = 4
_PATCH_PX = 128


def bench_first_step(rounds: int) -> list[Row]:
    """Time the first step of the networks that are known."""
    from decloud_lib.models import registry

    jobs = {name: (name,) for name in LIMITS_S if name in registry.names()}
    with tempfile.TemporaryDirectory() as folder:
        costs = alternated("benchmarks.first_step", jobs, Path(folder, "out"), rounds)
    return [row for name, cost in costs.items() for row in _rows(name, cost)]


def _rows(name: str, cost: Cost) -> list[Row]:
    limit = ("limit", LIMITS_S[name])
    return [
        compared(f"first step of {name}, all threads", cost.cpu, "s", limit, 1.0),
        compared(f"first step of {name}, by the clock", cost.wall, "s", limit),
    ]


def first_step(name: str, patch_px: int = _PATCH_PX) -> float:
    """Train a network on one batch of random samples, and return the loss."""
    import tensorflow as tf

    from decloud_lib.models import registry
    from decloud_lib.models.keys import kind_of
    from decloud_lib.models.training import Optimisation, Trainer

    definition, spec = registry.get(name), registry.ModelSpec()

    def random(key: str) -> tf.Tensor:
        kind = kind_of(key)
        side = patch_px // kind.factor
        shape = (_BATCH, side, side, len(kind.bands)) if kind.bands else (_BATCH,)
        return tf.random.uniform(shape, seed=1, dtype=tf.float32)

    trainer = Trainer(definition, spec, Optimisation(learning_rate=1e-4, seed=1))
    inputs = {key: random(key) / kind_of(key).scale for key in definition.keys(spec)}
    targets = {key: random(key) for key in definition.target_keys}
    samples = tf.data.Dataset.from_tensors((inputs, targets))
    for _ in trainer.train(samples, 0):
        pass
    return trainer.scores()["loss"]


if __name__ == "__main__":
    report(lambda: first_step(sys.argv[1]), Path(sys.argv[2]))
