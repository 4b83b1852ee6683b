"""Delivered radar pairs read by window as they are prepared: encoded, VV and VH together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np

from decloud_lib.arrays.encode import encode_channel, is_nodata
from decloud_lib.bands import ELEMENTARY_PATCH_PX, S1_BANDS, S1_NODATA
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.products.s1tiling import S1Pair
from decloud_lib.raster.read import RasterOpener, RasterReader, check_same_grid, open_raster
from decloud_lib.types import Array, Grid, Window

#: What S1Tiling calls calibrations other than sigma nought, in its tag; file names may not tell.
_NOT_SIGMA0 = re.compile(r"beta|gamma|dn$|none$", re.IGNORECASE)


class RadarReader:
    """The two open files of an acquisition as one image; made by `open_pair`.

    Each file is read and encoded in a thread of its own.

    Attributes
    ----------
    uri : str
        What the image is called.
    grid : Grid
        Georeferencing.
    bands : tuple of str
        VV, VH.
    nodata : float
        0.
    dtype : str
        `uint16`.
    tags : dict of str to str
        Metadata of both files.
    block_rows : list of int
        Rows of a block of each file.
    """

    def __init__(self, readers: Sequence[RasterReader], uri: str, pool: ThreadPoolExecutor) -> None:
        for reader in readers:
            _check_content(reader)
        self._readers = dict(zip(S1_BANDS, readers, strict=True))
        self._pool = pool
        self.uri = uri
        self.grid: Grid = check_same_grid({reader.uri: reader.grid for reader in readers})
        self.bands: tuple[str, ...] = S1_BANDS
        self.nodata: float | None = S1_NODATA
        self.dtype = "uint16"
        self.tags: Mapping[str, str] = readers[0].tags | readers[1].tags
        self.block_rows = [reader.block_shape[0] for reader in readers]

    def read(self, window: Window, names: Sequence[str] | None = None) -> Array:
        """Return (H, W, C) uint16 encoded backscatter (`arrays.encode`) of a window."""
        names = self.bands if names is None else names
        if missing := [name for name in names if name not in self.bands]:
            raise MissingBandError(f"{self.uri}: band {missing[0]} is missing; found VV, VH")
        planes = np.empty((len(names), *window.shape), np.uint16)

        def encode(name: str, plane: Array) -> None:
            encode_channel(self._sigma0(name, window), out=plane)

        list(self._pool.map(encode, names, planes))
        return np.moveaxis(planes, 0, -1)

    def nodata_mask(self, window: Window) -> Array:
        """Return (H, W) bool, True = neither polarisation holds a value: what `read` makes 0."""
        vv, vh = self._pool.map(self._sigma0, self.bands, [window] * len(self.bands))
        without = is_nodata(vv)
        # Most strips hold values everywhere.
        return without & is_nodata(vh) if without.any() else without

    def _sigma0(self, name: str, window: Window) -> Array:
        reader = self._readers[name]
        plane = np.empty(window.shape, reader.dtype)
        reader.read_plane(window, plane)
        return plane


@contextmanager
def open_pair(
    pair: S1Pair, uri: str = "", opener: RasterOpener = open_raster
) -> Iterator[RadarReader]:
    """Open both polarisations of an acquisition.

    Parameters
    ----------
    pair
        The two files.
    uri
        What the image is called; the VH file where empty.
    opener
        Opens a file.

    Raises
    ------
    ProductError
        A file that is no raster, damaged, or no backscatter.
    GridMismatchError
        The two do not lie on each other.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(opener(entry.uri)) for entry in (pair.vv, pair.vh)]
        pool = stack.enter_context(ThreadPoolExecutor(len(readers), "polarisation"))
        yield RadarReader(readers, uri or pair.vh.uri, pool)


def _check_content(reader: RasterReader) -> None:
    if not reader.dtype.startswith("float") or len(reader.bands) != 1:
        raise ProductError(
            f"{reader.uri}: found {len(reader.bands)} band(s) of {reader.dtype}, expected one of "
            "float32 with linear sigma nought: is this an S1Tiling image?"
        )
    calibration = reader.tags.get("CALIBRATION", "")
    if _NOT_SIGMA0.match(calibration):
        raise ProductError(
            f"{reader.uri}: is calibrated as {calibration} (tag CALIBRATION), expected sigma "
            "nought: let S1Tiling calibrate with sigma or normlim"
        )
    if min(reader.grid.shape) < ELEMENTARY_PATCH_PX:
        raise ProductError(
            f"{reader.uri}: found {reader.grid.height} x {reader.grid.width} px, "
            f"expected at least one patch of {ELEMENTARY_PATCH_PX} px"
        )
