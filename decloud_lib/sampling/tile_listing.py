"""Which images a tile has: a listing of its folders, beside what the tile's table says of them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.names import S1Name
from decloud_lib.raster.products.prepared import (
    Moment,
    list_s1,
    list_s2,
    masked_time,
    tile_folder,
)
from decloud_lib.raster.products.s1tiling import AssumedHours
from decloud_lib.sampling.image_facts import UNUSABLE, Prepared, facts_of, reason_of
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.tile_table import ImageRow, TileTable

#: Files that are read at the same time; the wait is for the bucket, not for the processor.
_READERS = 8


class EmptyTileError(ProductError):
    """A tile without a prepared Sentinel-2 product that can be used."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image before it is known whether it can be used."""

    image: Prepared
    facts: ImageRow
    """What its name and the listing say."""
    known: ImageRow | None
    """What the table says, where the statistics are still those that it was made from."""
    unreadable: str | None = None
    """Why its time could not be read."""

    def taken_over(self) -> ImageRow | None:
        """Return the row as the table has it, or as it follows from that; None = read it anew."""
        if self.known is None or self.known.problem is not None:
            return None
        same_images = self.known.images == self.facts.images
        return replace(
            self.facts,
            relative_orbit=self.known.relative_orbit,
            cloud_percent=self.known.cloud_percent,
            nodata_percent=self.known.nodata_percent,
            valid_patch_percent=self.known.valid_patch_percent,
            grid_checked=self.known.grid_checked and same_images,
        )


def list_candidates(
    tile: str, files: TilesFile, table: TileTable | None, *, thorough: bool
) -> tuple[list[Candidate], list[Candidate]]:
    """List the images of a tile that may be used, and find what is known of each.

    Nothing is opened but radar images whose names hide the time and that the table does not know.

    Parameters
    ----------
    tile
        Name with the leading T.
    files
        Where the prepared data are.
    table
        What is known of the tile.
    thorough
        Do not believe the table where it calls an image unusable.

    Returns
    -------
    Sentinel-2 and Sentinel-1 images, each by time.

    Raises
    ------
    EmptyTileError
        No prepared Sentinel-2 product.
    """
    roots = (files.s2_root, files.s1_root)
    s2_files, s1_files = (
        storage.list_files(tile_folder(root, tile)) if root else [] for root in roots
    )
    listed = {entry.uri: entry for entry in (*s2_files, *s1_files)}
    hidden = _HiddenTimes(listed, table, thorough=thorough)
    s2 = list_s2(files.s2_root, tile, listed=s2_files)
    s1_root = files.s1_root
    s1 = list_s1(s1_root, tile, listed=s1_files, times=hidden.find) if s1_root else []
    if not s2:
        raise EmptyTileError(
            f"{files.s2_root}: no prepared Sentinel-2 product of {tile}; run prepare-s2 first"
        )
    known = table.rows if table else {}

    def candidate(image: Prepared) -> Candidate:
        facts = facts_of(image, listed)
        row = known.get(facts.uri)
        if row is not None and row.statistics != facts.statistics:
            row = None
        return Candidate(image, facts, row, hidden.unreadable.get(facts.images[0].uri))

    return [candidate(image) for image in s2], [candidate(image) for image in s1]


class _HiddenTimes:
    """Times that names hide: from the table while the file is the same, else from the file."""

    def __init__(
        self, listed: Mapping[str, storage.Entry], table: TileTable | None, *, thorough: bool
    ) -> None:
        self.unreadable: dict[str, str] = {}
        self._listed = listed
        self._known = {
            row.images: (row.acquired, row.time_is_assumed)
            for row in (table.rows.values() if table else ())
            if not (thorough and row.problem)
        }

    def find(self, masked: Mapping[str, S1Name]) -> dict[str, Moment]:
        """Return the time of each image."""

        def time_of(uri: str) -> Moment:
            if moment := self._known.get((self._listed[uri],)):
                return moment
            try:
                return masked_time(uri, masked[uri])
            except UNUSABLE as error:
                self.unreadable[uri] = reason_of(error, uri)
                return AssumedHours().moment(masked[uri]), True

        with ThreadPoolExecutor(_READERS) as pool:
            return dict(zip(masked, pool.map(time_of, masked), strict=True))
