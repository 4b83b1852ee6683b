"""The rasters behind drawn samples, opened when they are needed."""

import resource
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np

from decloud_lib.bands import CLOUD_BANDS, DEM_BANDS, S1_BANDS, S2_10M_BANDS, S2_20M_STACK_BANDS
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import ImageReader
from decloud_lib.raster.views import is_part, open_image
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.tile_index import TileIndex
from decloud_lib.types import Array, Window

#: Bands and type of each kind of raster.
_KINDS = {
    "s1": (S1_BANDS, "uint16"),
    "s2": (S2_10M_BANDS, "int16"),
    "s2_20m": (S2_20M_STACK_BANDS, "int16"),
    "s2_cld10m": (CLOUD_BANDS, "uint8"),
    "dem": (DEM_BANDS, "int16"),
}
#: Kinds of raster of an S2 image, and where each lies.
_OPTICAL = {"s2": "stack_10m", "s2_20m": "stack_20m", "s2_cld10m": "cloud_mask"}
#: Kinds with pixels of 20 m.
_COARSE = {"s2_20m", "dem"}
#: Files of a product that is left as it was delivered.
_DELIVERED_FILES = 8
#: Files that one thread keeps open, at most; a year of a tile has fewer rasters.
_MOST_FILES = 512


@dataclass(frozen=True, slots=True, order=True)
class RasterKey:
    """One raster of a tile."""

    tile: int
    """Which of the tiles of a data set."""
    kind: str
    """`s1`, `s2`, `s2_20m`, `s2_cld10m` or `dem`."""
    image: int
    """Row of the tile's S1 or S2 images; 0 for the elevation."""

    @property
    def factor(self) -> int:
        """Side of a pixel, in 10 m pixels."""
        return 2 if self.kind in _COARSE else 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all bands of a pixel."""
        bands, dtype = _KINDS[self.kind]
        return len(bands) * np.dtype(dtype).itemsize


def rasters_of(drawn: DrawnSamples, sample: int, schema: SampleSchema) -> dict[str, RasterKey]:
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


def raster_uri(index: TileIndex, key: RasterKey) -> str:
    """Return the URI of a raster of a tile."""
    if key.kind == "s1":
        return index.s1[key.image].uri
    if key.kind == "dem":
        return index.dem or ""
    uri: str = getattr(index.s2[key.image], _OPTICAL[key.kind])
    return uri


class OpenRasters:
    """Rasters of the tiles of a data set, kept open while there is room; for one thread.

    As a context: what is open is closed at its end.
    """

    def __init__(self, indexes: tuple[TileIndex, ...]) -> None:
        self._indexes = indexes
        self._open: OrderedDict[RasterKey, tuple[ImageReader, ExitStack, int]] = OrderedDict()
        self._files = 0
        self._most = min(_MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._environment = ExitStack()

    def __enter__(self) -> Self:
        # Around the environments of the single files, which end in any order.
        self._environment.enter_context(gdal_environment())
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._close_oldest()
        self._environment.close()

    def read(self, key: RasterKey, window: Window) -> Array:
        """Read pixels.

        Parameters
        ----------
        key
            Which raster.
        window
            10 m pixels of the tile, even numbers.

        Returns
        -------
        (h, w, bands) array as stored, pixel after pixel.

        Raises
        ------
        GridMismatchError
            The raster is not on the grid of the tile.
        ProductError
            It cannot be read, or holds another type.
        """
        names, dtype = _KINDS[key.kind]
        pixels = self._reader(key).read(window.coarsened(key.factor), names)
        return np.ascontiguousarray(pixels).astype(dtype, casting="safe", copy=False)

    def _reader(self, key: RasterKey) -> ImageReader:
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key][0]
        index = self._indexes[key.tile]
        uri = raster_uri(index, key)
        files = _DELIVERED_FILES if is_part(uri) else 1
        while self._open and self._files + files > self._most:
            self._close_oldest()
        with ExitStack() as stack:
            reader = stack.enter_context(open_image(uri, _KINDS[key.kind][0]))
            _check(reader, index, key)
            self._open[key] = (reader, stack.pop_all(), files)
        self._files += files
        return reader

    def _close_oldest(self) -> None:
        _, (_, stack, files) = self._open.popitem(last=False)
        self._files -= files
        stack.close()


def _check(reader: ImageReader, index: TileIndex, key: RasterKey) -> None:
    difference = reader.grid.difference(index.grid_of(key.kind))
    if difference:
        raise GridMismatchError(
            f"{reader.uri}: not on the grid of the tile's Sentinel-2 images: {difference} "
            "(expected); prepare it again from the same tile"
        )
    expected = _KINDS[key.kind][1]
    if reader.dtype != expected:
        raise ProductError(
            f"{reader.uri}: holds {reader.dtype}; expected {expected}: prepare it again"
        )
