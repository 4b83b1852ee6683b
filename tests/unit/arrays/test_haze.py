"""What is far brighter in the blue than expected is cloud that a mask has missed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decloud_lib.arrays.haze import mostly, unmasked_cloud


@pytest.mark.parametrize(
    ("blue", "red", "days", "cloudy"),
    [
        (0.031, 0.031, 0, True),
        (0.029, 0.029, 0, False),
        (0.049, 0.049, 20, False),  # 0.03 + 0.02
        (0.051, 0.051, 20, True),
        (0.040, 0.061, 0, False),  # ploughed
        (0.040, 0.059, 0, True),
        (-0.2, -0.2, 0, False),  # shadow
        (0.5, 0.5, np.inf, False),  # nothing to compare with
    ],
)
def test_the_test_of_hagolle(blue: float, red: float, days: float, cloudy: bool) -> None:
    expected = np.array([[[0.05, 0.07]]])
    seen = expected + np.array([blue, red])
    assert unmasked_cloud(seen, expected, np.array([[days]])).tolist() == [[cloudy]]


def test_what_lies_between_cloudy_pixels_is_cloudy() -> None:
    clear = np.ones((40, 40), bool)
    clear[:, 30:] = False
    cloudy = np.zeros_like(clear)
    cloudy[:, :15] = True
    cloudy[::4, ::4] ^= clear[::4, ::4]
    found = mostly(cloudy, clear)
    assert found[:, :12].all()
    assert not found[:, 20:].any()


@given(hnp.arrays(bool, (13, 17)), hnp.arrays(bool, (13, 17)), st.integers(0, 3))
def test_only_clear_pixels_count(cloudy: np.ndarray, clear: np.ndarray, turns: int) -> None:
    found = mostly(cloudy & clear, clear)
    assert not (found & ~clear).any()
    turned = mostly(np.rot90(cloudy & clear, turns), np.rot90(clear, turns))
    assert (turned == np.rot90(found, turns)).all()
