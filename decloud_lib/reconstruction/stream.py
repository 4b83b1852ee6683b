"""The streaming reconstruction: read ahead, network, finish and write behind, window by window.

Memory follows from the window, the batch and the queues, not from the size of the scene.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Protocol

from decloud_lib.progress import track
from decloud_lib.reconstruction.finish import Finish
from decloud_lib.reconstruction.network import Caller, Tiling
from decloud_lib.reconstruction.pipeline import ReadAhead, Reader, WriteBehind
from decloud_lib.types import Array, Window

logger = logging.getLogger(__name__)

Inputs = dict[str, Array]


class Writer(Protocol):
    """Where finished windows go."""

    def write(self, window: Window, pixels: Array) -> None:
        """Write (H, W, C) pixels."""


def run(
    readers: Sequence[Reader[Window, Inputs]],
    caller: Caller,
    finish: Finish,
    writer: Writer,
    batches: Sequence[Sequence[Window]],
    tiling: Tiling,
) -> float:
    """Run all windows through the network.

    Parameters
    ----------
    readers
        One per reading thread.
    caller
        The network.
    finish
        Makes output pixels of estimates.
    writer
        Takes the output, in the order of the windows.
    batches
        The windows to write, as `Tiling.batches` gives them.
    tiling
        Says what to read for a window.

    Returns
    -------
    Seconds spent.
    """
    start = time.monotonic()
    largest = max(len(batch) for batch in batches)
    jobs = [tiling.read_window(window) for batch in batches for window in batch]
    with (
        ReadAhead(readers, depth=largest + len(readers)) as ahead,
        WriteBehind(depth=largest + 1) as behind,
    ):
        readings = ahead.results(jobs)
        for batch in track(batches, len(batches), "reconstruct", "batch"):
            behind.check()
            inputs = list(islice(readings, len(batch)))
            estimates = caller(inputs)
            for window, estimate, taken in zip(batch, estimates, inputs, strict=True):
                behind.put(partial(_write, writer, finish, window, (estimate, taken)))
    seconds = time.monotonic() - start
    written = sum(window.height * window.width for batch in batches for window in batch)
    computed = sum(window.height * window.width for window in jobs)
    logger.info(
        "%.2f Mpixel in %.1f s: %.3f Mpixel/s; %.2f pixels computed per pixel written",
        written / 1e6,
        seconds,
        written / 1e6 / max(seconds, 1e-9),
        computed / written,
    )
    return seconds


def _write(
    writer: Writer, finish: Finish, window: Window, result: tuple[Array, Mapping[str, Array]]
) -> None:
    writer.write(window, finish(window, *result))
