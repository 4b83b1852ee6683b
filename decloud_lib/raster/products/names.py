"""Names of Sentinel products: the grammars of S1Tiling, Theia and ESA, read strictly."""

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
#: Theia's names, and those of MAJA where it is run by others.
_THEIA = re.compile(
    rf"SENTINEL2(?P<unit>[A-D])_(?P<time>\d{{8}}-\d{{6}}-\d{{3}})_L2A_(?P<tile>{TILE_PATTERN})"
    r"_[A-Z]_V\d+[-.]\d+(?:[-._][\w.-]*)?"
)
#: ESA's compact names; the Planetary Computer leaves out the baseline.
_ESA = re.compile(
    r"S2(?P<unit>[A-D])_MSIL2A_(?P<time>\d{8}T\d{6})(?:_N(?P<baseline>\d{4}))?"
    rf"_R(?P<orbit>\d{{3}})_(?P<tile>{TILE_PATTERN})_\d{{8}}T\d{{6}}"
)
#: Names in the catalogue Earth Search (Collection 1), and what items without ESA's name are called.
_ITEM = re.compile(rf"S2(?P<unit>[A-D])_(?P<tile>{TILE_PATTERN})_(?P<time>\d{{8}}T\d{{6}})_L2A")
_OTHER_LEVEL = re.compile(r"(?:^S2[A-D]_.*?MSI|^SENTINEL2.*?_)(L\d[A-C])(?=_)", re.I)
#: Endings of radar files that hold sigma nought; the others are masks, angles, other quantities.
_SIGMA0_ENDINGS = {
    *("", "sigma", "normlim"),
    *("filtered", "sigma_filtered", "normlim_filtered"),
}
#: By-products of S1Tiling whose names follow another grammar.
_S1_BESIDE = re.compile(
    r"(?:(?:sin_|cos_|tan_|deg_)?(?:LIA|IA|ELLIPSOID_LIA)|GAMMA_AREA|DEM|GEOID|HEIGHT|XYZ|NORMALS)"
    r"(?:_.*)?_s1[a-d]_.*",
    re.IGNORECASE,
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

    @property
    def is_backscatter(self) -> bool:
        """Say whether this is sigma nought as delivered: no mask, angle or other calibration."""
        return self.polarisation != "vvvh" and self.suffix.lower() in _SIGMA0_ENDINGS


@dataclass(frozen=True, slots=True)
class S2Name:
    """What the name of a Sentinel-2 product says."""

    satellite: str
    """`SENTINEL2A` ... `SENTINEL2D`."""
    tile: str
    """With the leading T."""
    acquired: datetime
    """UTC; Theia's names have milliseconds, ESA's seconds."""
    name: str
    """Name of the product, without `.SAFE` and `.zip`."""
    relative_orbit: int | None = None
    """None where the name does not say."""
    baseline: str | None = None
    """ESA's processing baseline as in the metadata, `05.00`; None where the name does not say."""


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
    if found is None and _S1_BESIDE.fullmatch(stem):
        raise ProductError(
            f"{name}: a by-product of S1Tiling (angle, area or elevation), not backscatter; "
            "expected s1a_31TEJ_vh_DES_110_20201011t060008.tif"
        )
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
    """Parse the name of a Sentinel-2 L2A product, as delivered or as prepared.

    Parameters
    ----------
    name
        Of Theia (`SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2`), of ESA
        (`S2B_MSIL2A_20201012T105029_N0500_R051_T31TEJ_20230101T000000`) or of a STAC item without
        ESA's name (`S2B_T31TEJ_20201012T105848_L2A`), with or without `.SAFE` and `.zip`.

    Raises
    ------
    ProductError
        The name follows no such grammar, is of another level, or holds an impossible date.
    """
    product = re.sub(r"(\.SAFE)?(\.zip)?$", "", name, count=1, flags=re.IGNORECASE)
    found = next((match for match in _matches(product) if match), None)
    if found is not None:
        said = found.groupdict()
        clock = said["time"] if "-" in said["time"] else said["time"].replace("T", "-") + "-000"
        orbit, baseline = said.get("orbit"), said.get("baseline")
        return S2Name(
            satellite=f"SENTINEL2{said['unit']}",
            tile=said["tile"],
            acquired=_moment(name, clock),
            name=product,
            relative_orbit=int(orbit) if orbit else None,
            baseline=f"{baseline[:2]}.{baseline[2:]}" if baseline else None,
        )
    other = _OTHER_LEVEL.search(product)
    if other is not None and other[1].upper() != "L2A":
        raise ProductError(
            f"{name}: is a level {other[1][1:].upper()} product, expected level 2A, whose "
            "reflectance is that of the ground: download the L2A product of this date"
        )
    raise ProductError(
        f"{name}: not a Sentinel-2 L2A product; expected a folder or .zip named as "
        "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2 (Theia) or "
        "S2B_MSIL2A_20201012T105029_N0500_R051_T31TEJ_20230101T000000.SAFE (ESA)"
    )


def _matches(product: str) -> tuple[re.Match[str] | None, ...]:
    return tuple(grammar.fullmatch(product) for grammar in (_THEIA, _ESA, _ITEM))


def _moment(name: str, text: str) -> datetime:
    day, clock, milliseconds = text.split("-")
    try:
        # Not `strptime`: there may be ten thousand products, and it takes ten times as long.
        return datetime.fromisoformat(f"{day}T{clock}.{milliseconds}").replace(tzinfo=UTC)
    except ValueError as error:
        raise ProductError(f"{name}: holds an impossible date or time ({error})") from error
