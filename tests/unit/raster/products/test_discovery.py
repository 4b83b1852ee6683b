"""What a listing of deliveries is taken for; files hold no rasters, as none is opened."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from decloud_lib import manifest, storage
from decloud_lib.config import StageConfig
from decloud_lib.raster.products.discovery import discover
from decloud_lib.raster.products.found import Discovery, Found, select

THEIA = "SENTINEL2B_20201012-105848-497_L2A_T31TEJ_C_V2-2"
ESA = "S2B_MSIL2A_20201012T104619_N0500_R051_T31TEJ_20230401T120000"
RADAR = "s1b_31TEJ_{}_DES_110_20201011t060008.tif"


def put(root: str, *names: str, content: bytes = b"12345") -> None:
    for name in names:
        storage.write_bytes(storage.join(root, name), content)


def item(**changes: Any) -> bytes:
    facts = {"datetime": "2020-10-17T10:58:50.1Z", "platform": "sentinel-2b"}
    assets = {"blue": {"href": "B02.tif"}, "far": {"href": "https://example.org/B03.tif"}}
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_31TEJ_20201017_0_L2A",
        "collection": "sentinel-2-l2a",
        "properties": facts | {"grid:code": "MGRS-31TEJ"},
        "assets": assets,
    }
    return json.dumps(content | changes).encode()


def only(found: Discovery) -> Found:
    (product,) = found.found
    return product


def problems(found: Discovery) -> dict[str, str | None]:
    return {product.name: product.problem for product in found.found}


def test_products_of_all_families_are_found_at_any_depth(bucket: str) -> None:
    put(bucket, f"SENTINEL1/T31TEJ/{RADAR.format('vv')}", f"SENTINEL1/T31TEJ/{RADAR.format('vh')}")
    put(bucket, f"a/b/{THEIA}/MASKS/m.tif", f"a/b/{THEIA}/b.tif", "a/DEM/T31TEJ.tif")
    later = ESA.replace("20201012", "20201022")
    put(bucket, f"esa/{later}.SAFE/GRANULE/x/B02.jp2", f"{THEIA.replace('TEJ', 'TCJ')}.zip")
    put(bucket, "stac/B02.tif", "readme.txt", "SENTINEL1/T31TEJ/a.aux.xml")
    put(bucket, "stac/item.json", content=item())
    found = discover(bucket)
    seen = [(p.family, p.format, p.tile, str(p.day or ""), p.size_bytes) for p in found.found]
    assert seen == [
        ("s1", "s1tiling", "T31TEJ", "2020-10-11", 10),
        ("s2", "theia", "T31TCJ", "2020-10-12", 5),
        ("s2", "theia", "T31TEJ", "2020-10-12", 10),
        ("s2", "stac", "T31TEJ", "2020-10-17", 5 + len(item())),
        ("s2", "esa", "T31TEJ", "2020-10-22", 5),
        ("dem", "dem", "T31TEJ", "", 5),
    ]
    assert not any(problems(found).values())
    assert found.found[0].uri == storage.join(bucket, "SENTINEL1/T31TEJ", RADAR.format("vh"))
    assert found.found[2].uri == storage.join(bucket, "a/b", THEIA)
    assert found.other_files == 2


@pytest.mark.parametrize("name", [THEIA, f"{THEIA}/", f"{THEIA}.zip"])
def test_a_single_product_may_be_named_itself(bucket: str, name: str) -> None:
    put(bucket, f"{THEIA}/b.tif" if name.startswith(f"{THEIA}/") or name == THEIA else name)
    uri = storage.join(bucket, name.rstrip("/"))
    assert only(discover(uri)).uri == uri


@pytest.mark.parametrize("kind", ["vv", "vh"])
def test_a_pair_may_be_named_by_one_of_its_files(bucket: str, kind: str) -> None:
    other_day = RADAR.replace("20201011", "20201017")
    for name in (RADAR, other_day):
        put(bucket, name.format("vv"), name.format("vh"))
    found = only(discover(storage.join(bucket, RADAR.format(kind))))
    assert found.uri == storage.join(bucket, RADAR.format("vh"))
    assert (found.size_bytes, found.problem) == (10, None)


@pytest.mark.parametrize("named", ["DEM", "DEM/T31TEJ.tif"])
def test_elevations_may_be_named_themselves(bucket: str, named: str) -> None:
    put(bucket, "DEM/T31TEJ.tif")
    assert only(discover(storage.join(bucket, named))).uri == f"{bucket}/DEM/T31TEJ.tif"


def test_nothing_is_found_where_nothing_is(bucket: str) -> None:
    assert discover(storage.join(bucket, "nowhere")) == Discovery((), 0)


@pytest.mark.parametrize("missing", ["VV", "VH"])
def test_half_a_pair_says_which_half_is_missing(tmp_path: Path, missing: str) -> None:
    there = "vh" if missing == "VV" else "vv"
    put(str(tmp_path), RADAR.format(there))
    found = only(discover(str(tmp_path)))
    assert found.name == RADAR.format(there)
    assert f"its {missing} file is missing" in str(found.problem)


def test_masks_beside_radar_images_are_no_products(tmp_path: Path) -> None:
    put(str(tmp_path), RADAR.format("vv"), RADAR.format("vh"))
    for kind in ("BorderMask", "GammaNaughtRTC"):
        put(str(tmp_path), RADAR.format("vv").replace(".tif", f"_{kind}.tif"))
    found = discover(str(tmp_path))
    assert only(found).problem is None
    assert found.other_files == 2


def test_another_quantity_alone_says_what_is_expected(tmp_path: Path) -> None:
    names = [RADAR.format(kind).replace(".tif", "_GammaNaughtRTC.tif") for kind in ("vv", "vh")]
    put(str(tmp_path), *names)
    assert "expected sigma nought" in str(only(discover(str(tmp_path))).problem)


@pytest.mark.parametrize("masked", [False, True])
def test_one_processing_of_a_radar_acquisition_is_taken(tmp_path: Path, masked: bool) -> None:
    pair = RADAR.replace("t060008", "txxxxxx") if masked else RADAR
    ends = ("_NormLim_filtered", "_NormLim", "")
    for end in ends:
        names = [pair.format(kind).replace(".tif", f"{end}.tif") for kind in ("vv", "vh")]
        put(str(tmp_path / f"folder{end}"), *names)
        put(str(tmp_path / f"folder{end}"), *(name.replace("0201011", "0201023") for name in names))
    found = discover(str(tmp_path)).found
    taken = [product for product in found if product.problem is None]
    assert [Path(product.uri).parent.name for product in taken] == ["folder", "folder"]
    for product in found:
        if product not in taken:
            plain = next(other for other in taken if other.day == product.day)
            assert f"the same acquisition as {plain.uri}" in str(product.problem)


def test_a_calibration_is_taken_where_the_preferred_one_is_half_there(tmp_path: Path) -> None:
    put(str(tmp_path), RADAR.format("vh"))
    put(str(tmp_path), *(f"{RADAR[:-4]}_NormLim.tif".format(kind) for kind in ("vv", "vh")))
    told = {product.name: product.problem for product in discover(str(tmp_path)).found}
    assert told.pop(f"{RADAR[:-4]}_NormLim.tif".format("vh")) is None
    assert "VV file is missing" in str(told.popitem()[1])


def test_masked_times_keep_their_day(tmp_path: Path) -> None:
    name = RADAR.replace("t060008", "txxxxxx")
    put(str(tmp_path), name.format("vv"), name.format("vh"))
    found = only(discover(str(tmp_path)))
    assert (found.acquired, found.day) == (None, date(2020, 10, 11))


def test_an_archive_beside_its_folder_is_left_out(bucket: str) -> None:
    put(bucket, f"{THEIA}.zip", f"{THEIA}/b.tif", f"{ESA}.zip", f"{ESA}.SAFE/MTD_MSIL2A.xml")
    usable = [product for product in discover(bucket).found if product.problem is None]
    assert [product.uri for product in usable] == [storage.join(bucket, THEIA)]
    told = {product.uri: product.problem for product in discover(bucket).found}
    archive = storage.join(bucket, f"{THEIA}.zip")
    assert told[archive] == f"{archive}: the same product as {storage.join(bucket, THEIA)}"


def test_a_whole_archive_is_taken_before_a_half_delivered_folder(tmp_path: Path) -> None:
    put(str(tmp_path), f"{THEIA}.zip", f"{THEIA}/b.tif.part")
    found = {product.uri: product.problem for product in discover(str(tmp_path)).found}
    assert found[f"{tmp_path}/{THEIA}.zip"] is None
    assert "b.tif.part is half-delivered" in str(found[f"{tmp_path}/{THEIA}"])


def test_of_one_acquisition_that_of_theia_is_taken(tmp_path: Path) -> None:
    put(str(tmp_path), f"a/{ESA}.SAFE/x", f"b/{THEIA}/x")
    told = problems(discover(str(tmp_path)))
    assert told[THEIA] is None
    assert f"the same acquisition as {tmp_path}/b/{THEIA}, Theia is preferred" in str(told[ESA])


def test_that_of_esa_is_taken_when_that_of_theia_is_half_there(tmp_path: Path) -> None:
    put(str(tmp_path), f"a/{ESA}.SAFE/x", f"b/{THEIA}.zip.tmp")
    assert problems(discover(str(tmp_path)))[ESA] is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (THEIA, ESA.replace("S2B_", "S2A_")),
        (THEIA, ESA.replace("31TEJ", "31TDJ")),
        (THEIA, ESA.replace("20201012T", "20201013T")),
        (ESA, ESA.replace("T120000", "T130000")),
    ],
    ids=["satellite", "tile", "day", "two parts of a tile"],
)
def test_other_acquisitions_stay(tmp_path: Path, one: str, other: str) -> None:
    put(str(tmp_path), f"{one}/x", f"{other}.SAFE/x")
    assert list(problems(discover(str(tmp_path))).values()) == [None, None]


@pytest.mark.parametrize(
    ("old", "new"),
    [(THEIA, THEIA.replace("V2-2", "V3-0")), (ESA.replace("N0500", "N0209"), ESA)],
)
def test_the_newer_version_of_a_product_is_taken(tmp_path: Path, old: str, new: str) -> None:
    put(str(tmp_path), f"{old}/x", f"{new}/x")
    told = problems(discover(str(tmp_path)))
    assert told[new] is None
    assert "a newer version" in str(told[old])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{ESA.replace('L2A', 'L1C')}.SAFE/x", "is a level 1C product, expected level 2A"),
        (f"{THEIA}.zip.part", "half-delivered"),
        (f"{THEIA}.part/b.tif", "half-delivered"),
        (f"{RADAR.format('vh')}.crdownload", "half-delivered"),
        (f"{THEIA.replace('1012', '1399')}/x", "impossible date"),
        ("s1b_31TEJ_vh_DES_110_2020.tif", "not a Sentinel-1 tile file"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, name: str, says: str) -> None:
    put(str(tmp_path), name)
    assert says in str(only(discover(str(tmp_path))).problem)


def test_an_empty_archive_is_not_whole(tmp_path: Path) -> None:
    put(str(tmp_path), f"{THEIA}.zip", content=b"")
    assert "is empty" in str(only(discover(str(tmp_path))).problem)


def test_prepared_data_are_no_deliveries(tmp_path: Path) -> None:
    root = str(tmp_path)
    made = manifest.plan("prepare_s2", StageConfig(), ())
    put(root, f"mine/T31TEJ/{THEIA}/{THEIA}_FRE_10m.tif", f"out/S2_PREPARE/T31TEJ/{THEIA}/x.tif")
    manifest.write(f"{root}/mine/T31TEJ/{THEIA}/manifest.json", made, ())
    put(root, f"mine/{RADAR.format('vvvh').replace('.tif', '_from-10to3dB.tif')}")
    put(root, f"out/QUARANTINE/s2_{THEIA}.json", f"raw/{ESA}.SAFE/x")
    # Another program's file of that name proves nothing.
    put(root, f"raw/{ESA}.SAFE/manifest.json", content=b"{}")
    assert only(discover(root)).name == ESA


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[" * 200_000,
        b"[1]",
        b'{"type": "FeatureCollection", "stac_version": "1.0.0"}',
        item(id="LC08", collection="landsat", properties={}),
        item(stac_version=None),
        item() + b" " * (1 << 20),
    ],
    ids=["cut", "deep", "list", "collection", "landsat", "no version", "large"],
)
def test_other_json_files_are_only_counted(tmp_path: Path, content: bytes) -> None:
    put(str(tmp_path), "S2B_item.json", content=content)
    assert discover(str(tmp_path)) == Discovery((), 1)


def test_json_files_away_from_images_are_not_read(tmp_path: Path) -> None:
    put(str(tmp_path), "notes.json", content=item())
    assert discover(str(tmp_path)).found == ()
    put(str(tmp_path), "image.tif")
    assert len(discover(str(tmp_path)).found) == 1


def test_an_item_of_level_1_says_so(tmp_path: Path) -> None:
    put(str(tmp_path), "item.json", content=item(collection="sentinel-2-l1c"))
    assert "level 1C" in str(only(discover(str(tmp_path))).problem)


def test_products_are_chosen_by_family_tile_and_day(tmp_path: Path) -> None:
    root = str(tmp_path)
    put(root, RADAR.format("vv"), RADAR.format("vh"), f"{THEIA}.zip", "DEM/T31TEJ.tif")
    put(root, f"{THEIA.replace('TEJ', 'TCJ')}.zip")
    found = discover(root).found

    def kept(**wanted: Any) -> list[str]:
        return [f"{product.family} {product.tile}" for product in select(found, **wanted)]

    assert kept(families=("s1",)) == ["s1 T31TEJ"]
    assert kept(tiles=("31tcj",)) == ["s2 T31TCJ"]
    both = ["s2 T31TCJ", "s2 T31TEJ", "dem T31TEJ"]
    assert kept(start=date(2020, 10, 12), end=date(2020, 10, 12)) == both
    assert kept(end=date(2020, 10, 11)) == ["s1 T31TEJ", "dem T31TEJ"]
