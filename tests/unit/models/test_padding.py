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
