"""STAC items of Sentinel-2 among the files of a listing, told from other JSON files."""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from decloud_lib import storage

ITEM_ENDS = (".json", ".geojson")
_IMAGE_ENDS = (".tif", ".tiff", ".jp2")
_LARGEST_BYTES = 1 << 20
_READERS = 8
#: Names of items: of the Earth Search catalogue, of the Planetary Computer, and plain ones.
_LIKE_ITEM = re.compile(
    r"(?:S2[A-D]_.*|(?:.*[_.-])?(?:item|stac|tileinfo_metadata))\.(?:geo)?json", re.IGNORECASE
)
_TILE = re.compile(r"(?<![A-Za-z0-9])T?(\d{1,2}[C-X][A-Z]{2})(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A STAC item of Sentinel-2."""

    uri: str
    name: str
    """The item's id."""
    tile: str | None
    """With the leading T."""
    acquired: datetime | None
    """UTC."""
    size_bytes: int
    """Of the item and of its assets in the listing."""
    files: tuple[str, ...]
    """URIs of these."""
    problem: str | None


def find_items(files: Mapping[str, storage.Entry]) -> list[ItemFile]:
    """Find STAC items; only small JSON files that are named so, or lie beside images, are read.

    Parameters
    ----------
    files
        The listing, by URI.
    """
    beside = {storage.parent_of(uri) for uri in files if uri.lower().endswith(_IMAGE_ENDS)}
    candidates = [
        entry
        for uri, entry in sorted(files.items())
        if uri.lower().endswith(ITEM_ENDS)
        and entry.size <= _LARGEST_BYTES
        and (_LIKE_ITEM.fullmatch(storage.name_of(uri)) or storage.parent_of(uri) in beside)
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        contents = list(pool.map(_read, candidates))
    return [
        _item_file(entry, content, files)
        for entry, content in zip(candidates, contents, strict=True)
        if content is not None and _is_sentinel_2(content)
    ]


def _read(entry: storage.Entry) -> dict[str, Any] | None:
    """Return the content of a STAC item; None for anything else."""
    try:
        content = json.loads(storage.read_bytes(entry.uri))
    except (ValueError, RecursionError, storage.MissingFileError):
        return None
    if not isinstance(content, dict) or content.get("type") != "Feature":
        return None
    return content if isinstance(content.get("stac_version"), str) else None


def _properties(item: dict[str, Any]) -> dict[str, Any]:
    found = item.get("properties")
    return found if isinstance(found, dict) else {}


def _is_sentinel_2(item: dict[str, Any]) -> bool:
    facts = _properties(item)
    words = (item.get("id"), item.get("collection"), facts.get("platform"))
    said = " ".join(str(word) for word in (*words, facts.get("constellation")))
    return re.search(r"sentinel-?2|\bS2[A-D]_", said, re.IGNORECASE) is not None


def _item_file(
    entry: storage.Entry, item: dict[str, Any], files: Mapping[str, storage.Entry]
) -> ItemFile:
    own = (entry.uri, *(uri for uri in _assets(entry.uri, item) if uri in files))
    name = str(item.get("id") or storage.name_of(entry.uri))
    said = f"{item.get('collection')} {name}"
    problem = None
    if re.search(r"l1c", said, re.IGNORECASE):
        problem = f"{entry.uri}: is a level 1C product, expected level 2A: download that"
    size = sum(files[uri].size for uri in dict.fromkeys(own))
    return ItemFile(entry.uri, name, _tile(name, item), _time(item), size, own, problem)


def _assets(uri: str, item: dict[str, Any]) -> list[str]:
    """Return the URIs of the assets that lie in a folder or bucket, as a listing names them."""
    assets = item.get("assets")
    found = []
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if not isinstance(href, str) or storage.is_web(href):
            continue
        if href.startswith(("s3://", "/")):
            found.append(href)
        elif ".." not in PurePosixPath(href).parts:
            found.append(storage.join(storage.parent_of(uri), href.removeprefix("./")))
    return found


def _tile(name: str, item: dict[str, Any]) -> str | None:
    facts = _properties(item)
    texts = [str(facts.get(key, "")) for key in ("grid:code", "s2:mgrs_tile")]
    for prefix in ("mgrs", "sentinel"):
        keys = ("utm_zone", "latitude_band", "grid_square")
        texts.append("".join(str(facts.get(f"{prefix}:{key}", "")) for key in keys))
    for text in (*texts, name):
        if found := _TILE.search(text.replace("_", " ")):
            return f"T{found[1]:0>5}"
    return None


def _time(item: dict[str, Any]) -> datetime | None:
    text = _properties(item).get("datetime")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
