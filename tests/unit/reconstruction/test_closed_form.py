"""Gap filling without a network: equal to its definition, whatever the windows."""

from pathlib import Path

import numpy as np
import pytest

from decloud_lib.reconstruction.closed_form import CONTRACTS
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.types import Array
from tests.unit.reconstruction.five_dates import DAYS, add_dates, expected_fit
from tests.unit.reconstruction.scenes import Scene, stored


def fitted(scene: Scene, output: Path, **more: object) -> Array:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "savedmodel": "gapfilling_fitted",
        "output": str(output),
        "max_days": 60,
        "recheck_clouds": False,
    }
    reconstruct(ReconstructConfig(**{**values, **more}))  # type: ignore[arg-type]
    return stored(str(output))


def images_of(scene: Scene, part: str) -> dict[float, Array]:
    return {day: stored(getattr(item, part)) for day, item in scene.s2.items()}


def defined(scene: Scene) -> Array:
    masks = {day: mask[..., 0] for day, mask in images_of(scene, "cloud_mask").items()}
    radar = {day - 0.5: stored(item.uri) for day, item in scene.s1.items()}
    return expected_fit(scene, images_of(scene, "stack_10m"), masks, radar)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """One cell of the grid, so small that all of it is looked at."""
    scene = Scene(str(tmp_path_factory.mktemp("small")), (100, 122))
    add_dates(scene)
    return scene


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two cells side by side."""
    scene = Scene(str(tmp_path_factory.mktemp("large")), (96, 1100), seed=5)
    add_dates(scene, haze=0.1)
    return scene


def test_a_place_of_one_cell_is_fitted_as_the_definition_says(small: Scene, tmp_path: Path) -> None:
    found, expected = fitted(small, tmp_path / "a.tif"), defined(small)
    neither = (found == -10000).all(axis=2)
    assert 0 < np.count_nonzero(neither) < 0.05 * neither.size, "hidden on all other dates"
    assert np.abs(found - expected)[~neither].max() <= 0.51
    linear = fitted(small, tmp_path / "b.tif", savedmodel="linear_gap_filling")
    seen = images_of(small, "cloud_mask")[0.0][..., 0] == 0
    truth = images_of(small, "stack_10m")[0.0].astype(float)
    errors = [np.abs(image - truth)[seen & ~neither].mean() for image in (found, linear)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("ts", [64, 96, 640])
def test_windows_of_any_size_give_the_image_of_one_window(
    large: Scene, tmp_path: Path, ts: int
) -> None:
    whole = fitted(large, tmp_path / "whole.tif", ts=2048)
    tiled = fitted(large, tmp_path / "tiled.tif", ts=ts, readers=1 + ts % 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_the_fit_follows_the_region_without_a_step(large: Scene, tmp_path: Path) -> None:
    found = fitted(large, tmp_path / "a.tif").astype(float)
    valid = (found != -10000).all(axis=2)
    truth = images_of(large, "stack_10m")[0.0].astype(float)
    seen = (images_of(large, "cloud_mask")[0.0][..., 0] == 0) & valid
    one_fit = defined(large)
    errors = [np.abs(image - truth)[seen].mean() for image in (found, one_fit)]
    assert errors[0] < 0.9 * errors[1], "a fit for all of it does not follow the change"
    # The error changes slowly: at the border of the cells no more than elsewhere.
    error = np.where(seen[..., None], found - truth, np.nan)
    columns = np.nanmean(error, axis=(0, 2))
    steps = np.abs(np.diff(columns))
    assert steps[510:514].max() < 3 * np.nanmedian(steps) + 5


def test_what_needs_no_network_has_the_contract_of_its_model() -> None:
    from decloud_lib.models import registry

    ignored = {"created"}
    for name, contract in CONTRACTS.items():
        expected = registry.get(name).contract(registry.ModelSpec())
        assert contract.model_dump(exclude=ignored) == expected.model_dump(exclude=ignored)


def test_the_served_graph_gives_the_same_where_dates_are_whole(tmp_path: Path) -> None:
    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model, load_model

    definition, spec = registry.get("gapfilling_fitted"), registry.ModelSpec()
    folder = tmp_path / "model"
    export_model(definition.build(spec), definition, folder, definition.contract(spec))
    scene = Scene(str(tmp_path / "prepared"), (120, 96))
    add_dates(scene, (-20.0, -10.0, 0.0, 10.0, 25.0))
    inputs: dict[str, Array] = {}
    for name, day in zip(("tm2", "tm1", "t", "tp1", "tp2"), sorted(scene.s2), strict=True):
        item = scene.s2[day]
        inputs |= {
            f"s2_{name}": stored(item.stack_10m)[None].astype(np.float32),
            f"s2_cld10m_{name}": stored(item.cloud_mask)[None].astype(np.float32),
            f"s2_timestamp_{name}": np.array([item.acquired.timestamp()]),
        }
        # Radar everywhere of the same date, as the composition has it where tm1 is clear.
        inputs[f"s1_{name}"] = np.zeros((1, *scene.shape, 2), np.float32)
    network = load_model(folder)
    served = {key: inputs[key] for key in network.contract.input_keys}
    expected = network.predict(served)["s2_estim"][0] * 10000
    found = fitted(scene, tmp_path / "a.tif", savedmodel=str(folder), s1_dir=None)
    valid = (found != -10000).all(axis=2)
    assert valid.mean() > 0.7
    assert np.abs(found - expected)[valid].max() <= 1


def test_one_side_is_enough(tmp_path: Path) -> None:
    scene = Scene(str(tmp_path), (80, 96))
    add_dates(scene, tuple(day for day in DAYS if day <= 0))
    found = fitted(scene, tmp_path / "a.tif")
    hidden = np.logical_and.reduce(
        [stored(item.cloud_mask)[..., 0] != 0 for day, item in scene.s2.items() if day < 0]
    )
    assert ((found == -10000).all(axis=2) == hidden).all()
