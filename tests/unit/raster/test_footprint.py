"""Boxes in another projection."""

import numpy as np
import pytest
from rasterio.warp import transform

from decloud_lib.errors import ConfigError
from decloud_lib.raster.footprint import boxes_in

# Where the zones 31 and 32 meet, in the coordinates of zone 31.
BOXES = np.array([[735_000.0, 5_000_000.0, 737_560.0, 5_002_560.0]])


def test_a_box_of_the_other_zone_holds_the_patch_and_little_more():
    found = boxes_in(BOXES, "EPSG:32631", "EPSG:32632")
    rng = np.random.default_rng(0)
    left, bottom, right, top = BOXES[0]
    xs, ys = rng.uniform(left, right, 200), rng.uniform(bottom, top, 200)
    east, north = (np.array(values) for values in transform("EPSG:32631", "EPSG:32632", xs, ys))
    assert np.all((east >= found[0, 0] - 1) & (east <= found[0, 2] + 1))
    assert np.all((north >= found[0, 1] - 1) & (north <= found[0, 3] + 1))
    area = (found[0, 2] - found[0, 0]) * (found[0, 3] - found[0, 1])
    assert 1 < area / 2560**2 < 1.2


@pytest.mark.parametrize("boxes", [BOXES, np.zeros((0, 4))])
def test_nothing_changes_within_a_projection(boxes):
    assert np.array_equal(boxes_in(boxes, "EPSG:32631", "EPSG:32631"), boxes)
    assert len(boxes_in(boxes, "EPSG:32631", "EPSG:32632")) == len(boxes)


@pytest.mark.parametrize("crs", ["EPSG:999999", "EPSG:", "degrees"])
def test_a_system_that_there_is_not_is_named(crs):
    for systems in ((crs, "EPSG:32631"), ("EPSG:32631", crs)):
        with pytest.raises(ConfigError, match=f"{crs}: no coordinate reference system"):
            boxes_in(BOXES, *systems)


def test_a_latitude_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match=r"a box in EPSG:4326 has no place in EPSG:32631"):
        boxes_in(np.array([[1.0, 100.0, 2.0, 200.0]]), "EPSG:4326", "EPSG:32631")
