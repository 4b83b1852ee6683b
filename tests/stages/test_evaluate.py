import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from decloud_lib import cli
from decloud_lib.errors import ConfigError, ModelFolderError, SettingsError
from decloud_lib.models import registry
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.store import export_model
from decloud_lib.stages.evaluate import EvaluateConfig, evaluate
from tests.records import write_records

BASELINES = ("linear_gap_filling", "nearest_date")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return write_records(tmp_path / "samples/valid", n=5)


@pytest.fixture(scope="module")
def savedmodel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Export a network, which no test may change."""
    definition, spec = registry.get("crga_os2_david"), ModelSpec()
    contract = definition.contract(spec)
    folder = tmp_path_factory.mktemp("models") / "david"
    return str(export_model(definition.build(spec), definition, folder, contract))


def test_a_network_is_scored_beside_both_baselines(
    records: Path, savedmodel: str, mlflow_store: str, tmp_path: Path
) -> None:
    import mlflow

    output = tmp_path / "scores"
    config = EvaluateConfig(
        test_records=(str(records),),
        savedmodel=savedmodel,
        baselines=BASELINES,
        output=str(output),
        batch_size=2,
    )
    result = evaluate(config)
    assert result.n == 5
    assert list(result.scores) == ["model", *BASELINES]
    linear, nearest = (result.scores[name]["psnr_db"] for name in BASELINES)
    # The samples are linear in time, with noise of 60 DN.
    assert linear == pytest.approx(44.4, abs=0.3)
    assert linear > nearest > result.scores["model"]["psnr_db"]
    content = json.loads((output / "scores.json").read_text())
    assert content == {"n": 5, "records": [str(records)], "scores": result.scores}
    with (output / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    mean = sum(float(row["mae"]) for row in rows if row["model"] == "nearest_date") / 5
    assert mean == pytest.approx(result.scores["nearest_date"]["mae"])
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["test/valid/psnr_db"] == result.scores["model"]["psnr_db"]
    assert run.data.metrics["score/test/psnr_db"] == result.scores["model"]["psnr_db"]
    assert run.data.metrics["test/valid/nearest_date/mae"] == pytest.approx(mean)
    # The same work is not done again.
    assert evaluate(config) == result
    assert len(mlflow.search_runs(search_all_experiments=True, output_format="list")) == 1


def test_two_record_folders_are_scored_apart_and_together(
    records: Path, mlflow_store: str, tmp_path: Path
) -> None:
    import mlflow

    other = write_records(tmp_path / "samples/test", n=2, seed=9)
    result = evaluate(
        EvaluateConfig(
            test_records=(str(records), str(other)),
            model="nearest_date",
            output=str(tmp_path / "scores"),
        )
    )
    assert result.n == 7
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    apart = [run.data.metrics[f"test/{name}/mae"] for name in ("valid", "test")]
    assert result.scores["model"]["mae"] == pytest.approx((5 * apart[0] + 2 * apart[1]) / 7)


def test_records_without_a_key_are_refused(
    mlflow_store: str, savedmodel: str, tmp_path: Path
) -> None:
    records = write_records(tmp_path / "bare", n=1, with_dem=False)
    config = EvaluateConfig(
        test_records=(str(records),), savedmodel=savedmodel, output=str(tmp_path / "scores")
    )
    with pytest.raises(ConfigError, match="hold no dem, which model crga_os2_david needs"):
        evaluate(config)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("model", ["crga_os2_david"])
def test_a_network_cannot_be_scored_by_its_name(records: Path, model: str) -> None:
    config = EvaluateConfig(test_records=(str(records),), model=model, output="scores")
    with pytest.raises(ConfigError, match="give its model folder in --savedmodel"):
        evaluate(config)


def test_a_missing_model_folder_is_named(records: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(
        test_records=(str(records),), savedmodel=str(tmp_path / "none"), output="scores"
    )
    with pytest.raises(ModelFolderError, match="no model folder there"):
        evaluate(config)


def test_an_unknown_run_is_told_before_the_scoring(
    records: Path, mlflow_store: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="--run-id abc: no such run"):
        evaluate(EvaluateConfig(test_records=(str(records),), model="nearest_date", run_id="abc"))
    assert "scores of" not in caplog.text


def test_a_model_must_be_given() -> None:
    with pytest.raises(SettingsError, match="give --savedmodel, or the --model"):
        EvaluateConfig(test_records=("a",), output="b")


def test_names_of_the_tables_must_differ() -> None:
    with pytest.raises(SettingsError, match="must differ"):
        EvaluateConfig(test_records=("a",), model="b", beside=("x/net", "y/net"))


def test_the_historic_command_line_shows_scores(
    records: Path, savedmodel: str, mlflow_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"evaluate --savedmodel {savedmodel} --model crga_os2_david --test_records {records}"
    assert cli.main([*words.split(), "--batch_size", "2", "--strategy", "singlecpu"]) == 0
    shown = capsys.readouterr()
    for name in ("mse_dn2", "ssim", "psnr_global_db", "sam_mean_cos_rad"):
        assert name in shown.out
    assert cli.main([*words.replace("crga_os2_david", "nearest_date").split()]) == 2
    assert "holds model crga_os2_david, not nearest_date" in capsys.readouterr().err


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_scores_by_band_class_and_part_add_up(
    savedmodel: str, mlflow_store: str, tmp_path: Path
) -> None:
    records = write_records(tmp_path / "masked", n=6, with_cloud_masks=True)
    output = tmp_path / "scores"
    result = evaluate(
        EvaluateConfig(
            test_records=(str(records),),
            savedmodel=savedmodel,
            baselines=("linear_gap_filling",),
            output=str(output),
        )
    )
    images = [row for row in rows_of(output / "scores.csv") if row["model"] == "model"]
    assert len(images) == 6
    for row in images:
        assert row["cloud cover"] == "25-50 %"  # 24 of 64 columns
        bands = [float(row[f"mae_{band}"]) for band in ("B2", "B3", "B4", "B8")]
        assert sum(bands) / 4 == pytest.approx(float(row["mae"]), rel=1e-6)
        hidden, clear = float(row["mae_hidden"]), float(row["mae_clear"])
        assert (24 * hidden + 40 * clear) / 64 == pytest.approx(float(row["mae"]), rel=1e-6)
    classes = rows_of(output / "classes.csv")
    groups = {(row["group"], row["class"]) for row in classes}
    assert {("all", ""), ("band", "B8"), ("pixels", "hidden"), ("season", "SON")} <= groups
    assert ("cloud cover", "25-50 %") in groups
    (whole,) = [
        row
        for row in classes
        if (row["model"], row["group"], row["score"]) == ("model", "all", "psnr_db")
    ]
    mean = float(whole["mean"])
    assert mean == pytest.approx(result.scores["model"]["psnr_db"], rel=1e-5)
    assert float(whole["low"]) < mean < float(whole["high"])
    compared = {row["score"]: row for row in rows_of(output / "comparison.csv")}
    difference = mean - result.scores["linear_gap_filling"]["psnr_db"]
    assert float(compared["psnr_db"]["difference"]) == pytest.approx(difference, rel=1e-4)
    assert float(compared["psnr_db"]["high"]) < 0.0
    assert float(compared["mae"]["better"]) == 0.0
    page = (output / "scores.html").read_text()
    assert page.count("<table>") == 3
    assert "cloud cover" in page


def test_two_networks_are_compared(savedmodel: str, mlflow_store: str, tmp_path: Path) -> None:
    import mlflow

    records = write_records(tmp_path / "valid", n=3)
    other = shutil.copytree(savedmodel, tmp_path / "copy")
    output = tmp_path / "scores"
    result = evaluate(
        EvaluateConfig(
            test_records=(str(records),),
            savedmodel=savedmodel,
            beside=(str(other),),
            output=str(output),
        )
    )
    assert result.scores["model"] == result.scores["copy"]
    for row in rows_of(output / "comparison.csv"):
        assert (row["against"], float(row["difference"]), row["better"]) == ("copy", 0.0, "0.5000")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["test/valid/copy/mae"] == result.scores["copy"]["mae"]
    paths = [item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "scores")]
    assert {Path(path).name for path in paths} == {path.name for path in output.iterdir()} - {
        "manifest.json"
    } | {"classes.json"}
    assert run.info.run_name.startswith("evaluate ")
    assert run.data.tags["mlflow.decloud.thumbnail"]


def test_all_outputs_of_a_model_are_scored(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def build(spec: ModelSpec) -> keras.Model:
        inputs = make_inputs(["s2_tm1", "s2_20m_tm1"])
        before = normalise(inputs)
        outputs = {"s2_target": before["s2_tm1"], "s2_20m_target": before["s2_20m_tm1"]}
        return keras.Model(inputs, outputs)

    targets = ("s2_target", "s2_20m_target")
    both = ModelDefinition("both", build, ("s2_tm1", "s2_20m_tm1"), targets, trainable=False)
    monkeypatch.setitem(registry._known, "both", both)
    records = write_records(tmp_path / "valid", n=3, with_20m_bands=True)
    output = tmp_path / "scores"
    config = EvaluateConfig(
        test_records=(str(records),),
        model="both",
        baselines=("linear_gap_filling",),
        output=str(output),
    )
    result = evaluate(config)
    assert list(result.scores) == ["model", "model s2_20m_target", "linear_gap_filling"]
    # The 20 m bands of the samples are random numbers below 3000.
    assert result.scores["model s2_20m_target"]["mae"] == pytest.approx(0.1, abs=0.01)
    assert result.scores["model"]["mae"] < 0.05
    bands = {row["class"] for row in rows_of(output / "classes.csv") if row["group"] == "band"}
    assert {"B4", "B11"} <= bands
    # An output is compared with nothing of another one.
    assert {row["against"] for row in rows_of(output / "comparison.csv")} == {"linear_gap_filling"}
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    for name, metric in {
        "model": "test/valid/mae",
        "model s2_20m_target": "test/valid/s2_20m_target_mae",
        "linear_gap_filling": "test/valid/linear_gap_filling/mae",
    }.items():
        assert run.data.metrics[metric] == pytest.approx(result.scores[name]["mae"])


def test_a_network_of_simulated_gaps_needs_the_code_that_lays_them(
    mlflow_store: str, savedmodel: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(savedmodel, tmp_path / "copy"))
    contract = json.loads((folder / "model.json").read_text())
    contract |= {"name": "MyModel", "simulated_gaps": True}
    (folder / "model.json").write_text(json.dumps(contract))
    records = write_records(tmp_path / "valid", n=1)
    config = EvaluateConfig(test_records=(str(records),), savedmodel=str(folder))
    with pytest.raises(ConfigError, match=r"MyModel .* --model path/to/file.py:MyModel"):
        evaluate(config)


def test_an_uncertainty_is_calibrated(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples are linear in time with noise of 60 DN: an honest scale is known."""
    from scipy.stats import norm

    def build(spec: ModelSpec) -> keras.Model:
        linear = registry.get("linear_gap_filling").build(spec)
        estimate = linear.output["s2_target"]
        scale = keras.ops.add(keras.ops.multiply(estimate, 0.0), 0.006)
        outputs = {"s2_target": estimate, "s2_target_scale": scale}
        return keras.Model(linear.input, outputs)

    keys = registry.get("linear_gap_filling").input_keys
    honest = ModelDefinition("honest", build, keys, trainable=False, with_scale=True)
    monkeypatch.setitem(registry._known, "honest", honest)
    records = write_records(tmp_path / "valid", n=4)
    output = tmp_path / "scores"
    evaluate(EvaluateConfig(test_records=(str(records),), model="honest", output=str(output)))
    rows = rows_of(output / "calibration.csv")
    for row in rows[:5]:
        assert row["kind"] == "share inside"
        assert int(row["n"]) == 4 * 64 * 64 * 4
        limit = -np.log1p(-float(row["expected"]))
        assert float(row["found"]) == pytest.approx(2 * norm.cdf(limit) - 1, abs=0.01)
    (bin_row,) = rows[5:]
    assert float(bin_row["expected"]) == pytest.approx(0.006, rel=1e-4)
    assert float(bin_row["found"]) == pytest.approx(0.006 * np.sqrt(2 / np.pi), rel=0.02)
