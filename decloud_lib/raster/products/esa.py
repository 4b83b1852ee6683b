"""Sentinel-2 L2A products as ESA delivers them: SAFE folders, or archives of them."""

import re
from collections import defaultdict
from collections.abc import Iterable

from decloud_lib import storage
from decloud_lib.errors import ProductError
from decloud_lib.raster.products.archive import list_delivery
from decloud_lib.raster.products.names import S2Name, parse_s2_name
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings
from decloud_lib.raster.products.radiometry import (
    LARGEST_METADATA,
    METADATA_NAME,
    Radiometry,
    offsets_text,
    parse_metadata,
)
from decloud_lib.raster.products.roles import BANDS, one_of_each

_CLASSES = "SCL"
#: Each band at its own resolution; copies at others, previews and quality masks never match.
_WANTED = re.compile(
    r"(?:.*/)?GRANULE/[^/]+/IMG_DATA/R[12]0m/(?:L2A_)?(?P<tile>T\d{2}[A-Z]{3})_(?P<time>\d{8}T\d{6})_"
    r"(?:(?P<fine>B02|B03|B04|B08)_10m|(?P<coarse>B05|B06|B07|B8A|B11|B12|SCL)_20m)\.jp2"
)
_GRANULE = re.compile(r"(?:.*/)?GRANULE/([^/]+)/.+")
_DEFAULT = OpticalSettings()


def open_product(uri: str, settings: OpticalSettings = _DEFAULT) -> OpticalProduct:
    """Find the files of one product and read its metadata.

    Parameters
    ----------
    uri
        The SAFE folder or its `.zip`, which is read where it lies.
    settings
        May replace the offset.

    Raises
    ------
    ProductError
        Not such a product, several granules, a file that is there twice, files of another tile or
        time, missing, damaged or hostile metadata, or a hostile archive.
    MissingBandError
        Bands that are missing, by name.
    """
    uri = uri.rstrip("/")
    name = parse_s2_name(storage.name_of(uri))
    delivery = list_delivery(uri)
    names = _by_role(uri, name, delivery.paths)
    metadata = _only_metadata(uri, delivery.paths)
    entries = delivery.take([*names.values(), metadata])
    content = delivery.read(metadata, LARGEST_METADATA)
    radiometry = parse_metadata(delivery.paths[metadata], content)
    _check_metadata(delivery.paths[metadata], name, radiometry)
    bands = {
        band: radiometry.band_file(band, delivery.paths[names[band]], settings.boa_offset)
        for band in BANDS
    }
    return OpticalProduct(
        uri=uri,
        family="esa",
        name=name,
        reflectance="FRE",
        bands=bands,
        cloud_mask=None,
        edge_mask=None,
        scene_classification=delivery.paths[names[_CLASSES]],
        facts=_facts(name, radiometry) | {"BOA_ADD_OFFSET": offsets_text(bands)},
        entries=entries,
    )


def _facts(name: S2Name, radiometry: Radiometry) -> dict[str, str]:
    orbit = radiometry.relative_orbit or str(name.relative_orbit or "")
    facts = {
        "PROCESSING_BASELINE": radiometry.baseline or name.baseline or "",
        "RELATIVE_ORBIT": orbit,
    }
    return {key: value for key, value in facts.items() if value}


def _by_role(uri: str, name: S2Name, paths: Iterable[str]) -> dict[str, str]:
    """Return the path of each band and of the classification."""
    paths = list(paths)
    granules = sorted({match[1] for path in paths if (match := _GRANULE.fullmatch(path))})
    if len(granules) > 1:
        raise ProductError(
            f"{uri}: holds {len(granules)} granules, {', '.join(granules[:3])} ...; expected one: "
            "products in the format before December 2016 are not read"
        )
    found: dict[str, list[str]] = defaultdict(list)
    own = (name.tile, f"{name.acquired:%Y%m%dT%H%M%S}")
    for path in paths:
        match = _WANTED.fullmatch(path)
        if match is None:
            continue
        if (match["tile"], match["time"]) != own:
            raise ProductError(
                f"{uri}: {path} is a file of {match['tile']} {match['time']}, expected one of "
                f"{name.name}"
            )
        word = match["fine"] or match["coarse"]
        found[re.sub("^B0", "B", word)].append(path)
    expected = "GRANULE/*/IMG_DATA/R10m/*_B02_10m.jp2 ... and R20m/*_SCL_20m.jp2"
    return one_of_each(uri, found, (_CLASSES,), expected)


def _only_metadata(uri: str, paths: Iterable[str]) -> str:
    found = [path for path in paths if storage.name_of(path) == METADATA_NAME]
    if len(found) != 1:
        raise ProductError(
            f"{uri}: expected one {METADATA_NAME}, which tells how values become reflectance; "
            f"found {', '.join(found) or 'none'}: was the product delivered completely?"
        )
    return found[0]


def _check_metadata(path: str, name: S2Name, radiometry: Radiometry) -> None:
    """Refuse metadata of another product."""
    try:
        other = parse_s2_name(radiometry.product)
    except ProductError:
        # Old products name the L1C product there that they were made from.
        return
    if (other.tile, other.acquired) != (name.tile, name.acquired):
        raise ProductError(f"{path}: belongs to {other.name}, expected that of {name.name}")
