"""Delivered products of all families below a root, found with one listing; no raster is opened."""

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from decloud_lib import manifest, storage
from decloud_lib.errors import ProductError, StorageError
from decloud_lib.raster.products.found import (
    FAMILIES,
    Discovery,
    Format,
    Found,
    without_repeats,
)
from decloud_lib.raster.products.items import ItemFile, find_items
from decloud_lib.raster.products.names import TILE_PATTERN, S1Name, parse_s1_name, parse_s2_name
from decloud_lib.raster.products.s1tiling import file_of

__all__ = ["Discovery", "Found", "discover"]

#: Folders that the preparation writes.
_PREPARED = {"S1_PREPARE", "S2_PREPARE", "DEM_PREPARE", "QUARANTINE"}
#: Endings under which browsers, aria2, curl, rsync and we write what is not whole yet.
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".download", ".aria2", ".filepart")
_LIKE_S2 = re.compile(r"(SENTINEL2[A-D]_|S2[A-D]_MSIL)", re.IGNORECASE)
_LIKE_S1 = re.compile(r"s1[a-d]_\d{2}[a-z]{3}_\w+\.tiff?", re.IGNORECASE)
_LIKE_HALF = re.compile(r"s1[a-d]_\d{2}[a-z]{3}_v[vh]_", re.IGNORECASE)
_TILE = re.compile(rf"(?<![A-Z0-9]){TILE_PATTERN}(?![A-Z0-9])")
_LARGEST_MANIFEST = 8 << 20


def discover(root: str) -> Discovery:
    """Find the delivered products of all families at any depth below a root.

    Prepared data below the root are no deliveries: S1_PREPARE, S2_PREPARE, DEM_PREPARE, and any
    folder that holds a manifest of ours. Of a product that is there twice one is taken; so is one
    of an acquisition that Theia and ESA have both processed, that of Theia.

    Parameters
    ----------
    root
        Folder or prefix, or one product.

    Raises
    ------
    StorageError
        The place is not there or refuses.
    """
    entries, closed = _list(root)
    base = root.rstrip("/")
    alone = None if entries else storage.stat(base)
    if alone is not None:
        entries = [alone, *_other_half(alone)]
    if _LIKE_S2.match(storage.name_of(base)) or alone is not None:
        base = storage.parent_of(base)
    return _Search(base).run(entries, closed)


def _other_half(entry: storage.Entry) -> list[storage.Entry]:
    """Return the other polarisation of a radar file, which belongs to it wherever it was named."""
    if not _LIKE_HALF.match(storage.name_of(entry.uri)):
        return []
    both = (storage.stat(file_of(entry.uri, polarisation)) for polarisation in ("vv", "vh"))
    return [found for found in both if found is not None and found.uri != entry.uri]


def _list(uri: str) -> tuple[list[storage.Entry], list[str]]:
    """List the files below a place, and the products in it whose folder cannot be read."""
    try:
        return storage.list_files(uri), []
    except StorageError:
        if storage.is_s3(uri):
            raise
        if _LIKE_S2.match(storage.name_of(uri)):
            return [], [uri]
        # Each folder on its own, to find the one that is closed; it may be this one.
        children = [_list(child) for child in storage.list_children(uri)]
    alone = [entry for child in storage.list_children(uri) if (entry := storage.stat(child))]
    entries = [entry for found, _ in children for entry in found]
    return [*alone, *entries], [place for _, closed in children for place in closed]


@dataclass(slots=True)
class _Radar:
    """The files of one name but for the polarisation, by polarisation."""

    files: dict[str, storage.Entry] = field(default_factory=dict)
    names: dict[str, S1Name] = field(default_factory=dict)


class _Search:
    """Sorts the files of one listing into products."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._start = base.rstrip("/") + "/"
        self._found: list[Found] = []
        self._folders: dict[str, list[storage.Entry]] = defaultdict(list)
        self._radar: dict[str, _Radar] = defaultdict(_Radar)
        self._by_products: dict[str, list[storage.Entry]] = defaultdict(list)
        self._others: dict[str, storage.Entry] = {}

    def run(self, entries: list[storage.Entry], closed: list[str]) -> Discovery:
        """Return what the files of the listing make up.

        A product whose folder cannot be read is found; who opens it is told why it cannot be.
        """
        self._folders |= {uri: [] for uri in closed}
        prepared = self._prepared_folders(entries)
        for entry in entries:
            parts = self._parts(entry)
            if not _PREPARED.isdisjoint(parts[:-1]):
                continue
            if prepared and any("/".join(parts[:n]) in prepared for n in range(len(parts))):
                continue
            self._sort_in(entry, parts)
        self._found += (self._folder(uri, files) for uri, files in self._folders.items())
        self._add_radar()
        items = find_items(self._others)
        for item in items:
            self._found.append(_item_found(item))
            for uri in item.files:
                self._others.pop(uri, None)
        found = without_repeats(self._found)
        found.sort(key=lambda item: (FAMILIES.index(item.family), item.tile or "", *_when(item)))
        return Discovery(tuple(found), len(self._others), tuple(entries))

    def _parts(self, entry: storage.Entry) -> list[str]:
        # Most names are that simple, and there may be a million.
        parts = entry.uri.removeprefix(self._start).split("/")
        if entry.uri.startswith(self._start) and ".." not in parts and parts[0]:
            return parts
        try:
            return storage.relative_path(entry.uri, self._base).split("/")
        except StorageError:
            # An object whose name climbs: it is no part of a product.
            return [storage.name_of(entry.uri)]

    def _prepared_folders(self, entries: list[storage.Entry]) -> set[str]:
        """Return the folders that hold a manifest of ours."""
        return {
            "/".join(parts[:-1])
            for entry in entries
            if storage.name_of(entry.uri) == manifest.NAME
            and not _PREPARED & set((parts := self._parts(entry))[:-1])
            and _is_manifest(entry)
        }

    def _sort_in(self, entry: storage.Entry, parts: list[str]) -> None:
        """Put one file where it belongs."""
        for depth, part in enumerate(parts[:-1], start=1):
            if _LIKE_S2.match(part):
                self._folders[storage.join(self._base, *parts[:depth])].append(entry)
                return
        name = parts[-1]
        stem = _whole_name(name)
        if stem != name and (_LIKE_S2.match(stem) or _LIKE_S1.fullmatch(stem)):
            self._found.append(_unfinished(entry.uri, entry.size))
        elif _LIKE_S2.match(name) and name.lower().endswith(".zip"):
            problem = None if entry.size else f"{entry.uri}: is empty; deliver it again"
            self._found.append(_optical(entry.uri, entry.size, problem))
        elif _LIKE_S1.fullmatch(name):
            self._sort_in_radar(entry, name)
        elif _is_elevation([storage.name_of(self._base), *parts]):
            tile = name[: -len(".tif")]
            self._found.append(Found("dem", "dem", entry.uri, tile, tile, None, None, entry.size))
        else:
            self._others[entry.uri] = entry

    def _folder(self, uri: str, files: list[storage.Entry]) -> Found:
        """Describe a product that is delivered as a folder."""
        size = sum(entry.size for entry in files)
        if _whole_name(storage.name_of(uri)) != storage.name_of(uri):
            return _unfinished(uri, size)
        for entry in files:
            if _whole_name(entry.uri) != entry.uri:
                name = storage.name_of(entry.uri)
                return _optical(uri, size, f"{uri}: {name} is half-delivered: wait, or fetch again")
        return _optical(uri, size)

    def _sort_in_radar(self, entry: storage.Entry, file_name: str) -> None:
        try:
            name = parse_s1_name(file_name)
        except ProductError as error:
            problem = str(error)
            tile = f"T{file_name[4:9].upper()}"
            self._found.append(
                Found("s1", "s1tiling", entry.uri, file_name, tile, None, None, entry.size, problem)
            )
            return
        if name.is_prepared:
            return
        if name.is_backscatter:
            both = re.sub("_(vv|vh)_", "_*_", file_name, count=1, flags=re.IGNORECASE)
            pair = self._radar[storage.join(storage.parent_of(entry.uri), both)]
            pair.files[name.polarisation] = entry
            pair.names[name.polarisation] = name
        else:
            self._by_products[_acquisition(name)].append(entry)

    def _add_radar(self) -> None:
        seen = set()
        for pair in self._radar.values():
            shown = "vh" if "vh" in pair.files else "vv"
            entry, name = pair.files[shown], pair.names[shown]
            seen.add(_acquisition(name))
            size = sum(file.size for file in pair.files.values())
            problem = None
            if len(pair.files) == 1:
                missing = "VV" if shown == "vh" else "VH"
                problem = (
                    f"{entry.uri}: its {missing} file is missing, both polarisations are needed: "
                    "deliver the other half of the pair"
                )
            self._found.append(_radar(entry.uri, name, size, problem))
        for acquisition, files in self._by_products.items():
            if acquisition in seen:
                # Masks and angles that S1Tiling puts beside its images.
                self._others |= {entry.uri: entry for entry in files}
                continue
            name = parse_s1_name(storage.name_of(files[0].uri))
            problem = (
                f"{files[0].uri}: is {name.suffix or name.polarisation}, a mask or another "
                "quantity; expected sigma nought: let S1Tiling deliver that"
            )
            size = sum(entry.size for entry in files)
            self._found.append(_radar(files[0].uri, name, size, problem))


def _is_manifest(entry: storage.Entry) -> bool:
    if entry.size > _LARGEST_MANIFEST:
        return False
    try:
        manifest.Manifest.model_validate_json(storage.read_bytes(entry.uri))
    except (ValidationError, storage.MissingFileError):
        return False
    return True


def _whole_name(name: str) -> str:
    """Return a name without the endings of a file that is still being written."""
    while name.lower().endswith(_UNFINISHED):
        name = name.rpartition(".")[0]
    return name


def _is_elevation(parts: list[str]) -> bool:
    *_, folder, name = parts
    return folder.upper() == "DEM" and re.fullmatch(rf"{TILE_PATTERN}\.tif", name) is not None


def _acquisition(name: S1Name) -> str:
    moment = name.acquired or name.day
    return f"{name.satellite} {name.tile} {name.relative_orbit} {moment}"


def _radar(uri: str, name: S1Name, size: int, problem: str | None) -> Found:
    file_name = storage.name_of(uri)
    return Found(
        "s1", "s1tiling", uri, file_name, name.tile, name.day, name.acquired, size, problem
    )


def _optical(uri: str, size: int, problem: str | None = None) -> Found:
    """Describe a Theia or ESA product by its name."""
    file_name = storage.name_of(uri)
    form: Format = "esa" if file_name.upper().startswith("S2") else "theia"
    try:
        name = parse_s2_name(file_name)
    except ProductError as error:
        tile = _tile_in(file_name)
        return Found("s2", form, uri, file_name, tile, None, None, size, problem or str(error))
    acquired = name.acquired
    return Found("s2", form, uri, name.name, name.tile, acquired.date(), acquired, size, problem)


def _unfinished(uri: str, size: int) -> Found:
    whole = _whole_name(uri)
    problem = f"{uri}: is half-delivered: wait for {storage.name_of(whole)}, or fetch it again"
    if _LIKE_S2.match(storage.name_of(whole)):
        return replace(_optical(whole, size, problem), uri=uri, name=storage.name_of(uri))
    tile = f"T{storage.name_of(whole)[4:9].upper()}"
    name = storage.name_of(uri)
    return Found("s1", "s1tiling", uri, name, tile, None, None, size, problem)


def _item_found(item: ItemFile) -> Found:
    day = item.acquired.date() if item.acquired else None
    return Found(
        "s2", "stac", item.uri, item.name, item.tile, day, item.acquired, item.size_bytes,
        item.problem,
    )  # fmt: skip


def _tile_in(text: str) -> str | None:
    found = _TILE.search(text.replace("_", " "))
    return found[0] if found else None


def _when(item: Found) -> tuple[str, str, str]:
    return str(item.day or ""), item.name, item.uri
