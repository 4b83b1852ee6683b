"""Tiled GeoTIFFs and COGs that appear at their URI whole or not at all."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from decloud_lib import storage
from decloud_lib.errors import ShapeError, StorageError
from decloud_lib.raster.environment import BLOCK_THREADS, gdal_environment
from decloud_lib.raster.whole import blocks_of
from decloud_lib.types import Array, Grid, Window

Codec = Literal["ZSTD", "DEFLATE"]
_LEVEL_OPTIONS = {"ZSTD": "ZSTD_LEVEL", "DEFLATE": "ZLEVEL"}
#: Measured: docs/decisions/0005-codec-and-blocks.md.
_LEVELS = {"ZSTD": 1, "DEFLATE": 6}
_NOT_WHOLE = "could not be written whole"
_ROOM = "make room on the disk, of the temporary folder too (TMPDIR)"
_COG_PREDICTORS = {1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}


#: Side of the blocks of the rasters that are written, pixels.
BLOCK_PX = 256


@dataclass(frozen=True, slots=True)
class RasterProfile:
    """How a raster is stored."""

    bands: tuple[str, ...]
    """Names, written as band descriptions."""
    dtype: str
    """Name of the numpy data type."""
    nodata: float | None = None
    """No-data tag; none is written where None."""
    block_px: int = BLOCK_PX
    """Side of an internal block, pixels; a multiple of 16."""
    codec: Codec = "ZSTD"
    """`DEFLATE` is for readers without ZSTD; the level follows from the codec."""
    predictor: int = 2
    """1 none (masks), 2 difference of neighbours (integers), 3 floating point."""
    cog: bool = field(default=False, kw_only=True)
    """Make a cloud-optimised GeoTIFF with overviews."""
    overview_resampling: Literal["AVERAGE", "NEAREST"] = field(default="AVERAGE", kw_only=True)
    """How overviews are made: `NEAREST` for masks, whose values are no quantities."""


class RasterWriter:
    """An open raster that is being written; made by `create_raster`. For one thread."""

    def __init__(
        self, dataset: rasterio.io.DatasetWriter, uri: str, profile: RasterProfile
    ) -> None:
        self._dataset = dataset
        self._uri = uri
        self._profile = profile
        self.size = 0
        """Bytes of the finished file; known after the context."""
        self.sha256 = ""
        """Of the finished file, where it was asked for; known after the context."""
        self.etag = ""
        """Of the file in its place, see `storage.Entry`; empty on S3, which makes its own."""

    def write(self, window: Window, pixels: Array) -> None:
        """Write a window; fastest from top to bottom and aligned to blocks.

        Parameters
        ----------
        window
            Pixels of this raster.
        pixels
            (H, W, C) of exactly the profile's data type.

        Raises
        ------
        ShapeError
            Another shape or type than the window and the profile say.
        """
        expected = (*window.shape, len(self._profile.bands))
        if pixels.shape != expected or pixels.dtype != np.dtype(self._profile.dtype):
            raise ShapeError(
                f"{self._uri}: got {pixels.shape} {pixels.dtype}, "
                f"expected {expected} {self._profile.dtype} for {window}"
            )
        area = RasterioWindow(window.col, window.row, window.width, window.height)
        with _disk_errors(self._uri):
            self._dataset.write(np.moveaxis(pixels, -1, 0), window=area)


@contextmanager
def create_raster(
    uri: str,
    grid: Grid,
    profile: RasterProfile,
    tags: Mapping[str, str] | None = None,
    *,
    checksum: bool = False,
) -> Iterator[RasterWriter]:
    """Create a raster that appears at its URI when the context ends without an exception.

    The file is made on local disk first (a bucket cannot take a growing GeoTIFF), so the temporary
    folder needs room for it; a COG needs it twice.

    Parameters
    ----------
    uri
        Where to write.
    grid
        Georeferencing and size.
    profile
        Bands, type and storage.
    tags
        Metadata of the file.
    checksum
        Take the SHA-256 of the finished file.

    Raises
    ------
    StorageError
        The file could not be written whole: the disk is full.
    """
    with gdal_environment(), storage.staged(uri) as path:
        # In the folder of the staged file, which goes away as a whole.
        plain = path.with_name(f"plain-{path.name}") if profile.cog else path
        with _disk_errors(uri), _new_dataset(plain, grid, profile, tags or {}) as dataset:
            writer = RasterWriter(dataset, uri, profile)
            yield writer
        _check_whole(plain, uri)
        if profile.cog:
            with _disk_errors(uri):
                rasterio.shutil.copy(str(plain), str(path), driver="COG", **_cog_options(profile))
            _check_whole(path, uri)
        writer.size = path.stat().st_size
        if checksum:
            with path.open("rb") as file:
                writer.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not storage.is_s3(uri) and (staged := storage.stat(str(path))) is not None:
            # Moving a file to its place keeps its size and its time.
            writer.etag = staged.etag


def write_raster(
    uri: str,
    grid: Grid,
    profile: RasterProfile,
    pixels: Array,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a whole small raster, (H, W, C), at once."""
    with create_raster(uri, grid, profile, tags) as writer:
        writer.write(Window(0, 0, grid.height, grid.width), pixels)


def _new_dataset(
    path: Path, grid: Grid, profile: RasterProfile, tags: Mapping[str, str]
) -> rasterio.io.DatasetWriter:
    # A block larger than the raster would only be padding.
    block_px = min(profile.block_px, -(-max(grid.shape) // 16) * 16)
    options: dict[str, Any] = {
        "compress": profile.codec,
        "predictor": profile.predictor,
        "num_threads": BLOCK_THREADS,
        # Readers want all bands of a window: one block to decompress instead of one per band.
        "interleave": "pixel",
        "bigtiff": "IF_SAFER",
        _LEVEL_OPTIONS[profile.codec]: _LEVELS[profile.codec],
    }
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.height,
        width=grid.width,
        count=len(profile.bands),
        dtype=profile.dtype,
        nodata=profile.nodata,
        crs=grid.crs,
        transform=grid.transform,
        tiled=True,
        blockxsize=block_px,
        blockysize=block_px,
        **options,
    )
    # Without this, three or four bands would be declared red, green, blue (and alpha).
    dataset.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * (len(profile.bands) - 1)]
    dataset.descriptions = profile.bands
    dataset.update_tags(**tags)
    return dataset


@contextmanager
def _disk_errors(uri: str) -> Iterator[None]:
    """Say what GDAL's writing errors mean."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise StorageError(f"{uri}: {_NOT_WHOLE} ({error}); {_ROOM}") from error


def _check_whole(path: Path, uri: str) -> None:
    """Check what GDAL does not say when the disk is full: it closes a damaged file in silence.

    Each block must lie within the file, and the last one written must be readable: a disk that is
    full stays so until then. Reading all of it again would cost a quarter of the whole work.
    """
    size = path.stat().st_size
    with _disk_errors(uri), rasterio.open(path) as dataset:
        block_rows, block_cols = dataset.block_shapes[0]
        last = (-1, 0, 0)
        for row, col, start, length in blocks_of(dataset):
            if min(start, length) < 0 or start + length > size:
                raise StorageError(f"{uri}: {_NOT_WHOLE} (block {row}, {col}); {_ROOM}")
            last = max(last, (start, row, col))
        _, row, col = last
        area = RasterioWindow(col * block_cols, row * block_rows, block_cols, block_rows)
        dataset.read(window=area.intersection(RasterioWindow(0, 0, *dataset.shape[::-1])))


def _cog_options(profile: RasterProfile) -> dict[str, Any]:
    return {
        "compress": profile.codec,
        "level": _LEVELS[profile.codec],
        "predictor": _COG_PREDICTORS[profile.predictor],
        "blocksize": max(profile.block_px, 128),
        "overviews": "AUTO",
        "overview_resampling": profile.overview_resampling,
        "bigtiff": "IF_SAFER",
        "num_threads": BLOCK_THREADS,
    }
