"""Delivered products that were found: choosing some, and one of those that are there twice."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal

from decloud_lib.raster.products.names import parse_s1_name
from decloud_lib.storage import Entry

Family = Literal["s1", "s2", "dem"]
Format = Literal["s1tiling", "theia", "esa", "stac", "dem"]
FAMILIES: tuple[Family, ...] = ("s1", "s2", "dem")

_VERSION = re.compile(r"_V(\d+)[-.](\d+)|_N(\d{4})")
#: Theia's times are those of the ground, ESA's those of the start of the strip of images; the same
#: satellite is back over a tile after one revolution, 98 min, at the earliest.
_SAME_PASS = timedelta(minutes=30)
_PREFERENCE: tuple[Format, ...] = ("theia", "esa", "stac")
#: Ends of the names of one radar acquisition, the preferred one first: what networks were trained
#: on, then corrected for slopes, then smoothed.
_RADAR_ENDS = ("", "sigma", "normlim", "filtered", "sigma_filtered", "normlim_filtered")
_CALLED = {"theia": "Theia", "esa": "ESA", "stac": "a STAC catalogue"}


@dataclass(frozen=True, slots=True)
class Found:
    """A delivered product."""

    family: Family
    format: Format
    uri: str
    """S1: the VH file (VV where that is missing); S2: folder, archive or item; DEM: the raster."""
    name: str
    tile: str | None
    """With the leading T; None where the name does not say."""
    day: date | None
    """UTC; None for elevations."""
    acquired: datetime | None
    """UTC; None for elevations, and where the name hides the time of day."""
    size_bytes: int
    """Of all its files."""
    problem: str | None = None
    """Why it cannot be used, or need not be."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What lies below a root."""

    found: tuple[Found, ...]
    """Sorted by family, tile, day and name; those with a problem too."""
    other_files: int
    """Files that belong to no product."""
    entries: tuple[Entry, ...] = field(default=(), repr=False, compare=False)
    """The listing, sorted by URI: all files below the root."""


def select(
    found: Iterable[Found],
    *,
    families: Sequence[str] = FAMILIES,
    tiles: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> tuple[Found, ...]:
    """Keep the products of some families, tiles (all if none is named) and days (both included)."""
    wanted = {tile if tile.upper().startswith("T") else f"T{tile}" for tile in tiles}
    wanted = {tile.upper() for tile in wanted}
    return tuple(
        item
        for item in found
        if item.family in families
        and (not wanted or item.tile in wanted)
        and (start is None or item.day is None or item.day >= start)
        and (end is None or item.day is None or item.day <= end)
    )


def without_repeats(found: list[Found]) -> list[Found]:
    """Leave one of each product and of each acquisition without a problem."""
    # What can be used goes first, then folders before archives.
    ordered = sorted(found, key=lambda item: (bool(item.problem), _is_archive(item.uri), item.uri))
    taken: dict[tuple[str, str], Found] = {}
    once: list[Found] = []
    for item in ordered:
        # An elevation, and a product whose name cannot be read, goes by its name too.
        first = taken.setdefault((item.family, item.name.lower()), item)
        repeated = first is not item and item.problem is None
        problem = f"{item.uri}: the same product as {first.uri}" if repeated else item.problem
        once.append(replace(item, problem=problem))
    return _without_other_processing(_without_other_calibrations(once))


def _is_archive(uri: str) -> bool:
    return uri.lower().endswith(".zip")


def _without_other_calibrations(found: list[Found]) -> list[Found]:
    """Keep one processing of each radar acquisition."""
    usable = {item.uri: item for item in found if item.family == "s1" and item.problem is None}
    names = {uri: parse_s1_name(item.name) for uri, item in usable.items()}
    kept: dict[tuple[object, ...], str] = {}
    problems: dict[str, str] = {}
    for uri in sorted(names, key=lambda uri: _RADAR_ENDS.index(names[uri].suffix.lower())):
        name = names[uri]
        moment = name.acquired or name.day
        first = kept.setdefault((name.satellite, name.tile, name.relative_orbit, moment), uri)
        if first != uri:
            problems[uri] = (
                f"{uri}: the same acquisition as {first}, which is preferred; to have this one, "
                "prepare its files from a folder of their own"
            )
    return [replace(item, problem=problems.get(item.uri, item.problem)) for item in found]


def _without_other_processing(found: list[Found]) -> list[Found]:
    """Keep one processing of each optical acquisition."""
    usable = [item for item in found if item.family == "s2" and item.problem is None]
    usable.sort(key=lambda item: (_PREFERENCE.index(item.format), _negated_version(item.name)))
    kept: dict[tuple[str | None, str, int], list[Found]] = defaultdict(list)
    problems: dict[str, str] = {}
    for item in usable:
        place, day = (item.tile, _satellite(item.name)), item.day.toordinal() if item.day else 0
        # A pass may begin before midnight and end after it.
        near = (other for n in (day, day - 1, day + 1) for other in kept.get((*place, n), ()))
        better = next((other for other in near if _is_replaced(item, other)), None)
        if better is None:
            kept[(*place, day)].append(item)
            continue
        why = f"{_CALLED[better.format]} is preferred"
        if item.format == better.format:
            why = "a newer version"
        problems[item.uri] = f"{item.uri}: the same acquisition as {better.uri}, {why}"
    return [
        replace(item, problem=problems[item.uri]) if item.uri in problems else item
        for item in found
    ]


def _is_replaced(item: Found, other: Found) -> bool:
    if item.acquired is None or other.acquired is None:
        return False
    if item.format != other.format:
        return abs(item.acquired - other.acquired) <= _SAME_PASS
    # Two products of one version are two parts of the tile.
    older = _negated_version(item.name) > _negated_version(other.name)
    return item.acquired == other.acquired and older


def _negated_version(name: str) -> tuple[int, ...]:
    found = _VERSION.search(name)
    return tuple(-int(number) for number in found.groups() if number) if found else (0,)


def _satellite(name: str) -> str:
    """Return the letter of a Sentinel-2 satellite; names of items have it in the same place."""
    found = re.search(r"S(?:ENTINEL-?)?2([A-D])", name, re.IGNORECASE)
    return found[1].upper() if found else ""
