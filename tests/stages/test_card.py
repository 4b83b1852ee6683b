import re
from pathlib import Path

import mlflow
import pytest

from decloud_lib import cli, storage, tracking
from decloud_lib.stages.card import CardConfig, card
from decloud_lib.stages.promote import PromoteConfig, promote
from decloud_lib.stages.sample import SampleConfig, sample
from decloud_lib.stages.train import TrainConfig, train
from tests.contestants import record_network
from tests.prepared_tiles import Tile, season, write_tile
from tests.records import LAYOUT, write_records


def test_a_card_tells_data_dates_places_scores_and_limits(
    mlflow_store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("decloud_lib.tracking.registry.SETTLE_S", 0.0)
    tiles, rois = write_tile(tmp_path, Tile(*season()))
    seen, unseen = str(tmp_path / "samples/train"), str(tmp_path / "samples/valid")
    sample(
        SampleConfig(
            tiles=tiles,
            rois=rois,
            acquisition_train=LAYOUT,
            output_train=seen,
            acquisitions_valid=(LAYOUT,),
            outputs_valid=(unseen,),
            check_leaks=False,
            patchsize=64,
        )
    )
    trained = train(
        TrainConfig(
            training_record=seen,
            model="crga_os2_david",
            out_savedmodel=str(tmp_path / "models"),
            epochs=0,
        )
    )
    result = promote(
        PromoteConfig(savedmodel=trained.savedmodel, run_id=trained.run_id, test_records=(unseen,))
    )
    text = mlflow.MlflowClient().get_model_version("decloud", "1").description
    assert text.startswith("# decloud version 1: crga_os2_david")
    name = storage.name_of(LAYOUT).removesuffix(".json")
    assert f"Acquisition layout of the training: {name}." in text
    assert f"| training | {seen} |" in text
    assert f"| evaluation | {unseen} |" in text
    assert "T31TEJ | 2020-06-" in text
    assert f"| digest of the files | {tracking.find_version('decloud', 1).digest} |" in text
    assert "| s2_tm1 | B2, B3, B4, B8 | 10 | float32 |" in text
    assert "| better than the baseline | FAILED |" in text
    assert "| model | samples | n | psnr_db | mae | rmse | ssim | sam_deg |" in text
    assert re.search(r"\| challenger \| all \| \d+ \| [\d.]+ \([\d.]+ to [\d.]+\) \|", text)
    assert "The picture is in `card/card.html` of the run." in text
    # What follows from the data: a season in one tile.
    assert "No training sample has its estimated date in Jan, Feb, Mar, Apr, May" in text
    assert "The evaluation lies on tiles of the training too (T31TEJ)" in text
    assert "does not say how sure it is" in text
    page = tracking.read_text(result.run_id, "card/card.html")
    assert "data:image/png;base64," in page
    assert "Files of this part" not in page

    assert cli.main(["card", "--model", "models:/decloud@challenger"]) == 0
    assert capsys.readouterr().out.strip() == text.strip()
    card(CardConfig(model=result.model_uri, output=str(tmp_path / "card")))
    assert storage.read_text(str(tmp_path / "card/card.html")) == page
    assert cli.main(["card"]) == 2
    assert "champion not found" in capsys.readouterr().err


def test_a_card_without_scores_and_records_says_so(mlflow_store: str, tmp_path: Path) -> None:
    network = record_network(tmp_path / "network", 0.0)
    promote(PromoteConfig(savedmodel=network.savedmodel, run_id=network.run_id))
    text = card(CardConfig(model="models:/decloud@challenger")).text()
    assert "Not compared yet" in text
    assert "The records of the training are not known, or no longer there." in text
    assert "Unknown: no records are known." in text


def test_records_without_a_table_of_samples_have_unknown_dates(
    mlflow_store: str, tmp_path: Path
) -> None:
    network = record_network(tmp_path / "network", 0.0)
    records = str(write_records(tmp_path / "test", n=2))
    config = PromoteConfig(savedmodel=network.savedmodel, run_id=network.run_id)
    promote(config.model_copy(update={"test_records": (records,)}))
    text = card(CardConfig(model="models:/decloud@challenger")).text()
    assert f"| evaluation | {records} |  | unknown | unknown |" in text
