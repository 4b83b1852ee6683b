"""Going through a raster by strips."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib.raster.streaming import read_ahead, strip_rows, strips
from decloud_lib.types import Grid


@given(st.integers(1, 2000), st.integers(1, 700))
def test_strips_cover_each_row_once(height, rows):
    windows = strips(Grid("EPSG:32631", 0, 0, 10, height, 5), rows)
    covered = [row for window in windows for row in range(window.row, window.row + window.height)]
    assert covered == list(range(height))
    assert {window.width for window in windows} == {5}
    assert {window.height for window in windows[:-1]} <= {rows}


@pytest.mark.parametrize(
    ("blocks", "expected"), [([1, 1], 256), ([512, 256], 512), ([1000], 1024), ([10980, 64], 256)]
)
def test_strips_cover_whole_blocks_of_input_and_output(blocks, expected):
    assert strip_rows((256, 64), blocks) == expected


def test_reading_runs_ahead_by_one_and_in_order():
    started = []
    reads = read_ahead(range(5), lambda item: started.append(item) or item * 10)
    for position, (item, result) in enumerate(reads):
        assert (item, result) == (position, position * 10)
        assert len(started) <= position + 2
    assert started == list(range(5))


def test_errors_of_reading_are_raised():
    def fail(item):
        if item == 2:
            raise ValueError("item 2")
        return item

    reads = read_ahead(range(5), fail)
    assert [next(reads), next(reads)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="item 2"):
        next(reads)


def test_stopping_early_leaves_no_thread():
    before = threading.active_count()
    reads = read_ahead(range(100), lambda item: item)
    next(reads)
    reads.close()
    assert threading.active_count() == before
    assert list(read_ahead([], int)) == []
