"""Networks with other inputs and outputs than the usual ones pass through the same stages."""

import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError, ShapeError
from decloud_lib.models.contract import read_contract
from decloud_lib.models.store import load_model
from decloud_lib.stages.evaluate import EvaluateConfig, evaluate
from decloud_lib.stages.train import TrainConfig, train
from tests.records import write_records


def test_a_network_of_all_bands_is_trained_on_both_targets(
    tmp_path: Path, mlflow_store: str
) -> None:
    folders = [
        str(write_records(tmp_path / name, n=3, seed=seed, with_20m_bands=True))
        for seed, name in enumerate(("train", "valid"))
    ]
    result = train(
        TrainConfig(
            training_record=folders[0],
            valid_records=(folders[1],),
            model="crga_os2_david_all_bands",
            out_savedmodel=str(tmp_path / "models"),
            epochs=1,
            batch_size_train=3,
        )
    )
    # The first output has the names that all models have.
    for score in ("psnr_db", "s2_20m_target_psnr_db"):
        assert np.isfinite(result.metrics[f"valid/valid/{score}"])
    model = load_model(Path(result.savedmodel))
    assert [item.tensor for item in model.contract.outputs] == ["s2_estim", "s2_20m_estim"]
    assert model.contract.outputs[1].bands == ("B11", "B12", "B5", "B6", "B7", "B8A")
    scores = evaluate(
        EvaluateConfig(
            test_records=(folders[1],),
            savedmodel=result.savedmodel,
            output=str(tmp_path / "scores"),
        )
    )
    assert scores.n == 3


@pytest.mark.slow
@pytest.mark.parametrize("model", ["meraner_os2", "crga_os1_unet"])
def test_a_unet_is_trained_under_its_documented_name(
    model: str, tmp_path: Path, mlflow_store: str
) -> None:
    result = train(
        TrainConfig(
            training_record=str(write_records(tmp_path / "train", n=2)),
            model=model,
            out_savedmodel=str(tmp_path / "models"),
            epochs=1,
            batch_size_train=1,
        )
    )
    contract = read_contract(Path(result.savedmodel))
    assert contract.name == {"meraner_os2": "meraner_unet"}.get(model, model)
    assert (contract.stride, contract.margin_px) == (32, 96)
    assert np.isfinite(result.metrics["train/train/loss"])


def test_records_that_do_not_fit_are_told_with_the_models_that_do(tmp_path: Path) -> None:
    records = str(write_records(tmp_path / "train", n=1))
    settings = {"training_record": records, "out_savedmodel": str(tmp_path / "models")}
    with pytest.raises(ConfigError) as failure:
        train(TrainConfig(model="crga_os2_david_all_bands", **settings))
    message = str(failure.value)
    assert "hold no s2_20m_tm1, s2_20m_t, s2_20m_tp1, s2_20m_target" in message
    fitting = message.partition("models that fit: ")[2].split(", ")
    assert {"crga_os1_unet", "crga_os2_unet", "meraner_unet", "meraner_original"} <= set(fitting)
    assert not {name for name in fitting if "all_bands" in name or "monthly" in name}


def test_patches_that_are_no_multiple_of_the_stride_are_refused(tmp_path: Path) -> None:
    records = write_records(tmp_path / "train", n=1)
    shapes = json.loads((records / "output_shape.json").read_text())
    for key, shape in shapes.items():
        if len(shape) == 4:
            shapes[key] = [None, *(40 if side == 64 else 20 for side in shape[1:3]), shape[3]]
    (records / "output_shape.json").write_text(json.dumps(shapes))
    with pytest.raises(ShapeError, match="covers 40 x 40 px at 10 m; each side must be a multiple"):
        train(
            TrainConfig(
                training_record=str(records),
                model="crga_os2_unet",
                out_savedmodel=str(tmp_path / "models"),
            )
        )
