"""Pixels of drawn samples, read area by area: a block of a raster is decoded once.

An *area* is a square of patch positions whose edges lie on those of the rasters' blocks. Its
samples are worked on together, in the order of their dates, whatever their place in the data set.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decloud_lib.raster.views import is_part
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.rasters import OpenRasters, RasterKey, rasters_of
from decloud_lib.types import Array, Window

#: Side of a block of prepared rasters, and of JPEG 2000 files, 10 m pixels.
_BLOCK_PX = 256
_DELIVERED_BLOCK_PX = 1024
#: An area that meets the edges of blocks exactly may become so much larger than a block.
_MOST_BLOCKS = 5
#: Pixels that one thread holds, bytes; at least those of one sample.
_HELD_BYTES = 192 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Samples of one small piece of a tile."""

    tile: int
    """Which of the tiles of a data set."""
    window: Window
    """What the samples cover, 10 m pixels."""
    samples: Array
    """(K,) int, their numbers, by date of the reference image and position."""


def areas(drawn: DrawnSamples, samples: Array) -> list[Area]:
    """Sort samples by the piece of the tile that they lie in.

    Parameters
    ----------
    drawn
        Samples of a data set.
    samples : (N,) int, which of them
    """
    found = []
    names, tiles = drawn.layout.names, drawn.tile[samples]
    reference = names.index(drawn.layout.reference_name)
    for tile in np.unique(tiles):
        index, mine = drawn.indexes[tile], samples[tiles == tile]
        positions = drawn.rows["position"][mine]
        rows, cols = np.divmod(positions, index.shape[1])
        delivered = any(is_part(image.stack_10m) for image in index.s2)
        side = _side(index.patch_px, _DELIVERED_BLOCK_PX if delivered else _BLOCK_PX)
        area = (rows // side) * index.shape[1] + cols // side
        order = np.lexsort((positions, drawn.rows["s2"][mine, reference], area))
        starts = np.flatnonzero(np.diff(area[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            low = int(rows[part].min()), int(cols[part].min())
            high = int(rows[part].max()) + 1, int(cols[part].max()) + 1
            corner = (index.patch_px * place for place in low)
            shape = (index.patch_px * (b - a) for a, b in zip(low, high, strict=True))
            found.append(Area(int(tile), Window(*corner, *shape), mine[part]))
    return found


def read_area(
    rasters: OpenRasters, drawn: DrawnSamples, area: Area, schema: SampleSchema
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Read the pixels of the samples of an area, each raster once where memory allows it.

    Parameters
    ----------
    rasters
        Where to read.
    drawn
        Samples of a data set.
    area
        Which of them.
    schema
        What a sample holds.

    Yields
    ------
    Number of a sample, and its arrays by key; pixels are windows of larger arrays.
    """
    index = drawn.indexes[area.tile]
    held: dict[RasterKey, Array] = {}
    for group in _groups(drawn, area, schema):
        wanted = sorted({raster for _, of_keys in group for raster in of_keys.values()})
        # What the next samples do not need makes room before anything is read.
        held = {raster: held[raster] for raster in wanted if raster in held}
        for raster in wanted:
            if raster not in held:
                held[raster] = rasters.read(raster, area.window)
        for sample, of_keys in group:
            window = index.window(int(drawn.rows["position"][sample]))
            pixels = {
                key: _cut(held[raster], window, area.window, raster.factor)
                for key, raster in of_keys.items()
            }
            yield sample, pixels | _numbers(drawn, sample, schema)


def _groups(
    drawn: DrawnSamples, area: Area, schema: SampleSchema
) -> Iterator[list[tuple[int, dict[str, RasterKey]]]]:
    """Yield samples whose rasters fit into memory together."""
    group: list[tuple[int, dict[str, RasterKey]]] = []
    rasters: set[RasterKey] = set()
    for sample in area.samples.tolist():
        of_keys = rasters_of(drawn, sample, schema)
        together = rasters.union(of_keys.values())
        if group and sum(_held_bytes(raster, area) for raster in together) > _HELD_BYTES:
            yield group
            group, together = [], set(of_keys.values())
        group.append((sample, of_keys))
        rasters = together
    if group:
        yield group


def _numbers(drawn: DrawnSamples, sample: int, schema: SampleSchema) -> dict[str, Array]:
    """Return times (UTC seconds since the epoch) and passes of a sample, by key."""
    index, row = drawn.indexes[int(drawn.tile[sample])], drawn.rows[sample]
    found: dict[str, Array] = {}
    for role, name in enumerate(drawn.layout.names):
        s2, s1 = int(row["s2"][role]), int(row["s1"][role])
        if s2 >= 0:
            found[f"s2_timestamp_{name}"] = _seconds(index.catalogue.s2_time_ms[s2])
        if s1 >= 0:
            found[f"s1_timestamp_{name}"] = _seconds(index.catalogue.s1_time_ms[s1])
            found[f"s1_ascending_{name}"] = np.array(index.s1[s1].ascending, dtype=bool)
    return {key: value for key, value in found.items() if key in schema.shapes}


def _seconds(time_ms: np.int64) -> Array:
    return np.array(int(time_ms) / 1000.0, dtype=np.float64)


def _held_bytes(raster: RasterKey, area: Area) -> int:
    return area.window.height * area.window.width // raster.factor**2 * raster.pixel_bytes


def _cut(pixels: Array, window: Window, around: Window, factor: int) -> Array:
    row, col = (window.row - around.row) // factor, (window.col - around.col) // factor
    size = window.height // factor
    return pixels[row : row + size, col : col + size]


def _side(patch_px: int, block_px: int) -> int:
    """Return how many patches an area has along a side."""
    exact = math.lcm(patch_px, block_px)
    if exact <= _MOST_BLOCKS * block_px:
        return exact // patch_px
    return -(-2 * block_px // patch_px)
