"""The published weights rely on TensorFlow's padding."""

import numpy as np

from decloud_lib.models.blocks import SharedLayers


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


def test_a_convolution_of_joined_tensors_is_that_of_their_concatenation() -> None:
    rng = np.random.default_rng(3)
    parts = [rng.random((2, 9, 7, bands)).astype("float32") for bands in (3, 1, 5)]
    joined = SharedLayers().joined_conv("last", 4, 5)
    whole = SharedLayers().conv("last", 4, 5, activation=None)
    assert joined(parts).shape == whole(np.concatenate(parts, axis=-1)).shape
    weights = [rng.random(weight.shape).astype("float32") for weight in whole.get_weights()]
    assert [weight.path for weight in joined.weights] == [weight.path for weight in whole.weights]
    for layer in (joined, whole):
        layer.set_weights(weights)
    found, expected = joined(parts), whole(np.concatenate(parts, axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
