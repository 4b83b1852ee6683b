"""Products per minute of a batch with one worker and with one per core.

One worker keeps more than one core busy already: it reads ahead in a second thread and compresses
in several. The ratio can therefore not reach the number of cores; the row of the cores that one
worker uses tells how far it can go. The start of the worker processes is part of the times.
"""

import logging
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks import deliveries
from benchmarks.measure import alternated, report, warm
from benchmarks.prepare import ROUNDS, peak_row
from benchmarks.results import Row, compared
from benchmarks.textures import generated
from decloud_lib.stages.prepare import PrepareConfig, prepare

PRODUCTS = 4
#: Throughput with a worker per core, at least, in units of that with one.
_GROWTH = 1.1


def bench_batch(size: int, rounds: int = ROUNDS) -> list[Row]:
    """Prepare four Theia products of `size` px with one worker, and with one per core."""
    cores = psutil.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as temporary:
        root = Path(temporary)
        texture = generated()
        for day in range(PRODUCTS):
            deliveries.write_theia(root / "in", texture, size, f"202010{12 + day}")
        warm(path for path in (root / "in").rglob("*") if path.is_file())
        jobs = {"one": (str(root / "in"), "1"), "many": (str(root / "in"), str(cores))}
        costs = alternated("benchmarks.batch", jobs, root / "out", rounds)
    one, many = costs["one"], costs["many"]
    name = f"batch_{PRODUCTS}x{size}px"
    per_minute = {job: PRODUCTS * 60 / cost.wall for job, cost in costs.items()}
    return [
        Row(
            f"{name}_{cores}_workers",
            per_minute["many"],
            "products/min",
            "1 worker",
            per_minute["one"],
            per_minute["many"] / per_minute["one"],
            _GROWTH if cores > 1 else None,
            "at least",
        ),
        compared(f"{name}_cores_of_1_worker", one.cpu / one.wall, "cores", ("1 core", 1.0)),
        compared(f"{name}_cpu", many.cpu, "s", ("1 worker", one.cpu)),
        peak_row(f"{name}_worker", many.worker_peak_mb),
    ]


def main(products: str, workers: str, output: str) -> None:
    logging.getLogger("decloud_lib").addHandler(logging.NullHandler())
    config = PrepareConfig(products=products, prepared=output, workers=int(workers))
    report(lambda: prepare(config), Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
