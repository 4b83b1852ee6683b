"""STAC items beside the images, and a collection beside the items of a series.

STAC 1.1 with the extensions projection, eo, raster, file and processing. The link to the model has
the fields of the extension mlm; the extension itself is for items that describe a model, and is not
declared.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac

from decloud_lib import bands, storage, tracking
from decloud_lib.raster.footprint import lonlat_corners
from decloud_lib.reconstruction.render import Written
from decloud_lib.types import Grid, Window

COLLECTION = "collection.json"
_SCHEMAS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "eo/v2.0.0", "raster/v2.0.0", "file/v2.1.0",
                 "processing/v1.2.0")
)  # fmt: skip
#: Common names of the extension eo.
_COMMON = {
    "B2": "blue", "B3": "green", "B4": "red", "B8": "nir", "B5": "rededge071", "B6": "rededge075",
    "B7": "rededge078", "B8A": "nir08", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
_ROLES = {
    "image": ("data", "reflectance"),
    "image_20m": ("data", "reflectance"),
    "quality": ("metadata", "data-mask"),
    "uncertainty": ("metadata", "uncertainty"),
    "uncertainty_20m": ("metadata", "uncertainty"),
}
_TITLES = {
    "image": "Reconstructed reflectance, 10 m bands",
    "image_20m": "Reconstructed reflectance, 20 m bands",
    "quality": "Where each pixel comes from, and days to the dates that it is made of",
    "uncertainty": "Expected absolute error of the reflectance, 10 m bands",
    "uncertainty_20m": "Expected absolute error of the reflectance, 20 m bands",
}
#: The first byte of a multihash of SHA-256, and its length.
_SHA256 = "1220"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an image was made of."""

    model: str | None
    """URI; None of what is part of the package."""
    model_name: str
    model_sha256: str
    code_version: str
    inputs: Mapping[str, Sequence[str]]
    """URIs by the name of the option."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a STAC item says of a place and a time."""

    grid: Grid
    """Of the 10 m image."""
    start: datetime
    end: datetime
    """The same as `start` for one date."""
    platform: str | None = None
    """`sentinel-2a` and so on; None for several."""
    thumbnail: str | None = None
    """URI."""
    collection: str | None = None
    """Id, where the items lie beside a collection."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More properties."""


def platform_of(product: str) -> str | None:
    """Return the platform that a product's name begins with: `sentinel-2a`."""
    word = product.partition("_")[0]
    return f"sentinel-2{word[-1].lower()}" if word.startswith("SENTINEL2") else None


def item_of(uri: str, scene: Scene, written: Sequence[Written], made: Provenance) -> bytes:
    """Return the STAC item of an image as JSON.

    Parameters
    ----------
    uri
        Where the item will lie; images beside it get relative links.
    scene
        Place and time.
    written
        The rasters; the first is the image itself.
    made
        What they were made of.
    """
    corners = lonlat_corners(scene.grid, [Window(0, 0, *scene.grid.shape)])[0]
    lons, lats = zip(*corners, strict=True)
    item = pystac.Item(
        id=storage.name_of(uri).removesuffix(".json"),
        geometry={
            "type": "Polygon",
            "coordinates": [[[*c] for c in (*corners[::-1], corners[-1])]],
        },
        bbox=[min(lons), min(lats), max(lons), max(lats)],
        datetime=scene.start,
        properties=_properties(scene, made),
        stac_extensions=list(_SCHEMAS),
    )
    if scene.start != scene.end:
        item.properties |= {
            "start_datetime": pystac.utils.datetime_to_str(scene.start),
            "end_datetime": pystac.utils.datetime_to_str(scene.end),
        }
    for raster in written:
        item.add_asset(raster.raster.role, _asset(uri, raster))
    if scene.thumbnail is not None:
        item.add_asset("thumbnail", _picture(uri, scene.thumbnail))
    links: list[dict[str, Any]] = [
        {"rel": "derived_from", "href": _href(uri, source), "title": option}
        for option, sources in made.inputs.items()
        for source in sources
    ]
    if made.model is not None:
        model = {"rel": "derived_from", "href": _href(uri, made.model), "title": "model"}
        model["mlm:name"] = made.model_name
        model["file:checksum"] = _SHA256 + made.model_sha256
        links.append(model)
    content = item.to_dict(include_self_link=False)
    content["links"] += links
    if scene.collection is not None:
        content["collection"] = scene.collection
        content["links"] += [
            {"rel": rel, "href": f"./{COLLECTION}", "type": "application/json"}
            for rel in ("collection", "parent")
        ]
    return _json(content)


def collection_of(name: str, items: Sequence[bytes], description: str) -> bytes:
    """Return the STAC collection of a series as JSON.

    Parameters
    ----------
    name
        Its id.
    items
        The items, at least one.
    description
        What the series is.
    """
    found = [json.loads(item) for item in items]
    found.sort(key=lambda item: (item["properties"]["datetime"], item["id"]))
    lefts, bottoms, rights, tops = zip(*(item["bbox"] for item in found), strict=True)
    times = [datetime.fromisoformat(item["properties"]["datetime"]) for item in found]
    extent = pystac.Extent(
        pystac.SpatialExtent([[min(lefts), min(bottoms), max(rights), max(tops)]]),
        pystac.TemporalExtent([[min(times), max(times)]]),
    )
    collection = pystac.Collection(
        id=name, description=description, extent=extent, license="other", title=name
    )
    content = collection.to_dict(include_self_link=False)
    content["summaries"] = {
        key: sorted({item["properties"][key] for item in found if key in item["properties"]})
        for key in ("platform", "proj:code", "decloud:model")
    }
    content["links"] = [
        {"rel": "item", "href": f"./{item['id']}.json", "type": "application/geo+json"}
        for item in found
    ]
    return _json(content)


def _properties(scene: Scene, made: Provenance) -> dict[str, Any]:
    epsg = scene.grid.crs.startswith("EPSG:")
    platform = {"platform": scene.platform} if scene.platform else {}
    names = ", ".join(f"{option} {len(uris)}" for option, uris in made.inputs.items())
    return {
        **platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": scene.grid.pixel_m,
        "created": pystac.utils.datetime_to_str(datetime.now(UTC)),
        "proj:code": scene.grid.crs if epsg else None,
        **({} if epsg else {"proj:wkt2": scene.grid.crs}),
        "processing:lineage": f"clouds replaced by model {made.model_name}; from {names}",
        "processing:software": {"decloud": made.code_version},
        "decloud:model": made.model_name,
        **({"decloud:model_sha256": made.model_sha256} if made.model_sha256 else {}),
        **scene.extra,
    }


def _asset(uri: str, written: Written) -> pystac.Asset:
    raster, grid = written.raster, written.grid
    reflectance = {"raster:scale": bands.S2_SCALE}
    described = []
    for name in raster.profile.bands:
        band: dict[str, Any] = {"name": name}
        if name in _COMMON:
            band |= {"eo:common_name": _COMMON[name], **reflectance}
        described.append(band)
    return pystac.Asset(
        _href(uri, raster.uri),
        title=_TITLES.get(raster.role, f"What the network took as {raster.role}"),
        media_type=pystac.MediaType.COG,
        roles=list(_ROLES.get(raster.role, ("data", "input"))),
        extra_fields={
            "bands": described,
            "data_type": raster.profile.dtype,
            "nodata": raster.profile.nodata,
            "gsd": grid.pixel_m,
            "proj:shape": list(grid.shape),
            "proj:transform": [*grid.transform[:6]],
            "file:size": written.size,
            "file:checksum": _SHA256 + written.sha256,
        },
    )


def _picture(uri: str, thumbnail: str) -> pystac.Asset:
    return pystac.Asset(
        _href(uri, thumbnail),
        title="Before and after, true colour",
        media_type=pystac.MediaType.PNG,
        roles=["thumbnail"],
    )


def _href(uri: str, target: str) -> str:
    """Return where a target lies as seen from an item: a catalogue is moved as a whole."""
    if tracking.is_tracked(target):
        return target
    if storage.parent_of(uri) == storage.parent_of(target):
        return f"./{storage.name_of(target)}"
    if "://" in target:
        return target
    if "://" in uri:
        return str(Path(target).absolute())
    folder = Path(storage.parent_of(uri)).absolute()
    return Path(os.path.relpath(Path(target).absolute(), folder)).as_posix()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
