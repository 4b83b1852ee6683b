import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, DecloudError, NoSampleError, OutputConflictError
from decloud_lib.models.checkpoint import read_state
from decloud_lib.models.contract import read_contract
from decloud_lib.models.store import load_model
from decloud_lib.stages.train import TrainConfig, TrainResult, train
from decloud_lib.stages.train_parts import folder_name
from decloud_lib.tracking import metric_curves
from tests.records import write_records


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_records(tmp_path / "samples/train", n=6)
    write_records(tmp_path / "samples/valid", n=3, seed=1)
    return tmp_path / "samples"


def config(records: Path, **changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "training_record": str(records / "train"),
        "valid_records": (str(records / "valid"),),
        "model": "crga_os2_david",
        "out_savedmodel": str(records.parent / "models"),
        "epochs": 2,
        "batch_size_train": 2,
        "batch_size_valid": 2,
    }
    return TrainConfig(**(settings | changes))


def weights(result: TrainResult) -> np.ndarray:
    model = load_model(Path(result.savedmodel))
    rng = np.random.default_rng(0)
    inputs = {
        item.key: rng.uniform(0, 5000, (1, 32 // item.factor, 32 // item.factor, len(item.bands)))
        for item in model.contract.inputs
    }
    return model.predict(inputs)["s2_estim"]


def test_a_training_leaves_a_model_a_run_and_curves(records: Path, mlflow_store: str) -> None:
    import mlflow

    wanted = config(records, all_metrics=True, previews=True, logdir=str(records / "boards"))
    result = train(wanted)
    assert result.epochs == 2
    folder = Path(result.savedmodel)
    assert folder.name == "crga_os2_david_bt2_bv2_lr0.0002_e2_cpu" == folder_name(wanted)
    assert read_contract(folder).margin_px == 12
    assert read_contract(folder).data_fingerprint is not None
    assert json.loads((folder / "train.json").read_text())["run_id"] == result.run_id
    names = ("loss", "psnr_db", "psnr_global_db", "mse_dn2", "mae", "rmse")
    names += ("ssim", "sam_deg", "sam_mean_cos_rad")
    assert set(result.metrics) == {
        f"{part}/{name}" for part in ("train/train", "valid/valid") for name in names
    }
    client = mlflow.MlflowClient()
    run = client.get_run(result.run_id)
    curve = client.get_metric_history(result.run_id, "valid/valid/psnr_db")
    assert [point.step for point in curve] == [1, 2]
    assert curve[1].value == pytest.approx(result.metrics["valid/valid/psnr_db"])
    # What MLflow's page of compared runs draws is what was recorded first: no load of the machine.
    first = next(iter(run.data.metrics))
    assert (first, run.data.metrics[first]) == ("score/valid/psnr_db", curve[1].value)
    assert first not in metric_curves(result.run_id)
    assert curve[1].value > curve[0].value
    assert client.get_experiment(run.info.experiment_id).name == "samples"
    assert run.info.run_name.startswith("crga_os2_david samples ")
    assert run.data.tags["data_set"] == "samples"
    assert run.data.tags["data_fingerprint"] == read_contract(folder).data_fingerprint
    assert run.data.params["learning_rate"] == "0.0002"
    assert run.data.params["parameters"] == "1491844"
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["train", "valid"]
    logged = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert logged.name == "crga_os2_david"
    images = [item.path for item in client.list_artifacts(result.run_id, "images")]
    steps = [path.split("+step+")[1][0] for path in sorted(images) if path.endswith(".png")]
    assert steps == ["0", "1", "2"]  # before the first epoch, and after each
    assert len(list((records / "boards").rglob("events.out.tfevents.*"))) == 2
    # The same work is not done again.
    assert train(wanted) == result
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_an_interrupted_training_ends_like_a_whole_one(
    records: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(records, out_savedmodel=str(records / "whole")))
    wanted = config(
        records, out_savedmodel=str(records / "parts"), ckpt_dir=str(records / "checkpoints")
    )
    from decloud_lib.learning.course import Course

    original = Course._train_epoch

    def interrupted(self: Course) -> None:
        if self._progress.epoch == 1:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Course, "_train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(wanted)
    (state,) = (records / "checkpoints").rglob("epoch-00001*.npz")
    first_run = read_state(str(state)).progress.run_id
    resumed = train(wanted)
    assert resumed.run_id == first_run
    assert resumed.epochs == 2
    np.testing.assert_allclose(weights(resumed), weights(whole), atol=1e-6)


def test_zero_epochs_export_a_deterministic_model_to_a_bucket(
    records: Path, mlflow_store: str, s3: str
) -> None:
    storage.upload_folder(records / "train", storage.join(s3, "samples/train"))
    result = train(
        TrainConfig(
            training_record=storage.join(s3, "samples/train"),
            model="crga_os2_gapfilling",
            out_savedmodel=storage.join(s3, "models"),
            epochs=0,
        )
    )
    assert (result.epochs, result.metrics) == (0, {})
    done = manifest.read(storage.join(result.savedmodel, "manifest.json"))
    assert done is not None
    assert {storage.name_of(item.uri) for item in done.outputs} >= {"saved_model.pb", "model.json"}
    with storage.local_copy(result.savedmodel) as folder:
        assert load_model(folder).contract.name == "crga_os2_gapfilling"


def test_other_settings_for_the_same_folder_are_refused(records: Path, mlflow_store: str) -> None:
    first = train(config(records, epochs=0))
    with pytest.raises(OutputConflictError, match="seed"):
        train(config(records, epochs=0, seed=5))
    second = train(config(records, epochs=0, seed=5, overwrite=True))
    assert second.savedmodel == first.savedmodel
    assert second.run_id != first.run_id


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "nope"}, ConfigError, "no model 'nope'; known: "),
        ({"model": "nearest_date"}, ConfigError, "no weights to train"),
        ({"training_record": "missing"}, NoSampleError, "missing: no .*records"),
        ({"valid_records": (), "save_best": True}, ConfigError, "needs a validation set"),
        ({"save_best": True, "save_best_ref": "val_ssim"}, ConfigError, "need --all-metrics"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(
    records: Path, changes: dict[str, object], error: type[DecloudError], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(config(records, **changes))
    assert not (records.parent / "models").exists()
