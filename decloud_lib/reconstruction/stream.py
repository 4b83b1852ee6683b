"""The streaming reconstruction: read ahead, network, finish and write behind, window by window.

Memory follows from the window, the batch and the queues, not from the size of the scene.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from decloud_lib.progress import track
from decloud_lib.reconstruction.blend import Writer
from decloud_lib.reconstruction.finish import Finisher
from decloud_lib.reconstruction.network import Estimator, Tiling
from decloud_lib.reconstruction.pipeline import ReadAhead, Reader, WriteBehind
from decloud_lib.types import Array, Window

logger = logging.getLogger(__name__)

NEIGHBOURS = 2
"""Windows in a row that one reader takes: the toolbox finds blocks of the first in its cache."""

Inputs = dict[str, Array]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Target:
    """One output of the network, on its way to a file."""

    finish: Finisher
    """Makes the pixels."""
    writer: Writer
    """Takes them, in the order of the windows."""
    output: int = 0
    """Number of the output of the network that it is made of."""


def run(
    readers: Sequence[Reader[Window, Inputs]],
    estimator: Estimator,
    targets: Sequence[Target],
    batches: Sequence[Sequence[Window]],
    tiling: Tiling,
) -> float:
    """Run all windows through the network.

    Parameters
    ----------
    readers
        One per reading thread.
    estimator
        The network, or what takes its place.
    targets
        Where its outputs go.
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
        ReadAhead(readers, depth=largest + len(readers), run=NEIGHBOURS) as ahead,
        WriteBehind(depth=largest + 1) as behind,
    ):
        readings = ahead.results(jobs)
        for batch in track(batches, len(batches), "reconstruct", "batch", _pixels):
            behind.check()
            inputs = list(islice(readings, len(batch)))
            estimates = estimator([tiling.read_window(window) for window in batch], inputs)
            for number, (window, taken) in enumerate(zip(batch, inputs, strict=True)):
                own = [estimate[number] for estimate in estimates]
                area = window.expanded(tiling.overlap_px)
                behind.put(partial(_write, targets, area, own, taken))
    seconds = time.monotonic() - start
    written = sum(_pixels(batch) for batch in batches)
    computed = _pixels(jobs)
    logger.info(
        "%.2f Mpixel in %.1f s: %.3f Mpixel/s; %.2f pixels computed per pixel written",
        written / 1e6,
        seconds,
        written / 1e6 / max(seconds, 1e-9),
        computed / written,
    )
    return seconds


def _pixels(batch: Sequence[Window]) -> int:
    return sum(window.height * window.width for window in batch)


def gathered(
    readers: Sequence[Reader[Window, Inputs]],
    work: Callable[[Reader[Window, Inputs], Window], Found],
    windows: Sequence[Window],
    label: str,
) -> Iterator[Found]:
    """Yield what is found in each window, in their order; each reading thread also does the work.

    Parameters
    ----------
    readers
        One per thread.
    work
        Reads what it needs of a window, and makes something small out of it.
    windows
        Where to work.
    label
        What it is for, shown as progress.
    """
    workers = [_Worker(reader, work) for reader in readers]
    with ReadAhead(workers, depth=2 * len(workers)) as ahead:
        yield from track(ahead.results(windows), len(windows), label, "window")


@dataclass(frozen=True, slots=True)
class _Worker(Generic[Found]):
    reader: Reader[Window, Inputs]
    work: Callable[[Reader[Window, Inputs], Window], Found]

    def read(self, window: Window) -> Found:
        return self.work(self.reader, window)

    def close(self) -> None:
        self.reader.close()


def _write(
    targets: Sequence[Target],
    window: Window,
    estimates: Sequence[Array],
    inputs: Mapping[str, Array],
) -> None:
    for target in targets:
        place = target.finish.place(window)
        if min(place.shape) > 0:  # a last row of 10 m pixels alone is no 20 m pixel
            pixels = target.finish(window, estimates[target.output], inputs)
            target.writer.write(place, pixels)
