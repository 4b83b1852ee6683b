"""How much memory a reconstruction takes, and the windows that a limit allows.

The memory of a forward pass comes from a table that `python -m benchmarks.budget` measures; the
rest is counted: what is read ahead, what waits to be written, rows of overlapping windows.
"""

import json
import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from math import lcm
from pathlib import Path
from typing import Any

from decloud_lib.bands import S2_10M_BANDS
from decloud_lib.errors import ConfigError
from decloud_lib.models.contract import ModelContract, ModelInput
from decloud_lib.raster.write import BLOCK_PX
from decloud_lib.reconstruction.closed_form import CONTRACTS
from decloud_lib.reconstruction.five_dates import takes_five_dates
from decloud_lib.reconstruction.network import Tiling

logger = logging.getLogger(__name__)

TABLE = Path(__file__).with_name("budgets.json")
#: Largest window that is chosen, 10 m pixels; larger ones save little and fill the pipeline badly.
LARGEST_PX = 1024
#: Smaller windows are chosen only where the memory asks for it: blocks would be read twice.
_LEAST_PX = 512
_STEP_PX = 16
#: A smaller window is taken that computes no more than this beyond the least possible.
_SLACK = 1.02
#: Copies of a window that a reader holds while it composes dates, beside what it gives.
_COMPOSING = 2
_UNCOUNTED = 1.05
_WORKING_MB = {"numpy": 80.0, "tensorflow": 200.0}
"""What libraries keep while they work, beyond what is counted."""
_OTB_MB = 230.0
"""What a reader of the Orfeo ToolBox takes beyond one of rasterio, in this process or its own."""
_WEIGHTS = 2.0
"""How often weights count, chosen like the working memory so that no peak that was seen passes the
plan, of a series either: the heap grows with the windows. docs/reconstruction.md has both."""
WINDOW_CACHE_MB = 16
"""GDAL's block cache: readers that take windows in turn find next to nothing in a larger one, and
its small blocks scatter the heap (docs/decisions/0024-block-cache-of-windows.md)."""


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """Return what was measured.

    Returns
    -------
    Name of a network -> `weights_mb`, and `windows`: pairs of side (px) and memory (10^6 bytes) of
    the forward pass of one window. `processes` -> memory of a process that has loaded nothing yet.
    """
    content: dict[str, Any] = json.loads(TABLE.read_text())
    return content


@dataclass(frozen=True, slots=True)
class Load:
    """What runs at the same time."""

    batch_size: int = 1
    readers: int = 2
    dates: int = 1
    """Dates of a series under way: one uses the network, others are read or written."""
    otb: bool = False
    """The Orfeo ToolBox reads."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a reconstruction at its peak, 10^6 bytes."""

    process: float
    """Libraries and weights."""
    forward: float
    """Forward pass of a batch."""
    waiting: float
    """Windows that were read ahead, are being read, or wait to be written; the block cache; what
    overlaps."""

    @property
    def total(self) -> float:
        """All of it, and what nobody counts: buffers of libraries, gaps between freed blocks."""
        return _UNCOUNTED * (self.process + self.forward + self.waiting)


def memory_of(
    contract: ModelContract, tiling: Tiling, shape: tuple[int, int], load: Load
) -> Memory:
    """Return the memory of a reconstruction at its peak.

    Parameters
    ----------
    contract
        The model.
    tiling
        Its windows.
    shape
        Rows and columns of the image, 10 m pixels.
    load
        What runs at the same time.
    """
    pixels = tiling.largest_px(shape) / 1e6
    entry, more = _entry(contract)
    kind = "numpy" if contract.name in CONTRACTS else "tensorflow"
    # The first pass of a fit is made by all readers at once.
    at_once = load.readers * load.dates if kind == "numpy" else load.batch_size
    inputs = [_bytes(item, mosaic=kind == "numpy") for item in contract.inputs]
    outputs = [4 * len(item.bands) / item.factor**2 for item in contract.outputs]
    scales = any(item.scale_tensor for item in contract.outputs)
    given = (2 if scales else 1) * sum(outputs)
    whole = takes_five_dates(contract) and kind != "numpy"
    composing = max(inputs) if whole else _COMPOSING * sum(inputs)
    # Read ahead or being read, in the network, and waiting to be written or being written.
    read = (load.batch_size + load.readers - 1) + load.batch_size + (load.batch_size + 1)
    waiting = read * sum(inputs) + (load.batch_size + 1) * given + load.readers * composing
    waiting *= pixels
    rasters = 2 if scales else 1
    if tiling.overlap_px or tiling.window_px % BLOCK_PX:
        waiting += _unwritten_mb(shape[1], rasters)
    if tiling.overlap_px:
        waiting += _mixing_mb(pixels, tiling.overlap_px, shape[1], rasters)
    libraries = _WORKING_MB[kind] + (_OTB_MB * load.readers * load.dates if load.otb else 0)
    return Memory(
        process=table()["processes"][kind] + libraries + _WEIGHTS * entry["weights_mb"],
        forward=at_once * more * _forward_mb(entry["windows"], pixels),
        waiting=load.dates * waiting + WINDOW_CACHE_MB,
    )


def fitting_tiling(
    contract: ModelContract, tiling: Tiling, shape: tuple[int, int], limit_gb: float, load: Load
) -> Tiling:
    """Return the windows that compute least within a memory limit; without a network, read least.

    Parameters
    ----------
    contract
        The model.
    tiling
        Margin, overlap and multiple; the window is chosen anew.
    shape
        Rows and columns of the image, 10 m pixels.
    limit_gb
        10^9 bytes.
    load
        What runs at the same time.

    Raises
    ------
    ConfigError
        Not even the smallest window fits.
    """
    step = lcm(tiling.multiple_px, _STEP_PX)
    largest = min(LARGEST_PX, -(-max(shape) // step) * step)
    choices = [replace(tiling, window_px=side) for side in range(step, largest + 1, step)]
    needs = [memory_of(contract, item, shape, load).total for item in choices]
    found = [item for item, need in zip(choices, needs, strict=True) if need <= 1000 * limit_gb]
    if not found:
        raise ConfigError(
            f"--memory-limit {limit_gb:g}: the smallest windows of model {contract.name}, "
            f"{step} px with a margin of {tiling.margin_px} px, take {needs[0] / 1000:.1f} GB; "
            f"raise the limit to that, or use a smaller --batch-size or fewer --readers"
        )
    found = [item for item in found if item.window_px >= _LEAST_PX] or found[-1:]
    formula = contract.name in CONTRACTS
    costs = [item.decoded_px(shape) if formula else item.computed_px(shape) for item in found]
    return next(
        item for item, cost in zip(found, costs, strict=True) if cost <= _SLACK * min(costs)
    )


def is_measured(contract: ModelContract) -> bool:
    """Say whether the table has the model itself."""
    return contract.name in table()


def _entry(contract: ModelContract) -> tuple[dict[str, Any], float]:
    """Return what was measured, and by how much the model is thought to need more.

    A model that is not in the table counts as the hungriest network of its stride (of all, where
    there is none), in proportion to the images that it takes.
    """
    if is_measured(contract):
        found: dict[str, Any] = table()[contract.name]
        return found, 1.0
    networks = [entry for entry in table().values() if "stride" in entry]
    alike = [entry for entry in networks if entry["stride"] == contract.stride] or networks
    images = sum(1 for item in contract.inputs if item.bands)
    more = [max(images / entry["images"], 1.0) for entry in alike]
    needs = [_forward_mb(entry["windows"], LARGEST_PX**2 / 1e6) for entry in alike]
    hungriest = max(range(len(alike)), key=lambda number: needs[number] * more[number])
    return alike[hungriest], more[hungriest]


def _forward_mb(windows: list[tuple[float, float]], pixels: float) -> float:
    """Return the memory of a window of 10^6 pixels: a fixed part, and one that grows with it."""
    (small, low), (large, high) = windows
    few, many = small**2 / 1e6, large**2 / 1e6
    slope = max((high - low) / (many - few), high / many / 2)
    return max(high + slope * (pixels - many), low)


def _unwritten_mb(width: int, rasters: int) -> float:
    """Return what blocks take that are not whole yet: about one row of them, of each raster."""
    return rasters * BLOCK_PX * 2 * len(S2_10M_BANDS) * (width + LARGEST_PX) / 1e6


def _mixing_mb(pixels: float, overlap_px: int, width: int, rasters: int) -> float:
    """Return what windows that overlap take until they are mixed and written.

    Of each raster sums and weights along the rows above and below. And one window of 10^6 pixels
    while it is mixed.
    """
    planes = len(S2_10M_BANDS) + 1
    return rasters * 2 * (2 * overlap_px) * 4 * planes * width / 1e6 + 4 * 4 * planes * pixels


def _bytes(item: ModelInput, *, mosaic: bool) -> float:
    """Return the bytes per 10 m pixel of an input as it is read; pixels of a mosaic have dates."""
    if not item.bands:
        return 8 if mosaic else 0
    size = 1 if "cld10m" in item.key else 2
    return size * len(item.bands) / item.factor**2
