"""Places of longitude and latitude in other coordinate systems."""

import numpy as np
import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.raster.footprint import is_geographic, project, utm_crs


@pytest.mark.parametrize(
    ("place", "crs"),
    [
        ((3.0, 46.0), "EPSG:32631"),
        ((-1.5, 12.3), "EPSG:32630"),
        ((18.4, -33.9), "EPSG:32734"),
        ((180.0, 0.0), "EPSG:32660"),
        ((-180.0, -1.0), "EPSG:32701"),
    ],
)
def test_the_zone_of_a_place_is_found(place, crs):
    assert utm_crs(*place) == crs


def test_the_middle_of_a_zone_lies_at_500_km():
    points = np.array([[[3.0, 0.0], [3.0, 45.0]]])
    found = project(points, "EPSG:32631")

    assert found.shape == points.shape
    assert found[..., 0] == pytest.approx(500_000)
    assert found[0, 0, 1] == pytest.approx(0, abs=1e-3)
    assert np.allclose(project(points, "EPSG:4326"), points)
    assert project(np.zeros((0, 2)), "EPSG:32631").shape == (0, 2)


def test_degrees_are_told_from_metres():
    assert is_geographic("EPSG:4326")
    assert not is_geographic("EPSG:32631")


def test_what_is_no_system_or_out_of_its_reach_is_refused():
    with pytest.raises(ConfigError, match="no coordinate reference system; expected EPSG"):
        project(np.array([[3.0, 46.0]]), "EPSG:1")
    with pytest.raises(ConfigError, match="has no coordinates for some places"):
        project(np.array([[3.0, 91.0]]), "EPSG:32631")
