"""Masks are checked again: single dates get more of a mask, composed ones another pixel."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.reconstruction.companions import Quality
from decloud_lib.reconstruction.recheck import recheck
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.types import Array
from tests.unit.reconstruction.five_dates import add_dates
from tests.unit.reconstruction.scenes import Scene, stored

DAY_MS = 86_400_000
DAYS = {"tm2": -20, "tm1": -10, "t": 0, "tp1": 10, "tp2": 20}
SHAPE = (20, 24)
PATCH = (slice(4, 16), slice(4, 12))


def dates(*, composed: bool) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, day in DAYS.items():
        found[f"s2_{name}"] = np.full((*SHAPE, 4), 500 + day, np.int16)
        found[f"s2_timestamp_{name}"] = np.full((1, 1, 1), day * DAY_MS, np.int64)
        if name == "t" or not composed:
            found[f"s2_cld10m_{name}"] = np.zeros((*SHAPE, 1), np.uint8)
        if composed and name != "t":
            found[f"s2_timestamp_{name}"] = np.full((*SHAPE, 1), day * DAY_MS, np.int64)
        if name in ("tm1", "t", "tp1"):
            found[f"s1_{name}"] = np.full((*SHAPE, 2), 7, np.uint16)
    return found


def brightened(found: dict[str, Array], name: str) -> None:
    found[f"s2_{name}"][PATCH] += 900


@pytest.mark.parametrize("composed", [False, True])
def test_a_cloud_of_the_date_is_found(composed: bool) -> None:
    found = dates(composed=composed)
    found["observed_cloud"] = np.zeros((*SHAPE, 1), np.uint8)
    brightened(found, "t")
    found["s2_t"][9, 7] = 500  # a darker pixel in the cloud
    recheck(found)
    expected = np.zeros(SHAPE, np.uint8)
    expected[PATCH] = 1
    for key in ("s2_cld10m_t", "observed_cloud"):
        assert (found[key][..., 0] >= expected).all(), "also what lies between"
        assert not found[key][:, 18:].any()


@pytest.mark.parametrize("name", ["tm2", "tm1", "tp1", "tp2"])
def test_a_cloud_of_a_neighbour_is_masked(name: str) -> None:
    found, before = dates(composed=False), dates(composed=False)
    brightened(found, name)
    recheck(found)
    for other in DAYS:
        where = found[f"s2_cld10m_{other}"][..., 0] != 0
        assert where[PATCH].all() == (other == name)
        assert where.sum() == (where[PATCH].size if other == name else 0)
        assert (found[f"s1_{other}"] == before[f"s1_{other}"]).all() if other in "tm1tp1" else True


@pytest.mark.parametrize(("side", "sign"), [("tm", -1), ("tp", 1)])
def test_the_second_composed_date_moves_up(side: str, sign: int) -> None:
    found, before = dates(composed=True), dates(composed=True)
    brightened(found, f"{side}1")
    recheck(found)
    for key in ("s2", "s2_timestamp"):
        assert (found[f"{key}_{side}1"][PATCH] == before[f"{key}_{side}2"][PATCH]).all()
        assert (found[f"{key}_{side}1"][:, 12:] == before[f"{key}_{side}1"][:, 12:]).all()
    assert not found[f"s1_{side}1"][PATCH].any()
    assert found[f"s1_{side}1"][:, 12:].all()
    assert found[f"s2_timestamp_{side}1"][5, 5, 0] == sign * 20 * DAY_MS


def test_a_bright_second_date_is_no_data() -> None:
    found = dates(composed=True)
    brightened(found, "tp2")
    recheck(found)
    assert (found["s2_tp2"][PATCH] == -10000).all()
    assert (found["s2_tp1"] == 510).all()


def test_the_darkest_neighbour_stays() -> None:
    """No pixel gets lost that had a clear neighbour."""
    rng = np.random.default_rng(3)
    found = dates(composed=False)
    for name in DAYS:
        found[f"s2_{name}"][:] = rng.integers(0, 5000, (*SHAPE, 4))
        found[f"s2_cld10m_{name}"][:] = rng.integers(0, 2, (*SHAPE, 1))
    around = [f"s2_cld10m_{name}" for name in DAYS if name != "t"]
    known = np.logical_or.reduce([found[key] == 0 for key in around])
    recheck(found)
    assert (np.logical_or.reduce([found[key] == 0 for key in around]) == known).all()


def test_pixels_under_the_mask_of_what_is_kept_do_not_count_as_found() -> None:
    """A second pass reads the mask for what is kept only: the result is that of the first one."""
    whole, kept = dates(composed=True), dates(composed=True)
    cloud = np.zeros((*SHAPE, 1), np.uint8)
    cloud[:, :10] = 1
    for found in (whole, kept):
        found["s2_t"][:, :10] += 4000
        found["s2_t"][::3, 10:14] += 900
        found["observed_cloud"] = cloud.copy()
    whole["s2_cld10m_t"] = cloud.copy()
    del kept["s2_cld10m_t"]
    for found in (whole, kept):
        recheck(found)
    assert (whole["observed_cloud"] == kept["observed_cloud"]).all()
    assert not kept["observed_cloud"].all()
    assert kept["observed_cloud"].sum() > cloud.sum()


def test_a_date_that_is_only_shown_is_not_checked() -> None:
    found = dates(composed=True)
    del found["s2_cld10m_t"]
    brightened(found, "t")
    before = {key: pixels.copy() for key, pixels in found.items()}
    recheck(found)
    assert all((found[key] == before[key]).all() for key in before)


def test_without_neighbours_nothing_changes() -> None:
    found = dates(composed=True)
    for name in ("tm1", "tm2", "tp1", "tp2"):
        found[f"s2_{name}"][:] = -10000
    brightened(found, "t")
    recheck(found)
    assert not found["s2_cld10m_t"].any()


def test_a_cloud_that_the_mask_misses_is_replaced(tmp_path: Path) -> None:
    scene = Scene(str(tmp_path / "prepared"), (96, 130))
    add_dates(scene, (-20.0, -10.0, 0.0, 10.0, 25.0))
    target, mask = stored(scene.s2[0.0].stack_10m), stored(scene.s2[0.0].cloud_mask)[..., 0] != 0
    missed = np.zeros_like(mask)
    missed[30:60, 40:80] = True
    missed &= ~mask
    cloudy = np.where(missed[..., None], 7000, target)
    scene.add_s2(0.0, pixels=cloudy, cloud=mask)

    def rebuilt(name: str, **more: object) -> tuple[Array, Array]:
        output = tmp_path / f"{name}.tif"
        config = ReconstructConfig(
            in_s2=scene.s2[0.0].uri,
            s2_dir=scene.s2_dir,
            savedmodel="gapfilling_fitted",
            output=str(output),
            keep_clear=True,
            quality=True,
            feather_px=4,
            **more,  # type: ignore[arg-type]
        )
        reconstruct(config)
        quality = stored(str(output.with_name(f"{name}_quality.tif")))[..., 0]
        return stored(str(output)).astype(int), quality

    found, quality = rebuilt("checked")
    assert np.isin(quality[missed], (Quality.INTERPOLATED, Quality.BLENDED, Quality.NO_DATA)).all()
    estimated = missed & (quality == Quality.INTERPOLATED)
    assert np.abs(found - target)[estimated].mean() < 250
    tiled, _ = rebuilt("tiled", ts=32)
    assert np.abs(found - tiled).max() <= 1
    left, quality = rebuilt("left", recheck_clouds=False)
    kept = missed & (quality == Quality.KEPT)
    assert kept.sum() > 100
    assert (left[kept] == 7000).all()
