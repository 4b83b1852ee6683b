"""Opening the images that were given, and choosing those that were not."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from decloud_lib import storage
from decloud_lib.errors import ConfigError, GridMismatchError, NoSampleError, ProductError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.raster.views import is_part, stored_files
from decloud_lib.raster.whole import damage_of
from decloud_lib.reconstruction.five_dates import PARTIAL
from decloud_lib.reconstruction.inputs import SceneInputs, Search, choose, choose_some

logger = logging.getLogger(__name__)

_LOOKING = 8
"""Files that are looked at together; the wait is for the bucket, not for the processor."""
_CHOSEN = frozenset({"s1_tm1", "s2_tm1", "s1_t", "s1_tp1", "s2_tp1"})


@dataclass(frozen=True, slots=True)
class Given:
    """URIs that the user named; an empty list is to be chosen."""

    in_s2: str
    s2_before: tuple[str, ...] = ()
    s1_before: tuple[str, ...] = ()
    s1: tuple[str, ...] = ()
    s2_after: tuple[str, ...] = ()
    s1_after: tuple[str, ...] = ()
    dem: str | None = None


class Opener(Protocol):
    """Opens images that were named."""

    def s2(self, uris: Sequence[str]) -> list[PreparedS2]:
        """Open optical products."""

    def s1(self, uris: Sequence[str]) -> list[PreparedS1]:
        """Open radar images."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The prepared images of one tile to choose from."""

    s1: Sequence[PreparedS1]
    s2: Sequence[PreparedS2]


def gather(
    given: Given,
    opener: Opener,
    roles: frozenset[str],
    search: Search,
    candidates: Callable[[str], Candidates | None],
) -> SceneInputs:
    """Open the given images and choose the others, only those that the network needs.

    Of those to choose from, images whose files are cut short are left out with a warning.

    Parameters
    ----------
    given
        What the user named. A side (before, date, after) with a list is not added to.
    opener
        Opens it.
    roles
        What the network needs, as `scene.roles_of` gives it.
    search
        Bounds of the choice.
    candidates
        Lists the images of a tile to choose from; None where the user named no folder.

    Raises
    ------
    NoSampleError
        Nothing can be chosen for a side.
    GridMismatchError
        A given image is one of another tile.
    ProductError
        A given image is not there, or none that can be read.
    """

    def wanted_of(role: str, uris: tuple[str, ...]) -> tuple[str, ...]:
        return uris if role in roles else ()

    inputs = SceneInputs(
        target=opener.s2([given.in_s2])[0],
        s2_before=tuple(opener.s2(wanted_of("s2_tm1", given.s2_before))),
        s1_before=tuple(opener.s1(wanted_of("s1_tm1", given.s1_before))),
        s1=tuple(opener.s1(wanted_of("s1_t", given.s1))),
        s2_after=tuple(opener.s2(wanted_of("s2_tp1", given.s2_after))),
        s1_after=tuple(opener.s1(wanted_of("s1_tp1", given.s1_after))),
        dem=given.dem if "dem" in roles else None,
    )
    _check_tile(inputs)
    _check_order(inputs)
    listed = {
        "tm1": bool(inputs.s2_before or inputs.s1_before),
        "t": bool(inputs.s1),
        "tp1": bool(inputs.s2_after or inputs.s1_after),
    }
    wanted = frozenset(role for role in roles & _CHOSEN if not listed[role.rpartition("_")[2]])
    found = candidates(inputs.target.tile) if wanted else None
    if found is None:
        return inputs
    chosen = _choose_whole(inputs.target, found, search, wanted, roles)
    return replace(
        inputs,
        s2_before=inputs.s2_before or chosen.s2_before,
        s1_before=inputs.s1_before or chosen.s1_before,
        s1=inputs.s1 or chosen.s1,
        s2_after=inputs.s2_after or chosen.s2_after,
        s1_after=inputs.s1_after or chosen.s1_after,
    )


def check_whole(target: PreparedS2, roles: frozenset[str]) -> None:
    """Check that what is read of the image to rebuild is there to its end.

    Raises
    ------
    ProductError
        A file is cut short, or cannot be opened.
    """
    uris = [target.stack_10m, *([target.cloud_mask] if "observed_cloud" in roles else [])]
    for reason in _damage(uri for uri in uris if not is_part(uri)).values():
        raise ProductError(f"{reason}; prepare it again")


def listed_uris(values: Sequence[str]) -> tuple[str, ...]:
    """Return the URIs of a list; an entry that ends in .txt names a file with one URI per line.

    Raises
    ------
    MissingFileError
        There is no such text file.
    ConfigError
        It is empty.
    """
    found: list[str] = []
    for value in values:
        if not value.endswith(".txt"):
            found.append(value)
            continue
        lines = [line.strip() for line in storage.read_text(value).splitlines()]
        named = [line for line in lines if line and not line.startswith("#")]
        if not named:
            raise ConfigError(f"{value}: names no image; expected one path per line")
        found += named
    return tuple(found)


def input_files(inputs: SceneInputs, roles: frozenset[str]) -> list[storage.Entry]:
    """Look up the files that may be read, for the manifest; sorted by URI.

    Parameters
    ----------
    inputs
        The images.
    roles
        What the network needs, as `scene.roles_of` gives it.

    Raises
    ------
    ProductError
        One is not there.
    """
    uris = [inputs.target.stack_10m, inputs.target.stack_20m]
    uris += [inputs.target.cloud_mask] if "observed_cloud" in roles else []
    for product in (*inputs.s2_before, *inputs.s2_after):
        uris += [product.stack_10m, product.cloud_mask]
        uris += [product.stack_20m] if roles & {"s2_20m_tm1", "s2_20m_tp1"} else []
    uris += [item.uri for item in (*inputs.s1_before, *inputs.s1, *inputs.s1_after)]
    uris += [inputs.dem] if inputs.dem else []
    found = {entry.uri: entry for uri in set(uris) for entry in stored_files(uri)}
    return [found[uri] for uri in sorted(found)]


def _choose_whole(
    target: PreparedS2,
    found: Candidates,
    search: Search,
    wanted: frozenset[str],
    roles: frozenset[str],
) -> SceneInputs:
    """Choose images whose files are there to their end; what is not is left out with a warning."""
    choice = choose_some if PARTIAL in roles else choose
    damaged: dict[str, str] = {}
    while True:
        s1 = [item for item in found.s1 if not damaged.keys() & _files(item, roles)]
        s2 = [item for item in found.s2 if not damaged.keys() & _files(item, roles)]
        try:
            chosen = choice(target, s1, s2, search, wanted)
        except NoSampleError as error:
            if not damaged:
                raise
            left_out = "; ".join(damaged.values())
            raise NoSampleError(f"{error}; left out: {left_out}") from error
        sides = (chosen.s2_before, chosen.s1_before, chosen.s1, chosen.s2_after, chosen.s1_after)
        uris = {uri for side in sides for item in side for uri in _files(item, roles)}
        more = _damage(sorted(uris))
        if not more:
            return chosen
        for reason in more.values():
            logger.warning("left out for %s: %s; prepare it again", target.name, reason)
        damaged |= more


def _damage(uris: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with rasters, by URI, of those that are damaged."""

    def look(uri: str) -> str:
        entry = storage.stat(uri)
        return damage_of(entry) if entry else ""

    listed = list(uris)
    with ThreadPoolExecutor(_LOOKING) as pool:
        found = dict(zip(listed, pool.map(look, listed), strict=True))
    return {uri: reason for uri, reason in found.items() if reason}


def _files(item: PreparedS1 | PreparedS2, roles: frozenset[str]) -> frozenset[str]:
    """Return the rasters of an image that may be read; none of a product as it was delivered."""
    uris = [item.uri] if isinstance(item, PreparedS1) else [item.stack_10m, item.cloud_mask]
    if isinstance(item, PreparedS2) and roles & {"s2_20m_tm1", "s2_20m_tp1"}:
        uris.append(item.stack_20m)
    return frozenset(uri for uri in uris if not is_part(uri))


def _check_tile(inputs: SceneInputs) -> None:
    sides = (inputs.s2_before, inputs.s2_after, inputs.s1_before, inputs.s1, inputs.s1_after)
    for item in (item for side in sides for item in side):
        if item.tile != inputs.target.tile:
            raise GridMismatchError(
                f"{item.uri} is an image of tile {item.tile}, the image to rebuild "
                f"({inputs.target.name}) one of {inputs.target.tile}: give images of one tile"
            )


def _check_order(inputs: SceneInputs) -> None:
    """Refuse optical images on the wrong side of the date; radar goes with them, not with it."""
    now = inputs.target.acquired
    late = [item.name for item in inputs.s2_before if item.acquired >= now]
    early = [item.name for item in inputs.s2_after if item.acquired <= now]
    for side, names in (("before", late), ("after", early)):
        if names:
            raise ConfigError(
                f"--il-s2{side}: {', '.join(names)} was not taken {side} {inputs.target.name}; "
                "give it on the other side, or leave it out"
            )
