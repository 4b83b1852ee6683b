"""A small sweep with the local runner, from the space of settings to the registered model."""

from pathlib import Path

import pytest

from decloud_lib import storage, tracking
from pipelines.local import run_local
from pipelines.sweep import sweep
from tests.records import write_records

MODEL = """
import keras
from decloud_lib.models import Model


class Small(Model):
    input_keys = ("s2_tm1", "s2_tp1")
    stride, reach_px = 1, 1

    def network(self, inputs):
        x = keras.ops.concatenate([inputs["s2_tm1"], inputs["s2_tp1"]], axis=-1)
        return {"s2_target": keras.layers.Conv2D(4, 3, padding="same")(x)}
"""


@pytest.mark.slow
def test_the_best_of_a_sweep_is_registered_as_challenger(
    tmp_path: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
    (tmp_path / "small.py").write_text(MODEL)
    arguments = {
        "sweep_name": "rates",
        # One that learns, and one that does not in so few steps.
        "space": {"learning_rate": [1e-2, 1e-7]},
        "settings": {
            "model": f"{tmp_path}/small.py:Small",
            "training_record": str(write_records(tmp_path / "spring/train", n=4)),
            "valid_records": [str(write_records(tmp_path / "spring/valid", n=2, seed=1))],
            "out_savedmodel": str(tmp_path / "models"),
            "epochs": 5,
            "batch_size_train": 1,
        },
        "test_records": [str(write_records(tmp_path / "spring/test", n=3, seed=2))],
        "scores": str(tmp_path / "scores"),
    }
    done = run_local(sweep, arguments, tmp_path / "runs")
    assert done.output == "models:/decloud/1"
    assert [task.name for task in done.tasks].count("sweep-point") == 2
    (parent,) = tracking.search_runs(where="tags.stage = 'sweep'")
    found = tracking.search_runs(where=f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    by_rate = {float(run.params["learning_rate"]): run for run in found}
    assert set(by_rate) == {1e-2, 1e-7}
    scores = {rate: run.metrics["test/test/psnr_db"] for rate, run in by_rate.items()}
    assert scores[1e-2] > scores[1e-7]
    assert parent.experiment == found[0].experiment == "spring"
    assert parent.tags["best_run"] == by_rate[1e-2].run_id
    assert parent.metrics["test/test/psnr_db"] == scores[1e-2]
    assert len({run.tags["scores"] for run in found}) == 2
    for run in found:
        assert run.tags.get("pipeline_run") == parent.tags.get("pipeline_run")
        assert storage.exists(run.tags["scores"])
        assert run.tags["scores"].startswith(f"{arguments['scores']}/")
    (table,) = [item for item in done.artifacts() if item.name == "table"]
    assert table.metadata["best"] == by_rate[1e-2].run_id
    assert "test/test" in storage.read_text(table.uri)
    version = tracking.find_alias("decloud", "challenger")
    assert version is not None
    assert version.run_id == by_rate[1e-2].run_id
