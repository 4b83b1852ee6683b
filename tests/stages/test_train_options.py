"""Each option of a training, under its historic name where it has one, has its effect."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from decloud_lib import cli
from decloud_lib.models import registry
from decloud_lib.models.checkpoint import find_state, read_state
from decloud_lib.models.contract import read_contract
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.store import load_model
from tests.records import write_records


def _build(spec: ModelSpec) -> keras.Model:
    inputs = make_inputs(TINY.keys(spec))
    scaled = normalise(inputs)
    x = keras.layers.Concatenate()([scaled["s2_tm1"], scaled["s2_tp1"]])
    if spec.use_dem:
        x = keras.layers.Concatenate()([x, keras.layers.UpSampling2D(2)(scaled["dem"])])
    return keras.Model(
        inputs, {"s2_target": keras.layers.Conv2D(4, 3, padding="same", name="conv")(x)}
    )


TINY = ModelDefinition("tiny", _build, ("s2_tm1", "s2_tp1", "dem"), stride=2)


class Training:
    """Runs `decloud train` on small records."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys, self.said = folder, capsys, ""
        write_records(folder / "train", n=12, with_cloud_masks=True)
        write_records(folder / "valid", n=3, seed=1, with_cloud_masks=True)

    def __call__(self, words: str, *, export: str = "models", e: int = 1) -> dict:
        out = f"--out_savedmodel {self.folder}/{export}" if export else ""
        line = (
            f"train --training_record {self.folder}/train --valid_records {self.folder}/valid "
            f"-m tiny -bt 2 -bv 2 -lr 0.01 -e {e} {out} --json {words}"
        )
        assert cli.main(line.split()) == 0, self._capsys.readouterr().err
        shown = self._capsys.readouterr()
        self.said = shown.err
        return json.loads(shown.out)

    def refused(self, words: str) -> str:
        line = f"train --training_record {self.folder}/train -m tiny {words}"
        assert cli.main(line.split()) == 2
        return self._capsys.readouterr().err

    def weights(self, result: dict) -> np.ndarray:
        served = load_model(Path(result["savedmodel"]))
        shapes = {
            item.key: (1, 64 // item.factor, 64 // item.factor) for item in served.contract.inputs
        }
        rng = np.random.default_rng(0)
        inputs = {
            item.key: rng.uniform(0, 4000, (*shapes[item.key], len(item.bands)))
            for item in served.contract.inputs
        }
        return served.predict(inputs)["s2_estim"]


@pytest.fixture
def training(
    tmp_path: Path,
    mlflow_store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Training:
    registry.names()
    monkeypatch.setitem(registry._known, "tiny", TINY)
    return Training(tmp_path, capsys)


def run_of(result: dict) -> object:
    import mlflow

    return mlflow.MlflowClient().get_run(result["run_id"])


def scores_of_model(result: dict) -> dict[str, float]:
    """Return what MLflow shows on the page of the exported model, but for the machine's load."""
    import mlflow

    (output,) = run_of(result).outputs.model_outputs
    shown = mlflow.MlflowClient().get_logged_model(output.model_id).metrics
    return {item.key: item.value for item in shown if not item.key.startswith("system/")}


def artifacts(result: dict, folder: str) -> list[str]:
    import mlflow

    return [item.path for item in mlflow.MlflowClient().list_artifacts(result["run_id"], folder)]


def test_short_names_and_what_is_recorded(training: Training) -> None:
    result = training("--run_name first --experiment other")
    found = run_of(result)
    assert found.info.run_name == "first"
    assert found.data.tags["code_version"]
    assert found.data.tags["savedmodel"] == result["savedmodel"]
    assert found.data.tags["mlflow.decloud.thumbnail"]
    # What is as by default and of little weight is in the file of all settings.
    assert "ckpt_minutes" not in found.data.params
    expected = {"batch_size_train": "2", "batch_size_valid": "2", "learning_rate": "0.01"}
    expected |= {"epochs": "1", "model": "tiny", "seed": "0", "parameters": "328"}
    assert expected.items() <= found.data.params.items()
    assert artifacts(result, "model") == ["model/summary.txt"]
    assert "config.json" in artifacts(result, "")


def test_system_metrics_are_recorded(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    found = run_of(training("", e=4))
    assert found.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_several_validation_sets_are_scored_each_epoch(training: Training) -> None:
    import mlflow

    write_records(training.folder / "minitrain", n=2, with_cloud_masks=True)
    result = training(f"--valid_records {training.folder}/minitrain", e=2)
    client = mlflow.MlflowClient()
    for data_set in ("valid", "minitrain"):
        curve = client.get_metric_history(result["run_id"], f"valid/{data_set}/psnr_db")
        assert [point.step for point in curve] == [1, 2]
    scores = result["metrics"]
    assert scores["valid/valid/mae"] != scores["valid/minitrain/mae"]


def test_hidden_and_clear_pixels_are_followed_apart(training: Training) -> None:
    scores = training("", e=3)["metrics"]
    for part in ("hidden", "clear"):
        assert np.isfinite(scores[f"valid/valid/psnr_db_{part}"])
    # 24 of 64 columns are hidden.
    whole = 24 / 64 * scores["valid/valid/mae_hidden"] + 40 / 64 * scores["valid/valid/mae_clear"]
    assert whole == pytest.approx(scores["valid/valid/mae"], rel=1e-5)


def first_weights(training: Training, words: str) -> np.ndarray:
    """Train two epochs; return the kernel, after its name in the state."""
    name = f"ckpt-{len(list(training.folder.iterdir()))}"
    training(f"{words} --ckpt_dir {training.folder}/{name}", e=2, export="")
    found: np.ndarray = (read_state(find_state(f"{training.folder}/{name}")).state or [])[0]
    return found


_PLAIN: list[np.ndarray] = []


@pytest.fixture
def plain(training: Training) -> np.ndarray:
    """Give what a training without options ends with, always the same: made once."""
    if not _PLAIN:
        _PLAIN.append(first_weights(training, ""))
    return _PLAIN[0]


@pytest.mark.parametrize(
    "option",
    [
        *("--hidden_weight 4", "--clear_weight 0", "--clear_target_only", "--augment", "--seed 3"),
        *("--shuffle_buffer_size 1", "--lr_schedule cosine", "--warmup_epochs 1"),
        *("--lr_schedule step --lr_step_epochs 1 --lr_step_factor 0.1", "--clip_norm 0.001"),
    ],
)
def test_options_that_change_the_weights(
    training: Training, plain: np.ndarray, option: str
) -> None:
    assert np.abs(first_weights(training, option) - plain).max() > 1e-4


@pytest.mark.parametrize("words", ["", "--augment --seed 3 --hidden_weight 4"])
def test_the_same_again_gives_the_same_weights(training: Training, words: str) -> None:
    np.testing.assert_array_equal(first_weights(training, words), first_weights(training, words))


def test_the_curve_of_a_changing_learning_rate_is_kept(training: Training) -> None:
    import mlflow

    words = "--lr_schedule step --lr_step_epochs 2 --lr_step_factor 0.1"
    result, name = training(words, export="", e=3), "train/train/learning_rate"
    curve = mlflow.MlflowClient().get_metric_history(result["run_id"], name)
    assert [(point.step, point.value) for point in curve] == [
        (step, pytest.approx(rate)) for step, rate in ((1, 0.01), (2, 0.01), (3, 0.001))
    ]
    assert name not in training("", export="")["metrics"]


def test_a_network_without_elevation(training: Training) -> None:
    keys = [
        read_contract(Path(training(words, e=0, export=name)["savedmodel"])).input_keys
        for words, name in (("", "with"), ("--no-use_dem", "without"))
    ]
    assert keys == [("s2_tm1", "s2_tp1", "dem"), ("s2_tm1", "s2_tp1")]


def test_weights_of_the_loss_lower_the_error_where_they_count(training: Training) -> None:
    both = [
        training(f"--hidden_weight {hidden} --clear_weight {clear}", e=1, export=f"w{hidden}")
        for hidden, clear in ((1, 0), (0, 1))
    ]
    loss = [result["metrics"]["valid/valid/loss"] for result in both]
    assert loss[0] == pytest.approx(both[0]["metrics"]["valid/valid/mae_hidden"], rel=1e-5)
    assert loss[1] == pytest.approx(both[1]["metrics"]["valid/valid/mae_clear"], rel=1e-5)


def test_masks_must_be_there_for_weights(training: Training) -> None:
    write_records(training.folder / "train", n=2)
    said = training.refused("--hidden_weight 2")
    assert "need s2_cld10m_t, not held by the samples" in said
    assert "--with-cloud-masks" in said
    said = training.refused("--hidden_weight 0 --clear_weight 0")
    assert "both 0" in said


def test_checkpoints_are_kept_under_the_documented_name(training: Training) -> None:
    words = f"--save_ckpt_dir {training.folder}/ckpt --ckpt_steps 2 --ckpt_keep 3"
    training(words)
    (folder,) = (training.folder / "ckpt").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        f"epoch-0000{epoch}-step-000000{step}.npz" for epoch, step in ((0, 4), (0, 6), (1, 0))
    ]


def test_numbers_must_be_finite(training: Training) -> None:
    assert "--clip-norm: Input should be a finite number" in training.refused("--clip_norm inf")


@pytest.mark.parametrize("option", ["--ckpt_dir", "--logdir"])
def test_a_place_that_cannot_be_written_is_told_before_the_first_epoch(
    training: Training, option: str
) -> None:
    (training.folder / "file").touch()
    said = training.refused(f"{option} {training.folder}/file")
    assert "file" in said.splitlines()[-1]
    assert "epoch 1" not in said


def test_a_checkpoint_is_where_another_training_begins(training: Training) -> None:
    first = training(f"--ckpt_dir {training.folder}/ckpt", export="first", e=2)
    loaded = training(f"--load_ckpt_dir {training.folder}/ckpt", export="second", e=0)
    np.testing.assert_array_equal(training.weights(loaded), training.weights(first))
    (state,) = (training.folder / "ckpt").rglob("epoch-00001*.npz")
    earlier = training(f"--load_ckpt_dir {state}", export="third", e=0)
    assert np.abs(training.weights(earlier) - training.weights(first)).max() > 1e-4
    further = training(f"--load_ckpt_dir {training.folder}/ckpt", export="fourth", e=1)
    assert further["metrics"]["valid/valid/loss"] < first["metrics"]["valid/valid/loss"]


def test_a_checkpoint_of_another_model_is_refused(training: Training) -> None:
    training(f"--ckpt_dir {training.folder}/ckpt")
    said = training.refused(f"-m crga_os2_david -e 0 --load_ckpt_dir {training.folder}/ckpt")
    assert "is the state of model tiny, not of crga_os2_david" in said
    assert "no state of a training" in training.refused(f"--load_ckpt_dir {training.folder}/no")


def test_validation_alone_scores_the_weights_that_are_there(training: Training) -> None:
    first = training(f"--ckpt_dir {training.folder}/ckpt", e=2)
    expected = {k: v for k, v in first["metrics"].items() if k.startswith("valid/")}
    for words in (f"--load_ckpt_dir {training.folder}/ckpt", f"--ckpt_dir {training.folder}/ckpt"):
        found = training(f"--valid_only {words}", export="", e=2)
        assert found["metrics"] == pytest.approx(expected, rel=1e-5)
        assert found["savedmodel"] is None
        assert run_of(found).data.metrics["valid/valid/mae"] == found["metrics"]["valid/valid/mae"]
    said = training.refused(f"--valid_only --valid_records {training.folder}/valid")
    assert "no weights to score; give --load-ckpt-dir" in said


def test_the_best_epoch_is_exported(training: Training) -> None:
    # So large a rate that it gets worse.
    words = "-lr 0.9 --save_best --save_best_ref val_psnr_db"
    result = training(f"{words} --ckpt_dir {training.folder}/ckpt", e=3)
    (state,) = (training.folder / "ckpt").rglob("epoch-00003*.npz")
    progress = read_state(str(state)).progress
    import mlflow

    curve = mlflow.MlflowClient().get_metric_history(result["run_id"], "valid/valid/psnr_db")
    values = [point.value for point in curve]
    assert progress.best_epoch == 1 + int(np.argmax(values))
    assert result["metrics"]["valid/valid/psnr_db"] == pytest.approx(max(values), rel=1e-6)
    assert scores_of_model(result) == pytest.approx(result["metrics"])
    # They are kept with the state, so a training that never ends can be exported too.
    killed = training(f"--save_best --load_ckpt_dir {training.folder}/ckpt", e=0, export="killed")
    np.testing.assert_allclose(training.weights(killed), training.weights(result), atol=1e-6)


def test_it_stops_early(training: Training) -> None:
    assert training("-lr 1e-9 --early_stopping", e=30)["epochs"] == 11


def test_the_time_limit_ends_it(training: Training) -> None:
    assert training("--time_limit_s 0.001", e=30)["epochs"] == 1


@pytest.mark.parametrize("words", ["", "--verbose"])
def test_verbose_shows_how_far_an_epoch_is(training: Training, words: str) -> None:
    training(f"{words} -bt 1", export="")
    assert ("epoch 1 of 1: 6 of 12" in training.said) is bool(words)


def test_batches_are_profiled(training: Training) -> None:
    training(f"--profiling 2,4 --logdir {training.folder}/boards")
    (profile,) = (training.folder / "boards").rglob("*.xplane.pb")
    assert profile.stat().st_size > 1000
    assert "--profiling writes for TensorBoard: give --logdir" in training.refused("--profiling 2")
    assert "expected a batch such as 10" in training.refused("--profiling 4,2 --logdir x")


def test_the_layers_are_drawn(training: Training) -> None:
    from PIL import Image

    result = training("--plot_model")
    assert "model/layers.png" in artifacts(result, "model")
    import mlflow

    uri = f"runs:/{result['run_id']}/model/layers.png"
    path = mlflow.artifacts.download_artifacts(uri, dst_path=str(training.folder))
    with Image.open(path) as picture:
        # Three inputs beside each other, and more than five rows below.
        assert picture.width > 3 * 200
        assert picture.height > 6 * 50
        assert len(picture.getcolors(100_000)) > 5


@pytest.mark.parametrize("strategy", ["mirrored", "singlecpu"])
def test_strategies_of_one_machine(training: Training, strategy: str) -> None:
    result = training(f"--strategy {strategy}")
    assert "devices" not in run_of(result).data.params  # told where there are several
    assert result["savedmodel"].endswith("_cpu")


def test_mixed_precision_needs_a_gpu(training: Training) -> None:
    assert "found no GPU to compute in bfloat16" in training.refused("--mixed_precision")


def test_without_a_folder_nothing_is_exported(training: Training) -> None:
    assert training("", export="")["savedmodel"] is None
    assert not (training.folder / "models").exists()
    assert "give --out-savedmodel" in training.refused("--save_best")


def test_zero_epochs_export_the_untrained_network(training: Training) -> None:
    result = training("", e=0)
    assert (result["epochs"], result["metrics"]) == (0, {})
    assert read_contract(Path(result["savedmodel"])).name == "tiny"


def test_what_only_tells_more_may_change_when_a_training_goes_on(training: Training) -> None:
    words = f"--ckpt_dir {training.folder}/ckpt"
    first = training(words, e=2, export="")
    (last,) = (training.folder / "ckpt").rglob("epoch-00002*.npz")
    last.unlink()
    again = training(f"{words} --verbose --previews --plot_model", e=2, export="")
    assert again["run_id"] == first["run_id"]
    assert again["metrics"] == pytest.approx(first["metrics"])
