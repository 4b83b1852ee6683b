import numpy as np
import pytest

from decloud_lib.arrays.stretch import draw_sample_image, stretch_optical, stretch_radar


@pytest.mark.parametrize(
    ("dn", "expected"),
    [(-10000, 0), (0, 0), (1000, 115), (1999, 230), (2000, 230), (10000, 255), (16000, 255)],
)
def test_reflectances_have_the_documented_grey(dn: int, expected: int) -> None:
    assert stretch_optical(np.array([dn]))[0] == expected


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (10000, 0), (65535, 255), (37768, 128)])
def test_backscatter_has_the_documented_grey(value: int, expected: int) -> None:
    assert stretch_radar(np.array([value], np.uint16))[0] == expected


def test_images_are_drawn_by_the_kind_of_their_key() -> None:
    bands = np.tile([100, 200, 300, 4000], (2, 3, 1))  # B2 B3 B4 B8
    np.testing.assert_array_equal(draw_sample_image("s2_t", bands)[0, 0], [34, 23, 12])
    radar = np.full((2, 3, 2), 65535) - [0, 60000]
    np.testing.assert_array_equal(draw_sample_image("s1_tm1", radar), np.full((2, 3), 255))
    ground = np.arange(100, 106).reshape(2, 3, 1)
    assert draw_sample_image("dem", ground).tolist() == [[0, 51, 102], [153, 204, 255]]
    assert draw_sample_image("dem", np.full((2, 2, 1), 7)).max() == 0
    mask = np.array([[[0], [3]]])
    assert draw_sample_image("s2_cld10m_t", mask).tolist() == [[0, 255]]
    fine = np.array([[[500, 600, 1, 2, 3, 400]]])  # B11 B12 B5 B6 B7 B8A
    np.testing.assert_array_equal(draw_sample_image("s2_20m_t", fine)[0, 0], [58, 46, 0])
