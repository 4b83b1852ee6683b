"""Names of Sentinel products: the grammar of S1Tiling and of Theia, read strictly."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from decloud_lib.errors import ProductError

TILE_PATTERN = r"T\d{2}[A-Z]{3}"
#: Last field of a prepared Sentinel-1 file; the scale is a natural logarithm (docs/data.md).
S1_PREPARED_SUFFIX = "from-10to3dB"
_S1 = re.compile(
    r"(?P<satellite>s1[a-d])_(?P<tile>\d{2}[a-z]{3})_(?P<polarisation>vv|vh|vvvh)"
    r"_(?P<direction>asc|des)_(?P<orbit>\d{3})_(?P<day>\d{8})t(?P<clock>\d{6}|x{6})"
    r"(?:_(?P<suffix>[a-z0-9_-]+))?",
    re.IGNORECASE,
)
_S2 = re.compile(
    rf"(?P<satellite>SENTINEL2[A-D])_(?P<time>\d{{8}}-\d{{6}}-\d{{3}})_L2A_(?P<tile>{TILE_PATTERN})"
    r"_[A-Z]_V\d+[-.]\d+(?:[-._][\w.-]*)?"
)


@dataclass(frozen=True, slots=True)
class S1Name:
    """What the name of a Sentinel-1 tile file says."""

    satellite: str
    """`s1a` ... `s1d`."""
    tile: str
    """With the leading T: `T31TEJ`."""
    polarisation: str
    """`vv`, `vh`, or `vvvh` for prepared files."""
    ascending: bool
    relative_orbit: int
    acquired: datetime | None
    """UTC; None when the time of day is masked (`txxxxxx`: several frames in one image)."""
    day: date
    """UTC day."""
    stem: str
    """File name without the extension."""
    suffix: str
    """What follows the time: empty, a calibration (`NormLim`), or `from-10to3dB`."""

    @property
    def is_prepared(self) -> bool:
        """Say whether this is an output of the preparation."""
        return self.suffix.lower().endswith(S1_PREPARED_SUFFIX.lower())


@dataclass(frozen=True, slots=True)
class S2Name:
    """What the name of a Sentinel-2 product says."""

    satellite: str
    """`SENTINEL2A` ... `SENTINEL2D`."""
    tile: str
    """With the leading T."""
    acquired: datetime
    """UTC, with milliseconds."""
    name: str
    """Name of the product, without `.zip`."""


def parse_s1_name(name: str) -> S1Name:
    """Parse the name of an S1Tiling file or of a prepared Sentinel-1 file.

    Parameters
    ----------
    name
        File name with or without `.tif`, in any case, such as
        `s1b_31TEJ_vh_DES_110_20201011t060008.tif`.

    Raises
    ------
    ProductError
        The name does not follow the grammar, or holds an impossible date.
    """
    stem = re.sub(r"\.tiff?$", "", name, flags=re.IGNORECASE)
    found = _S1.fullmatch(stem)
    if found is None:
        raise ProductError(
            f"{name}: not a Sentinel-1 tile file; expected "
            "s1a_31TEJ_vh_DES_110_20201011t060008.tif (satellite, tile, polarisation, direction, "
            "orbit, time, where txxxxxx is a masked time)"
        )
    clock = found["clock"]
    masked = clock.lower() == "x" * 6
    acquired = _moment(name, f"{found['day']}-{'000000' if masked else clock}-000")
    return S1Name(
        satellite=found["satellite"].lower(),
        tile=f"T{found['tile'].upper()}",
        polarisation=found["polarisation"].lower(),
        ascending=found["direction"].lower() == "asc",
        relative_orbit=int(found["orbit"]),
        acquired=None if masked else acquired,
        day=acquired.date(),
        stem=stem,
        suffix=found["suffix"] or "",
    )


def parse_s2_name(name: str) -> S2Name:
    """Parse the name of a Theia L2A product: a folder, or an archive ending with `.zip`.

    Raises
    ------
    ProductError
        The name does not follow the grammar, or holds an impossible date.
    """
    product = re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
    found = _S2.fullmatch(product)
    if found is None:
        raise ProductError(
            f"{name}: not a Theia Sentinel-2 L2A product; expected a folder or .zip named "
            "as SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
        )
    return S2Name(found["satellite"], found["tile"], _moment(name, found["time"]), product)


def _moment(name: str, text: str) -> datetime:
    try:
        return datetime.strptime(text + "000", "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC)
    except ValueError as error:
        raise ProductError(f"{name}: holds an impossible date or time ({error})") from error
