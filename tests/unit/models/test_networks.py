"""What must hold for every network."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ShapeError
from decloud_lib.models import registry
from decloud_lib.models.registry import ModelSpec
from decloud_lib.models.store import export_model, load_model, serve_definition
from decloud_lib.models.training import Optimisation, Trainer

PARAMETERS = {
    "crga_os2_david": {
        "conv1_relu": 9_664,
        "conv2_bn_relu": 73_856,
        "conv1_dem_relu": 640,
        "conv3_bn_relu": 442_624,
        "deconv1_bn_relu": 884_864,
        "deconv2_bn_relu": 73_792,
        "s2_estim": 6_404,
    }
}
TRAINABLE = sorted(PARAMETERS)


def random_inputs(
    contract: registry.ModelContract, height: int, width: int, n: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = {}
    for item in contract.inputs:
        shape = (n, height // item.factor, width // item.factor, len(item.bands))
        inputs[item.key] = (
            rng.integers(0, 8000, shape).astype("uint16")
            if item.bands
            else 1.6e9 + rng.uniform(0.0, 1e6, n)
        )
    return inputs


@pytest.mark.parametrize("name", TRAINABLE)
def test_parameters_are_the_published_ones(name: str) -> None:
    model = registry.get(name).build(ModelSpec())
    found = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert found == PARAMETERS[name]
    assert model.count_params() == sum(PARAMETERS[name].values())


def test_david_has_the_published_size() -> None:
    assert sum(PARAMETERS["crga_os2_david"].values()) == 1_491_844


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("size", [(32, 32), (16, 40)])
def test_output_has_the_size_of_the_input(name: str, size: tuple[int, int]) -> None:
    served = serve_definition(registry.get(name))
    outputs = served.predict(random_inputs(served.contract, *size, n=2))
    for item in served.contract.outputs:
        assert outputs[item.tensor].shape == (2, *size, len(item.bands))
        assert outputs[item.tensor].dtype == np.float32


@pytest.mark.parametrize("name", TRAINABLE)
def test_tiles_with_the_margin_equal_the_whole(name: str) -> None:
    served = serve_definition(registry.get(name))
    contract = served.contract
    margin, window = contract.margin_px, 16 * contract.stride
    side = window + 2 * margin
    whole_side = 2 * window + 2 * margin
    inputs = random_inputs(contract, whole_side, whole_side)
    whole = served.predict(inputs)["s2_estim"]
    for row in (0, window):
        for col in (0, window):
            tile = {
                item.key: inputs[item.key][
                    :,
                    row // item.factor : (row + side) // item.factor,
                    col // item.factor : (col + side) // item.factor,
                ]
                for item in contract.inputs
            }
            inner = served.predict(tile)["s2_estim"][:, margin:-margin, margin:-margin]
            expected = whole[
                :, row + margin : row + margin + window, col + margin : col + margin + window
            ]
            np.testing.assert_allclose(inner, expected, atol=2e-6)


def test_david_reaches_ten_pixels_and_needs_a_margin_of_twelve() -> None:
    served = serve_definition(registry.get("crga_os2_david"))
    assert (served.contract.reach_px, served.contract.margin_px) == (10, 12)
    inputs = random_inputs(served.contract, 64, 64)
    before = served.predict(inputs)["s2_estim"][0]
    reached = 0
    for row in range(32, 36):  # all phases of the stride
        changed = {key: value.copy() for key, value in inputs.items()}
        for key in ("s2_t", "s1_t"):
            changed[key][:, row, 32] = 40_000
        rows = np.flatnonzero(np.any(served.predict(changed)["s2_estim"][0] != before, axis=(1, 2)))
        reached = max(reached, row - rows.min(), rows.max() - row)
    assert reached == served.contract.reach_px


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_step_of_training_changes_the_loss(name: str) -> None:
    import tensorflow as tf

    trainer = Trainer(registry.get(name), ModelSpec(), Optimisation(1e-3, seed=1))
    contract = registry.get(name).contract(ModelSpec())
    inputs = {
        key: value.astype("float32") for key, value in random_inputs(contract, 16, 16, 2).items()
    }
    targets = {key: np.full((2, 16, 16, 4), 0.2, "float32") for key in contract.target_keys}
    samples = tf.data.Dataset.from_tensors((inputs, targets))
    scores = []
    for _ in range(2):
        assert list(trainer.train(samples, 0)) == [1]
        scores.append(trainer.scores())
    assert set(scores[0]) == {"loss", "psnr_db", "psnr_global_db", "mse_dn2", "mae", "rmse"}
    assert scores[1]["loss"] < scores[0]["loss"]


@pytest.mark.parametrize("name", registry.names())
def test_a_saved_model_equals_the_one_in_memory(name: str, tmp_path: Path) -> None:
    definition, spec = registry.get(name), ModelSpec()
    model = definition.build(spec)
    contract = definition.contract(spec)
    loaded = load_model(export_model(model, definition, tmp_path / "model", contract))
    assert loaded.contract == contract
    inputs = random_inputs(contract, 32, 32)
    tensors = {item.key: inputs[item.key].astype(item.dtype) for item in contract.inputs}
    expected = model(tensors)["s2_target"].numpy()
    np.testing.assert_allclose(loaded.predict(inputs)["s2_estim"], expected, atol=1e-6)


def test_cropped_outputs_are_reflectance_times_10000(tmp_path: Path) -> None:
    definition, spec = registry.get("crga_os2_david"), ModelSpec()
    contract = definition.contract(spec)
    folder = export_model(definition.build(spec), definition, tmp_path / "model", contract)
    outputs = load_model(folder).serve(random_inputs(contract, 384, 384))
    assert set(outputs) == {"s2_estim", *(f"s2_estim_pad{pad}" for pad in (32, 64, 128, 256))}
    assert outputs["s2_estim_pad64"].shape == (1, 256, 256, 4)
    expected = 10000.0 * outputs["s2_estim"][:, 64:-64, 64:-64]
    np.testing.assert_allclose(outputs["s2_estim_pad64"], expected, rtol=1e-6)


def test_without_elevation_the_input_is_gone() -> None:
    definition, spec = registry.get("crga_os2_david"), ModelSpec(use_dem=False)
    model = definition.build(spec)
    assert "dem" not in definition.contract(spec).input_keys
    assert set(model.input) == set(definition.contract(spec).input_keys)
    assert model.get_layer("conv3_bn_relu").count_params() == 3 * 3 * 128 * 256 + 256


def test_values_are_scaled_inside_and_never_negative() -> None:
    model = registry.get("crga_os2_david").build(ModelSpec())
    zeros = {
        key: np.zeros((1, 8 if key != "dem" else 4, 8 if key != "dem" else 4, c), "float32")
        for key, c in ((k, t.shape[-1]) for k, t in model.input.items())
    }
    assert np.all(model(zeros)["s2_target"].numpy() == 0.0)  # no bias yet: zero in, zero out
    full = {
        key: value + (65535.0 if key.startswith("s1") else 10000.0) for key, value in zeros.items()
    }
    assert np.all(model(full)["s2_target"].numpy() >= 0.0)
    assert np.all(model(full)["s2_target"].numpy() < 100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s2_t": (1, 30, 32, 4)}, "each side must be a multiple of 4"),
        ({"s2_t": (1, 36, 32, 4)}, "must cover the same ground"),
        ({"dem": (1, 32, 32, 1)}, "must cover the same ground"),
        ({"s1_t": (1, 32, 32, 4)}, r"expected \(N, H, W, 2\)"),
        ({"s1_t": None}, "no input s1_t"),
    ],
)
def test_wrong_inputs_are_refused(change: dict[str, tuple[int, ...] | None], message: str) -> None:
    served = serve_definition(registry.get("crga_os2_david"))
    inputs = random_inputs(served.contract, 32, 32)
    for key, shape in change.items():
        if shape is None:
            del inputs[key]
        else:
            inputs[key] = np.zeros(shape)
    with pytest.raises(ShapeError, match=message):
        served.predict(inputs)
