"""Squares on the ground of boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.arrays.footprints import touched_squares

SIDE = 640.0
corners = st.integers(-30, 60).map(lambda tens: tens * 64.0)


@given(
    boxes=st.lists(st.tuples(corners, corners, st.integers(1, 20), st.integers(1, 20)), max_size=6),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_squares_are_those_that_plain_loops_find(boxes, shape):
    left, top = 1000.0, 5000.0
    given_boxes = np.array(
        [
            (left + x, top - y - 64 * high, left + x + 64 * wide, top - y)
            for x, y, wide, high in boxes
        ]
    ).reshape(-1, 4)
    expected = []
    for number, (west, south, east, north) in enumerate(given_boxes):
        for row in range(shape[0]):
            for col in range(shape[1]):
                x, y = left + col * SIDE, top - row * SIDE
                if west < x + SIDE and east > x and north > y - SIDE and south < y:
                    expected.append((number, row * shape[1] + col))
    box, square = touched_squares(given_boxes, (left, top), SIDE, shape)
    assert list(zip(box.tolist(), square.tolist(), strict=True)) == expected
