"""Samples straight from the rasters to a framework, without records in between."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from decloud_lib.samples.schema import SampleSchema
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.patches import areas, read_area
from decloud_lib.sampling.rasters import OpenRasters
from decloud_lib.types import Array

if TYPE_CHECKING:
    import tensorflow as tf


class SampleStream:
    """Drawn samples, read while earlier ones are used; each pass has the drawn order.

    Parameters
    ----------
    drawn
        What to read.
    schema
        What a sample holds.
    buffer
        Samples that are read together, while as many are used.

    Attributes
    ----------
    waited_s : float
        How long whoever uses the samples has waited for them, seconds, over all passes.
    """

    def __init__(self, drawn: DrawnSamples, schema: SampleSchema, buffer: int = 128) -> None:
        self._drawn, self._schema, self._buffer = drawn, schema, buffer
        self.waited_s = 0.0

    def __len__(self) -> int:
        return len(self._drawn)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Yield the arrays of each sample by key, in the order of the schema."""
        rasters, begins = OpenRasters(self._drawn.indexes), range(0, len(self), self._buffer)
        # One thread opens, reads and closes: an open raster belongs to its thread.
        with ThreadPoolExecutor(1) as reader:
            reader.submit(rasters.__enter__).result()
            try:
                ahead = reader.submit(self._read, rasters, 0)
                for begin in begins:
                    start = time.perf_counter()
                    samples = ahead.result()
                    self.waited_s += time.perf_counter() - start
                    ahead = reader.submit(self._read, rasters, begin + self._buffer)
                    yield from samples
            finally:
                reader.submit(rasters.__exit__).result()

    def batches(
        self, input_keys: Sequence[str], target_keys: Sequence[str], batch: int
    ) -> "tf.data.Dataset":
        """Return batches of (inputs, targets), as records give them; see `read_dataset`."""
        from decloud_lib.samples.dataset import stream_dataset

        return stream_dataset(self, self._schema, input_keys, target_keys, batch)

    def _read(self, rasters: OpenRasters, begin: int) -> list[dict[str, Array]]:
        numbers = np.arange(begin, min(begin + self._buffer, len(self)))
        found: dict[int, dict[str, Array]] = {}
        for area in areas(self._drawn, numbers):
            for sample, arrays in read_area(rasters, self._drawn, area, self._schema):
                # Copies: a window would keep the whole array that it is cut from.
                found[sample] = {key: arrays[key].copy() for key in self._schema.keys}
        return [found[number] for number in numbers.tolist()]
