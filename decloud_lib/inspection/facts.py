"""What is found out about a path."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from decloud_lib.inspection import wording
from decloud_lib.raster.describe import StoredRaster
from decloud_lib.types import Array

State = Literal["delivered", "prepared", "statistics-only", "other"]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the pixels."""

    percent: float | None
    """None where there is no pixel to count."""
    pixels: int
    of_pixels: int
    over: str
    """What was counted, in words."""


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Smallest and largest value."""

    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True)
class Images:
    """Files, or bands of a file, that are stored alike."""

    bands: tuple[str, ...]
    height: int
    width: int
    """Pixels."""
    pixel: tuple[float, float]
    """Width and height of a pixel, in units of the coordinate reference system."""
    unit: str
    crs: str | None
    left: float
    top: float
    """Upper-left corner."""
    dtype: str
    nodata: float | None
    block_shape: tuple[int, int]
    """Rows and columns of an internal block."""
    codec: str
    overviews: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether all of it is there."""

    whole: bool
    told: str
    """How that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a path holds; what is not known, or makes no sense there, is None or empty."""

    path: str
    what: str
    """In words."""
    family: str | None = None
    """`theia`, `esa`, `stac`, `s1tiling`, `dem`, `roi`, `statistics`, `reconstruction`, `raster`
    or `folder`; of a prepared product that from which it was made."""
    state: State = "other"
    name: str | None = None
    satellite: str | None = None
    tile: str | None = None
    acquired: datetime | None = None
    """UTC."""
    time_is_assumed: bool = False
    relative_orbit: int | None = None
    direction: Literal["ascending", "descending"] | None = None
    reflectance: str | None = None
    processing_baseline: str | None = None
    boa_offset: str | None = None
    """DN, as the metadata say."""
    source: str | None = None
    """Where the delivered files are that a product with nothing but statistics is read from."""
    files: int = 0
    bytes: int = 0
    """On disk."""
    images: tuple[Images, ...] = ()
    cloud: Share | None = None
    nodata: Share | None = None
    chosen: Share | None = None
    """Of a region of interest: patches that may be used."""
    values: ValueRange | None = None
    complete: Completeness | None = None
    tags: dict[str, str] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    """In a folder that is no product: how many of what."""
    notes: tuple[str, ...] = ()
    quicklook: str | None = None
    """URI of the picture."""
    picture: str | None = None
    """What the picture shows, and how."""

    def text(self) -> str:
        """Return all of it in lines for people."""
        return "\n".join(wording.lines_of(self))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of what was looked at."""

    pixels: Array
    """(H, W, 4) uint8: red, green, blue, alpha."""
    legend: str
    """What it shows, and with which stretch."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a path holds, and how to draw it."""

    description: Description
    draw: Callable[[int], Picture] | None = None
    """Takes the longer side, pixels; None where there is nothing to see."""


def share(pixels: int, of_pixels: int, over: str) -> Share:
    """Make a share of pixels."""
    percent = 100.0 * pixels / of_pixels if of_pixels else None
    return Share(percent, pixels, of_pixels, over)


def group(rasters: Iterable[tuple[str, StoredRaster]]) -> tuple[Images, ...]:
    """Put together what is stored alike, in the order in which it is met.

    Parameters
    ----------
    rasters
        Name of a band or mask, empty for the names in the file, and its raster.
    """
    bands: dict[Images, list[str]] = {}
    for name, stored in rasters:
        alike = Images(
            (), stored.height, stored.width, stored.pixel, stored.unit, stored.crs, stored.left,
            stored.top, stored.dtype, stored.nodata, stored.block_shape, stored.codec,
            stored.overviews,
        )  # fmt: skip
        bands.setdefault(alike, []).extend((name,) if name else stored.bands)
    return tuple(replace(alike, bands=tuple(names)) for alike, names in bands.items())
