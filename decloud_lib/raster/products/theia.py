"""Sentinel-2 L2A products as Theia delivers them: which file of a folder or archive is which."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from decloud_lib import storage
from decloud_lib.bands import S2_10M_BANDS, S2_20M_BANDS
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.products.archive import list_members, member_uri
from decloud_lib.raster.products.names import S2Name, parse_s2_name

#: Flat reflectance (corrected for slopes) and the two masks at 10 m; anchored on both sides, so
#: that side files, other resolutions, surface reflectance and hidden files never match.
_WANTED = re.compile(
    r"(?P<product>SENTINEL2[A-D]_.+?)_(?:FRE_(?P<band>B\d{1,2}A?)|(?P<mask>EDG_R1|CLM_R1))\.tif",
    re.IGNORECASE,
)
CLOUD_MASK = "CLM_R1"
EDGE_MASK = "EDG_R1"
_ROLES = (*S2_10M_BANDS, *S2_20M_BANDS, CLOUD_MASK, EDGE_MASK)


@dataclass(frozen=True, slots=True)
class TheiaProduct:
    """A delivered product whose files are all there."""

    uri: str
    """The folder or archive, without a trailing slash."""
    name: S2Name
    bands: dict[str, str]
    """Path of each of the ten bands, by name; paths that `open_raster` takes."""
    cloud_mask: str
    """10 m bit field; any bit set = cloud or shadow."""
    edge_mask: str
    """10 m; not 0 = outside the image."""
    entries: tuple[storage.Entry, ...]
    """The stored files it is read from: the archive, or the twelve rasters."""


def open_product(uri: str) -> TheiaProduct:
    """Find the files of one product.

    Parameters
    ----------
    uri
        The product's folder, searched to any depth, or its `.zip`, which is read where it lies.

    Raises
    ------
    ProductError
        Not such a product, a file that is there twice, a missing mask, or files of another date.
    MissingBandError
        Bands that are missing, by name.
    """
    uri = uri.rstrip("/")
    name = parse_s2_name(storage.name_of(uri))
    paths, entries = _stored_files(uri)
    if not paths:
        raise ProductError(
            f"{uri}: there is no such product, or nothing in it; expected the files of "
            f"{name.name}: check the path"
        )
    found = _by_role(uri, name, paths)
    _check_complete(uri, found)
    used = {path: role for role, path in found.items()}
    return TheiaProduct(
        uri=uri,
        name=name,
        bands={band: found[band] for band in (*S2_10M_BANDS, *S2_20M_BANDS)},
        cloud_mask=found[CLOUD_MASK],
        edge_mask=found[EDGE_MASK],
        entries=tuple(entry for entry in entries if entry.uri in used or entry.uri == uri),
    )


def _stored_files(uri: str) -> tuple[list[str], list[storage.Entry]]:
    if not uri.lower().endswith(".zip"):
        entries = storage.list_files(uri)
        return [entry.uri for entry in entries], entries
    entry = storage.stat(uri)
    if entry is None:
        raise ProductError(f"{uri}: there is no such archive; check the path")
    return [member_uri(uri, member) for member in list_members(entry)], [entry]


def _by_role(uri: str, name: S2Name, paths: Iterable[str]) -> dict[str, str]:
    """Return the path of each band and mask; anything else in the product is passed over."""
    found: dict[str, list[str]] = {}
    for path in paths:
        match = _WANTED.fullmatch(storage.name_of(path))
        if match is None:
            continue
        _check_same_product(path, name, match["product"])
        role = (match["band"] or match["mask"]).upper()
        found.setdefault(role, []).append(path)
    twice = [f"{role}: {', '.join(found[role])}" for role in sorted(found) if len(found[role]) > 1]
    if twice:
        raise ProductError(f"{uri}: one file expected, several found for {'; '.join(twice)}")
    return {role: files[0] for role, files in found.items()}


def _check_same_product(path: str, name: S2Name, prefix: str) -> None:
    """Refuse files of another date or tile; the version at the end of the names may differ."""
    other = parse_s2_name(prefix)
    if (other.tile, other.acquired) != (name.tile, name.acquired):
        raise ProductError(f"{path}: is a file of {prefix}, expected one of {name.name}")


def _check_complete(uri: str, found: dict[str, str]) -> None:
    missing = [role for role in _ROLES if role not in found]
    if not missing:
        return
    here = ", ".join(role for role in _ROLES if role in found) or "none of the expected files"
    bands = [role for role in missing if role not in (CLOUD_MASK, EDGE_MASK)]
    kind = MissingBandError if bands else ProductError
    words = "band" if bands else "mask"
    raise kind(
        f"{uri}: {words} {', '.join(missing)} missing; found {here}; expected *_FRE_<band>.tif "
        "for ten bands and MASKS/*_CLM_R1.tif, *_EDG_R1.tif: was it delivered completely?"
    )
