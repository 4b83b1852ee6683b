"""Trainings that die, and trainings that cannot go on."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from decloud_lib import cli
from decloud_lib.errors import ModelFolderError, ShapeError, StorageError
from decloud_lib.models import registry
from decloud_lib.models.checkpoint import find_state, read_state
from decloud_lib.models.failures import TrainingError
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.stages.train import TrainConfig, train
from tests import servers
from tests.full_disk import room_for
from tests.records import write_records

MODEL = """
import keras
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, register

def build(spec):
    inputs = make_inputs(["s2_tm1", "s2_tp1"])
    scaled = normalise(inputs)
    x = keras.layers.Concatenate()([scaled["s2_tm1"], scaled["s2_tp1"]])
    x = keras.layers.Conv2D(24, 5, padding="same", activation="relu")(x)
    x = keras.layers.SpatialDropout2D(0.2, seed=3)(x)
    return keras.Model(inputs, {"s2_target": keras.layers.Conv2D(4, 5, padding="same")(x)})

register(ModelDefinition("small", build, ("s2_tm1", "s2_tp1"), source=__name__))
"""


def start(folder: Path, checkpoints: str) -> subprocess.Popen:
    words = f"train --training_record {folder}/train --valid_records {folder}/valid "
    words += f"-m {folder}/small.py:small -bt 1 -e 3 --augment --lr_schedule cosine --save_best "
    words += f"--out_savedmodel {folder}/{checkpoints}-models --ckpt_steps 3 --ckpt_keep 99 "
    words += f"--ckpt_dir {folder}/{checkpoints} --json"
    command = [sys.executable, "-m", "decloud_lib.cli", *words.split()]
    return subprocess.Popen(
        command,
        env=servers.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["epoch-00000-step-0000006", "epoch-00001-step-0000000"])
def test_a_killed_training_ends_like_one_that_ran_through(
    tmp_path: Path, mlflow_store: str, state: str
) -> None:
    (tmp_path / "small.py").write_text(MODEL)
    write_records(tmp_path / "train", n=40)
    write_records(tmp_path / "valid", n=2, seed=1)
    whole = finish(start(tmp_path, "whole"))
    killed = start(tmp_path, "parts")
    until = time.monotonic() + 200
    # Not rglob: partial files come and go in the folder.
    while not list((tmp_path / "parts").glob(f"*/{state}.npz")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    before = read_state(find_state(str(tmp_path / "parts"))).progress
    assert before.epoch < 3
    process = start(tmp_path, "parts")
    resumed = finish(process)
    assert resumed["run_id"] == before.run_id
    assert resumed["metrics"] == pytest.approx(whole["metrics"], rel=1e-6)
    first, second = (read_state(find_state(str(tmp_path / name))) for name in ("whole", "parts"))
    for one, other in zip(first.state or [], second.state or [], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)
    assert second.progress.best_epoch == first.progress.best_epoch
    assert second.progress.best_value == pytest.approx(first.progress.best_value)


def build_root(_: ModelSpec) -> keras.Model:
    """Make a network that takes a root: no data (-10000) gives no number."""
    inputs = make_inputs(["s2_tm1"])
    x = ops.sqrt(normalise(inputs)["s2_tm1"])
    return keras.Model(inputs, {"s2_target": keras.layers.Conv2D(4, 1)(x)})


ROOT = ModelDefinition("root", build_root, ("s2_tm1",), stride=8)


@pytest.fixture
def root_model(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.names()
    monkeypatch.setitem(registry._known, "root", ROOT)


def test_the_batch_without_a_loss_is_kept_with_the_places_of_its_samples(
    tmp_path: Path, mlflow_store: str, root_model: None
) -> None:
    import mlflow

    write_records(tmp_path / "train", n=12, without_data=8)
    config = TrainConfig(
        training_record=str(tmp_path / "train"),
        model="root",
        epochs=2,
        batch_size_train=3,
        ckpt_dir=str(tmp_path / "ckpt"),
    )
    with pytest.raises(
        TrainingError, match=r"the loss or a weight became nan in epoch 1, batch [1-4]; lower"
    ):
        train(config)
    (report_path,) = (tmp_path / "ckpt").rglob("bad-batch.json")
    report = json.loads(report_path.read_text())
    assert len(report["samples"]) == 3
    places = {
        (place["file"], place["record"], place["tile"])
        for sample in report["samples"]
        for place in sample["found_in"]
        if sample["arrays"]["inputs/s2_tm1"]["min"] == -10000
    }
    # Five samples in a shard: the ninth is the fourth of the second.
    assert places == {("1.records", 3, "31TEJ")}
    with np.load(report_path.with_name("bad-batch.npz")) as arrays:
        assert arrays["inputs/s2_tm1"].shape == (3, 64, 64, 4)
        assert arrays["inputs/s2_tm1"].min() == -10000
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"
    artifacts = mlflow.MlflowClient().list_artifacts(run.info.run_id, "failed")
    assert [item.path for item in artifacts] == ["failed/bad-batch.json"]


def test_sides_that_the_stride_does_not_divide_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.names()
    odd = ModelDefinition("odd", build_root, ("s2_tm1",), stride=48)
    monkeypatch.setitem(registry._known, "odd", odd)
    write_records(tmp_path / "train", n=1)
    with pytest.raises(ShapeError, match=r"64 x 64 px .* must be a multiple of 48"):
        train(TrainConfig(training_record=str(tmp_path / "train"), model="odd"))
    assert SampleSchema.read(tmp_path / "train").shapes["s2_tm1"] == (64, 64, 4)


def build_large(_: ModelSpec) -> keras.Model:
    """Make a network with more weights than MLflow's database has bytes, and little to compute."""
    inputs = make_inputs(["s2_tm1"])
    scaled = normalise(inputs)["s2_tm1"]
    level = keras.layers.GlobalAveragePooling2D(keepdims=True)(scaled)
    for units in (900, 900, 4):
        level = keras.layers.Dense(units)(level)
    return keras.Model(inputs, {"s2_target": keras.layers.Add()([scaled, level])})


LARGE = ModelDefinition("large", build_large, ("s2_tm1",))
ROOM = 2_500_000


@pytest.fixture
def large_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return the settings of a training whose weights alone need more than `ROOM`."""
    registry.names()
    monkeypatch.setitem(registry._known, "large", LARGE)
    records = write_records(tmp_path / "train", n=1)
    return {"training_record": str(records), "model": "large", "epochs": 1}


def test_a_full_disk_stops_a_training_that_goes_on_when_there_is_room(
    tmp_path: Path, mlflow_store: str, large_model: dict[str, object]
) -> None:
    config = TrainConfig(**large_model, ckpt_dir=str(tmp_path / "ckpt"))
    said = r"epoch-00000-step-0000000\.npz: File too large; check disk"
    with pytest.raises(StorageError, match=said), room_for(ROOM):
        train(config)
    assert not [path for path in (tmp_path / "ckpt").rglob("*") if path.is_file()]
    assert train(config).epochs == 1


def test_a_network_that_the_disk_cannot_hold_leaves_no_model_folder(
    tmp_path: Path, mlflow_store: str, large_model: dict[str, object]
) -> None:
    config = TrainConfig(**large_model, out_savedmodel=str(tmp_path / "models"))
    with (
        pytest.raises(ModelFolderError, match=r"cannot be written there .*; check the disk"),
        room_for(ROOM),
    ):
        train(config)
    assert not list(tmp_path.glob("models/*"))
    assert train(config).savedmodel is not None


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_damaged_record_is_named_and_left_out_where_asked(
    command: str, tmp_path: Path, mlflow_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.py").write_text(MODEL)
    folder = write_records(tmp_path / "records", n=8)
    content = bytearray((folder / "1.records").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "1.records").write_bytes(content)
    words = {
        "train": f"train --training_record {folder} -m {tmp_path}/small.py:small -e 1 -bt 4",
        "evaluate": f"evaluate --test_records {folder} --model linear_gap_filling",
    }[command].split()
    assert cli.main(words) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"1\.records: record 1 of 3 is damaged.*--skip-damaged", said)
    assert cli.main([*words, "--skip-damaged"]) == 0
    assert "1.records: left out 1 damaged records" in capsys.readouterr().err
