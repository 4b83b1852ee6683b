"""Convolutions: TensorFlow's padding, on which published weights rely; sums over parts."""

import keras
import numpy as np
import pytest

from decloud_lib.models import registry
from decloud_lib.models.blocks import SharedLayers
from decloud_lib.models.keys import kind_of


def test_a_strided_convolution_pads_below_and_right_only() -> None:
    layer = SharedLayers().conv("c", 1, 3, stride=2, activation=None)
    layer.build((1, 6, 6, 1))
    layer.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    found = layer(np.ones((1, 6, 6, 1), "float32")).numpy()[0, ..., 0]
    assert found.tolist() == [[9, 9, 6], [9, 9, 6], [6, 6, 4]]


def test_a_transposed_convolution_drops_the_last_row_and_column() -> None:
    layer = SharedLayers().deconv("d", 1)
    layer.build((1, 3, 3, 1))
    kernel = np.arange(1.0, 10.0).reshape(3, 3, 1, 1)
    layer.set_weights([kernel, np.zeros(1)])
    image = np.arange(1.0, 10.0, dtype="float32").reshape(3, 3)
    full = np.zeros((7, 7))
    for row in range(3):
        for col in range(3):
            full[2 * row : 2 * row + 3, 2 * col : 2 * col + 3] += (
                image[row, col] * kernel[..., 0, 0]
            )
    found = layer(image[None, ..., None]).numpy()[0, ..., 0]
    np.testing.assert_allclose(found, full[:6, :6])


def test_a_name_asked_twice_is_one_layer() -> None:
    layers = SharedLayers()
    assert layers.conv("c", 4, 3) is layers.conv("c", 4, 3)


@pytest.mark.parametrize(("kind", "stride"), [("conv", 1), ("deconv", 1), ("deconv", 2)])
def test_a_sum_over_parts_is_the_convolution_of_their_concatenation(kind: str, stride: int) -> None:
    rng = np.random.default_rng(3)
    inputs = [keras.Input((9, 7, bands)) for bands in (3, 1, 5)]
    if kind == "conv":
        joined = SharedLayers().joined_conv("last", 4, 5, channels=9)
        whole = SharedLayers().conv("last", 4, 5, activation=None)
    else:
        joined = SharedLayers().joined_deconv("last", 4, channels=9, stride=stride)
        whole = SharedLayers().deconv("last", 4, stride)
        whole.activation = None
    for part in inputs:
        joined.add(part)
    model = keras.Model(inputs, joined.total)
    parts = [rng.random((2, *each.shape[1:])).astype("float32") for each in inputs]
    assert model(parts).shape == whole(np.concatenate(parts, axis=-1)).shape
    weights = [rng.random(weight.shape).astype("float32") for weight in whole.get_weights()]
    assert [weight.path for weight in model.weights] == [weight.path for weight in whole.weights]
    for each in (model, whole):
        each.set_weights(weights)
    found, expected = model(parts), whole(np.concatenate(parts, axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_date_is_computed_after_the_other() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    model = registry.get("crga_os2_david").build(registry.ModelSpec())
    specs = {
        key: tensorflow.TensorSpec((1, 8 // kind_of(key).factor, 8 // kind_of(key).factor, bands))
        for key, bands in ((key, model.input[key].shape[-1]) for key in model.input)
    }
    graph = tensorflow.function(model).get_concrete_function(specs).graph
    waits = [node for node in graph.get_operations() if "/after" in node.name]
    # The second and the third date, each for all that the one before gives to the decoder.
    assert [[node.type for node in each.control_inputs] for each in waits] == [["AddV2"], ["AddV2"]]
