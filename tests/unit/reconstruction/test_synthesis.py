"""Which dates make a month: the window around the 15th, cloudiness, copies, radar beside them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from decloud_lib.errors import ModelFolderError, NoSampleError
from decloud_lib.raster.products.prepared import PreparedS1, PreparedS2
from decloud_lib.reconstruction.sources import SarMosaic
from decloud_lib.reconstruction.synthesis import (
    MonthRule,
    Scored,
    choose_month,
    closest_s1,
    dates_of,
    score,
    synthesis_sources,
)
from tests.unit.reconstruction.scenes import Scene, contract_of

MIDDLE = datetime(2020, 7, 15, tzinfo=UTC)
RULE = MonthRule(2020, 7, max_days=22, max_nodata=0.05)


def scored(day: float, cloud: float = 0.0, nodata: float = 0.0) -> Scored:
    product = PreparedS2(
        uri=f"{day}", name=f"{day}", tile="T31TCJ", acquired=MIDDLE + timedelta(days=day),
        stack_10m="", stack_20m="", cloud_mask="", edge_mask="", cloud_stats="", edge_stats="",
    )  # fmt: skip
    return Scored(product, cloud, nodata)


def names(items: list[Scored], count: int = 3) -> list[str]:
    return [item.name for item in choose_month(items, RULE, count)]


def test_of_more_dates_the_least_cloudy_are_taken_by_cloudiness() -> None:
    items = [scored(day, cloud) for day, cloud in ((1, 0.9), (2, 0.1), (3, 0.5), (4, 0.2))]
    assert names(items) == ["2", "4", "3"]


def test_copies_of_the_least_cloudy_date_fill_the_places() -> None:
    assert names([scored(1, 0.9), scored(2, 0.1)], 5) == ["2", "2", "2", "2", "1"]


def test_exactly_as_many_keep_their_order() -> None:
    assert names([scored(1, 0.9), scored(2, 0.1), scored(3, 0.5)]) == ["1", "2", "3"]


def test_both_bounds_are_excluded() -> None:
    near = [scored(-21.999), scored(21.999), scored(0, nodata=0.0499)]
    far = [scored(-22), scored(22), scored(1, nodata=0.05)]
    assert names([*far, *near]) == ["-21.999", "21.999", "0"]


def test_no_date_is_told_with_what_was_there() -> None:
    with pytest.raises(NoSampleError, match=r"2020-07: 1 of 2 products lie within 22 days"):
        names([scored(30), scored(0, nodata=0.5)])


def test_fractions_come_from_the_statistics(tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = Scene(str(tmp_path_factory.mktemp("scene")), (128, 128))
    cloud = np.zeros((128, 128), bool)
    cloud[:32] = True
    pixels = scene.optical(0.0)
    pixels[:, :16] = -10000
    (found,) = score([scene.add_s2(0.0, pixels=pixels, cloud=cloud)])
    assert (found.cloud_fraction, found.nodata_fraction) == (0.25, 0.125)


def test_the_six_closest_radar_images_stand_beside_a_date_closest_on_top() -> None:
    date = scored(0).product
    images = [
        PreparedS1(f"{day}", "T31TCJ", MIDDLE + timedelta(days=day), False, False, "")
        for day in (-9, 5, -1, 2, 30, -3, 7, 4)
    ]
    found = [item.uri for item in closest_s1(date, images)]
    assert found == ["-1", "2", "-3", "4", "5", "7"]
    keys = ("s2_t0", "s2_t1", "s1_t0", "s1_t1")
    sources = synthesis_sources(contract_of(*keys), [date, date], images, None)
    mosaics = [source for source in sources if isinstance(source, SarMosaic)]
    assert [source.key for source in mosaics] == ["s1_t0", "s1_t1"]
    assert [image.uri for image in mosaics[0].images] == found


def test_only_a_synthesis_network_is_accepted() -> None:
    assert dates_of(contract_of("s2_t0", "s2_t1", "s1_t0", "s1_t1", "dem")) == 2
    for keys in (("s2_t", "s1_t"), ("s2_t0", "s2_t2"), ("s2_t0", "s2_tm1")):
        with pytest.raises(ModelFolderError, match="monthly synthesis takes s2_t0"):
            dates_of(contract_of(*keys))
    assert replace(RULE, month=2).middle == datetime(2020, 2, 15, tzinfo=UTC)
