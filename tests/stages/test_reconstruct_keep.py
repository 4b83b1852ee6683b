"""Clear observed pixels are kept with a transition; the quality image says what each pixel is."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib import manifest
from decloud_lib.arrays.composite import clear_weight
from decloud_lib.reconstruction.job import manifest_uri
from decloud_lib.stages.reconstruct import reconstruct
from tests.stages.test_reconstruct_networks import config_of, export
from tests.unit.reconstruction.scenes import Scene, full_scene, stored

SHAPE = (96, 130)
FEATHER = 8


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The date is cloudy in its left half; radar and optical images have gaps."""
    scene = full_scene(str(tmp_path_factory.mktemp("prepared")), SHAPE)
    cloud = np.zeros(SHAPE, bool)
    cloud[:, :60] = True
    pixels = scene.optical(0.0)
    pixels[80:, 110:] = -10000
    scene.add_s2(0.0, pixels=pixels, cloud=cloud)
    radar = scene.radar(1.0)
    radar[:20] = 0
    scene.add_s1(1.0, pixels=radar)
    return scene


def test_the_weight_grows_over_the_transition() -> None:
    clear = np.ones((30, 40), bool)
    clear[:, :10] = False
    weight = clear_weight(clear, 5)
    assert (weight[:, :10] == 0).all()
    assert (weight[:, 15:] == 1).all()
    assert (np.diff(weight[7, 9:16]) > 0).all()
    assert (clear_weight(clear, 0) == clear).all()
    assert (clear_weight(np.ones((3, 4), bool), 9) == 1).all()


def test_clear_pixels_are_kept_and_cloudy_ones_estimated(scene: Scene, tmp_path: Path) -> None:
    """W81: observed clear pixels are kept on demand, with a transition."""
    model = export("crga_os2_david_all_bands", tmp_path / "model")

    def rebuild(name: str, **more: object) -> tuple[np.ndarray, np.ndarray]:
        fine, coarse = tmp_path / f"{name}.tif", tmp_path / f"{name}_20m.tif"
        reconstruct(
            config_of(scene, model, fine, output_20m=str(coarse), feather_px=FEATHER, **more)
        )
        return stored(str(fine)).astype(int), stored(str(coarse)).astype(int)

    plain, plain_20m = rebuild("plain", ts=256)
    whole, whole_20m = rebuild("whole", ts=256, keep_clear=True, quality=True)
    tiled, tiled_20m = rebuild("tiled", ts=32, keep_clear=True, quality=True)
    assert np.abs(whole - tiled).max() <= 1
    assert np.abs(whole_20m - tiled_20m).max() <= 1
    seen = stored(scene.s2[0.0].stack_10m)
    inner = (slice(0, 70), slice(60 + FEATHER, 100))
    assert (whole[inner] == seen[inner]).all(), "also where the radar image has no data"
    assert (plain[inner] != seen[inner]).any()
    assert (whole[:, :60] == plain[:, :60]).all()
    seen_20m = stored(scene.s2[0.0].stack_20m)
    coarse = (slice(0, 35), slice(30 + FEATHER // 2, 50))
    assert (whole_20m[coarse] == seen_20m[coarse]).all()
    assert (whole_20m[:, :30] == plain_20m[:, :30]).all()
    quality = stored(f"{tmp_path}/tiled_quality.tif")[..., 0]
    assert (quality[20:, :60] == 1).all()
    assert (quality[:20, :60] == 0).all()
    assert (quality[inner] == 2).all()
    assert (quality[25:60, 61] == 3).all()
    assert (quality[80:, 110:] == 0).all()
    assert ((quality == 0) == (whole == -10000).all(axis=2)).all()
    with rasterio.open(f"{tmp_path}/tiled_quality.tif") as image:
        assert image.descriptions == ("quality", "context_nodata", "days_before", "days_after")
        assert set(image.dtypes) == {"uint16"}
    outputs = manifest.read(manifest_uri(f"{tmp_path}/tiled.tif")).outputs
    names = {output.uri.rpartition("/")[2].removeprefix("tiled") for output in outputs}
    assert names == {".tif", "_20m.tif", "_quality.tif", ".png", ".json"}


def test_a_model_that_does_not_see_the_date_can_keep_its_clear_pixels(
    scene: Scene, tmp_path: Path
) -> None:
    """W73, W81: models without s2_t get what they take, and no more."""
    model = export("crga_os1_gapfilling", tmp_path / "model")
    output = tmp_path / "image.tif"
    reconstruct(config_of(scene, model, output, ts=32, keep_clear=True, quality=True, feather_px=0))
    found, seen = stored(str(output)), stored(scene.s2[0.0].stack_10m)
    assert (found[:80, 60:] == seen[:80, 60:]).all()
    quality = stored(f"{tmp_path}/image_quality.tif")[..., 0]
    assert set(np.unique(quality)) == {2, 4}, "kept, or interpolated"
    assert (found[80:, 110:] != -10000).all(), "what the date lacks is estimated"
