"""Each shipped layout on the real series, prepared as a user would, against plain loops.

The loops read the masks as they were delivered and the layout files as text.
"""

import re
import zlib
from datetime import UTC, datetime
from importlib.resources import files

import numpy as np
import pytest
import rasterio

from decloud_lib.acquisitions import load_layout, shipped_layouts
from decloud_lib.sampling.drawing import search_data_set
from decloud_lib.sampling.sources import read_rois, read_tiles
from decloud_lib.sampling.tile_index import index_tile
from decloud_lib.stages.make_roi import MakeRoiConfig, make_roi
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from decloud_lib.stages.prepare import PrepareConfig, prepare
from tests.stages.delivered import REAL
from tests.unit.arrays.layout_oracle import brute_force, read_layout

TILE = "T31UDS"
HOUR = 3_600_000
SEED = 7


def milliseconds(text, form):
    moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def flagged(path):
    with rasterio.open(path) as dataset:
        return int(np.count_nonzero(dataset.read(1)))


def optical_images():
    found = []
    for product in sorted((REAL / "SENTINEL2").glob("T*/SENTINEL2*")):
        name = product.name.removesuffix(".zip")
        inside = f"/vsizip/{product}/{name}" if product.suffix == ".zip" else str(product)
        cloud, edge = (flagged(f"{inside}/MASKS/{name}_{mask}_R1.tif") for mask in ("CLM", "EDG"))
        time = milliseconds(name.split("_")[1], "%Y%m%d-%H%M%S-%f")
        found.append({"time": time, "cloud": 100 * cloud / 4096, "valid": edge == 0})
    return sorted(found, key=lambda image: image["time"])


def radar_images():
    found = []
    for path in sorted((REAL / "SENTINEL1").glob("T*/*_vv_*.tif")):
        with rasterio.open(path) as first, rasterio.open(str(path).replace("_vv_", "_vh_")) as two:
            empty = (first.read(1) == 0) & (two.read(1) == 0)
        stamp = re.search(r"\d{8}t\d{6}", path.name)[0]
        time = milliseconds(stamp, "%Y%m%dt%H%M%S")
        found.append({"time": time, "valid": not empty.any(), "ascending": "_ASC_" in path.name})
    return sorted(found, key=lambda image: image["time"])


@pytest.fixture(scope="module")
def series():
    if not REAL.is_dir():
        pytest.skip(f"the real series is not beside the project ({REAL})")
    return optical_images(), radar_images()


@pytest.fixture(scope="module")
def place(series, tmp_path_factory):
    """Prepare the series; give the tile's index and a region of all its positions."""
    root = str(tmp_path_factory.mktemp("prepared"))
    prepare(PrepareConfig(products=str(REAL), prepared=root, mode="statistics-only", workers=1))
    tiles = f"{root}/tiles.json"
    make_tiles(MakeTilesConfig(prepared=root, output=tiles))
    roi = {"datasets": ("train",), "props": (1,), "patchsize": 64}
    make_roi(MakeRoiConfig(tiles=tiles, output_dir=f"{root}/ROI", **roi))
    index = index_tile(TILE, read_tiles(tiles), 64)
    (region,) = read_rois(f"{root}/ROI/rois.json").rasters("train", (TILE,)).values()
    return index, index.region(region)


def test_the_index_holds_what_the_masks_say(series, place):
    optical, radar = series
    index, region = place
    assert region.tolist() == [True]
    found = index.catalogue
    assert found.s2_time_ms.tolist() == [image["time"] for image in optical]
    assert found.s1_time_ms.tolist() == [image["time"] for image in radar]
    assert found.s2_cloud_percent[:, 0].tolist() == [image["cloud"] for image in optical]
    assert found.s2_valid[:, 0].tolist() == [image["valid"] for image in optical]
    assert found.s1_valid[:, 0].tolist() == [image["valid"] for image in radar]
    assert found.s1_ascending.tolist() == [image["ascending"] for image in radar]


@pytest.mark.parametrize("historic", [False, True])
@pytest.mark.parametrize("name", shipped_layouts())
def test_a_shipped_layout_finds_what_plain_loops_find(series, place, name, historic):
    optical, radar = series
    text = (files("decloud_lib.acquisitions") / "layouts" / f"{name}.json").read_text()
    roles, siblings = read_layout(text, HOUR)
    for number, role in enumerate(roles):
        if "random" in role:
            # The documented rule: seed, tile, acquisition and first position are the seed.
            rng = np.random.default_rng((SEED, zlib.crc32(TILE.encode()), number, 0))
            role["drawn"] = rng.integers(*role["random"], size=len(optical), endpoint=True).tolist()
    expected = brute_force(roles, optical, radar, siblings, historic)
    rule = ("historic" if historic else "all_pairs", SEED)
    (search,) = search_data_set("all", load_layout(name), [place], {}, rule).searches
    got = [
        tuple((int(a), int(b)) for a, b in zip(row["s2"], row["s1"], strict=True))
        for block in search.blocks()
        for row in block
    ]
    assert sorted(got) == sorted(expected)
    assert search.total == len(expected)
