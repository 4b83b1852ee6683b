"""Sentinel-1 tile files as S1Tiling delivers them: pairs of polarisations, and their time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time

from decloud_lib import storage
from decloud_lib.errors import ProductError, UnusableProductError
from decloud_lib.raster.products.names import S1Name, parse_s1_name

#: Tags with the time of acquisition: that of the only frame, else that of the first one. S1Tiling
#: writes 2020:01:08T04:41:50Z, before version 1.1 2020:01:08 04:41:50 (its documentation, "Files
#: produced"). TIFF's own time is that of the processing.
_TIME_TAGS = ("ACQUISITION_DATETIME", "ACQUISITION_DATETIME_1", "ACQUISITION_TIME")


@dataclass(frozen=True, slots=True)
class AssumedHours:
    """Time of day, UTC, of acquisitions whose time is known from nowhere."""

    descending: time = time(5, 45)
    ascending: time = time(17, 45)

    def moment(self, name: S1Name) -> datetime:
        """Return the assumed time of an acquisition."""
        hour = self.ascending if name.ascending else self.descending
        return datetime.combine(name.day, hour, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class S1Pair:
    """The two files of one acquisition."""

    vv: storage.Entry
    vh: storage.Entry
    name: S1Name
    """Parsed from the VH file."""

    @property
    def prepared_stem(self) -> str:
        """Name of the prepared file, without the extension."""
        return prepared_stem(self.name.stem)


def prepared_stem(stem: str) -> str:
    """Return the name of the prepared file of a VH file, both without extension."""
    both = re.sub("_vh_", "_vvvh_", stem, flags=re.IGNORECASE)
    return f"{both}_from-10to3dB"


def find_pair(uri: str) -> S1Pair:
    """Find both polarisations of an acquisition.

    Parameters
    ----------
    uri
        Path of the VH file; that of the VV file is taken as well.

    Raises
    ------
    UnusableProductError
        One of the two files is not there.
    ProductError
        The name is not that of a delivered file, or neither file is there.
    """
    file_name = storage.name_of(uri)
    name = parse_s1_name(file_name)
    if name.polarisation == "vvvh" or name.is_prepared:
        raise ProductError(f"{uri}: is prepared already; expected the VH file as delivered")
    if not name.is_backscatter:
        raise ProductError(
            f"{uri}: is {name.suffix}, a mask or another quantity; expected sigma nought: a name "
            "that ends with the time, _sigma or _NormLim (or with _filtered behind it)"
        )
    siblings = {polarisation: file_of(uri, polarisation) for polarisation in ("vv", "vh")}
    vv, vh = (storage.stat(sibling) for sibling in siblings.values())
    if vv is None and vh is None:
        raise ProductError(
            f"{uri}: there is no such file, nor the other polarisation beside it; expected a pair "
            "as delivered: check the path"
        )
    if vv is None or vh is None:
        raise UnusableProductError(
            f"{siblings['vv' if vv is None else 'vh']}: there is no such file; {file_name} needs "
            "both polarisations, VV and VH, side by side: deliver the missing half of the pair"
        )
    return S1Pair(vv, vh, parse_s1_name(storage.name_of(vh.uri)))


def acquisition_time(
    name: S1Name, tags: Mapping[str, str], assumed: AssumedHours
) -> tuple[datetime, bool]:
    """Find out when an image was taken.

    Parameters
    ----------
    name
        Its parsed name.
    tags
        Metadata of the file.
    assumed
        The rule for a masked time without metadata.

    Returns
    -------
    The time, UTC, and whether it was assumed. The name counts first, then the metadata if its day
    is that of the name, then the rule.
    """
    if name.acquired is not None:
        return name.acquired, False
    for tag in _TIME_TAGS:
        moment = parse_time(tags.get(tag, ""))
        if moment is not None and moment.date() == name.day:
            return moment, False
    return assumed.moment(name), True


def parse_time(text: str) -> datetime | None:
    """Parse an ISO 8601 time, or one with the date written 2017:08:01; UTC where it names no zone.

    Returns None for anything else, a date without a time of day and a masked time included.
    """
    iso = re.sub(r"^(\d{4}):(\d{2}):(\d{2})[T ]", r"\1-\2-\3T", text.strip())
    if not re.match(r"\d{4}-?\d{2}-?\d{2}[T ]\d", iso, flags=re.IGNORECASE):
        return None
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def file_of(uri: str, polarisation: str) -> str:
    """Return the path of the file of a polarisation, `vv` or `vh`; the case of the name is kept.

    Raises
    ------
    ProductError
        The given file is of no single polarisation.
    """
    file_name = storage.name_of(uri)
    found = re.search("_(vv|vh)_", file_name, flags=re.IGNORECASE)
    if found is None:
        raise ProductError(f"{uri}: the name holds neither _vv_ nor _vh_")
    word = polarisation.upper() if found[1].isupper() else polarisation
    other = f"{file_name[: found.start(1)]}{word}{file_name[found.end(1) :]}"
    return uri.removesuffix(file_name) + other
