"""Images cut into square blocks that overlap, worked on one after the other, and put together."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from keras import KerasTensor, ops

from decloud_lib.types import Array


@dataclass(frozen=True)
class Cut:
    """How an image is cut."""

    block_px: int
    overlap_px: int
    """Over which neighbouring blocks fade into each other, at most half a block."""
    spacing_px: int
    """From one landmark to the next, both ways."""

    @property
    def step_px(self) -> int:
        """From one block to the next."""
        return self.block_px - self.overlap_px

    @property
    def n_landmarks(self) -> int:
        """Landmarks of a block."""
        return int(self.landmarks.size)

    @cached_property
    def landmarks(self) -> Array:
        """(L,) places of the landmarks among the pixels of a block."""
        pixels = np.arange(self.block_px**2).reshape(self.block_px, self.block_px)
        first = self.spacing_px // 2
        return pixels[first :: self.spacing_px, first :: self.spacing_px].ravel()

    @cached_property
    def fading(self) -> Array:
        """(block, block, 1) float32: 1 in the middle, falling to about 0 at the border."""
        place = np.arange(self.block_px) + 0.5
        along = np.minimum(np.minimum(place, self.block_px - place) / self.overlap_px, 1.0)
        return np.asarray(along[:, None] * along[None], np.float32)[..., None]

    def distances(self) -> KerasTensor:
        """Return (P, L) float32 distances of all pixels of a block to its landmarks, pixels.

        Computed in the graph: as a constant of a large cut they would be 17 MB, of which TensorFlow
        keeps a dozen copies.
        """
        places = ops.arange(self.block_px, dtype="float32")
        along = ops.square(places[:, None] - places[self.spacing_px // 2 :: self.spacing_px])
        squares = along[:, None, :, None] + along[None, :, None, :]
        return ops.sqrt(ops.reshape(squares, (self.block_px**2, self.n_landmarks)))

    def over(
        self, image: KerasTensor, work: Callable[[KerasTensor], KerasTensor], channels: int
    ) -> KerasTensor:
        """Work on all blocks of an image, one after the other, which bounds the memory.

        Parameters
        ----------
        image : (N, H, W, C)
            0 stands beyond its border.
        work
            (N, block, block, C) -> (N, block, block, `channels`).
        channels
            Of what it returns.

        Returns
        -------
        (N, H, W, `channels`), weighted means where blocks overlap.
        """
        count, height, width, depth = ops.shape(image)
        rows, cols = self._steps(height), self._steps(width)
        missing = [
            steps * self.step_px + self.overlap_px - side
            for steps, side in ((rows, height), (cols, width))
        ]
        image = ops.pad(image, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))

        def next_block(_: KerasTensor, place: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
            start = (0, place // cols * self.step_px, place % cols * self.step_px, 0)
            found = work(ops.slice(image, start, (*size, depth)))
            weighted = [found * fading, ops.ones_like(found[..., :1]) * fading]
            found = ops.concatenate(weighted, axis=-1)
            return found, found

        size, fading = (count, self.block_px, self.block_px), ops.convert_to_tensor(self.fading)
        # The scan of TensorFlow wants what is carried to look like what is found.
        first = ops.zeros_like(image[:, :1, :1, :1]) * ops.ones((*size[1:], channels + 1))
        found = ops.scan(next_block, first, ops.arange(rows * cols))[1]
        found = ops.reshape(found, (rows, cols, *size, channels + 1))
        found = ops.transpose(found, (2, 0, 3, 1, 4, 5))
        merged = self._merged(self._merged(found, cols, axis=3), rows, axis=1)
        merged = merged[:, :height, :width]
        return merged[..., :-1] / merged[..., -1:]

    def _steps(self, side: KerasTensor) -> KerasTensor:
        """Return the number of blocks along a side.

        That of a side that is known is a number too, which some backends need.
        """
        count = -(-(side - self.overlap_px) // self.step_px)
        return max(count, 1) if isinstance(count, int) else ops.maximum(count, 1)

    def _merged(self, blocks: KerasTensor, count: KerasTensor, axis: int) -> KerasTensor:
        """Add up blocks along an axis: (..., count, block, ...) to one axis."""
        shape = ops.shape(blocks)
        first, last = ops.split(blocks, [self.step_px], axis=axis + 1)
        before, after = ([(0, 0)] * len(shape) for _ in range(2))
        before[axis], after[axis] = (0, 1), (1, 0)
        after[axis + 1] = (0, self.step_px - self.overlap_px)
        both = ops.pad(first, before) + ops.pad(last, after)
        return ops.reshape(both, (*shape[:axis], (count + 1) * self.step_px, *shape[axis + 2 :]))
