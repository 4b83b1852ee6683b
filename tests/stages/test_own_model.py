"""A network of a user, from its file to a rebuilt image."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.models import registry
from decloud_lib.models.contract import read_contract
from decloud_lib.models.store import load_model
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.train import TrainConfig, train
from tests.records import write_records
from tests.unit.reconstruction.scenes import full_scene, stored

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture
def model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the example of the documentation into a file, as a user would."""
    registry.names()
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    (code,) = re.findall(r"```python\n(.*?class MyModel.*?)```", DOCUMENT.read_text(), re.DOTALL)
    path = tmp_path / "my_model.py"
    path.write_text(code)
    return path


def test_a_model_of_a_user_is_trained_exported_and_served(
    model_file: Path, tmp_path: Path, mlflow_store: str
) -> None:
    records = str(write_records(tmp_path / "train", n=4))
    settings = {
        "training_record": records,
        "valid_records": (str(write_records(tmp_path / "valid", n=2, seed=1)),),
        "model": f"{model_file}:MyModel",
        "out_savedmodel": str(tmp_path / "models"),
        "epochs": 2,
        "batch_size_train": 2,
        "learning_rate": 1e-3,
    }
    result = train(TrainConfig(**settings))
    folder = Path(result.savedmodel)
    assert folder.name == "MyModel_bt2_bv4_lr0.001_e2_cpu"
    assert result.metrics["valid/valid/psnr_db"] > 10.0
    contract = read_contract(folder)
    assert contract.name == "MyModel"
    assert contract.input_keys == ("s1_t", "s2_tm1", "s2_tp1", "dem")
    # Two layers of 5 x 5, and the elevation at 20 m behind the first.
    assert (contract.stride, contract.reach_px, contract.margin_px) == (2, 4, 4)

    # The folder needs none of the code that built the network.
    code = (
        "import sys, numpy as np, pathlib; from decloud_lib.models.store import load_model; "
        f"m = load_model(pathlib.Path({str(folder)!r})); "
        "x = {i.key: np.ones((1, 8 // i.factor, 8 // i.factor, len(i.bands))) "
        "for i in m.contract.inputs}; print(m.predict(x)['s2_estim'].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 8, 8, 4)"

    scene = full_scene(str(tmp_path / "prepared"))
    output = str(tmp_path / "image.tif")
    reconstruct(
        ReconstructConfig(
            in_s2=scene.s2[0.0].uri,
            s1_dir=scene.s1_dir,
            s2_dir=scene.s2_dir,
            dem=scene.dem,
            savedmodel=str(folder),
            output=output,
            ts=64,
        )
    )
    assert stored(output).shape[:2] == (96, 128)
    assert np.ptp(stored(output)) > 0

    # Its code decides on the work: a changed file is not the same training.
    assert train(TrainConfig(**settings)) == result
    model_file.write_text(model_file.read_text().replace("32, 5", "16, 5"))
    with pytest.raises(OutputConflictError, match=r"my_model\.py"):
        train(TrainConfig(**settings))


def test_samples_that_lack_an_input_of_the_model_are_named(
    model_file: Path, tmp_path: Path
) -> None:
    records = str(write_records(tmp_path / "train", n=1, with_dem=False))
    settings = {
        "training_record": records,
        "model": f"{model_file}:MyModel",
        "out_savedmodel": str(tmp_path / "models"),
    }
    with pytest.raises(ConfigError, match=r"hold no dem, which model MyModel needs"):
        train(TrainConfig(**settings))


def test_a_trained_model_of_a_user_is_served_by_its_contract(
    model_file: Path, tmp_path: Path, mlflow_store: str
) -> None:
    records = str(write_records(tmp_path / "train", n=1))
    config = TrainConfig(
        training_record=records,
        model=f"{model_file}:MyModel",
        out_savedmodel=str(tmp_path / "models"),
        epochs=0,
        use_dem=False,
    )
    model = load_model(Path(train(config).savedmodel))
    assert model.contract.input_keys == ("s1_t", "s2_tm1", "s2_tp1")
    assert model.contract.stride == 1
