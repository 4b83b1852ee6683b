"""SavedModels of the existing system are used as they are."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.errors import ModelFolderError
from decloud_lib.models import registry
from decloud_lib.models.contract import read_contract, write_contract
from decloud_lib.models.keys import canonical
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.store import load_model
from tests.saved_models import OS2, PADS, Tensors, copy_of, export_foreign


def smoothed(scaled: Tensors) -> Tensors:
    """Average over 7 x 7 px at half the size: a stride of 2, a reach of 7 px."""
    half = tf.nn.avg_pool2d(scaled["s2_t"], 2, 2, "VALID")
    smooth = tf.nn.avg_pool2d(half, 7, 1, "SAME")
    return {"s2_estim": tf.repeat(tf.repeat(smooth, 2, axis=1), 2, axis=2)}


def all_bands(scaled: Tensors) -> Tensors:
    fine, coarse = tf.identity(scaled["s2_t"]), tf.identity(scaled["s2_20m_t"])
    stack = tf.concat([fine, tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2)], axis=-1)
    return {"s2_estim": fine, "s2_20m_estim": coarse, "tf.concat_7": stack}


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("s2_estim_pad64", "s2_estim_pad64"),
        ("tf.concat_7", "s2_all_bands_estim"),
        ("tf.concat_12_pad128", "s2_all_bands_estim_pad128"),
        ("add", "s2_estim"),
        ("add_pad32", "s2_estim_pad32"),
        ("tf.math.add_pad256", "s2_estim_pad256"),
        ("s2_20m_estim_pad32", "s2_20m_estim_pad32"),
        ("additional", "additional"),
    ],
)
def test_historic_names_of_outputs_are_ours(name: str, ours: str) -> None:
    assert canonical(name) == ours


@pytest.mark.parametrize(
    ("layer", "name", "geometry"),
    [
        ("conv6_bn_relu", "crga_os2_unet", (32, 66, 96)),
        ("deconv2_bn_relu", "crga_os2_david", (4, 10, 12)),
    ],
)
@pytest.mark.parametrize("keys", [OS2, OS2[:-1]])
def test_a_published_network_is_known_by_its_layers(
    tmp_path: Path, layer: str, name: str, geometry: tuple[int, int, int], keys: tuple[str, ...]
) -> None:
    folder = export_foreign(tmp_path / "export", keys, copy_of("s2_t"), layer)
    contract = read_contract(folder)
    assert contract.name == name
    assert contract.input_keys == tuple(key for key in registry.get(name).input_keys if key in keys)
    assert (contract.stride, contract.reach_px, contract.margin_px) == geometry
    expected = registry.get(name).contract(ModelSpec(use_dem="dem" in keys))
    assert contract.model_copy(update={"created": expected.created}) == expected


def test_another_network_is_measured(tmp_path: Path) -> None:
    contract = read_contract(export_foreign(tmp_path / "mine", OS2, smoothed))
    assert contract.name == "mine"
    assert (contract.stride, contract.reach_px, contract.margin_px) == (2, 7, 8)
    assert contract.target_keys == ("s2_target",)


def test_outputs_come_under_our_names(tmp_path: Path) -> None:
    keys = ("s1_t", "s2_t", "s2_20m_t", "dem")
    model = load_model(export_foreign(tmp_path / "m", keys, all_bands, "conv6_bn_relu"))
    assert model.contract.name == "meraner_unet_all_bands"
    assert model.contract.target_keys == ("s2_target", "s2_20m_target")
    rng = np.random.default_rng(0)
    inputs = {
        item.key: rng.integers(
            0, 9000, (1, 160 // item.factor, 192 // item.factor, len(item.bands))
        )
        for item in model.contract.inputs
    }
    found = model.predict(inputs)
    assert set(found) == {"s2_estim", "s2_20m_estim"}
    np.testing.assert_allclose(found["s2_20m_estim"], inputs["s2_20m_t"] / 10000.0, rtol=1e-6)
    served = model.serve(inputs)
    names = ("s2_estim", "s2_20m_estim", "s2_all_bands_estim")
    assert set(served) == {*names, *(f"{name}_pad{pad}" for name in names for pad in PADS)}
    np.testing.assert_allclose(
        served["s2_all_bands_estim_pad64"][..., :4], inputs["s2_t"][:, 64:-64, 64:-64], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("keys", "output", "name"),
    [
        (("s1_t", "s2_t"), "add", "meraner_original"),
        (registry.get("crga_os2_gapfilling").input_keys, "tf.math.add", "crga_os2_gapfilling"),
        (registry.get("crga_os1_gapfilling").input_keys, "tf.math.add", "crga_os1_gapfilling"),
    ],
)
def test_exports_without_a_named_output_are_known(
    tmp_path: Path, keys: tuple[str, ...], output: str, name: str
) -> None:
    key = "s2_t" if "s2_t" in keys else "s2_tm1"
    model = load_model(export_foreign(tmp_path / "m", keys, copy_of(key, output)))
    assert model.contract.name == name
    assert model.contract.target_keys == registry.get(name).target_keys
    assert model.contract.stride == 1
    assert model.contract.reach_px == registry.get(name).reach_px
    inputs = {
        item.key: np.full((2, 4, 4, len(item.bands)) if item.bands else 2, 700.0)
        for item in model.contract.inputs
    }
    np.testing.assert_allclose(model.predict(inputs)["s2_estim"], 0.07, rtol=1e-6)


def test_a_contract_beside_it_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = export_foreign(tmp_path / "m", OS2, copy_of("s2_tm1"), "conv6_bn_relu")
    contract = read_contract(folder).model_copy(update={"reach_px": 0, "margin_px": 0, "stride": 2})
    write_contract(contract, folder)
    model = load_model(folder)
    assert model.contract == contract
    inputs = {
        item.key: np.full((1, 4 // item.factor, 4 // item.factor, len(item.bands)), 700.0)
        for item in contract.inputs
    }
    np.testing.assert_allclose(model.predict(inputs)["s2_estim"], 0.07, rtol=1e-6)


def everywhere(scaled: Tensors) -> Tensors:
    return {"s2_estim": scaled["s2_t"] - tf.reduce_mean(scaled["s2_t"], (1, 2), keepdims=True)}


@pytest.mark.parametrize(
    ("keys", "network", "message"),
    [
        (("s2_t",), copy_of("s2_t", "estimate"), "gives estimate, .*expected an output s2_estim"),
        (("s2_t",), everywhere, r"cannot tell stride and margin .*write a model\.json beside it"),
    ],
)
def test_what_cannot_be_told_is_said(
    tmp_path: Path, keys: tuple[str, ...], network: object, message: str
) -> None:
    folder = export_foreign(tmp_path / "m", keys, network)
    with pytest.raises(ModelFolderError, match=message):
        load_model(folder)


def test_inputs_of_another_meaning_are_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.serve = tf.function(lambda **inputs: {"s2_estim": sum(inputs.values())})
    for name, bands, message in (
        ("thermal", 4, "takes 'thermal'; expected keys of samples"),
        ("s2_t", 3, r"input s2_t has shape .*expected 4 bands \(B2, B3, B4, B8\)"),
    ):
        spec = {name: tf.TensorSpec((None, None, None, bands), tf.float32, name)}
        folder = tmp_path / name
        function = module.serve.get_concrete_function(**spec)
        tf.saved_model.save(module, str(folder), {"serving_default": function})
        with pytest.raises(ModelFolderError, match=message):
            read_contract(folder)


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    folder = export_foreign(tmp_path / "m", ("s2_t",), copy_of("s2_t"))
    graph = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    with pytest.raises(ModelFolderError, match="not a SavedModel; copy it again"):
        load_model(folder)
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"no model\.json, and no signature serving_default"):
        load_model(folder)
    (folder / "saved_model.pb").write_bytes(graph)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ModelFolderError, match="no readable SavedModel"):
        read_contract(folder)
