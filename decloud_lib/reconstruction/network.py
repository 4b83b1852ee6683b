"""How windows go through a network: the plan of windows and margins, and the call."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import lcm
from typing import Protocol

import numpy as np

from decloud_lib.arrays.windows import partition, partition_evenly, rounded_up
from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.models.contract import ModelContract, ModelOutput
from decloud_lib.models.runtimes import ReadyModel
from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.reconstruction.blend import OVERLAP_PX
from decloud_lib.types import Array, Window

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an extent is cut up for a network."""

    window_px: int
    """Side of a window that is written, pixels."""
    margin_px: int
    """Context on each side of it, pixels."""
    multiple_px: int
    """Edge windows are computed at a size that is a multiple of this."""
    overlap_px: int = 0
    """How far windows are estimated beyond their border, to be mixed with their neighbours; what is
    estimated has the margin around it."""

    def widened(self, reach_px: int) -> "Tiling":
        """Return the tiling with a margin of at least `reach_px`."""
        margin = max(self.margin_px, -(-reach_px // self.multiple_px) * self.multiple_px)
        return replace(self, margin_px=margin)

    def windows(self, shape: tuple[int, int]) -> list[Window]:
        """Return the windows to write, row by row.

        Where they overlap each has an estimate of its own, and a small one a worse estimate.
        """
        if self.overlap_px:
            return partition_evenly(shape, self.window_px, self.multiple_px)
        return partition(shape, self.window_px)

    def batches(self, shape: tuple[int, int], batch_size: int) -> list[list[Window]]:
        """Return the windows to write in batches that are computed at one shape."""
        groups = groupby(
            self.windows(shape), lambda window: rounded_up(window, self.multiple_px).shape
        )
        same = [list(group) for _, group in groups]
        return [
            group[first : first + batch_size]
            for group in same
            for first in range(0, len(group), batch_size)
        ]

    def computed_px(self, shape: tuple[int, int]) -> int:
        """Return how many pixels are computed for an extent; some of them several times."""
        rows, cols = self._axes(shape)
        return sum(area.height for area in rows) * sum(area.width for area in cols)

    def largest_px(self, shape: tuple[int, int]) -> int:
        """Return how many pixels the largest window has that is read."""
        rows, cols = self._axes(shape)
        return max(area.height for area in rows) * max(area.width for area in cols)

    def decoded_px(self, shape: tuple[int, int]) -> int:
        """Return how many pixels of the files are decoded for an extent: whole blocks, each time.

        It is what counts where hardly anything is computed.
        """
        rows, cols = self._axes(shape)
        height = sum(_blocks_px(area.row, area.height, shape[0]) for area in rows)
        return height * sum(_blocks_px(area.col, area.width, shape[1]) for area in cols)

    def _axes(self, shape: tuple[int, int]) -> tuple[list[Window], list[Window]]:
        """Return what is read of the first column of an extent, and of its first row."""
        ends = self.windows((shape[0], 1)), self.windows((1, shape[1]))
        rows, cols = ([self.read_window(window) for window in axis] for axis in ends)
        return rows, cols

    def read_window(self, window: Window) -> Window:
        """Return what the network needs to see for one window."""
        around = self.margin_px + self.overlap_px
        return rounded_up(window, self.multiple_px).expanded(around)


def _blocks_px(start: int, size: int, whole: int) -> int:
    """Return the length of the blocks that a part of an axis touches."""
    first = max(start, 0) // BLOCK_PX * BLOCK_PX
    return min(-(-min(start + size, whole) // BLOCK_PX) * BLOCK_PX, whole) - first


def make_tiling(contract: ModelContract, window_px: int | None, margin_px: int | None) -> Tiling:
    """Check window and margin against a network.

    Both must be multiples of the network's total stride, each for itself: the windows then fall on
    the same phase of its strides, and the tiled result equals that of the whole image.

    Parameters
    ----------
    contract
        The network; its margin is the default.
    window_px, margin_px
        Side of a window and margin, pixels. None: the smallest window; the contract's margin.

    Raises
    ------
    ConfigError
        One of them is no multiple.
    """
    # 20 m inputs need even windows even where the network itself has no stride.
    multiple = lcm(contract.stride, *(item.factor for item in contract.inputs))
    window = multiple if window_px is None else window_px
    margin = contract.margin_px if margin_px is None else margin_px
    if margin_px is None:
        margin = -(-margin // multiple) * multiple
    for name, value in (("--ts", window), ("--pad", margin)):
        if value % multiple:
            raise ConfigError(
                f"{name} {value} is no multiple of {multiple}, the stride of the model "
                f"{contract.name}; use {value - value % multiple or multiple} or "
                f"{value + multiple - value % multiple}"
            )
    if margin < contract.reach_px:
        logger.warning(
            "--pad %d is less than the %d px that the model %s looks around each pixel: borders of "
            "windows may show; leave --pad out for %d px, which is seamless",
            margin,
            contract.reach_px,
            contract.name,
            -(-contract.margin_px // multiple) * multiple,
        )
    overlap = -(-OVERLAP_PX // multiple) * multiple if contract.in_context else 0
    return Tiling(window, margin, multiple, overlap)


class Estimator(Protocol):
    """Estimates windows: a network, or a formula."""

    @property
    def input_keys(self) -> tuple[str, ...]:
        """What it must be given."""

    @property
    def outputs(self) -> tuple[ModelOutput, ...]:
        """What it gives: 10 m bands, then 20 m bands where it has them."""

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        """Estimate a batch.

        Parameters
        ----------
        windows
            Where the readings were taken, margin included.
        readings
            Per window, (H, W, C) stored values by key, all of one shape.

        Returns
        -------
        (N, H, W, C) float32 reflectance of each output, in their order.
        """


class Caller:
    """Calls a network on a batch of windows.

    Attributes
    ----------
    input_keys : tuple of str
        What it must be given.
    outputs : tuple of ModelOutput
        What it gives: 10 m bands, then 20 m bands where the network has them.
    tensors : tuple of str
        What a call returns: the estimate of each output, then, of those that have one, the expected
        absolute error.

    A network takes one date per sample, while a mosaic has one per pixel. Where the pixels of a
    network do not look at each other, each becomes a sample of 1 x 1 px.

    Raises
    ------
    ModelFolderError
        The network gives something else.
    """

    def __init__(self, network: ReadyModel) -> None:
        contract = network.contract
        self._network = network
        self._dates = frozenset(item.key for item in contract.inputs if not item.bands)
        self.input_keys = contract.input_keys
        self.outputs = contract.outputs
        if [item.factor for item in self.outputs] not in ([1], [1, 2]):
            found = ", ".join(f"{item.tensor} at {10 * item.factor} m" for item in self.outputs)
            raise ModelFolderError(
                f"model {contract.name} gives {found}; expected one output at 10 m, "
                "and at most one more at 20 m"
            )
        errors = (item.scale_tensor for item in self.outputs)
        self.tensors = (*(item.tensor for item in self.outputs), *(name for name in errors if name))

    def __call__(
        self, windows: Sequence[Window], readings: Sequence[Mapping[str, Array]]
    ) -> list[Array]:
        """Estimate a batch; see `Estimator`.

        Raises
        ------
        ModelFolderError
            The network looks at more than one pixel, and these have several dates.
        """
        del windows
        stacked = {
            key: (_seconds if key in self._dates else _stacked)([each[key] for each in readings])
            for key in self.input_keys
        }
        if all(stacked[key].shape[1:] == (1, 1, 1) for key in self._dates):
            numbers = {key: stacked[key].reshape(-1) for key in self._dates}
            found = self._network.predict(stacked | numbers)
            return [found[tensor] for tensor in self.tensors]
        self._check_pixels()
        shape = next(value.shape[:3] for key, value in stacked.items() if key not in self._dates)
        pixels = {
            key: np.broadcast_to(value, (*shape, 1)).reshape(-1)
            if key in self._dates
            else value.reshape(-1, 1, 1, value.shape[3])
            for key, value in stacked.items()
        }
        found = self._network.predict(pixels)
        return [found[tensor].reshape(*shape, -1) for tensor in self.tensors]

    def _check_pixels(self) -> None:
        contract = self._network.contract
        same_size = all(item.factor == 1 for item in contract.inputs)
        if contract.reach_px or contract.stride != 1 or not same_size:
            raise ModelFolderError(
                f"model {contract.name} takes one date per sample ({', '.join(sorted(self._dates))}"
                f") but looks {contract.reach_px} px around each pixel; a mosaic of several dates "
                "cannot be given to it: use a model without dates"
            )


def _seconds(times_ms: Sequence[Array]) -> Array:
    """Return times as samples have them: a network may look at how many days lie between dates."""
    return np.stack(times_ms).astype(np.float64) / 1000.0


def _stacked(arrays: Sequence[Array]) -> Array:
    """Return a batch as it was read: the network turns one input after the other into its type."""
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
