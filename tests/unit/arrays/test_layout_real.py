"""Each shipped layout on the real series, sample by sample against plain loops."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib.acquisitions import load_layout, shipped_layouts
from decloud_lib.arrays.candidates import Catalogue
from decloud_lib.arrays.layout import SearchLayout, SearchOptions, count_samples, search
from tests.unit.arrays.layout_oracle import brute_force

SERIES = Path(__file__).parents[4] / "shared" / "data" / "real"
HOUR = 3_600_000


def milliseconds(text, form):
    moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def flagged(path):
    with rasterio.open(path) as dataset:
        return int(np.count_nonzero(dataset.read(1)))


def optical_images():
    found = []
    for product in sorted((SERIES / "SENTINEL2").glob("T*/SENTINEL2*")):
        name = product.name.removesuffix(".zip")
        inside = f"/vsizip/{product}/{name}" if product.suffix == ".zip" else str(product)
        cloud, edge = (flagged(f"{inside}/MASKS/{name}_{mask}_R1.tif") for mask in ("CLM", "EDG"))
        time = milliseconds(name.split("_")[1], "%Y%m%d-%H%M%S-%f")
        found.append({"time": time, "cloud": 100 * cloud / 4096, "valid": edge == 0})
    return sorted(found, key=lambda image: image["time"])


def radar_images():
    found = []
    for path in sorted((SERIES / "SENTINEL1").glob("T*/*_vv_*.tif")):
        with rasterio.open(path) as first, rasterio.open(str(path).replace("_vv_", "_vh_")) as two:
            empty = (first.read(1) == 0) & (two.read(1) == 0)
        stamp = re.search(r"\d{8}t\d{6}", path.name)[0]
        time = milliseconds(stamp, "%Y%m%dt%H%M%S")
        found.append({"time": time, "valid": not empty.any(), "ascending": "_ASC_" in path.name})
    return sorted(found, key=lambda image: image["time"])


@pytest.fixture(scope="module")
def series():
    if not SERIES.is_dir():
        pytest.skip(f"the real series is not beside the project ({SERIES})")
    return optical_images(), radar_images()


def plain(layout):
    """Describe a layout for the oracle; times in milliseconds."""
    names = {None: None, True: "asc", False: "des"}
    return [
        {
            "name": role.name,
            "window": role.window_ms,
            "cloud": role.cloud_percent,
            "s1": role.s1,
            "gap": role.max_gap_ms,
            "direction": names[role.ascending],
        }
        for role in layout.roles
    ]


@pytest.mark.parametrize("historic", [False, True])
@pytest.mark.parametrize("name", shipped_layouts())
def test_a_shipped_layout_finds_what_plain_loops_find(series, name, historic):
    optical, radar = series
    found = load_layout(name).to_search()
    # The oracle cannot know what was drawn: take the lowest of a random bound.
    roles = tuple(replace(role, random_min_cloud=None) for role in found.roles)
    layout = SearchLayout(roles, found.reference, found.siblings)
    catalogue = Catalogue(
        np.array([image["time"] for image in optical]),
        np.array([[image["cloud"]] for image in optical]),
        np.array([[image["valid"]] for image in optical]),
        np.array([image["time"] for image in radar]),
        np.array([[image["valid"]] for image in radar]),
        np.array([image["ascending"] for image in radar]),
    )
    options = SearchOptions(conflicts="historic" if historic else "all_pairs")
    expected = brute_force(plain(layout), optical, radar, (), historic)
    samples = search(catalogue, layout, options)
    got = [
        tuple((int(a), int(b)) for a, b in zip(row["s2"], row["s1"], strict=True))
        for row in samples
    ]
    assert sorted(got) == sorted(expected)
    assert count_samples(catalogue, layout, options) == len(expected)
