import keras
import numpy as np
import pytest
from keras import ops

from decloud_lib.models.cutting import Cut

CUT = Cut(block_px=16, overlap_px=4, spacing_px=4)


@pytest.mark.parametrize("shape", [(16, 16), (5, 9), (12, 40), (41, 17), (64, 65)])
def test_what_does_not_depend_on_the_block_comes_back_whole(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype("float32")
    found = CUT.over(ops.convert_to_tensor(image), lambda block: 2.0 * block[..., :2], 2)
    np.testing.assert_allclose(np.asarray(found), 2.0 * image[..., :2], rtol=1e-5, atol=1e-6)


def test_images_of_a_size_that_is_not_known_beforehand_are_cut_too() -> None:
    inputs = keras.Input((None, None, 1))

    class Twice(keras.layers.Layer):  # type: ignore[misc]
        def call(self, image: keras.KerasTensor) -> keras.KerasTensor:
            return CUT.over(image, lambda block: 2.0 * block, 1)

        def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor:
            return keras.KerasTensor(image.shape)

    model = keras.Model(inputs, Twice()(inputs))
    for shape in ((20, 33), (16, 8)):
        image = np.random.default_rng(1).normal(size=(1, *shape, 1)).astype("float32")
        found = model.predict(image, verbose=0)
        np.testing.assert_allclose(found, 2.0 * image, rtol=1e-5)


def test_blocks_fade_into_each_other() -> None:
    image = np.zeros((1, 16, 28, 1), "float32")
    image[0, :, 20:] = 1.0  # only the second block, columns 12 to 27, sees it
    found = CUT.over(ops.convert_to_tensor(image), lambda block: block + ops.max(block), 1)
    row = np.asarray(found)[0, 0, :, 0]
    np.testing.assert_allclose(row[:12], 0.0)
    np.testing.assert_allclose(row[12:16], [0.125, 0.375, 0.625, 0.875], rtol=1e-5)
    np.testing.assert_allclose(row[16:20], 1.0, rtol=1e-6)


def test_landmarks_stand_in_the_middle_of_their_squares() -> None:
    assert CUT.n_landmarks == 16
    assert CUT.landmarks[:5].tolist() == [2 * 16 + 2, 2 * 16 + 6, 2 * 16 + 10, 2 * 16 + 14, 98]
    distances = np.asarray(CUT.distances())
    assert distances.shape == (256, 16)
    assert distances[CUT.landmarks].diagonal().tolist() == [0.0] * 16
    assert distances[0, 0] == pytest.approx(np.hypot(2, 2))
    assert distances[255, 1] == pytest.approx(np.hypot(13, 9))
