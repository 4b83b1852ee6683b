"""Pixels without elevation: kinds, counts, policies."""

import numpy as np
import pytest
from rasterio.fill import fillnodata

from decloud_lib.raster.voids import FILL_PX, VoidTreatment
from decloud_lib.types import Window

ROUGH = np.random.default_rng(5).normal(200, 60, (700, 150)).astype(np.float32)


def _cut(pixels, rows):
    height, width = pixels.shape
    return [
        (Window(row, 0, min(rows, height - row), width), pixels[row : row + rows])
        for row in range(0, height, rows)
    ]


def _treat(policy, pixels, covered=None, rows=200):
    inside = np.ones(pixels.shape, bool) if covered is None else covered
    treatment = VoidTreatment(
        policy, lambda window: inside[window.row : window.row + window.height]
    )
    found = [metres for _, metres in treatment.strips(_cut(pixels, rows))]
    whole = np.concatenate(found)
    assert (whole.dtype, whole.shape) == (np.int16, (*pixels.shape, 1))
    return whole[..., 0], treatment.counts


def _with_voids():
    pixels, covered = ROUGH.copy(), np.ones(ROUGH.shape, bool)
    covered[:, 140:] = False
    pixels[:, 140:] = np.nan
    pixels[190:215, 20:60] = np.nan
    pixels[399, 5] = -32768
    pixels[400, 6] = 3e38
    return pixels, covered, 25 * 40 + 2, 700 * 10


@pytest.mark.parametrize("policy", ["zero", "keep", "refuse"])
def test_voids_are_counted_by_kind(policy):
    pixels, covered, holes, beyond = _with_voids()
    metres, counts = _treat(policy, pixels, covered)
    found = (counts.px, counts.voids, counts.holes, counts.beyond, counts.filled)
    assert found == (pixels.size, holes + beyond, holes, beyond, 0)
    assert counts.first == (0, 140)
    void = ~(np.abs(np.nan_to_num(pixels, nan=1e9)) < 12000)
    expected = np.rint(np.where(void, -32768 if policy == "keep" else 0, pixels))
    np.testing.assert_array_equal(metres, expected)
    kept = holes + beyond if policy == "keep" else 0
    assert (counts.kept, counts.zero) == (kept, holes + beyond - kept)


def test_without_voids_nothing_is_asked():
    def never(_):
        raise AssertionError("asked what is covered")

    for policy in ("zero", "fill", "keep", "refuse"):
        treatment = VoidTreatment(policy, never)
        found = np.concatenate([metres for _, metres in treatment.strips(_cut(ROUGH, 200))])
        np.testing.assert_array_equal(found[..., 0], np.rint(ROUGH))
        assert (treatment.counts.voids, treatment.counts.first) == (0, None)


@pytest.mark.parametrize("rows", [128, 200, 333, 700])
def test_holes_are_filled_as_if_there_were_no_strips(rows):
    pixels, covered, holes, beyond = _with_voids()
    metres, counts = _treat("fill", pixels, covered, rows)
    void = ~(np.abs(np.nan_to_num(pixels, nan=1e9)) < 12000)
    blank = np.where(void, np.float32(0), pixels)
    whole = fillnodata(blank, mask=(~void).astype(np.uint8), max_search_distance=FILL_PX)
    expected = np.where(covered, np.rint(whole), 0)
    np.testing.assert_array_equal(metres, expected)
    assert (counts.filled, counts.zero, counts.holes) == (holes, beyond, holes)


def test_a_hole_on_a_plane_is_filled_closely():
    plane = np.add.outer(np.arange(300) * 0.5, np.arange(150) * 0.25).astype(np.float32)
    pixels = plane.copy()
    pixels[120:150, 60:90] = np.nan
    metres, counts = _treat("fill", pixels)
    assert counts.filled == 900
    assert np.abs(metres - plane)[120:150, 60:90].max() < 8


def test_what_is_too_far_from_all_ground_stays_empty():
    pixels = np.full((700, 400), np.nan, np.float32)
    pixels[:50] = 77
    metres, counts = _treat("fill", pixels)
    assert (metres[:140] == 77).all()
    assert (metres[152:] == 0).all()
    assert counts.filled + counts.zero == counts.holes == 650 * 400
