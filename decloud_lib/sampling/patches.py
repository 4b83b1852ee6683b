"""Read the pixels of drawn samples: each raster is opened once for a group of samples."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from decloud_lib.bands import CLOUD_BANDS, DEM_BANDS, S1_BANDS, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.raster.read import ImageReader
from decloud_lib.raster.views import open_image
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array, Window

BANDS = {
    "s1": S1_BANDS,
    "s2": S2_10M_BANDS,
    "s2_20m": S2_20M_STACK_BANDS,
    "s2_cld10m": CLOUD_BANDS,
    "dem": DEM_BANDS,
}
_DTYPES = {
    "s1": "uint16",
    "s2": "int16",
    "s2_20m": "int16",
    "s2_cld10m": "uint8",
    "dem": "int16",
}
#: Kinds of raster of an S2 image, and where each lies.
_OPTICAL = {"s2": "stack_10m", "s2_20m": "stack_20m", "s2_cld10m": "cloud_mask"}
#: Rasters that are open at the same time.
_READERS = 4


@dataclass(frozen=True, slots=True, order=True)
class RasterKey:
    """One raster of a tile."""

    tile: int
    kind: str
    """`s1`, `s2`, `s2_20m`, `s2_cld10m` or `dem`."""
    image: int
    """Row of the tile's S1 or S2 images; 0 for the elevation."""


Patches = Mapping[tuple[RasterKey, int], Array]
"""(raster, position) -> pixels."""


def keys_of(drawn: DrawnSamples, sample: int, schema: SampleSchema) -> dict[str, RasterKey]:
    """Return the raster behind each pixel array of a sample that the schema asks for, by key."""
    tile, row = int(drawn.tile[sample]), drawn.rows[sample]
    found: dict[str, RasterKey] = {}
    for role, name in enumerate(drawn.layout.names):
        s2, s1 = int(row["s2"][role]), int(row["s1"][role])
        if s2 >= 0:
            found |= {f"{kind}_{name}": RasterKey(tile, kind, s2) for kind in _OPTICAL}
        if s1 >= 0:
            found[f"s1_{name}"] = RasterKey(tile, "s1", s1)
    if drawn.indexes[tile].dem is not None:
        found["dem"] = RasterKey(tile, "dem", 0)
    return {key: raster for key, raster in found.items() if key in schema.shapes}


def read_patches(
    drawn: DrawnSamples, samples: Sequence[int], schema: SampleSchema
) -> dict[tuple[RasterKey, int], Array]:
    """Read all patches that some samples need, each once.

    Rasters are opened one after the other by a few threads, and read from top to bottom, so that a
    block is decoded once or little more.

    Parameters
    ----------
    drawn
        Samples of a data set.
    samples
        Which of them.
    schema
        What a sample holds.

    Returns
    -------
    (raster, position) -> (h, w, bands) array as stored.
    """
    wanted: dict[RasterKey, set[int]] = {}
    for sample in samples:
        position = int(drawn.rows["position"][sample])
        for key in keys_of(drawn, sample, schema).values():
            wanted.setdefault(key, set()).add(position)

    def read(key: RasterKey) -> list[tuple[tuple[RasterKey, int], Array]]:
        index = drawn.indexes[key.tile]
        return [((key, at), found) for at, found in _read_raster(index, key, sorted(wanted[key]))]

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(item for items in pool.map(read, sorted(wanted)) for item in items)


def raster_uri(index: TileIndex, key: RasterKey) -> str:
    """Return the URI of a raster of a tile."""
    if key.kind == "s1":
        return index.s1[key.image].uri
    if key.kind == "dem":
        return index.dem or ""
    uri: str = getattr(index.s2[key.image], _OPTICAL[key.kind])
    return uri


def _read_raster(
    index: TileIndex, key: RasterKey, positions: Sequence[int]
) -> Iterator[tuple[int, Array]]:
    uri, factor = raster_uri(index, key), 2 if key.kind in {"s2_20m", "dem"} else 1
    with open_image(uri, BANDS[key.kind]) as reader:
        difference = reader.grid.difference(index.grid_of(key.kind))
        if difference:
            raise GridMismatchError(
                f"{uri}: not on the grid of the tile's Sentinel-2 images: {difference} (expected); "
                "prepare it again from the same tile"
            )
        _check_type(reader, key.kind)
        for position in positions:
            window: Window = index.window(position).coarsened(factor)
            pixels = np.ascontiguousarray(reader.read(window, BANDS[key.kind]))
            yield position, pixels.astype(_DTYPES[key.kind], casting="safe", copy=False)


def _check_type(reader: ImageReader, kind: str) -> None:
    if reader.dtype != _DTYPES[kind]:
        raise ProductError(
            f"{reader.uri}: holds {reader.dtype}; expected {_DTYPES[kind]}: prepare it again"
        )
