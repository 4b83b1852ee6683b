"""The published networks: their parameters, their geometry, and what must hold for each."""

import ast
import gc
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from decloud_lib.errors import ShapeError
from decloud_lib.models import measure, registry
from decloud_lib.models.contract import ModelContract, margin_px
from decloud_lib.models.keys import kind_of
from decloud_lib.models.registry import ModelDefinition, ModelSpec
from decloud_lib.models.store import export_model, load_model, serve_network

UNET = {
    "conv1_relu": 9_664,
    "conv2_bn_relu": 73_856,
    "conv1_dem_relu": 640,
    "conv3_bn_relu": 442_624,
    "conv4_bn_relu": 1_180_160,
    "conv5_bn_relu": 2_359_808,
    "conv6_bn_relu": 2_359_808,
    "deconv1_bn_relu": 7_078_400,
    "deconv2_bn_relu": 9_437_696,
    "deconv3_bn_relu": 4_718_848,
    "deconv4_bn_relu": 1_179_776,
    "deconv5_bn_relu": 405_568,
    "s2_estim": 25_604,
}
DAVID = {
    "conv1_relu": 9_664,
    "conv2_bn_relu": 73_856,
    "conv1_dem_relu": 640,
    "conv3_bn_relu": 442_624,
    "deconv1_bn_relu": 884_864,
    "deconv2_bn_relu": 73_792,
    "s2_estim": 6_404,
}
MERANER = UNET | {
    "deconv1_bn_relu": 2_359_808,
    "deconv2_bn_relu": 4_719_104,
    "deconv3_bn_relu": 2_359_552,
    "deconv4_bn_relu": 589_952,
    "deconv5_bn_relu": 184_384,
    "s2_estim": 12_804,
}
ENCODER_20M = {"conv1_20m_relu": 3_520, "conv2_20m_bn_relu": 73_856, "conv3_bn_relu": 737_536}
OS1 = {key: value for key, value in UNET.items() if key != "conv1_relu"} | {
    "conv1_s1_relu": 3_264,
    "conv1_s1s2_relu": 9_664,
}


def transposed(channels: int, filters: int) -> int:
    return 9 * channels * filters + filters


#: Name -> parameters, by layer (None where only the sum is published).
LAYERS: dict[str, tuple[int, dict[str, int] | None]] = {
    "crga_os1_unet": (29_275_716, OS1),
    "crga_os1_unet_impostor": (29_275_716, OS1),
    "crga_os1_unet_all_bands": (
        29_614_666,
        OS1
        | {
            "conv1_20m_relu": 3_520,
            "conv2_20m_bn_relu": 295_040,
            "conv3_bn_relu": 295_168,
            "deconv5_bn_relu": 294_976,
            "deconv5_20m_bn_relu": 294_976,
            "s2_20m_estim": 3_462,
        },
    ),
    "crga_os2_unet": (29_272_452, UNET),
    "crga_os2_unet_all_bands": (
        30_496_138,
        UNET
        | ENCODER_20M
        | {
            "deconv5_bn_relu": transposed(1088, 64),
            "deconv5_20m_bn_relu": transposed(1088, 64),
            "s2_20m_estim": 3_462,
        },
    ),
    "crga_os2_david": (1_491_844, DAVID),
    "crga_os2_david_all_bands": (
        1_941_386,
        DAVID | ENCODER_20M | {"deconv2_20m_bn_relu": 73_792, "s2_20m_estim": 3_462},
    ),
    "meraner_original": (18_905_860, None),
    "meraner_unet": (16_652_164, MERANER),
    "meraner_unet_all_bands": (
        17_353_354,
        MERANER
        | ENCODER_20M
        | {
            "deconv5_bn_relu": transposed(448, 64),
            "deconv5_20m_bn_relu": transposed(448, 64),
            "s2_estim": 6_404,
            "s2_20m_estim": 3_462,
        },
    ),
    "monthly_synthesis_6_s2_images": (
        47_830_404,
        {key: value for key, value in UNET.items() if key != "conv1_dem_relu"}
        | {
            "conv1_relu": 6_464,
            "conv3_bn_relu": 295_168,
            "deconv1_bn_relu": transposed(3072, 512),
            "deconv2_bn_relu": transposed(3584, 512),
            "deconv3_bn_relu": transposed(3584, 256),
            "deconv4_bn_relu": transposed(1792, 128),
            "deconv5_bn_relu": transposed(896, 64),
            "s2_estim": 25 * 448 * 4 + 4,
        },
    ),
    "monthly_synthesis_6_s2_images_david": (
        2_225_284,
        {key: value for key, value in DAVID.items() if key not in ("conv1_relu", "conv1_dem_relu")}
        | {
            "conv1_s2_relu": 6_464,
            "conv3_bn_relu": 295_168,
            "deconv1_bn_relu": transposed(6 * 256, 128),
        },
    ),
    "monthly_synthesis_6_s2s1_images": (
        85_556_420,
        {
            key: value
            for key, value in UNET.items()
            if key not in ("conv1_relu", "conv2_bn_relu", "conv1_dem_relu")
        }
        | {
            "conv1_s2_relu": 6_464,
            "conv1_s1_relu": 3_264,
            "conv2_s2_relu": 73_856,
            "conv2_s1_relu": 73_856,
            "conv3_bn_relu": transposed(129, 256),
            "deconv1_bn_relu": transposed(6144, 512),
            "deconv2_bn_relu": transposed(6656, 512),
            "deconv3_bn_relu": transposed(6656, 256),
            "deconv4_bn_relu": transposed(3328, 128),
            "deconv5_bn_relu": transposed(1676, 64),
            "s2_estim": 25 * 832 * 4 + 4,
        },
    ),
    "monthly_synthesis_6_s2s1_images_david": (
        4_146_116,
        {key: value for key, value in DAVID.items() if key != "conv1_relu"}
        | {"conv1_s2_relu": 6_464, "conv1_s1_relu": 3_264, "deconv1_bn_relu": 3_539_072},
    ),
}
GAP_FILLING = ("crga_os1_gapfilling", "crga_os2_gapfilling", "nearest_date")
SMALL = (
    *GAP_FILLING,
    "crga_os2_david",
    "crga_os2_david_all_bands",
    "monthly_synthesis_6_s2_images_david",
)


@dataclass(frozen=True)
class Built:
    """A network with its first random weights."""

    definition: ModelDefinition
    model: keras.Model
    contract: ModelContract


@pytest.fixture(
    scope="module",
    params=[
        name if name in SMALL else pytest.param(name, marks=pytest.mark.slow)
        for name in (*LAYERS, *GAP_FILLING)
    ],
)
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    """Build one network after the other; each is gone before the next."""
    definition = registry.get(request.param)
    keras.utils.set_random_seed(1)
    yield Built(definition, definition.build(ModelSpec()), definition.contract(ModelSpec()))
    keras.backend.clear_session()
    gc.collect()


def random_inputs(contract: ModelContract, height: int, width: int, n: int = 1) -> dict:
    rng = np.random.default_rng(3)
    inputs = {}
    for number, item in enumerate(contract.inputs):
        shape = (n, height // item.factor, width // item.factor, len(item.bands))
        image = rng.uniform(100, 8000, shape).round()
        inputs[item.key] = image if item.bands else np.full(n, 1.6e9 + 1e5 * number)
        inputs[item.key] = inputs[item.key].astype(item.dtype)
    return inputs


def test_every_published_network_is_here() -> None:
    assert {*LAYERS, *GAP_FILLING} <= set(registry.names())


def test_parameters_are_the_published_ones(built: Built) -> None:
    found = {
        layer.name: layer.count_params() for layer in built.model.layers if layer.count_params()
    }
    if built.definition.name in GAP_FILLING:
        assert found == {}
        return
    total, layers = LAYERS[built.definition.name]
    assert built.model.count_params() == total
    if layers is not None:
        assert found == layers
    else:
        assert sorted(found.values()) == [9_220, 14_080, *[590_080] * 32]


def test_outputs_have_the_size_of_the_images(built: Built) -> None:
    served, stride = serve_network(built.model, built.contract), built.contract.stride
    for height, width in ((2 * stride, stride), (stride, 3 * stride)):
        height, width = max(height, 2), max(width, 2)
        outputs = served.predict(random_inputs(built.contract, height, width, n=2))
        assert set(outputs) == {item.tensor for item in built.contract.outputs}
        for item in built.contract.outputs:
            expected = (2, height // item.factor, width // item.factor, len(item.bands))
            assert outputs[item.tensor].shape == expected
            assert np.isfinite(outputs[item.tensor]).all()


def test_a_size_that_does_not_fit_is_refused_with_the_stride(built: Built) -> None:
    stride = built.contract.stride
    if stride == 1:
        return
    served = serve_network(built.model, built.contract)
    with pytest.raises(ShapeError, match=f"each side must be a multiple of {stride}$"):
        served.predict(random_inputs(built.contract, stride, stride + 2))


def test_only_the_small_networks_are_rectified(built: Built) -> None:
    for key in built.definition.target_keys:
        tensor = "s2_20m_estim" if key.startswith("s2_20m") else "s2_estim"
        if built.definition.name == "nearest_date":
            continue
        layer = built.model.get_layer(tensor)
        if isinstance(layer, keras.layers.Add):
            continue
        # A convolution of joined tensors is linear, and has no activation to name.
        rectified = getattr(layer, "activation", None) is keras.activations.relu
        assert rectified == ("david" in built.definition.name)


def test_kernels_begin_as_published(built: Built) -> None:
    for layer in built.model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            first = layer.kernel_initializer
            if built.definition.name == "crga_os2_unet":
                assert isinstance(first, keras.initializers.VarianceScaling)
                assert (first.scale, first.mode, first.distribution) == (
                    1.0,
                    "fan_in",
                    "truncated_normal",
                )
            else:
                assert isinstance(first, keras.initializers.GlorotUniform)
            assert layer.use_bias


def test_a_step_lowers_the_loss(built: Built) -> None:
    if not built.definition.trainable:
        assert built.model.trainable_variables == []
        return
    import tensorflow as tf

    side = max(8, built.contract.stride)
    inputs = random_inputs(built.contract, side, side, n=2)
    targets = {
        item.target_key: np.full(
            (2, side // item.factor, side // item.factor, len(item.bands)), 0.2, "float32"
        )
        for item in built.contract.outputs
    }
    before = built.model.get_weights()
    variables = built.model.trainable_variables
    losses = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            outputs = built.model(inputs, training=True)
            loss = sum(tf.reduce_mean(tf.abs(outputs[key] - targets[key])) for key in targets)
        gradients = tape.gradient(loss, variables)
        assert all(gradient is not None for gradient in gradients)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(1e-3 * gradient)
        losses.append(float(loss))
    built.model.set_weights(before)
    assert losses[1] < losses[0]


def test_a_saved_network_equals_the_one_in_memory(built: Built, tmp_path: Path) -> None:
    folder = export_model(built.model, built.definition, tmp_path / "model", built.contract)
    loaded = load_model(folder)
    assert loaded.contract == built.contract
    stride = built.contract.stride
    inputs = random_inputs(built.contract, 2 * stride, 4 * stride)
    here = serve_network(built.model, built.contract).predict(inputs)
    there = loaded.predict(inputs)
    assert set(here) == set(there)
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, atol=1e-5)


def test_tiles_with_the_margin_equal_the_whole(built: Built) -> None:
    served, contract = serve_network(built.model, built.contract), built.contract
    step = max(contract.stride, 2)
    margin, window = -(-contract.margin_px // step) * step, step
    side, whole_side = window + 2 * margin, 2 * window + 2 * margin
    inputs = random_inputs(contract, whole_side, whole_side)
    whole = served.predict(inputs)
    for row, col in ((0, 0), (window, 0), (0, window), (window, window)):
        tile = {
            item.key: inputs[item.key][
                :,
                row // item.factor : (row + side) // item.factor,
                col // item.factor : (col + side) // item.factor,
            ]
            if item.bands
            else inputs[item.key]
            for item in contract.inputs
        }
        found = served.predict(tile)
        for item in contract.outputs:
            cut = slice(margin // item.factor, (margin + window) // item.factor)
            rows, cols = (
                slice((first + margin) // item.factor, (first + margin + window) // item.factor)
                for first in (row, col)
            )
            np.testing.assert_allclose(
                found[item.tensor][:, cut, cut], whole[item.tensor][:, rows, cols], atol=1e-5
            )


def test_stride_and_reach_are_those_of_the_contract(built: Built) -> None:
    assert built.contract.margin_px == margin_px(built.contract.reach_px, built.contract.stride)
    if built.model.count_params() > 40e6:
        # Minutes long. Its trunk is that of the other U-Nets, and `tiles` looks at its margin.
        assert (built.contract.stride, built.contract.reach_px) == (32, 66)
        return
    weights = built.model.get_weights()
    assert measure.measure_network(built.model) == (built.contract.stride, built.contract.reach_px)
    built.model.set_weights(weights)


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        ("crga_os2_david", 10),
        ("crga_os2_david_all_bands", 10),
        ("meraner_original", 34),
        pytest.param("meraner_unet_all_bands", 66, marks=pytest.mark.slow),
        pytest.param("crga_os1_unet_all_bands", 68, marks=pytest.mark.slow),
    ],
)
def test_images_at_10_m_reach_the_estimate_at_10_m_as_published(name: str, reach: int) -> None:
    model = registry.get(name).build(ModelSpec())
    fine = {key: model.input[key] for key in model.input if kind_of(key).factor == 1}
    zeros = {
        key: keras.ops.zeros_like(fine["s1_t"][:, ::2, ::2, :1])
        * np.zeros((1, 1, 1, len(kind_of(key).bands)), "float32")
        for key in model.input
        if key not in fine
    }
    outputs = model({**fine, **zeros})
    key = next(key for key in outputs if kind_of(key).factor == 1)
    part = keras.Model(fine, {key: outputs[key]}, name=name)
    assert measure.measure_network(part)[1] == reach


@pytest.mark.parametrize(
    "name",
    [
        "crga_os2_david",
        "crga_os2_david_all_bands",
        pytest.param("crga_os1_unet_all_bands", marks=pytest.mark.slow),
        pytest.param("monthly_synthesis_6_s2s1_images", marks=pytest.mark.slow),
    ],
)
def test_networks_do_without_elevation(name: str) -> None:
    definition, spec = registry.get(name), ModelSpec(use_dem=False)
    contract = definition.contract(spec)
    model = definition.build(spec)
    assert set(model.input) == set(contract.input_keys) == {*definition.input_keys} - {"dem"}
    assert "conv1_dem_relu" not in [layer.name for layer in model.layers]
    side = contract.stride
    outputs = serve_network(model, contract).predict(random_inputs(contract, side, side))
    assert outputs["s2_estim"].shape == (1, side, side, 4)


def test_the_export_of_all_bands_has_the_stack_and_crops_in_its_own_pixels(tmp_path: Path) -> None:
    definition = registry.get("crga_os2_david_all_bands")
    contract = definition.contract(ModelSpec())
    folder = export_model(definition.build(ModelSpec()), definition, tmp_path / "m", contract)
    outputs = load_model(folder).serve(random_inputs(contract, 144, 160))
    names = ("s2_estim", "s2_20m_estim", "s2_all_bands_estim")
    pads = (32, 64, 128, 256)
    assert set(outputs) == {*names, *(f"{name}_pad{pad}" for name in names for pad in pads)}
    assert [outputs[name].shape for name in names] == [
        (1, 144, 160, 4),
        (1, 72, 80, 6),
        (1, 144, 160, 10),
    ]
    stack = outputs["s2_all_bands_estim"]
    np.testing.assert_array_equal(stack[..., :4], outputs["s2_estim"])
    for row in (0, 1):
        for col in (0, 1):
            np.testing.assert_array_equal(stack[:, row::2, col::2, 4:], outputs["s2_20m_estim"])
    assert outputs["s2_20m_estim_pad32"].shape == (1, 8, 16, 6)
    assert outputs["s2_all_bands_estim_pad32"].shape == (1, 80, 96, 10)
    np.testing.assert_allclose(
        outputs["s2_20m_estim_pad32"],
        10000.0 * outputs["s2_20m_estim"][:, 32:-32, 32:-32],
        rtol=1e-6,
    )


def test_merunet_has_its_documented_names() -> None:
    assert registry.get("meraner_os2") is registry.get("meraner_unet") is registry.get("merunet")


def test_the_original_network_begins_near_the_cloudy_image() -> None:
    definition = registry.get("meraner_original")
    model, contract = definition.build(ModelSpec()), definition.contract(ModelSpec())
    model.get_layer("conv2").set_weights([np.zeros((3, 3, 256, 4)), np.zeros(4)])
    inputs = random_inputs(contract, 8, 8)
    found = serve_network(model, contract).predict(inputs)["s2_estim"]
    np.testing.assert_allclose(found, inputs["s2_t"] / 10000.0, rtol=1e-6)


def test_networks_are_written_without_tensorflow() -> None:
    """Their definition must not depend on the backend, nor the look-up of contracts on Keras."""
    folder = Path(registry.__file__).parent
    files = ("assemble", "blocks", "crga", "dates", "fitted", "gapfilling", "keys", "kriging")
    for name in (
        *files,
        "meraner",
        "model",
        "monthly",
        "normalise",
        "registry",
        "residual",
        "trunks",
    ):
        statements = ast.parse((folder / f"{name}.py").read_text()).body
        imports = [s for s in statements if isinstance(s, ast.Import | ast.ImportFrom)]
        assert not any("tensorflow" in ast.unparse(statement) for statement in imports), name
    code = (
        "import sys, decloud_lib.models.registry, decloud_lib.models; "
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
