"""Tiles, regions and layouts of an analysis, from what a user names."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from decloud_lib import storage
from decloud_lib.acquisitions import AcquisitionsLayout, shipped_layouts
from decloud_lib.errors import ConfigError
from decloud_lib.raster.products.prepared import tile_folder
from decloud_lib.sampling.sources import read_layout, read_rois, read_tiles
from decloud_lib.sampling.tile_index import TileIndex, index_tile
from decloud_lib.types import Array

#: Name of the only data set where no regions are given.
WHOLE = "all"
_STATISTICS = ("_stats.tif", "_edge.tif")

Places = list[tuple[TileIndex, Array]]
"""Tiles and, per tile, (positions,) bool."""


@dataclass(frozen=True, slots=True, eq=False)
class DataSetGround:
    """What belongs to a data set."""

    name: str
    places: Places


@dataclass(frozen=True, slots=True)
class NamedLayout:
    """An acquisition layout and how it is called."""

    name: str
    layout: AcquisitionsLayout

    @property
    def needs_s1(self) -> bool:
        """Whether any acquisition has an S1 image."""
        return any(self.layout.has_s1(name) for name in self.layout.names)


class Ground:
    """The prepared tiles of an analysis and the regions of its data sets.

    Parameters
    ----------
    tiles_uri
        Tiles JSON.
    rois_uri
        ROI JSON; None = all ground.

    Raises
    ------
    ConfigError
        A file that cannot be used.
    """

    def __init__(self, tiles_uri: str, rois_uri: str | None = None) -> None:
        self.files = read_tiles(tiles_uri)
        self._rois = read_rois(rois_uri) if rois_uri else None
        self._uris = tuple(uri for uri in (tiles_uri, rois_uri) if uri)
        self._indexes: dict[int, list[TileIndex]] = {}

    def indexes(self, patch_px: int) -> list[TileIndex]:
        """Index all tiles, in the order of their names; once per patch size."""
        if patch_px not in self._indexes:
            tiles = sorted(self.files.tiles)
            self._indexes[patch_px] = [index_tile(tile, self.files, patch_px) for tile in tiles]
        return self._indexes[patch_px]

    def regions(self, patch_px: int) -> dict[str, Places]:
        """Return the ground of each data set that the regions name; all ground without regions."""
        indexes = self.indexes(patch_px)
        if self._rois is None:
            return {
                WHOLE: [(index, np.ones(index.catalogue.n_positions, bool)) for index in indexes]
            }
        by_name = {index.tile: index for index in indexes}
        found: dict[str, Places] = {}
        for dataset in (name for name, tiles in self._rois.datasets.items() if tiles):
            rasters = self._rois.rasters(dataset, tuple(by_name))
            found[dataset] = [
                (by_name[tile], by_name[tile].region(uri)) for tile, uri in rasters.items()
            ]
        return found

    def places(self, patch_px: int, dataset: str) -> DataSetGround:
        """Return the ground of one data set; all ground without regions.

        Raises
        ------
        ConfigError
            The regions do not name it.
        """
        regions = self.regions(patch_px)
        if self._rois is None:
            dataset = WHOLE
        if dataset not in regions:
            raise ConfigError(
                f"{self._rois.source if self._rois else ''}: no region for {dataset}; expected one "
                f"of {', '.join(regions)}"
            )
        return DataSetGround(dataset, regions[dataset])

    def inputs(self, further: Iterable[str] = ()) -> tuple[storage.Entry, ...]:
        """List what decides an analysis: the JSON files, statistics, regions, and some more files.

        What is not there is left out.
        """
        found: dict[str, storage.Entry] = {}
        for uri in (*self._uris, *further):
            if entry := storage.stat(uri):
                found[entry.uri] = entry
        roots = [root for root in (self.files.s2_root, self.files.s1_root) if root]
        folders = [tile_folder(root, tile) for root in roots for tile in self.files.tiles]
        if self._rois is not None:
            folders.append(self._rois.root)
        for folder in folders:
            for entry in storage.list_files(folder):
                is_region = self._rois is not None and folder == self._rois.root
                if entry.uri.endswith(".tif" if is_region else _STATISTICS):
                    found[entry.uri] = entry
        return tuple(found.values())


def load_layouts(given: Iterable[str]) -> list[NamedLayout]:
    """Return layouts by name, JSON file or folder of JSON files; the shipped ones if none.

    Raises
    ------
    ConfigError
        No such layout, or two of the same name.
    """
    found = [
        NamedLayout(storage.name_of(uri).removesuffix(".json"), read_layout(uri))
        for name in (tuple(given) or shipped_layouts())
        for uri in _expanded(name)
    ]
    names = [layout.name for layout in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"layout {twice[0]} is given twice; expected different names")
    return found


def layout_files(given: Iterable[str]) -> list[str]:
    """Return the JSON files behind the layouts that are no shipped ones."""
    uris = (uri for name in given for uri in _expanded(name))
    return [uri for uri in uris if uri.removesuffix(".json") not in shipped_layouts()]


def _expanded(name: str) -> list[str]:
    if name.endswith(".json") or name in shipped_layouts():
        return [name]
    inside = [uri for uri in storage.list_children(name) if uri.endswith(".json")]
    if not inside:
        raise ConfigError(
            f"{name}: there is no such layout; expected a JSON file, a folder of JSON files, or "
            f"one of {', '.join(shipped_layouts())}"
        )
    return inside
