import json
from pathlib import Path

import pytest

from decloud_lib import fingerprint, tracking
from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.fingerprint import Part
from decloud_lib.models.store import load_model
from decloud_lib.stages.promote import PromoteConfig, promote
from decloud_lib.stages.train import TrainConfig, TrainResult, train
from tests.records import write_records


@pytest.fixture
def trained(mlflow_store: str, tmp_path: Path) -> TrainResult:
    return train(
        TrainConfig(
            training_record=str(write_records(tmp_path / "train", n=1)),
            model="crga_os2_david",
            out_savedmodel=str(tmp_path / "models"),
            epochs=0,
        )
    )


def write_scores(folder: Path, value: float) -> str:
    scores = {"model": {"psnr_db": value}, "nearest_date": {"psnr_db": 20.0}}
    path = folder / "scores.json"
    path.write_text(json.dumps({"n": 1, "records": [], "scores": scores}))
    return str(path)


def test_a_promoted_network_is_loaded_by_its_alias(trained: TrainResult, tmp_path: Path) -> None:
    import mlflow
    import numpy as np

    config = PromoteConfig(
        savedmodel=trained.savedmodel, run_id=trained.run_id, scores=write_scores(tmp_path, 30.0)
    )
    result = promote(config)
    assert (result.model_uri, result.version) == ("models:/decloud@champion", 1)
    assert promote(config) == result
    version = mlflow.MlflowClient().get_model_version_by_alias("decloud", "champion")
    assert version.tags["score.psnr_db"] == "30"
    inputs = {}
    with tracking.model_folder(result.model_uri) as folder:
        served = load_model(folder)
        for item in served.contract.inputs:
            side = 16 // item.factor
            inputs[item.key] = np.full((1, side, side, len(item.bands)), 1000.0, "float32")
        expected = served.predict(inputs)["s2_estim"]
    # MLflow itself serves it too, with its own code.
    found = mlflow.pyfunc.load_model(result.model_uri).predict(inputs)["s2_estim"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_version_says_what_it_was_made_from(trained: TrainResult, tmp_path: Path) -> None:
    parts = {name: Part(items={name: "1"}) for name in fingerprint.PARTS}
    made_from = fingerprint.Fingerprint(**parts)
    config = PromoteConfig(savedmodel=trained.savedmodel, run_id=trained.run_id)
    promote(config)
    assert made_from.changed_parts(tracking.find_versions("decloud")[0].tags) == fingerprint.PARTS
    listing = fingerprint.write(made_from, str(tmp_path))
    # The same network again, from data that led to the same samples: the version's tags follow.
    promote(config.model_copy(update={"fingerprint": listing}))
    (version,) = tracking.find_versions("decloud")
    assert (version.number, version.run_id) == (1, trained.run_id)
    assert version.aliases == ("champion",)
    assert made_from.changed_parts(version.tags) == ()
    assert fingerprint.read(version.tags[fingerprint.LISTING_TAG]) == made_from
    assert tracking.find_versions("another") == ()


def test_scores_that_are_no_number_are_refused(trained: TrainResult, tmp_path: Path) -> None:
    config = PromoteConfig(
        savedmodel=trained.savedmodel,
        run_id=trained.run_id,
        scores=write_scores(tmp_path, float("nan")),
    )
    with pytest.raises(ConfigError, match="psnr_db is no number; it is not promoted"):
        promote(config)


def test_the_folder_of_another_run_is_refused(trained: TrainResult) -> None:
    with pytest.raises(ConfigError, match=f"was made by MLflow run {trained.run_id}, not by other"):
        promote(PromoteConfig(savedmodel=trained.savedmodel, run_id="other"))


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"no train\.json there"):
        promote(PromoteConfig(savedmodel=str(tmp_path), run_id="run"))


def test_a_file_that_is_no_table_of_scores_is_refused(trained: TrainResult, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"scores": {"nearest_date": {}}}')
    config = PromoteConfig(savedmodel=trained.savedmodel, run_id=trained.run_id, scores=str(path))
    with pytest.raises(ConfigError, match="found nearest_date"):
        promote(config)
