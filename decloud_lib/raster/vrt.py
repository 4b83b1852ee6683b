"""Mosaics that others wrote (GDAL VRT), checked before GDAL sees them.

Such a document names other files. GDAL would follow each name, also one that leads from a bucket to
a file of this machine, and read it with whatever driver takes it. So the document is parsed here,
only plain mosaics are accepted, and what remains is written anew: the sources that the target
needs, each by its full name and in a format that names no further files.
"""

import math
import re
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, tostring

from affine import Affine, AffineError
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely.geometry import Polygon, box

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.piece import Piece, bounds_in, check_format, read_piece
from decloud_lib.types import Grid

_LARGEST_BYTES = 32 << 20
_KEPT = {"SRS", "GeoTransform", "VRTRasterBand"}
_KEPT_IN_BAND = {"NoDataValue", "Offset", "Scale", "UnitType", "SimpleSource", "ComplexSource"}
_SOURCES = ("SimpleSource", "ComplexSource")
#: What a plain mosaic may hold besides, and what does not change its values.
_IGNORED = {
    "BlockXSize", "BlockYSize", "CategoryNames", "ColorInterp", "ColorTable", "Description",
    "HideNoDataValue", "Histograms", "Metadata", "Overview", "OverviewList",
}  # fmt: skip
_MARGIN_PX = 4.0
_PREFIXES = {"/vsis3/": "s3://", "/vsicurl/http://": "http://", "/vsicurl/https://": "https://"}
_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]+:/")


def read_vrt(uri: str, grid: Grid) -> tuple[Piece | None, tuple[storage.Entry, ...]]:
    """Read a mosaic as far as a grid needs it.

    Parameters
    ----------
    uri
        The document. One in a bucket or in the web may only name files of that bucket or server.
    grid
        The target.

    Returns
    -------
    The mosaic as one raster, None where nothing of it is near the grid; the files that are read,
    the document among them.

    Raises
    ------
    ProductError
        Not a plain mosaic of one band, or one that names a file that is missing, in a format that
        is not accepted, or in a place that it must not name.
    """
    document = storage.stat(uri)
    if document is None:
        raise ProductError(f"{uri}: there is no such file; expected a mosaic of elevation")
    if document.size > _LARGEST_BYTES:
        raise ProductError(f"{uri}: {document.size} bytes; expected {_LARGEST_BYTES} at most")
    root = _parsed(uri)
    band = _plain_band(uri, root)
    area = _needed_px(uri, root, grid)
    names = []
    for source in [item for item in band if item.tag in _SOURCES]:
        if area is None or not _placed_at(uri, source).intersects(area):
            band.remove(source)
        else:
            names.append(_rewrite(uri, source))
    if not names:
        return None, (document,)
    entries = [document]
    for name in dict.fromkeys(names):
        found = storage.stat(name)
        if found is None:
            raise ProductError(f"{uri}: names {name}, which is not there")
        check_format(name)
        entries.append(found)
    text = tostring(root, encoding="unicode")
    return read_piece(uri, text, ("VRT",)), tuple(entries)


def _parsed(uri: str) -> Element:
    try:
        root: Element = fromstring(storage.read_bytes(uri), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ProductError(
            f"{uri}: is no mosaic ({error or type(error).__name__}); expected a GDAL VRT document"
        ) from error
    if root.tag != "VRTDataset":
        raise ProductError(f"{uri}: found <{root.tag}>, expected <VRTDataset>")
    return root


def _plain_band(uri: str, root: Element) -> Element:
    """Keep of a document what makes a plain mosaic, and return its band; refuse any other."""
    for item in root.iter():
        if kind := item.get("subClass"):
            raise _not_plain(uri, kind)
    _reduce(uri, root, _KEPT)
    bands = root.findall("VRTRasterBand")
    if len(bands) != 1:
        raise ProductError(f"{uri}: found {len(bands)} bands, expected elevation alone")
    _reduce(uri, bands[0], _KEPT_IN_BAND)
    return bands[0]


def _reduce(uri: str, parent: Element, kept: set[str]) -> None:
    for item in list(parent):
        if item.tag in kept:
            continue
        if item.tag not in _IGNORED:
            raise _not_plain(uri, item.tag)
        parent.remove(item)


def _not_plain(uri: str, found: str) -> ProductError:
    return ProductError(
        f"{uri}: holds {found}; expected a plain mosaic as gdalbuildvrt makes them: "
        "write it to a GeoTIFF with gdal_translate"
    )


def _needed_px(uri: str, root: Element, grid: Grid) -> Polygon | None:
    """Return what a grid needs, pixels of the document."""
    try:
        crs = CRS.from_string(root.findtext("SRS", "").strip())
        numbers = _finite(root.findtext("GeoTransform", "").split(","))
        to_pixels = ~Affine.from_gdal(*numbers)
    except (CRSError, AffineError, ValueError, TypeError) as error:
        raise ProductError(
            f"{uri}: is not georeferenced ({error}); expected SRS, GeoTransform"
        ) from error
    wanted = bounds_in(crs, grid)
    if wanted is None:
        return None
    corners = [to_pixels @ corner for corner in box(*wanted).exterior.coords]
    return Polygon(corners).buffer(_MARGIN_PX, join_style="mitre")


def _placed_at(uri: str, source: Element) -> Polygon:
    rect = source.find("DstRect")
    facts = {} if rect is None else rect.attrib
    try:
        names = ("xOff", "yOff", "xSize", "ySize")
        left, top, width, height = _finite([facts[name] for name in names])
    except (KeyError, ValueError) as error:
        raise ProductError(f"{uri}: a source without DstRect; expected a mosaic") from error
    return box(left, top, left + width, top + height)


def _finite(texts: list[str]) -> list[float]:
    numbers = [float(text) for text in texts]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{texts} are no numbers")
    return numbers


def _rewrite(uri: str, source: Element) -> str:
    """Name a source in full, so that nothing is left to interpret; return its URI."""
    named = source.find("SourceFilename")
    if named is None or not (name := (named.text or "").strip()):
        raise ProductError(f"{uri}: a source without SourceFilename; expected a mosaic")
    found = _resolved(uri, name, relative=named.get("relativeToVRT", "0") == "1")
    for item in source.findall("OpenOptions"):
        source.remove(item)
    named.text = storage.gdal_path(found)
    named.attrib.clear()
    named.attrib.update({"relativeToVRT": "0", "shared": "0"})
    return found


def _resolved(uri: str, name: str, *, relative: bool) -> str:
    """Return the URI of a source; refuse one that a document of elsewhere must not name."""
    remote = storage.is_s3(uri) or storage.is_web(uri)
    if not _ABSOLUTE.match(name):
        found = storage.join(storage.parent_of(uri), name) if relative or remote else name
        if remote and not relative:
            raise _outside(uri, name)
    elif name.startswith("/vsi"):
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            raise _outside(uri, name)
        found = _PREFIXES[prefix] + name.removeprefix(prefix)
    else:
        found = name
    if remote and (_root(found) != _root(uri) or ".." in found.split("/")):
        raise _outside(uri, name)
    return found


def _root(uri: str) -> tuple[str, str]:
    """Return the bucket or server of a URI."""
    parts = urlsplit(uri)
    return (parts.scheme.lower(), parts.netloc.lower())


def _outside(uri: str, name: str) -> ProductError:
    return ProductError(
        f"{uri}: names {name[:200]}, which is no place that this mosaic may read from; expected "
        "files beside it or, from a mosaic on this machine, also s3 and https addresses"
    )
