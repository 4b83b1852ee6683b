"""STAC items of public archives: images, names, offsets, links, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decloud_lib import storage
from decloud_lib.errors import MissingBandError, ProductError, StorageError
from decloud_lib.raster.optical import open_delivered
from decloud_lib.raster.products.hrefs import resolve
from decloud_lib.raster.products.names import parse_s2_name
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.raster.products.stac import open_item
from decloud_lib.types import Window
from tests.stages.delivered import BANDS_10M, BANDS_20M, SAFE_NAME, write_stac
from tests.web import serve_web

ARCHIVES = ("earth-search", "planetary", "copernicus")
Change = Callable[[dict[str, Any]], object]


def change_item(path: Path, change: Change) -> None:
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))


@pytest.fixture
def item(tmp_path: Path) -> Path:
    return write_stac(tmp_path)[0]


@pytest.mark.parametrize("archive", ARCHIVES)
@pytest.mark.parametrize("offset", [-1000, None])
def test_items_of_the_known_archives_give_the_same_values(
    tmp_path: Path, archive: str, offset: int | None
) -> None:
    scene = np.full((64, 96), 4, np.uint8)
    scene[3, 5] = 0
    path, dn = write_stac(tmp_path, offset=offset, scene=scene, archive=archive)
    product = open_item(str(path))
    assert (product.family, product.reflectance) == ("stac", "FRE")
    assert product.name.name == SAFE_NAME
    assert tuple(product.bands) == (*BANDS_10M, *BANDS_20M)
    assert len(product.entries) == 12
    assert product.entries[0].uri == str(path)
    assert product.facts["BOA_ADD_OFFSET"] == str(offset or 0)
    with open_delivered(product, OpticalSettings()) as reader:
        strip = reader.read(Window(0, 0, 128, 192))
    for index, band in enumerate(BANDS_10M):
        assert (strip.stack_10m[..., index] == dn[band]).all()
    for index, band in enumerate(("B11", "B12", "B5", "B6", "B7", "B8A")):
        assert (strip.stack_20m[..., index] == dn[band]).all()


def test_an_item_in_a_bucket(s3: str, tmp_path: Path) -> None:
    write_stac(tmp_path)
    storage.upload_folder(tmp_path, f"{s3}/raw/items")
    product = open_item(f"{s3}/raw/items/item.json")
    assert product.bands["B2"].path == f"{s3}/raw/items/B02.tif"
    with open_delivered(product, OpticalSettings()) as reader:
        assert reader.grid_10m.shape == (128, 192)


def test_an_item_in_the_web(tmp_path: Path) -> None:
    _, dn = write_stac(tmp_path)
    with serve_web(tmp_path) as server:
        product = open_item(server.uri("item.json?signature=secret"))
        assert product.bands["B2"].path == server.uri("B02.tif")
        assert product.entries[0] == storage.stat(server.uri("item.json"))
        assert sum(line.startswith("HEAD /B") for line in server.requests) == 10
        with open_delivered(product, OpticalSettings(), ("stack_10m",)) as reader:
            found = reader.part("stack_10m", "x").read(Window(0, 0, 128, 192), ("B2",))
        assert (found[..., 0] == dn["B2"]).all()
        server.forever = "403"
        with pytest.raises(StorageError, match="refuses to give it"):
            open_item(server.uri("item.json"))


# Links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "href", "uri"),
    [
        ("/data/a/item.json", "./B02.tif", "/data/a/B02.tif"),
        ("/data/a/item.json", "../b/B02.tif", "/data/b/B02.tif"),
        ("/data/a/item.json", "/other/B02.tif", "/other/B02.tif"),
        ("item.json", "B02.tif", "B02.tif"),
        ("s3://b/a/item.json", "B02.tif", "s3://b/a/B02.tif"),
        ("s3://b/a/item.json", "../B02.tif", "s3://b/B02.tif"),
        ("https://h/a/item.json?sig=1", "B02.tif", "https://h/a/B02.tif"),
        ("https://h/a/item.json", "../../../B02.tif", "https://h/B02.tif"),
        ("/data/item.json", "S3://b/B02.tif", "s3://b/B02.tif"),
        ("https://h/item.json", "s3://b/B02.tif", "s3://b/B02.tif"),
        ("s3://b/item.json", "https://h/B02.tif?sig=1", "https://h/B02.tif?sig=1"),
    ],
)
def test_links_lead_where_they_say(base: str, href: str, uri: str) -> None:
    assert resolve(base, href) == uri


@pytest.mark.parametrize(
    ("base", "href"),
    [
        ("/data/item.json", "/vsicurl/http://evil/x.tif"),
        ("/data/item.json", "/vsizip//etc/x.zip/x.tif"),
        ("/data/item.json", "/./vsis3/bucket/x.tif"),
        ("/data/item.json", "../vsimem/x.tif"),
        ("/data/item.json", "/VSIMEM/x"),
        ("/data/item.json", "file:///etc/passwd"),
        ("/data/item.json", "FILE:/etc/passwd"),
        ("/data/item.json", "ftp://host/x.tif"),
        ("/data/item.json", "gs://bucket/x.tif"),
        ("/data/item.json", "data:image/tiff;base64,AAAA"),
        ("/data/item.json", "GTIFF_DIR:1:/etc/x.tif"),
        ("/data/item.json", "//host/share/x.tif"),
        ("/data/item.json", "\\\\host\\share\\x.tif"),
        ("/data/item.json", "x\n.tif"),
        ("/data/item.json", "https://h/x\r\nHost: y"),
        ("/data/item.json", " "),
        ("s3://b/item.json", "/etc/passwd"),
        ("s3://b/item.json", "../../x.tif"),
        ("s3://b/a/item.json", "/vsicurl/http://evil/x.tif"),
        ("https://h/item.json", "/etc/passwd"),
        ("https://h/item.json", "//evil/x.tif"),
    ],
)
def test_hostile_links_are_refused(base: str, href: str) -> None:
    with pytest.raises(ProductError, match=r"the link .*; expected a path beside the item"):
        resolve(base, href)


def test_the_item_does_not_decide_where_it_lies(item: Path) -> None:
    # Its link to itself names another place.
    assert open_item(str(item)).bands["B2"].path == str(item.parent / "B02.tif")


@pytest.mark.parametrize("href", ["/vsicurl/http://127.0.0.1:1/x.tif", "file:///etc/passwd"])
def test_an_item_with_a_hostile_link_is_refused(item: Path, href: str) -> None:
    change_item(item, lambda found: found["assets"]["red"].update(href=href))
    with pytest.raises(ProductError, match="the link"):
        open_item(str(item))


# Offsets -----------------------------------------------------------------------------------------


def without_scaling(found: dict[str, Any]) -> None:
    for asset in found["assets"].values():
        asset.pop("raster:bands", None)


def bands_of_stac_1_1(found: dict[str, Any]) -> None:
    found["stac_version"] = "1.1.0"
    for key, asset in found["assets"].items():
        asset.pop("raster:bands", None)
        asset["bands"] = [{"name": key, "raster:scale": 0.0002, "raster:offset": -0.05}]


@pytest.mark.parametrize(
    ("change", "scale", "offset"),
    [
        (lambda f: f["properties"].update({"earthsearch:boa_offset_applied": True}), 1.0, 0.0),
        (lambda f: f["properties"].update({"sentinel:boa_offset_applied": True}), 1.0, 0.0),
        (lambda f: f["properties"].update({"earthsearch:boa_offset_applied": "true"}), 1.0, -1000),
        (lambda _: None, 1.0, -1000.0),
        (bands_of_stac_1_1, 2.0, -500.0),
    ],
)
def test_what_the_item_says_of_its_values_counts(
    item: Path, change: Change, scale: float, offset: float
) -> None:
    change_item(item, change)
    bands = open_item(str(item)).bands
    assert {(band.scale, band.offset) for band in bands.values()} == {(scale, offset)}


def test_the_user_overrides_a_wrong_flag(item: Path) -> None:
    change_item(item, lambda f: f["properties"].update({"earthsearch:boa_offset_applied": True}))
    product = open_item(str(item), OpticalSettings(boa_offset=-1000))
    assert {(band.scale, band.offset) for band in product.bands.values()} == {(1.0, -1000.0)}
    assert product.facts["BOA_ADD_OFFSET_SOURCE"] == "given by the user"


def test_the_metadata_of_the_product_count_where_the_item_is_silent(tmp_path: Path) -> None:
    path, _ = write_stac(tmp_path, offset=-900, archive="planetary")
    product = open_item(str(path))
    assert product.bands["B12"].offset == -900.0
    assert product.facts["BOA_ADD_OFFSET_SOURCE"] == "MTD_MSIL2A.xml"
    change_item(path, lambda f: f["assets"].update(any=f["assets"].pop("product-metadata")))
    assert open_item(str(path)).bands["B12"].offset == -900.0
    (tmp_path / "MTD_MSIL2A.xml").write_text("<html/>")
    with pytest.raises(ProductError, match=r"MTD_MSIL2A.xml: BOA_QUANTIFICATION_VALUE is missing"):
        open_item(str(path))


def test_an_old_baseline_has_no_offset_and_a_new_one_must_be_told(item: Path) -> None:
    change_item(item, without_scaling)
    change_item(item, lambda f: f["properties"].update({"s2:processing_baseline": "03.01"}))
    product = open_item(str(item))
    assert product.bands["B2"].offset == 0.0
    assert product.facts["BOA_ADD_OFFSET_SOURCE"] == "processing baseline 03.01"
    for baseline in ("04.00", "05.11", "unknown"):
        change_item(
            item, lambda f, b=baseline: f["properties"].update({"s2:processing_baseline": b})
        )
        with pytest.raises(ProductError, match=rf"found baseline {baseline}.*--boa-offset -1000"):
            open_item(str(item))
    assert open_item(str(item), OpticalSettings(boa_offset=0)).bands["B2"].offset == 0.0


def test_an_offset_of_some_images_is_not_believed_for_all(item: Path) -> None:
    change_item(item, lambda f: f["assets"]["red"].pop("raster:bands"))
    with pytest.raises(ProductError, match="give --boa-offset"):
        open_item(str(item))


@pytest.mark.parametrize("value", ["-0.1", True, float("nan"), float("inf"), 10**400, [1]])
def test_offsets_that_are_no_numbers_are_named(item: Path, value: object) -> None:
    change_item(item, lambda f: f["assets"]["red"]["raster:bands"][0].update(offset=value))
    with pytest.raises(ProductError, match=r"offset is .*, expected a number"):
        open_item(str(item))


# Names -------------------------------------------------------------------------------------------


def test_a_name_is_made_where_the_item_has_none_of_esa(item: Path) -> None:
    change_item(item, lambda f: f["properties"].pop("s2:product_uri"))
    name = open_item(str(item)).name
    assert name.name == "S2B_T31TEJ_20220501T105621_L2A"
    assert parse_s2_name(name.name) == name


@pytest.mark.parametrize(
    "facts",
    [
        {"s2:mgrs_tile": "31TEJ"},
        {"mgrs:utm_zone": 31, "mgrs:latitude_band": "T", "mgrs:grid_square": "EJ"},
        {"sentinel:utm_zone": 31, "sentinel:latitude_band": "T", "sentinel:grid_square": "EJ"},
    ],
)
def test_the_tile_is_said_in_several_ways(item: Path, facts: dict[str, Any]) -> None:
    def change(found: dict[str, Any]) -> None:
        for key in ("s2:product_uri", "grid:code"):
            found["properties"].pop(key)
        found["properties"].update(facts)

    change_item(item, change)
    assert open_item(str(item)).name.tile == "T31TEJ"


# What is no such item ----------------------------------------------------------------------------


def drop(*keys: str) -> Change:
    def change(found: dict[str, Any]) -> None:
        for key in keys:
            found["properties"].pop(key, None)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["properties"].update({"s2:product_uri": SAFE_NAME.replace("2A", "1C")}), "1C"),
        (lambda f: f.update(collection="sentinel-2-l1c", id="S2B_31TEJ_20220501_0_L1C"), "1C"),
        (drop("s2:product_uri", "platform"), "not an item of a Sentinel-2 L2A product"),
        (drop("s2:product_uri", "grid:code"), "not an item of a Sentinel-2 L2A product"),
        (
            lambda f: (
                drop("s2:product_uri")(f),
                f["properties"].update(platform="landsat-8"),
            ),
            "platform 'landsat-8'",
        ),
        (
            lambda f: (drop("s2:product_uri")(f), f.update(collection="x", id="S2A_x")),
            "found id 'S2A_x', collection 'x'",
        ),
        (lambda f: f.update(type="Collection"), "found 'Collection', expected a STAC item"),
        (lambda f: f.update(type="FeatureCollection"), "holds several STAC items; save each"),
        (lambda f: f.pop("stac_version"), "expected a STAC item"),
        (lambda f: f.update(assets=[]), "not a valid STAC item"),
        (lambda f: f["assets"].update(red={}), "not a valid STAC item"),
        (lambda f: f.pop("id"), "STAC item"),
        (lambda f: f["properties"].update(datetime="yesterday"), "not a valid STAC item"),
    ],
)
def test_other_documents_are_named(item: Path, change: Change, message: str) -> None:
    change_item(item, change)
    with pytest.raises(ProductError, match=message):
        open_item(str(item))


@pytest.mark.parametrize(
    "text", ["", "<html/>", "[]", "3", "[" * 100_000, '{"type": "Feature"', "\xff"]
)
def test_texts_that_are_no_items_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "item.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ProductError, match=r"item.json: (not a JSON file|found '\w+'), .*|JSON"):
        open_item(str(path))


def test_an_item_of_absurd_size_or_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    with pytest.raises(ProductError, match="there is no such file"):
        open_item(str(path))
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(ProductError, match="has 16777217 bytes, expected a STAC item of at most"):
        open_item(str(path))


def test_missing_images_are_named(item: Path) -> None:
    (item.parent / "B8A.tif").unlink()
    with pytest.raises(MissingBandError, match=r"the image of B8A, B8A.tif, is not where"):
        open_item(str(item))
    change_item(item, lambda f: [f["assets"].pop(key) for key in ("nir08", "scl")])
    with pytest.raises(MissingBandError, match="no image for B8A, SCL; found blue, green"):
        open_item(str(item))


def test_images_are_found_by_the_names_of_their_bands(item: Path) -> None:
    def rename(found: dict[str, Any]) -> None:
        for key in ("blue", "swir16"):
            asset = found["assets"].pop(key)
            asset["eo:bands"] = [{"name": {"blue": "B02", "swir16": "B11"}[key]}]
            found["assets"][f"image-{key}"] = asset
        preview = {"href": "./preview.jpg", "eo:bands": [{"name": "B02"}]}
        visual = {"href": "./TCI.tif", "eo:bands": [{"name": "B04"}, {"name": "B02"}]}
        found["assets"] |= {"preview": preview, "visual": visual}

    change_item(item, rename)
    bands = open_item(str(item)).bands
    assert bands["B2"].path.endswith("B02.tif")
    assert bands["B11"].path.endswith("B11.tif")


def test_two_images_for_one_band_are_named(item: Path) -> None:
    change_item(item, lambda f: f["assets"].update(B02=dict(f["assets"]["blue"])))
    with pytest.raises(ProductError, match="one image expected for B2, several found: blue, B02"):
        open_item(str(item))
