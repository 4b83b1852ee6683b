"""Networks of five dates: sources, missing dates, windows that fade into each other."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.arrays.windows import partition_evenly
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.reconstruction.blend import OVERLAP_PX
from decloud_lib.reconstruction.five_dates import choose_two
from decloud_lib.reconstruction.served import open_model
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.types import Array
from tests.unit.reconstruction.five_dates import add_dates
from tests.unit.reconstruction.scenes import Scene, stored

DATES = (-20.0, -10.0, 0.0, 10.0, 25.0)


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export an untrained network: it gives its start, the fit to the window."""
    import keras

    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    keras.utils.set_random_seed(2)
    definition, spec = registry.get("residual"), registry.ModelSpec(width=4)
    folder = tmp_path_factory.mktemp("residual")
    return export_model(definition.build(spec), definition, folder, definition.contract(spec))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(str(tmp_path_factory.mktemp("prepared")), (150, 410), seed=3)
    add_dates(scene, DATES, haze=0.2)
    return scene


def rebuilt(scene: Scene, model: Path | str, output: Path, **more: object) -> Array:
    reconstruct(config_of(scene, model, output=str(output), **more))
    return stored(str(output))


def config_of(scene: Scene, model: Path | str, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "savedmodel": str(model),
        "max_days": 60,
        "recheck_clouds": False,
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


def inputs_of(scene: Scene) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, day in zip(("tm2", "tm1", "t", "tp1", "tp2"), DATES, strict=True):
        item = scene.s2[day]
        found |= {
            f"s2_{name}": stored(item.stack_10m)[None].astype(np.float32),
            f"s2_cld10m_{name}": stored(item.cloud_mask)[None].astype(np.float32),
            f"s2_timestamp_{name}": np.array([item.acquired.timestamp()]),
            f"s1_{name}": stored(scene.s1[day + 0.5].uri)[None].astype(np.float32),
        }
    return found


@pytest.mark.parametrize("trained", [False, True])
def test_one_window_gives_what_the_network_gives(
    scene: Scene, residual: Path, tmp_path: Path, trained: bool
) -> None:
    model = "residual" if trained else str(residual)
    with open_model(model) as opened:
        network = opened.network()
    # The window is filled up to the stride and has a margin, which the fit sees too.
    margin = network.contract.margin_px
    sides = (margin + OVERLAP_PX, margin + OVERLAP_PX + 2)
    pads = ((0, 0), sides, sides, (0, 0))
    inputs = {
        key: np.pad(value, pads, "symmetric") if value.ndim == 4 else value
        for key, value in inputs_of(scene).items()
    }
    expected = network.predict({key: inputs[key] for key in network.contract.input_keys})
    inside = slice(sides[0], -sides[1])
    estimate = expected["s2_estim"][0, inside, inside] * 10000
    found = rebuilt(scene, model, tmp_path / "a.tif", ts=512)
    valid = (found != -10000).all(axis=2)
    assert np.abs(found - estimate)[valid].max() <= 1
    truth = stored(scene.s2[0.0].stack_10m)
    seen = valid & (stored(scene.s2[0.0].cloud_mask)[..., 0] == 0)
    linear = rebuilt(scene, "linear_gap_filling", tmp_path / "linear.tif")
    errors = [np.abs(image - truth)[seen].mean() for image in (found, linear)]
    assert errors[0] < 0.5 * errors[1]
    hidden = np.logical_and.reduce(
        [stored(item.cloud_mask)[..., 0] != 0 for day, item in scene.s2.items() if day != 0]
    )
    assert (valid == ~hidden).all(), "no data exactly where nothing was seen before or after"


@pytest.mark.parametrize(
    ("name", "multiple", "ts"), [("residual", 4, 128), ("gapfilling_kriged", 1, 64)]
)
def test_windows_leave_no_step(
    scene: Scene, residual: Path, tmp_path: Path, name: str, multiple: int, ts: int
) -> None:
    model = residual if name == "residual" else name
    whole = rebuilt(scene, model, tmp_path / "whole.tif", ts=512).astype(float)
    tiled = rebuilt(scene, model, tmp_path / "tiled.tif", ts=ts, quality=True).astype(float)
    assert ((whole == -10000) == (tiled == -10000)).all()
    difference = np.where(whole == -10000, np.nan, tiled - whole)
    assert np.nanmax(np.abs(difference)) > 2, "each window has its own fit"
    for axis in (0, 1):
        steps = np.nanmean(np.abs(np.diff(difference, axis=axis)), axis=(1 - axis, 2))
        extent = (whole.shape[axis], 1)
        borders = [window.row - 1 for window in partition_evenly(extent, ts, multiple)[1:]]
        assert steps[borders].max() <= np.quantile(steps, 0.95) + 0.5
    quality = stored(f"{tmp_path}/tiled_quality.tif")[..., 0]
    assert ((quality == 0) == (tiled == -10000).all(axis=2)).all()


def test_kriging_needs_no_folder(scene: Scene, residual: Path, tmp_path: Path) -> None:
    # The network has not been trained: it equals the kriging that it starts from.
    images = {
        model: rebuilt(scene, model, tmp_path / f"{number}.tif", ts=128, uncertainty=True)
        for number, model in enumerate(("gapfilling_kriged", residual))
    }
    errors = [stored(f"{tmp_path}/{number}_uncertainty.tif") for number in range(2)]
    for named, exported in (tuple(images.values()), tuple(errors)):
        assert ((named == -10000) == (exported == -10000)).all()
        # Margins differ, so the windows have other fits.
        away = np.abs(named.astype(int) - exported)
        assert np.median(away) <= 20
    assert (errors[0][images["gapfilling_kriged"] != -10000] > 0).all()
    config = {"output": str(tmp_path / "0.tif"), "ts": 128, "uncertainty": True}
    again = reconstruct(config_of(scene, "gapfilling_kriged", **config))
    assert again.reused, "a model without a folder is known by its name"
    with pytest.raises(ConfigError, match="--runtime openvino cannot compute gapfilling_kriged"):
        rebuilt(scene, "gapfilling_kriged", tmp_path / "b.tif", runtime="openvino")


def test_dates_and_radar_may_be_missing(residual: Path, tmp_path: Path) -> None:
    scene = Scene(str(tmp_path / "prepared"), (64, 64))
    add_dates(scene, (-10.0, 0.0))
    found = rebuilt(scene, residual, tmp_path / "a.tif", s1_dir=None)
    seen = stored(scene.s2[-10.0].cloud_mask)[..., 0] == 0
    assert ((found != -10000).all(axis=2) == seen).all()
    with pytest.raises(NoSampleError, match="before or 20 to 60 days after"):
        rebuilt(scene, residual, tmp_path / "b.tif", min_days=20)
    with pytest.raises(ConfigError, match="needs S2 images before or after"):
        rebuilt(scene, residual, tmp_path / "b.tif", s2_dir=None, s1_dir=None)
    assert not (tmp_path / "b.tif").exists()


def test_the_clear_and_near_dates_are_chosen(tmp_path: Path) -> None:
    scene = Scene(str(tmp_path), (128, 128))
    for day, share in ((0.0, 0.0), (-5.0, 1.0), (-15.0, 0.5), (-20.0, 0.0), (-60.0, 0.0)):
        cloud = np.zeros(scene.shape, bool)
        cloud[: round(128 * share)] = True
        scene.add_s2(day, cloud=cloud)
    dates = [scene.s2[day] for day in (-60.0, -20.0, -15.0, -5.0)]
    found = choose_two(scene.s2[0.0], dates)
    assert [item.name for item in found] == [scene.s2[day].name for day in (-15.0, -20.0)]
