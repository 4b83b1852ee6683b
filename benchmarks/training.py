"""An epoch of training from record files against the same steps on batches held in memory.

What the ratio is above 1 is the time that the device waits for samples. The epoch from records is
the one that a training sees: shuffled, parsed, turned at random where it says so.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.results import Row, compared
from decloud_lib.acquisitions import load_layout
from decloud_lib.samples.schema import schema_of
from decloud_lib.samples.shards import Sample, write_shards

_LAYOUT = "AL-CRGA-OS2-clear-neighbours"
MODEL = "crga_os2_david"
_CORNERS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
PATCH_PX, BATCH = 128, 4
_TARGET = 1.1


def bench_training(samples: int, rounds: int, patch_px: int = PATCH_PX) -> list[Row]:
    """Train on `samples` samples for some epochs, in turn from records and from memory."""
    from decloud_lib.learning.feeding import Feeding, Sight
    from decloud_lib.learning.record_sets import find_record_sets, local_records
    from decloud_lib.models import registry
    from decloud_lib.models.training import Optimisation, Trainer

    definition, spec = registry.get(MODEL), registry.ModelSpec()
    trainer = Trainer(definition, spec, Optimisation(learning_rate=1e-5, seed=1))
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        write_random(Path(folder), samples, patch_px)
        with local_records(find_record_sets((folder,))) as (records,):
            sight = Sight(definition.keys(spec), definition.target_keys)
            plain = Feeding(records, sight, BATCH, shuffle=64, seed=1)
            turned = Feeding(records, sight, BATCH, shuffle=64, seed=1, augment=True)
            held, total = plain.epoch(0).cache(), plain.steps

            def epoch(batches: object) -> float:
                start = time.perf_counter()
                steps = max(trainer.train(batches, 0))  # type: ignore[arg-type]
                assert steps == total
                return time.perf_counter() - start

            epoch(held)  # traces the step, and fills the memory
            jobs: dict[str, Callable[[int], object]] = {
                "memory": lambda _: held,
                "records": plain.epoch,
                "turned": turned.epoch,
            }
            times: dict[str, list[float]] = {name: [] for name in jobs}
            for turn in range(1, rounds + 1):
                for name in list(jobs)[:: -1 if turn % 2 else 1]:
                    times[name].append(epoch(jobs[name](turn)))
    best = {name: min(found) for name, found in times.items()}
    baseline = ("the same steps, in memory", best["memory"])
    name = f"epoch of {total} steps of {MODEL}, {patch_px} px"
    return [
        compared(name, best["records"], "s", baseline, _TARGET),
        compared(f"{name}, augmented", best["turned"], "s", baseline, _TARGET),
    ]


def write_random(folder: Path, samples: int, patch_px: int) -> None:
    """Write samples with random pixels."""
    schema = schema_of(load_layout(_LAYOUT), patch_px, with_20m_bands=False, with_dem=True)
    rng = np.random.default_rng(0)

    def sample() -> Sample:
        arrays = {
            key: np.asarray(
                rng.integers(0, 2 if dtype == "bool" else 4000, schema.shapes[key])
            ).astype(dtype)
            for key, dtype in schema.dtypes.items()
        }
        return Sample(arrays, _CORNERS)

    write_shards(folder, (sample() for _ in range(samples)), schema, n_samples_per_shard=16)
