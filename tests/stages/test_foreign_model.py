"""A SavedModel of the existing system is evaluated and used without a change."""

import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.models import registry
from decloud_lib.stages.evaluate import EvaluateConfig, evaluate
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from tests.records import write_records
from tests.saved_models import OS2, Tensors, copy_of, export_foreign
from tests.unit.reconstruction.scenes import full_scene, stored


def interpolated(scaled: Tensors) -> Tensors:
    times = [scaled[f"s2_timestamp_{name}"] for name in ("tm1", "target", "tp1")]
    ratio = ((times[1] - times[0]) / (times[2] - times[0]))[:, None, None, None]
    return {"tf.math.add": scaled["s2_tm1"] + (scaled["s2_tp1"] - scaled["s2_tm1"]) * ratio}


def test_it_is_scored_beside_our_models(tmp_path: Path, mlflow_store: str) -> None:
    keys = registry.get("crga_os2_gapfilling").input_keys
    folder = export_foreign(tmp_path / "export", keys, interpolated)
    records = str(write_records(tmp_path / "test", n=3))
    result = evaluate(
        EvaluateConfig(
            test_records=(records,),
            savedmodel=str(folder),
            baselines=("linear_gap_filling", "nearest_date"),
            output=str(tmp_path / "scores"),
        )
    )
    found, ours = result.scores["model"], result.scores["linear_gap_filling"]
    # Its dates are 32-bit numbers, so up to 64 s off.
    assert found["psnr_db"] == pytest.approx(ours["psnr_db"], abs=1e-3)
    assert found["psnr_db"] > result.scores["nearest_date"]["psnr_db"]


@pytest.mark.parametrize("layer", ["deconv2_bn_relu", "an_unknown_network"])
def test_it_rebuilds_a_date(tmp_path: Path, layer: str) -> None:
    folder = export_foreign(tmp_path / "export", OS2, copy_of("s2_t"), layer)
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
    np.testing.assert_array_equal(stored(output), scene.optical(0.0))
    record = json.loads((tmp_path / "image.manifest.json").read_text())
    assert any(item["uri"].endswith("saved_model.pb") for item in record["inputs"])
