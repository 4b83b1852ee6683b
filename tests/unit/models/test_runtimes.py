"""OpenVINO computes what TensorFlow computes."""

import logging
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.errors import ConfigError, ModelFolderError, ShapeError
from decloud_lib.models import registry, runtimes
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.runtimes import OpenVinoModel, check_runtime, load_for
from decloud_lib.models.store import export_model, load_model
from decloud_lib.types import Array
from tests.saved_models import OS2, Tensors, copy_of, export_foreign

pytest.importorskip("openvino", reason="OpenVINO is not installed")


def exported(name: str, folder: Path) -> Path:
    keras.utils.set_random_seed(3)
    definition, spec = registry.get(name), ModelSpec()
    return export_model(definition.build(spec), definition, folder, definition.contract(spec))


@pytest.fixture(scope="module")
def david(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a small network, which no test may change."""
    return exported("crga_os2_david", tmp_path_factory.mktemp("models") / "david")


def samples(model: Path, side: int, seed: int = 0) -> dict[str, Array]:
    """Return two samples in stored values."""
    rng = np.random.default_rng(seed)
    return {
        item.key: rng.integers(
            1, 40_000, (2, side // item.factor, side // item.factor, len(item.bands))
        ).astype(item.dtype)
        for item in load_model(model).contract.inputs
    }


# The first one has all that a network may have: radar, elevation, two sizes of pixels.
@pytest.mark.parametrize(
    "name", ["crga_os2_david_all_bands", "monthly_synthesis_6_s2s1_images_david"]
)
def test_estimates_are_those_of_tensorflow(tmp_path: Path, name: str) -> None:
    folder = exported(name, tmp_path / name)
    vino = load_for("openvino", folder)
    for side in (96, 64):
        inputs = samples(folder, side)
        expected, found = load_model(folder).predict(inputs), vino.predict(inputs)
        assert set(found) == set(expected)
        for tensor, value in expected.items():
            assert found[tensor].dtype == np.float32
            np.testing.assert_allclose(found[tensor], value, atol=1e-4)  # one stored unit
            assert np.ptp(value) > 0.01


def test_results_stay_when_the_next_batch_is_computed(david: Path) -> None:
    vino = load_for("openvino", david)
    first = vino.predict(samples(david, 64))["s2_estim"]
    before = first.copy()
    vino.predict(samples(david, 64, seed=1))
    np.testing.assert_array_equal(first, before)


def test_a_savedmodel_of_the_existing_system_gives_our_names(tmp_path: Path) -> None:
    folder = export_foreign(tmp_path / "m", OS2, copy_of("s2_t"), "deconv2_bn_relu")
    inputs = samples(folder, 64)
    found = load_for("openvino", folder).predict(inputs)
    np.testing.assert_allclose(found["s2_estim"], inputs["s2_t"] * 1e-4, rtol=1e-6)


def test_a_wrong_shape_is_told_before_it_is_computed(david: Path) -> None:
    with pytest.raises(ShapeError, match="each side must be a multiple of 4"):
        OpenVinoModel(david).predict(samples(david, 66))


def test_a_network_that_it_cannot_compute_is_refused_with_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def solve(scaled: Tensors) -> Tensors:
        image = scaled["s2_t"]
        units = tf.eye(4, batch_shape=tf.shape(image)[:-1])
        return {"s2_estim": tf.linalg.solve(units, image[..., None])[..., 0]}

    folder = export_foreign(tmp_path / "m", OS2, solve, "deconv2_bn_relu")
    with pytest.raises(
        ModelFolderError, match=r"crga_os2_david \(.*MatrixSolve.* --runtime tensorflow"
    ):
        load_for("openvino", folder)
    # The log of all others goes on.
    logging.getLogger("decloud_lib").warning("still heard")
    assert "still heard" in caplog.text


def test_a_damaged_savedmodel_is_told(david: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(david, tmp_path / "david"))
    (folder / "saved_model.pb").write_bytes(b"nothing like a graph")
    with pytest.raises(ModelFolderError, match="OpenVINO cannot read this SavedModel"):
        load_for("openvino", folder)


def test_where_it_is_absent_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        check_runtime("openvino")
    check_runtime("tensorflow")
