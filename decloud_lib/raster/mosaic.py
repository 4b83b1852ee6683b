"""Several rasters of one quantity seen as one, without seams: a small document that GDAL opens.

Only headers are read here. The document (a GDAL VRT) is made as text and stays in memory. In it all
values are float32 and every mark of no data is NaN, whatever the files use, so that voids neither
spread nor hide what another file has there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from affine import Affine
from rasterio.crs import CRS

from decloud_lib.errors import ProductError
from decloud_lib.raster.piece import GDAL_TYPES, Bounds, Piece

#: Pixels of two files are those of one raster when their corners agree within this part of one.
_ALIGNED_PX = 0.01
_SAME_SIZE = 1e-6
#: WGS 84 with longitudes counted from the antimeridian.
_ANTIMERIDIAN = "+proj=longlat +datum=WGS84 +pm=180 +no_defs"
_WGS84 = 4326
_HALF_TURN_DEG = 180.0

_Mark = float | Literal["mask"] | None


@dataclass(frozen=True, slots=True)
class _Source:
    """A raster's place inside a document."""

    place: str
    dtype: str
    shape: tuple[int, int]
    at: Bounds
    """Column, row, width and height in the document, pixels."""
    mark: _Mark = None
    """What says that a pixel holds nothing: a value, or the file's mask; GDAL takes only one."""
    scale: float = 1.0
    offset: float = 0.0
    resampling: str | None = None


def mosaic(pieces: Sequence[Piece], resampling: str) -> str:
    """Make the document that shows rasters as one.

    Where two rasters hold a value the finer one counts, else the later one. Rasters whose pixels do
    not fall together (in the Copernicus layout pixels widen from 50 degrees of latitude on) are
    brought on the pixels of the finest one.

    Parameters
    ----------
    pieces
        At least one, as `placed` returns them.
    resampling
        How that is done: `nearest`, `bilinear`, `cubic` or `average`.

    Returns
    -------
    Text that GDAL opens as a raster: one band, float32, no data NaN.

    Raises
    ------
    ProductError
        Two CRSs, or several rasters of which one is rotated.
    """
    first = pieces[0]
    if len(pieces) == 1:
        size = (0.0, 0.0, float(first.width), float(first.height))
        shape = (first.height, first.width)
        frame = _shifted(first.crs, first.transform, first.width)
        return _text(*frame, shape, [_source(first, size)])
    for one, other in pairwise(pieces):
        if one.crs != other.crs:
            raise ProductError(
                f"{one.uri} is in {_named(one.crs)} and {other.uri} in {_named(other.crs)}; "
                "expected one coordinate reference system: give them one by one, or warp them"
            )
    for piece in pieces:
        if piece.transform.b or piece.transform.d or min(piece.pixel) <= 0:
            raise ProductError(
                f"{piece.uri}: is rotated or upside down; expected north up: warp it first"
            )
    groups = _groups(pieces)
    members = [_joined(group) for group in groups]
    if len(members) == 1:
        return members[0].place
    members.sort(key=lambda member: member.pixel[0], reverse=True)
    return _joined(members, resampling).place


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Put rasters together whose pixels are those of one raster."""
    groups: list[list[Piece]] = []
    for piece in pieces:
        for group in groups:
            if _aligned(group[0], piece):
                group.append(piece)
                break
        else:
            groups.append([piece])
    return groups


def _aligned(one: Piece, other: Piece) -> bool:
    for mine, theirs in zip(one.pixel, other.pixel, strict=True):
        if abs(mine - theirs) > _SAME_SIZE * mine:
            return False
    cols = (other.transform.c - one.transform.c) / one.pixel[0]
    rows = (one.transform.f - other.transform.f) / one.pixel[1]
    return _tidy(cols).is_integer() and _tidy(rows).is_integer()


def _joined(pieces: Sequence[Piece], resampling: str | None = None) -> Piece:
    """Show rasters as one with the pixels of the last; whole pixels where nothing is resampled."""
    base = pieces[-1]
    wide, high = base.pixel
    left = min(piece.transform.c for piece in pieces)
    top = max(piece.transform.f for piece in pieces)
    right = max(piece.transform.c + piece.width * piece.pixel[0] for piece in pieces)
    bottom = min(piece.transform.f - piece.height * piece.pixel[1] for piece in pieces)
    # Corners of the base's pixels.
    left = base.transform.c - wide * math.ceil(_tidy((base.transform.c - left) / wide))
    top = base.transform.f + high * math.ceil(_tidy((top - base.transform.f) / high))
    width = math.ceil(_tidy((right - left) / wide))
    height = math.ceil(_tidy((top - bottom) / high))
    sources = []
    for piece in pieces:
        at = (
            _tidy((piece.transform.c - left) / wide),
            _tidy((top - piece.transform.f) / high),
            _tidy(piece.width * piece.pixel[0] / wide),
            _tidy(piece.height * piece.pixel[1] / high),
        )
        whole = all(value.is_integer() for value in at) and at[2:] == (piece.width, piece.height)
        sources.append(_source(piece, at, None if whole else resampling))
    place = Affine(wide, 0.0, left, 0.0, -high, top)
    text = _text(*_shifted(base.crs, place, width), (height, width), sources)
    return Piece(
        uri=base.uri,
        place=text,
        crs=base.crs,
        transform=place,
        height=height,
        width=width,
        dtype="float32",
        voids=(),
        scale=1.0,
        offset=0.0,
        masked=False,
    )


def _tidy(pixels: float) -> float:
    """Take away what rounding adds to a whole number of pixels."""
    return float(round(pixels)) if abs(pixels - round(pixels)) < _ALIGNED_PX else pixels


def _shifted(crs: CRS, place: Affine, width: int) -> tuple[CRS, Affine]:
    """Count degrees from the antimeridian where a raster reaches beyond it: GDAL would cut there.

    Elsewhere than in WGS 84 what lies beyond it is left out.
    """
    inside = place.c >= -_HALF_TURN_DEG - place.a
    inside &= place.c + width * place.a <= _HALF_TURN_DEG + place.a
    if inside or crs.to_epsg() != _WGS84:
        return crs, place
    return CRS.from_string(_ANTIMERIDIAN), Affine.translation(-_HALF_TURN_DEG, 0.0) @ place


def _source(piece: Piece, at: Bounds, resampling: str | None = None) -> _Source:
    """Return how a raster appears in a document; one document more for each further mark."""
    shape = (piece.height, piece.width)
    whole = (0.0, 0.0, float(piece.width), float(piece.height))
    place, dtype = piece.place, piece.dtype
    marks: list[_Mark] = ["mask"] if piece.masked else []
    marks += piece.voids
    for mark in marks[:-1]:
        inner = _Source(place, dtype, shape, whole, mark)
        place, dtype = _text(piece.crs, piece.transform, shape, [inner]), "float32"
    last = marks[-1] if marks else None
    return _Source(place, dtype, shape, at, last, piece.scale, piece.offset, resampling)


def _text(crs: CRS, place: Affine, shape: tuple[int, int], sources: Sequence[_Source]) -> str:
    root = Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    axes = "2,1" if crs.is_geographic else "1,2"
    SubElement(root, "SRS", dataAxisToSRSAxisMapping=axes).text = crs.to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(repr(value) for value in place.to_gdal())
    band = SubElement(root, "VRTRasterBand", dataType="Float32", band="1")
    SubElement(band, "NoDataValue").text = "nan"
    for source in sources:
        _add(band, source)
    return tostring(root, encoding="unicode")


def _add(band: Element, source: _Source) -> None:
    how = {"resampling": source.resampling} if source.resampling else {}
    item = SubElement(band, "ComplexSource", how)
    SubElement(item, "SourceFilename", relativeToVRT="0", shared="0").text = source.place
    SubElement(item, "SourceBand").text = "1"
    height, width = (str(side) for side in source.shape)
    # With these GDAL opens a file when it needs it, and no more than a few at a time.
    facts = {"RasterXSize": width, "RasterYSize": height, "DataType": GDAL_TYPES[source.dtype]}
    SubElement(item, "SourceProperties", facts | {"BlockXSize": "128", "BlockYSize": "128"})
    SubElement(item, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    names = ("xOff", "yOff", "xSize", "ySize")
    SubElement(item, "DstRect", dict(zip(names, map(repr, source.at), strict=True)))
    if source.mark == "mask":
        SubElement(item, "UseMaskBand").text = "true"
    elif source.mark is not None:
        SubElement(item, "NODATA").text = repr(source.mark)
    if (source.scale, source.offset) != (1.0, 0.0):
        SubElement(item, "ScaleOffset").text = repr(source.offset)
        SubElement(item, "ScaleRatio").text = repr(source.scale)


def _named(crs: CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()[:80]
