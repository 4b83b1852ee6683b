"""The facts of a path in lines for people."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from decloud_lib.bands import ELEMENTARY_PATCH_PX

if TYPE_CHECKING:
    from decloud_lib.inspection.facts import Description, Images, Share

_LABEL_WIDTH = 13
_UNITS = {"metre": "m", "degree": "°", "": "units"}
_REFLECTANCE = {"FRE": "FRE, corrected for slopes", "SRE": "SRE, not corrected for slopes"}
_WKT_CHARACTERS = 60
_LONGEST_TAG = 160


def lines_of(facts: "Description") -> Iterator[str]:
    """Yield lines with a label and what is known, for everything that is known."""
    for label, text in _labelled(facts):
        yield f"{label:<{_LABEL_WIDTH}} {text}".rstrip()


def size_of(number: int) -> str:
    """Return a number of bytes in words, in powers of 1000."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{number} bytes" if unit == "bytes" else f"{size:.3g} {unit}"


def _labelled(facts: "Description") -> Iterator[tuple[str, str]]:
    yield "path", facts.path
    state = "" if facts.state == "other" else f", {facts.state}"
    yield "what", f"{facts.what}{state}"
    yield from _identity(facts)
    yield from _listed("found", [f"{number:>5} {what}" for what, number in facts.found.items()])
    if facts.files:
        words = "file" if facts.files == 1 else "files"
        yield "on disk", f"{size_of(facts.bytes)} in {facts.files} {words}"
    if facts.source:
        yield "read from", facts.source
    yield from _georeference(facts.images)
    yield from _listed("rasters", map(_stored, facts.images))
    yield from _pixels(facts)
    if facts.complete is not None:
        yield "complete", f"{'yes' if facts.complete.whole else 'no'}: {facts.complete.told}"
    tags = sorted(facts.tags.items())
    yield from _listed("tags", [f"{key}={_shortened(text, _LONGEST_TAG)}" for key, text in tags])
    yield from _listed("note", facts.notes)
    if facts.quicklook:
        yield "picture", f"{facts.quicklook}: {facts.picture}"


def _identity(facts: "Description") -> Iterator[tuple[str, str]]:
    if facts.name:
        yield "name", facts.name
    if facts.satellite:
        yield "satellite", facts.satellite
    if facts.acquired is not None:
        yield "acquired", _time(facts.acquired, assumed=facts.time_is_assumed)
    if facts.tile:
        yield "tile", facts.tile
    orbit = [] if facts.relative_orbit is None else [f"relative orbit {facts.relative_orbit}"]
    if orbit or facts.direction:
        yield "orbit", ", ".join([*orbit, *([facts.direction] if facts.direction else [])])
    if facts.reflectance:
        yield "reflectance", _REFLECTANCE.get(facts.reflectance, facts.reflectance)
    if facts.processing_baseline:
        yield "baseline", facts.processing_baseline
    if facts.boa_offset:
        yield "BOA offset", f"{facts.boa_offset} DN"


def _listed(label: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield lines of which the first one has the label."""
    for index, text in enumerate(texts):
        yield "" if index else label, text


def _pixels(facts: "Description") -> Iterator[tuple[str, str]]:
    for label, share in (
        ("cloud", facts.cloud),
        ("no data", facts.nodata),
        ("chosen", facts.chosen),
    ):
        if share is not None:
            yield label, _share(share)
    if facts.values is not None:
        unit = f" {facts.values.unit}" if facts.values.unit else ""
        yield "values", f"{facts.values.low:g} to {facts.values.high:g}{unit}"


def _time(moment: datetime, *, assumed: bool) -> str:
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    text = f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"
    return f"{text} (the time of day is assumed: it is masked in the name)" if assumed else text


def _georeference(groups: tuple["Images", ...]) -> Iterator[tuple[str, str]]:
    """Yield projection and corner once where all rasters share them."""
    places = list(dict.fromkeys((images.crs, images.left, images.top) for images in groups))
    names = [
        _shortened(crs, _WKT_CHARACTERS) if crs else "no coordinate reference system"
        for crs, _, _ in places
    ]
    corners = [f"upper-left corner {left:.12g}, {top:.12g}" for _, left, top in places]
    told = [f"{name}, {corner}" for name, corner in zip(names, corners, strict=True)]
    yield from _listed("projection", told)


def _stored(images: "Images") -> str:
    wide, high = images.pixel
    unit = _UNITS.get(images.unit, images.unit)
    size = f"{wide:.6g} {unit}" if wide == high else f"{wide:.6g} x {high:.6g} {unit}"
    nodata = "" if images.nodata is None else f", no data {images.nodata:g}"
    rows, cols = images.block_shape
    overviews = f", overviews {', '.join(map(str, images.overviews))}" if images.overviews else ""
    return (
        f"{' '.join(images.bands)}: {images.height} x {images.width} px of {size}, "
        f"{images.dtype}{nodata}, blocks {rows} x {cols}, {images.codec}{overviews}"
    )


def _share(share: "Share") -> str:
    if share.percent is None:
        return f"not known: none of the {share.over}"
    return f"{_percent(share)} of the {share.over} ({share.pixels:,} of {share.of_pixels:,})"


def _percent(share: "Share") -> str:
    """Return a percentage; 0 and 100 stand for none and all of the pixels only."""
    percent = share.percent or 0.0
    if share.pixels and percent < 0.005:
        return "less than 0.01 %"
    if share.pixels < share.of_pixels and percent > 99.995:
        return "more than 99.99 %"
    return f"{percent:.2f} %"


def _shortened(text: str, most: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def over_patches(what: str) -> str:
    """Say that only whole elementary patches were counted."""
    return f"{what} of whole patches of {ELEMENTARY_PATCH_PX} px"
