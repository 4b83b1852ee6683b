"""How the stored values of ESA's products become reflectance, as the product's metadata say.

Since processing baseline 04.00 an offset is added to the stored values, also to old dates that were
processed again. It is read from the metadata (MTD_MSIL2A.xml: BOA_ADD_OFFSET), never guessed from a
date: reflectance = (stored + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE (ESA, Sentinel-2 products
specification document).
"""

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from decloud_lib.errors import ProductError
from decloud_lib.raster.products.optical import BandFile
from decloud_lib.raster.products.roles import BANDS

METADATA_NAME = "MTD_MSIL2A.xml"
#: A real one has less than 1 MB.
LARGEST_METADATA = 16 << 20
#: DN = reflectance x 10000.
DN_PER_REFLECTANCE = 10_000.0
#: Bands by the number that the metadata give them.
_BAND_IDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
#: Before baseline 02.10, names in the metadata had this in front.
_OLD_START = "L2A_"
_LARGEST_STORED = 65535


@dataclass(frozen=True, slots=True)
class Radiometry:
    """What the metadata of a product say about its values."""

    quantification: float
    """Stored value of reflectance 1, without the offset."""
    offsets: dict[str, float]
    """What is added to the stored values of each of the ten bands."""
    nodata: int
    """Stored value without data."""
    baseline: str
    """`05.00`; empty where it is not said."""
    relative_orbit: str
    """Digits; empty where it is not said."""
    product: str
    """Name of the product; empty where it is not said."""

    def band_file(self, band: str, path: str, boa_offset: int | None) -> BandFile:
        """Return how a band is read; `boa_offset` replaces the offset of the metadata."""
        scale = DN_PER_REFLECTANCE / self.quantification
        offset = self.offsets[band] if boa_offset is None else float(boa_offset)
        return BandFile(path, self.nodata, scale, offset * scale)


def parse_metadata(path: str, content: bytes) -> Radiometry:
    """Read MTD_MSIL2A.xml.

    Parameters
    ----------
    path
        What it is called in messages.
    content
        The file.

    Raises
    ------
    ProductError
        Not such a file, without what is needed, contradicting itself, too large, or hostile
        (entities, a document type).
    """
    if len(content) > LARGEST_METADATA:
        raise ProductError(f"{path}: has {len(content)} bytes, expected at most {LARGEST_METADATA}")
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ProductError(
            f"{path}: declares a document type or entities, which metadata of ESA never do and "
            "which are not followed; fetch the product again"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        reason = str(error) or type(error).__name__
        raise ProductError(
            f"{path}: not usable as metadata ({reason}); was the product delivered completely?"
        ) from error
    texts: dict[str, str] = {}
    for item in root.iter():
        texts.setdefault(_tag(item), (item.text or "").strip())
    level = texts.get("PROCESSING_LEVEL", "")
    if level and not level.startswith("Level-2A"):
        raise ProductError(f"{path}: found {level}, expected Level-2A: download that product")
    quantification = _number(path, "BOA_QUANTIFICATION_VALUE", texts)
    if quantification <= 0:
        raise ProductError(f"{path}: BOA_QUANTIFICATION_VALUE is {quantification:g}, expected > 0")
    orbit = texts.get("SENSING_ORBIT_NUMBER", "")
    return Radiometry(
        quantification=quantification,
        offsets=_offsets(path, root),
        nodata=_nodata(path, root),
        baseline=texts.get("PROCESSING_BASELINE", ""),
        relative_orbit=orbit if orbit.isascii() and orbit.isdigit() else "",
        product=texts.get("PRODUCT_URI_2A") or texts.get("PRODUCT_URI", ""),
    )


def offsets_text(bands: dict[str, BandFile]) -> str:
    """Return the offsets of the bands in DN: one number where all are the same."""
    found = {band: f"{file.offset:g}" for band, file in bands.items()}
    values = set(found.values())
    return values.pop() if len(values) == 1 else ", ".join(f"{b} {v}" for b, v in found.items())


def _offsets(path: str, root: Element) -> dict[str, float]:
    """Return the offset of each of the ten bands; 0 where the metadata know no offsets."""
    found: dict[str, float] = {}
    for item in root.iter():
        if _tag(item) != "BOA_ADD_OFFSET":
            continue
        number = item.get("band_id", "")
        if number not in map(str, range(len(_BAND_IDS))):
            raise ProductError(
                f"{path}: BOA_ADD_OFFSET of band_id {number!r}, expected 0 to {len(_BAND_IDS) - 1}"
            )
        band = _BAND_IDS[int(number)]
        if band in found:
            raise ProductError(f"{path}: BOA_ADD_OFFSET of band_id {number} is there twice")
        found[band] = _number(path, "BOA_ADD_OFFSET", {"BOA_ADD_OFFSET": (item.text or "").strip()})
    if not found:
        return dict.fromkeys(BANDS, 0.0)
    if missing := [band for band in BANDS if band not in found]:
        raise ProductError(
            f"{path}: BOA_ADD_OFFSET of {', '.join(missing)} is missing, though other bands have "
            "one; expected it for all bands or for none: give --boa-offset"
        )
    return {band: found[band] for band in BANDS}


def _nodata(path: str, root: Element) -> int:
    """Return the stored value without data: 0 where the metadata do not say."""
    for group in root.iter():
        if _tag(group) != "Special_Values":
            continue
        words = {_tag(item): (item.text or "").strip() for item in group}
        if words.get("SPECIAL_VALUE_TEXT") == "NODATA":
            value = _number(path, "SPECIAL_VALUE_INDEX", words)
            if not (value.is_integer() and 0 <= value <= _LARGEST_STORED):
                raise ProductError(f"{path}: NODATA is {value:g}, expected 0 to {_LARGEST_STORED}")
            return int(value)
    return 0


def _tag(item: Element) -> str:
    """Return the name of an element, without its name space and as it is called today."""
    name = str(item.tag).rpartition("}")[2]
    return name.removeprefix(_OLD_START) if name.endswith("_VALUE") else name


def _number(path: str, tag: str, texts: dict[str, str]) -> float:
    found = texts.get(tag)
    try:
        value = float(found or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        told = "is missing" if found is None else f"is {found!r}"
        raise ProductError(f"{path}: {tag} {told}, expected a number: is this an L2A product?")
    return value
