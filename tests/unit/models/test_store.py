from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.errors import ModelFolderError
from decloud_lib.models import registry
from decloud_lib.models.contract import read_contract, write_contract
from decloud_lib.models.normalise import make_inputs, normalise
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.store import export_model, load_model, serve_definition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    definition, spec = registry.get("nearest_date"), ModelSpec()
    place = tmp_path_factory.mktemp("models") / "model"
    return export_model(definition.build(spec), definition, place, definition.contract(spec))


def test_a_folder_holds_two_signatures_by_name(folder: Path) -> None:
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"predict", "serving_default"}
    inputs = signatures["serving_default"].structured_input_signature[1]
    assert set(inputs) == set(registry.get("nearest_date").input_keys)
    assert inputs["s2_tm1"].shape.as_list() == [None, None, None, 4]
    assert inputs["s2_timestamp_tm1"].dtype == tf.float64


def test_a_folder_without_a_contract_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"no model\.json .*found: weights\.h5"):
        load_model(tmp_path)


def test_a_contract_that_cannot_be_parsed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"name": 3}')
    with pytest.raises(ModelFolderError, match="not a model contract"):
        read_contract(tmp_path)


def test_a_contract_without_a_network_is_refused(tmp_path: Path) -> None:
    write_contract(registry.get("nearest_date").contract(ModelSpec()), tmp_path)
    with pytest.raises(ModelFolderError, match="no readable SavedModel"):
        load_model(tmp_path)


def test_a_network_without_our_signatures_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    write_contract(registry.get("nearest_date").contract(ModelSpec()), tmp_path / "model")
    with pytest.raises(ModelFolderError, match="no signature serving_default; found none"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_a_contract_of_another_network_is_refused(folder: Path, tmp_path: Path, part: str) -> None:
    contract = read_contract(folder)
    more = contract.outputs[0].model_copy(update={"tensor": "s2_20m_estim"})
    changed = {"inputs": contract.inputs[1:], "outputs": (more,)}[part]
    said = {"inputs": "its contract names s2_", "outputs": "promises s2_20m_estim"}[part]
    copy = tmp_path / "model"
    copy.symlink_to(folder)
    original = (folder / "model.json").read_bytes()
    try:
        write_contract(contract.model_copy(update={part: changed}), copy)
        with pytest.raises(ModelFolderError, match=said):
            load_model(copy)
    finally:
        (folder / "model.json").write_bytes(original)


def test_a_contract_of_another_model_is_not_written(tmp_path: Path) -> None:
    definition = registry.get("nearest_date")
    other = registry.get("crga_os2_gapfilling").contract(ModelSpec())
    with pytest.raises(ModelFolderError, match="a contract of crga_os2_gapfilling"):
        export_model(definition.build(ModelSpec()), definition, tmp_path, other)


def test_a_model_in_memory_has_no_cropped_outputs() -> None:
    with pytest.raises(ModelFolderError, match="export it"):
        serve_definition(registry.get("nearest_date")).serve({})


def test_each_weight_is_written_once(tmp_path: Path) -> None:
    def build(_: ModelSpec) -> keras.Model:
        inputs = make_inputs(["s2_t"])
        image = keras.layers.Conv2D(4, 3, padding="same")(normalise(inputs)["s2_t"])
        return keras.Model(inputs, {"s2_target": image})

    definition, spec = ModelDefinition("tiny", build, ("s2_t",), reach_px=1), ModelSpec()
    model = build(spec)
    export_model(model, definition, tmp_path / "model", definition.contract(spec))
    stored = tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))
    weights = sorted(tuple(shape) for name, shape in stored if name.endswith("VARIABLE_VALUE"))
    assert weights == sorted(tuple(variable.shape) for variable in model.variables)
    image = np.full((1, 8, 8, 4), 900, np.int16)
    expected = model({"s2_t": tf.constant(image, tf.float32)})["s2_target"].numpy()
    found = load_model(tmp_path / "model").predict({"s2_t": image})["s2_estim"]
    np.testing.assert_array_equal(found, expected)
