"""Each shipped network rebuilds a date without seams, with its own inputs and outputs."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from tests.unit.reconstruction.scenes import Scene, full_scene, stored

FAST = ("crga_os2_david", "crga_os2_david_all_bands", "crga_os2_gapfilling", "nearest_date")
SLOW = (
    "meraner_original", "meraner_unet", "meraner_unet_all_bands", "crga_os1_unet",
    "crga_os1_unet_impostor", "crga_os1_unet_all_bands", "crga_os2_unet", "crga_os2_unet_all_bands",
)  # fmt: skip

NETWORKS = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
SHAPE = (130, 166)


def export(name: str, folder: Path) -> Path:
    import keras

    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    keras.utils.set_random_seed(3)
    definition, spec = registry.get(name), registry.ModelSpec()
    return export_model(definition.build(spec), definition, folder, definition.contract(spec))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A tile whose sides are no multiples of any stride, with a gap in the radar image."""
    scene = full_scene(str(tmp_path_factory.mktemp("prepared")), SHAPE)
    rows = np.arange(SHAPE[0])[:, None, None]
    scene.add_s1(1.0, pixels=np.where(rows > 60, 0, scene.radar(1.0)).astype(np.uint16))
    scene.add_s1(1.5)
    return scene


def config_of(scene: Scene, model: Path, output: Path, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "dem": scene.dem,
        "savedmodel": str(model),
        "output": str(output),
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_of_any_size_give_the_image_of_one_window(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    model = export(name, tmp_path / "model")
    all_bands = name.endswith("all_bands")
    images: dict[int, tuple[np.ndarray, ...]] = {}
    # The smallest windows cost a deep network most, and those of 96 px show seams as well.
    sizes = (512, 64) if name in FAST else (512, 96)
    for size in sizes:
        uris = [tmp_path / f"{size}.tif", tmp_path / f"{size}_20m.tif"][: 1 + all_bands]
        coarse = {"output_20m": str(uris[1])} if all_bands else {}
        reconstruct(config_of(scene, model, uris[0], ts=size, **coarse))
        images[size] = tuple(stored(str(uri)).astype(int) for uri in uris)
    assert [image.shape for image in images[512]] == [(130, 166, 4), (65, 83, 6)][: 1 + all_bands]
    for size in sizes[1:]:
        for whole, tiled in zip(images[512], images[size], strict=True):
            assert np.abs(whole - tiled).max() <= 1
    assert all((image != -10000).all() for image in images[512])
    assert all(image.std() > 10 for image in images[512]), "the network gives a picture"


def test_20_m_bands_of_a_model_without_them_are_refused(scene: Scene, tmp_path: Path) -> None:
    model = export("crga_os2_gapfilling", tmp_path / "model")
    with pytest.raises(ConfigError, match="gives no 20 m bands"):
        reconstruct(config_of(scene, model, tmp_path / "a.tif", output_20m=f"{tmp_path}/b.tif"))
    assert not list(tmp_path.glob("*.tif"))


def test_the_historic_rule_takes_away_the_surroundings_of_a_gap(tmp_path: Path) -> None:
    scene = full_scene(str(tmp_path / "prepared"), (256, 256))
    pixels = scene.optical(0.0)
    pixels[:, 200:] = -10000
    scene.add_s2(0.0, pixels=pixels)
    model = export("crga_os2_david", tmp_path / "model")
    images = {}
    for rule in ("required", "historic"):
        for size in (64, 256):
            output = tmp_path / f"{rule}{size}.tif"
            reconstruct(config_of(scene, model, output, ts=size, nodata_mask=rule))
            images[rule, size] = (stored(str(output)) == -10000).all(axis=2)
    expected = np.zeros((256, 256), bool)
    expected[:, 200:] = True
    assert (images["required", 64] == expected).all()
    expected[:, 200 - 64 :] = True
    assert (images["historic", 64] == expected).all()
    assert (images["historic", 256] == expected).all()
