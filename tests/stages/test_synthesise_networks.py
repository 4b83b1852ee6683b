"""Each shipped network for monthly images gives them without seams."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.stages.synthesise import SynthesiseConfig, synthesise
from tests.stages.test_reconstruct_networks import export
from tests.unit.reconstruction.scenes import Scene, stored

SHAPE = (98, 130)
FAST = ("monthly_synthesis_6_s2_images_david", "monthly_synthesis_6_s2s1_images_david")
SLOW = ("monthly_synthesis_6_s2_images", "monthly_synthesis_6_s2s1_images")

NETWORKS = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(str(tmp_path_factory.mktemp("prepared")), SHAPE)
    for day in (-12.0, -7.0, -2.0, 3.0, 8.0, 13.0):
        scene.add_s2(day)
        scene.add_s1(day + 1)
    scene.add_dem()
    return scene


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_of_any_size_give_the_image_of_one_window(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    model = export(name, tmp_path / "model")
    images = {}
    sizes = (256, 64, 96) if name in FAST else (256, 96)
    for ts in sizes:
        result = synthesise(
            SynthesiseConfig(
                s2_dir=scene.s2_dir,
                s1_dir=scene.s1_dir,
                dem=scene.dem,
                savedmodel=str(model),
                out_dir=str(tmp_path / str(ts)),
                year=2020,
                month=6,
                ts=ts,
            )
        )
        images[ts] = stored(result.output).astype(int)
    assert images[256].shape == (*SHAPE, 4)
    assert images[256].std() > 10, "the network gives a picture"
    for ts in sizes[1:]:
        assert np.abs(images[256] - images[ts]).max() <= 1
