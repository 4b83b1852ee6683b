"""What tracking costs a training, and how long the leaderboard of many runs takes.

The runs are in an SQLite file, as on a machine without a server. Each has the numbers of metrics,
parameters and labels, and the thumbnail, of a training's.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Cost, alternated, report
from benchmarks.results import Row, compared
from benchmarks.training import BATCH, MODEL, PATCH_PX, write_random

_SHARE = 1.03
_LIMIT_S = 5.0
_SCORES = ("loss", "psnr_db", "psnr_global_db", "mse_dn2", "mae", "rmse", "ssim", "sam_deg")
_PARTS = ("train/train", "valid/valid", "test/valid", "test/valid/linear_gap_filling")
_SYSTEM = 20
"""Curves of the load of the machine."""


def bench_tracking(samples: int, rounds: int, runs: int) -> list[Row]:
    """Time what an epoch's records cost, and the leaderboard of `runs` runs."""
    with tempfile.TemporaryDirectory(prefix="decloud-bench-") as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        epoch, tracked = _epoch(Path(folder), samples, rounds)
        write_runs(runs)
        jobs = {"board": (os.environ["MLFLOW_TRACKING_URI"],)}
        cost = alternated("benchmarks.tracking", jobs, Path(folder, "out"), rounds)["board"]
    name = f"epoch of {samples // BATCH} steps of {MODEL}, {PATCH_PX} px, tracked"
    return [
        compared(name, epoch + tracked, "s", ("the same, untracked", epoch), _SHARE),
        *_board_rows(runs, cost),
    ]


def _board_rows(runs: int, cost: Cost) -> list[Row]:
    limit = ("limit", _LIMIT_S)
    return [
        compared(f"leaderboard of {runs} runs, all threads", cost.cpu, "s", limit, 1.0),
        compared(f"leaderboard of {runs} runs, by the clock", cost.wall, "s", limit),
    ]


def _epoch(folder: Path, samples: int, rounds: int) -> tuple[float, float]:
    """Return the seconds of an epoch, and of what is told to MLflow on its way; the best of each.

    An epoch is read from records and not validated, so that it is as short as epochs get.
    """
    from decloud_lib import tracking
    from decloud_lib.learning.course import Data, EpochReport
    from decloud_lib.learning.feeding import Feeding, Sight
    from decloud_lib.learning.record_sets import find_record_sets, local_records
    from decloud_lib.learning.recording import Recorder
    from decloud_lib.models import registry
    from decloud_lib.models.checkpoint import Progress
    from decloud_lib.models.training import Optimisation, Trainer

    definition, spec = registry.get(MODEL), registry.ModelSpec()
    trainer = Trainer(definition, spec, Optimisation(learning_rate=1e-5, seed=1))
    write_random(folder / "records", samples, PATCH_PX)
    epochs, told = [], []
    with (
        local_records(find_record_sets((str(folder / "records"),))) as (records,),
        tracking.open_run("bench", watch_system=True) as run,
    ):
        feeding = Feeding(
            records, Sight(definition.keys(spec), definition.target_keys), BATCH, 64, seed=1
        )
        recorder = Recorder(run, Data("train", feeding.epoch, feeding.steps), None, None)
        for epoch in range(rounds + 1):
            spent, start = 0.0, time.perf_counter()
            for step in trainer.train(feeding.epoch(epoch), 0):
                before = time.perf_counter()
                recorder.on_step(epoch, step)
                spent += time.perf_counter() - before
            scores = trainer.scores()
            done = time.perf_counter()
            progress = Progress(work="", epoch=epoch + 1)
            recorder.on_epoch(EpochReport(progress, scores, {"valid": scores}))
            epochs.append(done - start - spent)
            told.append(spent + time.perf_counter() - done)
    # The first one traces the step, and makes MLflow's tables.
    return min(epochs[1:]), min(told[1:])


def write_runs(count: int) -> None:
    """Record runs with random scores: each in one go, as a training's own way takes a while."""
    from mlflow.entities import Metric, Param, RunTag

    from decloud_lib.tracking.runs import THUMBNAIL, as_label
    from decloud_lib.tracking.server import client

    mlflow = client()
    experiments = [mlflow.create_experiment(f"experiment {number}") for number in range(4)]
    names = [f"{part}/{score}" for part in _PARTS for score in _SCORES]
    names += [f"system/measure_{index}" for index in range(_SYSTEM)]
    params = [Param(f"setting_{index}", str(index)) for index in range(12)]
    labels = {"stage": "train", "model": MODEL, "code_version": "0.1+0123456789ab"}
    rng = np.random.default_rng(0)
    for number in range(count):
        made = mlflow.create_run(experiments[number % 4], run_name=f"run {number}")
        scores = zip(names, rng.uniform(20, 30, len(names)).tolist(), strict=True)
        metrics = [Metric(name, value, made.info.start_time, 1) for name, value in scores]
        coarse = rng.integers(0, 255, (6, 12, 3), "uint8")
        small = as_label(coarse.repeat(8, axis=0).repeat(13, axis=1))
        tags = [RunTag(key, value) for key, value in {**labels, THUMBNAIL: small}.items()]
        mlflow.log_batch(made.info.run_id, metrics, params, tags)
        mlflow.set_terminated(made.info.run_id)


def board(uri: str, page: Path) -> None:
    """Show the leaderboard as a user does, import of all that it needs included."""
    from decloud_lib import cli

    os.environ["MLFLOW_TRACKING_URI"] = uri
    assert cli.main(["leaderboard", "--page", str(page), "--json"]) == 0


if __name__ == "__main__":
    report(lambda: board(sys.argv[1], Path(sys.argv[2], "board.html")), Path(sys.argv[2]))
