import csv
import json
from pathlib import Path

import pytest

from decloud_lib.errors import ConfigError, ModelFolderError, SettingsError
from decloud_lib.models import registry
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.store import export_model
from decloud_lib.stages.evaluate import EvaluateConfig, evaluate
from tests.records import write_records

BASELINES = ("linear_gap_filling", "nearest_date")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return write_records(tmp_path / "samples/valid", n=5)


@pytest.fixture
def savedmodel(tmp_path: Path) -> str:
    definition, spec = registry.get("crga_os2_david"), ModelSpec()
    contract = definition.contract(spec)
    return str(export_model(definition.build(spec), definition, tmp_path / "david", contract))


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
    with pytest.raises(ConfigError, match="score its model folder"):
        evaluate(config)


def test_a_missing_model_folder_is_named(records: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(
        test_records=(str(records),), savedmodel=str(tmp_path / "none"), output="scores"
    )
    with pytest.raises(ModelFolderError, match="no model folder there"):
        evaluate(config)


@pytest.mark.parametrize("given", [{}, {"savedmodel": "a", "model": "b"}])
def test_one_model_must_be_given(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="one of the two"):
        EvaluateConfig(test_records=("a",), output="b", **given)
