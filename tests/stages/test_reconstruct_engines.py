"""The same image whatever engine reads; parts of a tile; a machine without the toolbox."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError, GridMismatchError
from decloud_lib.models.contract import ModelContract, ModelInput
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.types import Array, Window
from tests.unit.reconstruction.scenes import (
    S2_20M_BANDS,
    TILE,
    Scene,
    contract_of,
    full_scene,
    stored,
    write_mean_model,
)

KEYS = ("s1_tm1", "s2_tm1", "s1_t", "s2_t", "s1_tp1", "s2_tp1", "dem")


def with_20m_inputs(contract: ModelContract) -> ModelContract:
    """Add the 20 m images of a date, as the networks for all bands take them."""
    coarse = ModelInput(key="s2_20m_t", bands=S2_20M_BANDS, factor=2, dtype="float32", scale=1.0)
    return contract.model_copy(update={"inputs": (*contract.inputs, coarse)})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that mixes all its inputs, with a margin."""
    contract = with_20m_inputs(contract_of(*KEYS, stride=4, reach_px=10))
    return write_mean_model(tmp_path_factory.mktemp("mean"), contract)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A tile with gaps in radar and optical images, so that mosaics need several dates."""
    scene = full_scene(str(tmp_path / "prepared"))
    rows = np.arange(scene.shape[0])[:, None, None]
    for day in (-10.0, 10.0):
        scene.add_s2(day, pixels=np.where(rows < 40, -10000, scene.optical(day)).astype(np.int16))
    for day in (1.0, -9.0):
        scene.add_s1(day, pixels=np.where(rows > 70, 0, scene.radar(day)).astype(np.uint16))
    scene.add_s1(2.0)
    return scene


def rebuild(scene: Scene, model: Path, output: str, **more: object) -> Array:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "dem": scene.dem,
        "savedmodel": str(model),
        "output": output,
        "ts": 32,
    }
    reconstruct(ReconstructConfig(**{**values, **more}))  # type: ignore[arg-type]
    return stored(output)


@pytest.mark.parametrize("priority", ["closest_clear", "closest", "farthest"])
def test_the_engines_give_the_same_image(
    scene: Scene, model: Path, tmp_path: Path, priority: str
) -> None:
    pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb` installs it")
    images = [
        rebuild(scene, model, f"{tmp_path}/{engine}.tif", engine=engine, priority=priority)
        for engine in ("rasterio", "otb")
    ]
    np.testing.assert_array_equal(*images)
    assert (images[0] != -10000).all()


def test_the_engine_does_not_decide_whether_an_output_is_current(
    scene: Scene, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb` installs it")
    output = f"{tmp_path}/image.tif"
    rebuild(scene, model, output)
    before = Path(output).stat().st_mtime_ns
    rebuild(scene, model, output, engine="otb")
    assert Path(output).stat().st_mtime_ns == before


def test_without_the_toolbox_the_message_says_how_to_get_it(
    scene: Scene, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from decloud_lib.raster import otb

    otb._toolbox.cache_clear()
    monkeypatch.setitem(sys.modules, "otbApplication", None)
    with pytest.raises(ConfigError, match="make otb"):
        rebuild(scene, model, f"{tmp_path}/image.tif", engine="otb")
    otb._toolbox.cache_clear()
    assert not (tmp_path / "image.tif").exists()


def cut(uri: str, scene: Scene, window: Window) -> None:
    """Replace a raster by a part of itself."""
    pixels = stored(uri)
    rows = slice(window.row, window.row + window.height)
    cols = slice(window.col, window.col + window.width)
    profile = RasterProfile(("VV", "VH"), str(pixels.dtype), block_px=32)
    write_raster(uri, scene.grid.cropped(window), profile, np.ascontiguousarray(pixels[rows, cols]))


@pytest.mark.parametrize("engine", ["rasterio", "otb"])
def test_a_radar_image_that_covers_a_part_is_used_there(
    tmp_path: Path, model: Path, engine: str
) -> None:
    if engine == "otb":
        pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb`")
    scene = full_scene(str(tmp_path / "prepared"))
    top, below = scene.s1[1.0].uri, scene.add_s1(1.5).uri
    whole = rebuild(scene, model, f"{tmp_path}/whole.tif", il_s1=(below,), engine=engine)
    cut(top, scene, Window(0, 0, 40, 128))
    part = rebuild(scene, model, f"{tmp_path}/part.tif", il_s1=(top, below), engine=engine)
    assert (part != -10000).all()
    reach = 10
    assert (part[40 + reach :] == whole[40 + reach :]).all()
    assert (part[:40] != whole[:40]).mean() > 0.5


def test_an_image_of_another_tile_is_refused(scene: Scene, model: Path, tmp_path: Path) -> None:
    other = Scene(str(tmp_path / "other"), tile="T31TDJ")
    image = other.add_s1(1.0).uri
    with pytest.raises(GridMismatchError, match=f"31TDJ.*{TILE[1:]}"):
        rebuild(scene, model, f"{tmp_path}/image.tif", il_s1=(image,))
