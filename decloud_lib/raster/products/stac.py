"""Sentinel-2 L2A as a STAC item of a public archive: one image per band, mostly COGs in the web.

Known are the items of Earth Search (Element 84), of the Planetary Computer (Microsoft) and of the
Copernicus Data Space.
"""

import json
import re

import pystac

from decloud_lib import storage
from decloud_lib.errors import MissingBandError, ProductError
from decloud_lib.raster.products.hrefs import resolve
from decloud_lib.raster.products.names import S2Name, parse_s2_name
from decloud_lib.raster.products.optical import OpticalProduct, OpticalSettings
from decloud_lib.raster.products.radiometry import offsets_text
from decloud_lib.raster.products.roles import BANDS
from decloud_lib.raster.products.stac_radiometry import band_file, baseline_of, scalings

_CLASSES = "SCL"
#: Keys and band names: Earth Search; Planetary Computer; Copernicus Data Space.
_KEYS = {
    "B2": ("blue", "B02", "B02_10m"),
    "B3": ("green", "B03", "B03_10m"),
    "B4": ("red", "B04", "B04_10m"),
    "B8": ("nir", "B08", "B08_10m"),
    "B5": ("rededge1", "B05", "B05_20m"),
    "B6": ("rededge2", "B06", "B06_20m"),
    "B7": ("rededge3", "B07", "B07_20m"),
    "B8A": ("nir08", "B8A", "B8A_20m"),
    "B11": ("swir16", "B11", "B11_20m"),
    "B12": ("swir22", "B12", "B12_20m"),
    _CLASSES: ("scl", "SCL", "SCL_20m"),
}
#: Properties that may hold ESA's name of the product.
_NAMES = ("s2:product_uri", "s2:product_id", "sentinel:product_id", "title")
_LARGEST_ITEM = 16 << 20
_IMAGE = re.compile(r"\.(tiff?|jp2)$", re.IGNORECASE)
_DEFAULT = OpticalSettings()


def open_item(uri: str, settings: OpticalSettings = _DEFAULT) -> OpticalProduct:
    """Find the images of one STAC item.

    Parameters
    ----------
    uri
        The item's JSON file: local, in a bucket or in the web. No other link of it is followed than
        those to the images and, where the item itself does not say how values become reflectance,
        to the product's metadata.
    settings
        `boa_offset` replaces the offset of the item; public archives are known to say a wrong one.

    Raises
    ------
    ProductError
        Not an item of a Sentinel-2 L2A product, links that may not be followed, or nothing that
        says how values become reflectance.
    MissingBandError
        Images that are missing, by name.
    """
    entry, item = _read_item(uri)
    name = _name_of(uri, item)
    assets = _images(uri, item)
    links = {role: resolve(uri, asset.href) for role, asset in assets.items()}
    entries = [entry]
    for role, link in links.items():
        stored = storage.stat(link)
        if stored is None:
            raise MissingBandError(
                f"{uri}: the image of {role}, {storage.name_of(link)}, is not where the item says; "
                "was the item copied without its images?"
            )
        entries.append(stored)
    found, source = scalings(uri, item, name, assets, settings.boa_offset)
    bands = {band: band_file(links[band], assets[band], found[band]) for band in BANDS}
    return OpticalProduct(
        uri=uri,
        family="stac",
        name=name,
        reflectance="FRE",
        bands=bands,
        cloud_mask=None,
        edge_mask=None,
        scene_classification=links[_CLASSES],
        facts=_facts(item, name, source) | {"BOA_ADD_OFFSET": offsets_text(bands)},
        entries=tuple(entries),
    )


def _read_item(uri: str) -> tuple[storage.Entry, pystac.Item]:
    entry = storage.stat(uri)
    if entry is None:
        raise ProductError(f"{uri}: there is no such file; check the path")
    if entry.size > _LARGEST_ITEM:
        raise ProductError(
            f"{uri}: has {entry.size} bytes, expected a STAC item of at most {_LARGEST_ITEM}"
        )
    try:
        content = json.loads(storage.read_range(uri, 0, _LARGEST_ITEM))
    except (ValueError, RecursionError) as error:
        raise ProductError(f"{uri}: not a JSON file ({error}); expected a STAC item") from error
    kind = content.get("type") if isinstance(content, dict) else type(content).__name__
    if kind == "FeatureCollection":
        raise ProductError(
            f"{uri}: holds several STAC items; save each in a file of its own, and name these"
        )
    named = isinstance(content, dict) and isinstance(content.get("id"), str)
    if kind != "Feature" or not named or "stac_version" not in content:
        found = "JSON without a type" if kind is None else repr(kind)
        raise ProductError(
            f"{uri}: found {found}, expected a STAC item (type Feature, with stac_version and id)"
        )
    try:
        # Without migration: what an archive wrote is read as it stands.
        item = pystac.Item.from_dict(content, migrate=False, preserve_dict=False)
    except (pystac.STACError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProductError(f"{uri}: not a valid STAC item ({error!r})") from error
    return entry, item


def _name_of(uri: str, item: pystac.Item) -> S2Name:
    """Return ESA's name of the product, or one that is made of what the item says."""
    texts = [*(str(item.properties.get(key, "")) for key in _NAMES), item.id]
    said = (*texts, item.collection_id, item.properties.get("s2:product_type"))
    levels = re.findall(r"(?:L-?|MSI)([12][ABC])", " ".join(map(str, said)), re.IGNORECASE)
    if others := sorted({level.upper() for level in levels} - {"2A"}):
        raise ProductError(
            f"{uri}: is an item of level {others[0]}, expected level 2A: take that of L2A"
        )
    for text in texts:
        try:
            return parse_s2_name(text)
        except ProductError:
            continue
    platform = re.fullmatch(
        r"(?:sentinel-?|s)2([a-d])", str(item.properties.get("platform")), re.IGNORECASE
    )
    tile = _tile_of(item)
    if platform is None or tile is None or item.datetime is None or not levels:
        raise ProductError(
            f"{uri}: not an item of a Sentinel-2 L2A product; expected property s2:product_uri, "
            "or platform, datetime and grid:code with an id or a collection that names level 2A; "
            f"found id {item.id!r}, collection {item.collection_id!r}, platform "
            f"{item.properties.get('platform')!r}"
        )
    return parse_s2_name(f"S2{platform[1].upper()}_{tile}_{item.datetime:%Y%m%dT%H%M%S}_L2A")


def _tile_of(item: pystac.Item) -> str | None:
    """Return the tile with the leading T."""
    facts = item.properties
    texts = [str(facts.get("grid:code", "")), str(facts.get("s2:mgrs_tile", ""))]
    for start in ("mgrs", "sentinel"):
        parts = ("utm_zone", "latitude_band", "grid_square")
        texts.append("".join(str(facts.get(f"{start}:{part}", "")) for part in parts))
    for text in texts:
        if found := re.fullmatch(r"(?:MGRS-|T)?(\d{1,2}[C-X][A-Z]{2})", text):
            return f"T{found[1]:0>5}"
    return None


def _images(uri: str, item: pystac.Item) -> dict[str, pystac.Asset]:
    """Return the image of each band and of the classification."""
    by_band: dict[str, list[str]] = {}
    for key, asset in item.assets.items():
        names = _band_names(asset)
        if len(names) == 1 and _IMAGE.search(asset.href.partition("?")[0]):
            by_band.setdefault(names[0], []).append(key)
    found: dict[str, pystac.Asset] = {}
    for role, keys in _KEYS.items():
        named = [key for key in keys if key in item.assets]
        named = named or [key for name in keys for key in by_band.get(name, [])]
        if len(named) > 1:
            raise ProductError(
                f"{uri}: one image expected for {role}, several found: {', '.join(named)}"
            )
        if named:
            found[role] = item.assets[named[0]]
    if missing := [role for role in _KEYS if role not in found]:
        raise MissingBandError(
            f"{uri}: no image for {', '.join(missing)}; found {', '.join(item.assets) or 'none'}; "
            "expected assets such as blue ... swir22 and scl, B02 ... B12 and SCL, or B02_10m ... "
            "B12_20m and SCL_20m"
        )
    return found


def _band_names(asset: pystac.Asset) -> list[str]:
    names = []
    for field in ("bands", "eo:bands"):
        bands = asset.extra_fields.get(field)
        for band in bands if isinstance(bands, list) else ():
            if isinstance(band, dict) and isinstance(band.get("name"), str):
                names.append(band["name"])
    return list(dict.fromkeys(names))


def _facts(item: pystac.Item, name: S2Name, source: str) -> dict[str, str]:
    orbit = item.properties.get("sat:relative_orbit", name.relative_orbit)
    facts = {
        "PROCESSING_BASELINE": baseline_of(item, name),
        "RELATIVE_ORBIT": "" if orbit is None else str(orbit),
        "BOA_ADD_OFFSET_SOURCE": source,
        "STAC_ITEM": item.id,
        "STAC_COLLECTION": item.collection_id or "",
    }
    return {key: value for key, value in facts.items() if value}
