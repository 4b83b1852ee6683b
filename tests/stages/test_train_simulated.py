"""The network that learns on simulated gaps, from records to scores."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decloud_lib.models.contract import read_contract
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.samples.shards import Sample, write_shards
from decloud_lib.stages.draw_records import DrawRecordsConfig, draw_records
from decloud_lib.stages.evaluate import EvaluateConfig, evaluate
from decloud_lib.stages.train import TrainConfig, train
from tests.unit.models.five_dates import five_dates

_CORNERS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))


def write_five_dates(folder: Path, n: int, seed: int) -> str:
    """Write samples of clear dates: the network lays its own gaps over them."""
    samples = []
    for index in range(n):
        inputs, _ = five_dates(seed + index)
        arrays = {key: np.asarray(array)[0] for key, array in inputs.items()}
        kinds = {key: "float64" if not array.ndim else _kind(key) for key, array in arrays.items()}
        samples.append(
            Sample({key: array.astype(kinds[key]) for key, array in arrays.items()}, _CORNERS)
        )
    shapes = {key: array.shape for key, array in samples[0].arrays.items()}
    write_shards(folder, samples, SampleSchema(shapes, kinds), n_samples_per_shard=4)
    return str(folder)


def _kind(key: str) -> str:
    if "cld10m" in key:
        return "uint8"
    return "uint16" if key.startswith("s1_") else "int16"


@pytest.mark.slow
def test_residual_is_trained_and_scored_on_gaps(tmp_path: Path, mlflow_store: str) -> None:
    config = TrainConfig(
        training_record=write_five_dates(tmp_path / "train", 4, seed=1),
        valid_records=(write_five_dates(tmp_path / "valid", 2, seed=50),),
        model="residual",
        epochs=1,
        batch_size_train=2,
        batch_size_valid=2,
        out_savedmodel=str(tmp_path / "models"),
    )
    result = train(config)
    scores = result.metrics
    # Gaps hide a part, although the records hold clear dates.
    assert 0.0 < scores["valid/valid/mae_hidden"] < 0.1
    assert scores["valid/valid/mae_hidden"] > scores["valid/valid/mae_clear"]
    assert result.savedmodel is not None
    assert read_contract(Path(result.savedmodel)).outputs[0].scale_tensor == "s2_estim_scale"
    found = evaluate(
        EvaluateConfig(
            test_records=config.valid_records,
            savedmodel=result.savedmodel,
            baselines=("gapfilling_fitted",),
            output=str(tmp_path / "scores"),
        )
    )
    # The same gaps as in the validation, and for both models.
    assert found.scores["model"]["mae_hidden"] == pytest.approx(
        scores["valid/valid/mae_hidden"], rel=1e-3
    )
    assert np.isfinite(found.scores["gapfilling_fitted"]["mae_hidden"])
    with (tmp_path / "scores/calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"share inside", "absolute error"}

    drawn = draw_records(
        DrawRecordsConfig(
            valid_records=config.valid_records,
            savedmodel=result.savedmodel,
            outdir=str(tmp_path / "drawn"),
        )
    )
    assert drawn.samples == 2
    for number in range(2):
        hidden, whole = (
            np.all(np.asarray(Image.open(tmp_path / f"drawn/valid_{number}_{kind}.png")) == 0, -1)
            for kind in ("s2_t", "target")
        )
        assert hidden.mean() > 0.1
        assert not whole.any()
