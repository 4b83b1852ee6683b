"""What one prepared image tells of itself: by its name, its statistics and its headers."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from decloud_lib import storage
from decloud_lib.bands import ELEMENTARY_PATCH_PX
from decloud_lib.errors import GridMismatchError, ProductError
from decloud_lib.raster.products.names import parse_s1_name, parse_s2_name
from decloud_lib.raster.products.prepared import S2_PARTS, S2_STATS, PreparedS1, PreparedS2
from decloud_lib.raster.read import open_raster
from decloud_lib.raster.views import VIEW_END, is_part, open_image
from decloud_lib.sampling.tile_table import Counts, ImageRow
from decloud_lib.types import Array, Grid, Window

Prepared = PreparedS1 | PreparedS2

#: What a damaged image raises; a bucket that cannot be reached is another matter.
UNUSABLE = (ProductError, storage.MissingFileError)
_ORBIT_TAG = "RELATIVE_ORBIT"


def reference_of(image: Prepared) -> str:
    """Return the URI of the raster, or of the image in a view, that has the 10 m grid."""
    return image.stack_10m if isinstance(image, PreparedS2) else image.uri


def facts_of(image: Prepared, listed: Mapping[str, storage.Entry]) -> ImageRow:
    """Return what the name and the listing say of an image.

    Parameters
    ----------
    image
        A prepared image.
    listed
        The files of its tile, by URI.
    """
    if isinstance(image, PreparedS2):
        optical = parse_s2_name(image.name)
        parts = dict.fromkeys(_stored(getattr(image, part)) for part in S2_PARTS)
        return ImageRow(
            sensor="S2",
            name=image.name,
            uri=image.uri,
            acquired=image.acquired,
            time_is_assumed=False,
            satellite=f"S2{optical.satellite[-1]}",
            relative_orbit=optical.relative_orbit,
            ascending=None,
            statistics=tuple(listed[getattr(image, part)] for part in S2_STATS),
            images=tuple(listed[uri] for uri in parts),
        )
    file_uri = _stored(image.uri)
    radar = parse_s1_name(storage.name_of(file_uri).removesuffix(VIEW_END))
    return ImageRow(
        sensor="S1",
        name=radar.stem,
        uri=image.uri,
        acquired=image.acquired,
        time_is_assumed=image.time_is_assumed,
        satellite=radar.satellite.upper(),
        relative_orbit=radar.relative_orbit,
        ascending=radar.ascending,
        statistics=(listed[image.edge_stats],),
        images=(listed[file_uri],),
    )


def reason_of(error: Exception, uri: str) -> str:
    """Return what is wrong with an image.

    Raises
    ------
    StorageError
        It is the bucket that cannot be reached.
    """
    if storage.is_s3(uri):
        storage.stat(uri)
    return str(error)


def read_facts(
    image: Prepared, facts: ImageRow, grid: Grid, reference: str
) -> tuple[ImageRow, Counts]:
    """Read the statistics of an image; return its row with what they say, and the counts.

    Parameters
    ----------
    image
        A prepared image.
    facts
        What `facts_of` found.
    grid
        Of the tile's 10 m rasters.
    reference
        Where this grid was found, for messages.

    Raises
    ------
    ProductError
        Statistics that cannot be read, or are no counts.
    GridMismatchError
        Statistics of another grid.
    """
    edge, _ = _read_counts(image.edge_stats, grid, reference)
    cloud, orbit = None, facts.relative_orbit
    if isinstance(image, PreparedS2):
        cloud, tags = _read_counts(image.cloud_stats, grid, reference)
        if orbit is None and (found := re.fullmatch(r"R?(\d{1,3})", tags.get(_ORBIT_TAG, ""))):
            orbit = int(found[1])
    counts = Counts(edge, cloud)
    row = replace(
        facts,
        relative_orbit=orbit,
        cloud_percent=counts.cloud_percent,
        nodata_percent=counts.nodata_percent,
        valid_patch_percent=counts.valid_patch_percent,
    )
    return row, counts


def read_grids(image: Prepared) -> dict[str, Grid]:
    """Read the headers of an image's own rasters; return the grid of each, by URI.

    Raises
    ------
    ProductError
        One that cannot be opened.
    """
    parts = [getattr(image, part) for part in S2_PARTS if isinstance(image, PreparedS2)]
    grids: dict[str, Grid] = {}
    for uri in parts or [image.uri]:
        with open_image(uri) as reader:
            grids[uri] = reader.grid
    return grids


def check_grids(image: Prepared, grids: Mapping[str, Grid], grid: Grid, reference: str) -> None:
    """Check that an image's own rasters lie on the tile's grid.

    Raises
    ------
    GridMismatchError
        One does not; the message holds both files and both values.
    """
    coarse = image.stack_20m if isinstance(image, PreparedS2) else None
    for uri, found in grids.items():
        check_grid(uri, found, grid.coarsened(2) if uri == coarse else grid, reference)


def check_grid(uri: str, found: Grid, expected: Grid, reference: str) -> None:
    """Check that a raster lies on the tile's grid.

    Parameters
    ----------
    uri
        The raster.
    found, expected
        Its grid; that of the tile, with pixels as large as the raster's should be.
    reference
        Where the tile's grid was found.

    Raises
    ------
    GridMismatchError
        The message holds both files and both values.
    """
    if difference := found.difference(expected):
        raise GridMismatchError(
            f"{uri}: not on the grid of {reference}: {difference} (expected, at "
            f"{expected.pixel_m:g} m); prepare it again from the same tile"
        )


def read_cells(uri: str, grid: Grid, reference: str) -> tuple[Array, Mapping[str, str]]:
    """Read a raster with one pixel per elementary patch.

    Parameters
    ----------
    uri
        Statistics, or a region.
    grid
        Of the tile's 10 m rasters.
    reference
        Where this grid was found, for messages.

    Returns
    -------
    (h, w) array as stored, and the metadata.

    Raises
    ------
    ProductError
        Damaged.
    GridMismatchError
        On another grid.
    """
    with open_raster(uri) as reader:
        check_grid(uri, reader.grid, grid.coarsened(ELEMENTARY_PATCH_PX), reference)
        return reader.read(Window(0, 0, *reader.grid.shape))[..., 0], reader.tags


def _read_counts(uri: str, grid: Grid, reference: str) -> tuple[Array, Mapping[str, str]]:
    cells, tags = read_cells(uri, grid, reference)
    most = ELEMENTARY_PATCH_PX**2
    if cells.dtype.kind not in "ui" or cells.min() < 0 or cells.max() > most:
        raise ProductError(
            f"{uri}: holds {cells.dtype} from {cells.min():g} to {cells.max():g}; expected counts "
            f"of pixels, whole numbers from 0 to {most}: prepare the image again"
        )
    return cells.astype(np.uint16), tags


def _stored(uri: str) -> str:
    return uri.rpartition("#")[0] if is_part(uri) else uri
