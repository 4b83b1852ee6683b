"""Whether a raster file is there to its end: its blocks are looked up, not read."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from decloud_lib import storage
from decloud_lib.raster.environment import gdal_environment
from decloud_lib.raster.read import IMAGE_DRIVERS


class Block(NamedTuple):
    """Where a block of all bands lies, or of the last band where each is stored by itself."""

    row: int
    col: int
    start: int
    """Bytes from the beginning of the file; -1 where it is not stored."""
    length: int
    """Bytes; -1 where it is not stored."""


def blocks_of(dataset: DatasetReader) -> Iterator[Block]:
    """Yield the blocks of an open GeoTIFF, row by row; of other formats none is stored."""
    height, width = dataset.block_shapes[0]
    for row in range(-(-dataset.height // height)):
        for col in range(-(-dataset.width // width)):
            start, length = (
                int(
                    dataset.get_tag_item(f"BLOCK_{word}_{col}_{row}", "TIFF", bidx=dataset.count)
                    or -1
                )
                for word in ("OFFSET", "SIZE")
            )
            yield Block(row, col, start, length)


@lru_cache(maxsize=4096)
def damage_of(entry: storage.Entry) -> str:
    """Say what is wrong with a raster that cannot be opened or ends too early; else say nothing.

    Of other formats than GeoTIFF it is only found out whether they can be opened.

    Each state of a file is looked at once. 1849 blocks, those of a whole tile, take 4 ms.
    """
    try:
        with (
            gdal_environment(),
            DatasetReader(storage.gdal_path(entry.uri), driver=list(IMAGE_DRIVERS)) as dataset,
        ):
            end = max(block.start + block.length for block in blocks_of(dataset))
            has_blocks = end > 0 or dataset.driver != "GTiff"
    except RasterioError as error:
        return f"{entry.uri} cannot be opened as a raster ({error})"
    if not has_blocks:
        return f"{entry.uri} holds no pixels: it is cut short, or was never written"
    if end > entry.size:
        return f"{entry.uri} is cut short: {entry.size} bytes of at least {end}"
    return ""
