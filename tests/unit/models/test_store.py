from pathlib import Path

import pytest
import tensorflow as tf

from decloud_lib.errors import ModelFolderError
from decloud_lib.models import registry
from decloud_lib.models.contract import read_contract, write_contract
from decloud_lib.models.registry import ModelSpec
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


def test_a_contract_that_promises_more_is_refused(folder: Path, tmp_path: Path) -> None:
    contract = read_contract(folder)
    more = contract.outputs[0].model_copy(update={"tensor": "s2_20m_estim"})
    copy = tmp_path / "model"
    copy.symlink_to(folder)
    original = (folder / "model.json").read_bytes()
    try:
        write_contract(contract.model_copy(update={"outputs": (more,)}), copy)
        with pytest.raises(ModelFolderError, match="promises s2_20m_estim"):
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
