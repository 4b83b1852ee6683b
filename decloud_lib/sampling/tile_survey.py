"""What is there of a tile, and what is known of each image: from its table, else from its rasters.

The tile's folders are listed once and compared with the table. Only what is new is opened.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from decloud_lib import storage
from decloud_lib.errors import ConfigError, GridMismatchError
from decloud_lib.manifest import FileRef
from decloud_lib.raster.read import open_raster
from decloud_lib.sampling.image_facts import (
    UNUSABLE,
    Prepared,
    check_grid,
    check_grids,
    read_facts,
    read_grids,
    reason_of,
    reference_of,
)
from decloud_lib.sampling.sources import TilesFile
from decloud_lib.sampling.tile_listing import Candidate, EmptyTileError, list_candidates
from decloud_lib.sampling.tile_table import (
    Counts,
    ImageRow,
    TableHead,
    TableWriter,
    chunks,
    read_table,
)
from decloud_lib.types import Grid

logger = logging.getLogger(__name__)

#: Small rasters that are read at the same time; the wait is for the bucket, not for the processor.
_READERS = 8
#: Rasters of a tile on another grid that a message names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A prepared image that cannot be used."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedImage:
    """An image that can be used, and what is known of it."""

    image: Prepared
    row: ImageRow
    counts: Counts


class TileSurvey:
    """The images of a tile.

    Parameters
    ----------
    tile
        Name with the leading T.
    files
        Where the prepared data, and perhaps the table, are.
    thorough
        Open the rasters of each image that is not in the table yet and check their grids, try
        again what the table calls unusable, and do without an elevation. Otherwise only statistics
        are read.

    Attributes
    ----------
    tile : str
        The tile.
    grid : Grid
        Of the 10 m rasters.
    reference : str
        Where this grid was found.
    elevation : storage.Entry or None
        On the 20 m grid.
    left_out : list of LeftOut
        Images that cannot be used; complete when `batches` has ended.
    read : int
        Images whose statistics were read; complete when `batches` has ended.

    Raises
    ------
    EmptyTileError
        No prepared Sentinel-2 product that can be used.
    ProductError
        An elevation that cannot be read.
    ConfigError
        Elevations are configured and that of the tile is missing.
    """

    def __init__(self, tile: str, files: TilesFile, *, thorough: bool) -> None:
        self.tile = tile
        self.left_out: list[LeftOut] = []
        self.read = 0
        self._files = files
        self._thorough = thorough
        self._mismatches: list[str] = []
        self._problems: list[ImageRow] = []
        self._content: bytes | None = None
        self._table_uri = (
            storage.join(files.table_root, f"{tile}.parquet") if files.table_root else None
        )
        self._table = read_table(self._table_uri, tile) if self._table_uri else None
        found = list_candidates(tile, files, self._table, thorough=thorough)
        self._s2, self._s1 = ([item for item in some if self._may_be_used(item)] for some in found)
        self.elevation = self._find_elevation()
        self.reference, self.grid = self._find_grid()
        self._check_elevation()

    @property
    def counts(self) -> tuple[int, int]:
        """Number of Sentinel-2 and of Sentinel-1 images, some of which may prove unusable."""
        return len(self._s2), len(self._s1)

    def batches(self) -> Iterator[list[SurveyedImage]]:
        """Yield all images that can be used, Sentinel-2 first, each sensor by time; to be run once.

        Raises
        ------
        GridMismatchError
            Rasters that do not lie on the tile's grid, told together.
        EmptyTileError
            The statistics of no Sentinel-2 product can be read.
        """
        head, rows = self._head(), dict[str, ImageRow]()
        writer = TableWriter(head) if self._may_write(head) else None
        with ThreadPoolExecutor(_READERS) as pool:
            for some in chunks([*self._s2, *self._s1]):
                # Here and not in the threads: the table is decoded in its order.
                known = [self._known_counts(candidate) for candidate in some]
                self.read += sum(counts is None for counts in known)
                found = [item for item in pool.map(self._survey, some, known) if item is not None]
                rows |= {item.row.uri: item.row for item in found}
                if writer is not None:
                    writer.add([(item.row, item.counts) for item in found])
                yield found
        self._check(rows)
        if writer is not None:
            problems = {row.uri: row for row in sorted(self._problems, key=lambda row: row.uri)}
            writer.add([(row, None) for row in problems.values()])
            if not self._says_the_same(head, rows | problems):
                self._content = writer.finish()

    def save_table(self) -> bool:
        """Write the table if it says something new; to be called when `batches` has ended.

        Returns
        -------
        Whether it was written.

        Raises
        ------
        StorageError
            The place cannot be written.
        """
        if self._table_uri is None or self._content is None:
            return False
        storage.write_bytes(self._table_uri, self._content)
        return True

    def _may_be_used(self, candidate: Candidate) -> bool:
        reason = candidate.unreadable
        known = candidate.known
        if reason is None and known is not None and not self._thorough:
            # As long as nothing there has changed, what was found unusable is so.
            reason = known.problem if known.images == candidate.facts.images else None
        if reason is not None:
            self._leave_out(candidate, reason)
        return reason is None

    def _leave_out(self, candidate: Candidate, reason: str) -> None:
        logger.warning("left out: %s", reason)
        self.left_out.append(LeftOut(candidate.facts.uri, reason))
        known = candidate.known
        # What was found without looking at everything is not worth remembering.
        if self._thorough or (known is not None and known.problem is not None):
            self._problems.append(replace(candidate.facts, problem=reason))

    def _find_elevation(self) -> storage.Entry | None:
        if self._files.dem_root is None:
            return None
        uri = storage.join(self._files.dem_root, f"{self.tile}.tif")
        entry = storage.stat(uri)
        if entry is None and not self._thorough:
            raise ConfigError(
                f"{uri}: the elevation of {self.tile} is missing; run prepare-dem, or leave "
                "DEM_ROOT_DIR out of the tiles JSON"
            )
        return entry

    def _find_grid(self) -> tuple[str, Grid]:
        """Return the grid of the first product: that of the table while it is the same product."""
        while self._s2:
            first = self._s2[0]
            uri, row = reference_of(first.image), first.taken_over()
            if self._table is not None and row is not None and row.grid_checked:
                return uri, self._table.head.grid
            try:
                grid = read_grids(first.image)[uri]
            except UNUSABLE as error:
                self._leave_out(first, reason_of(error, first.facts.statistics[0].uri))
                del self._s2[0]
                continue
            if self._table is not None and self._table.head.grid != grid:
                logger.warning("%s: is of another grid, made anew", self._table_uri)
                self._table = None
                self._s2 = [replace(item, known=None) for item in self._s2]
                self._s1 = [replace(item, known=None) for item in self._s1]
            return uri, grid
        raise self._nothing_left()

    def _check_elevation(self) -> None:
        if self.elevation is None:
            return
        known = self._table.head.elevation if self._table else None
        if known == _as_ref(self.elevation):
            return
        with open_raster(self.elevation.uri) as reader:
            found = reader.grid
        try:
            check_grid(self.elevation.uri, found, self.grid.coarsened(2), self.reference)
        except GridMismatchError as error:
            self._mismatches.append(str(error))

    def _known_counts(self, candidate: Candidate) -> Counts | None:
        if self._table is None or candidate.taken_over() is None:
            return None
        return self._table.counts(candidate.facts.uri)

    def _survey(self, candidate: Candidate, known: Counts | None) -> SurveyedImage | None:
        """Find out what is not known yet; None where the image cannot be used."""
        image, row, counts = candidate.image, candidate.taken_over(), known
        first = reference_of(image) == self.reference
        try:
            if row is None or counts is None:
                row, counts = read_facts(image, candidate.facts, self.grid, self.reference)
            if not row.grid_checked and (self._thorough or first):
                check_grids(image, read_grids(image), self.grid, self.reference)
                row = replace(row, grid_checked=True)
        except GridMismatchError as error:
            self._mismatches.append(str(error))
            return None
        except UNUSABLE as error:
            self._leave_out(candidate, reason_of(error, candidate.facts.statistics[0].uri))
            return None
        return SurveyedImage(image, row, counts)

    def _check(self, rows: Mapping[str, ImageRow]) -> None:
        if self._mismatches:
            told = "; ".join(sorted(self._mismatches)[:_NAMED])
            more = len(self._mismatches) - _NAMED
            raise GridMismatchError(
                f"{self.tile}: {told}" + (f"; and {more} more" if more > 0 else "")
            )
        if all(row.sensor == "S1" for row in rows.values()):
            raise self._nothing_left()

    def _nothing_left(self) -> EmptyTileError:
        return EmptyTileError(
            f"{self._files.s2_root}: no prepared Sentinel-2 product of {self.tile} can be used "
            f"({self.left_out[0].reason}); run prepare-s2 again"
        )

    def _head(self) -> TableHead:
        elevation = _as_ref(self.elevation) if self.elevation else None
        if self._files.dem_root is None and self._table is not None:
            elevation = self._table.head.elevation
        return TableHead(tile=self.tile, grid=self.grid, elevation=elevation)

    def _may_write(self, head: TableHead) -> bool:
        known = self._table.rows.values() if self._table else ()
        # A survey without radar does not take the radar images out of a table.
        narrower = self._files.s1_root is None and any(row.sensor == "S1" for row in known)
        return self._table_uri is not None and not narrower and not self._is_current(head)

    def _is_current(self, head: TableHead) -> bool:
        """Say whether the table says all that the survey could find out."""
        rows = {row.uri: row for row in self._problems}
        for number, candidate in enumerate((*self._s2, *self._s1)):
            row = candidate.taken_over()
            if row is None or not (row.grid_checked or (number > 0 and not self._thorough)):
                return False
            rows[row.uri] = row
        return self._says_the_same(head, rows)

    def _says_the_same(self, head: TableHead, rows: Mapping[str, ImageRow]) -> bool:
        table = self._table
        return table is not None and table.head.says_the_same(head) and table.rows == rows


def _as_ref(entry: storage.Entry) -> FileRef:
    return FileRef(uri=entry.uri, size=entry.size, etag=entry.etag)
