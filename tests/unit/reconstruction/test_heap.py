"""Free memory goes back to the system."""

import sys
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.reconstruction import heap


@pytest.mark.skipif(
    sys.platform != "linux" or not list(Path("/lib").glob("*/libc.so.6")), reason="needs glibc"
)
def test_what_lies_below_something_in_use_goes_back() -> None:
    arrays = [np.ones(60_000, np.uint8) for _ in range(4000)]
    kept = arrays[-1]
    arrays.clear()
    before = _resident_mb()
    heap.give_back()
    assert before - _resident_mb() > 200
    assert kept.all()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
