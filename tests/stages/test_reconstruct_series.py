"""The reconstruction of a period: which dates, resume, bad dates."""

from datetime import date
from pathlib import Path

import pytest

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, NoSampleError, SettingsError
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.reconstruct_series import ReconstructSeriesConfig, reconstruct_series
from tests.unit.reconstruction.scenes import (
    Scene,
    contract_of,
    full_scene,
    stored,
    write_identity_model,
)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network that gives s2_t back and takes the date before."""
    contract = contract_of("s1_tm1", "s2_tm1", "s2_t", stride=4, reach_px=4)
    return write_identity_model(tmp_path_factory.mktemp("series"), contract, "s2_t")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return full_scene(str(tmp_path / "prepared"), (64, 64))


def config_of(scene: Scene, model: Path, **more: object) -> ReconstructSeriesConfig:
    values: dict[str, object] = {
        "s2_dir": scene.s2_dir,
        "s1_dir": scene.s1_dir,
        "savedmodel": str(model),
        "out_dir": f"{scene.root}/out",
        "ts": 32,
    }
    return ReconstructSeriesConfig(**{**values, **more})  # type: ignore[arg-type]


def output_of(scene: Scene, day: float) -> str:
    return f"{scene.root}/out/{scene.s2[day].name}_reconstructed.tif"


def test_all_dates_are_rebuilt_and_the_first_has_none_before_it(scene: Scene, model: Path) -> None:
    result = reconstruct_series(config_of(scene, model))
    assert result.made == tuple(output_of(scene, day) for day in (-10.0, 0.0, 10.0, 20.0))
    assert result.reused == ()
    assert [item.item for item in result.skipped] == [scene.s2[-20.0].name]
    assert "no S2 date 0 to 30 days before" in result.skipped[0].reason
    for day in (-10.0, 20.0):
        assert (stored(output_of(scene, day)) == scene.optical(day)).all()
    found = manifest.read(f"{scene.root}/out/manifest.json")
    assert found is not None
    assert found.counts == {"made": 4, "reused": 0, "skipped": 1}
    assert found.skipped == result.skipped
    assert len(found.outputs) == 4


def test_the_last_day_of_the_period_is_included(scene: Scene, model: Path) -> None:
    config = config_of(scene, model, start=date(2020, 6, 15), end=date(2020, 6, 25))
    result = reconstruct_series(config)
    assert result.made == (output_of(scene, 0.0), output_of(scene, 10.0))


def test_a_longer_period_redoes_nothing(scene: Scene, model: Path) -> None:
    reconstruct_series(config_of(scene, model, start=date(2020, 6, 15), end=date(2020, 6, 15)))
    result = reconstruct_series(config_of(scene, model, start=date(2020, 6, 15)))
    assert result.reused == (output_of(scene, 0.0),)
    assert result.made == (output_of(scene, 10.0), output_of(scene, 20.0))


def test_a_single_date_with_the_same_settings_finds_the_output_of_the_series(
    scene: Scene, model: Path
) -> None:
    reconstruct_series(config_of(scene, model))
    single = ReconstructConfig(
        in_s2=scene.s2[0.0].uri,
        s1_dir=scene.s1_dir,
        s2_dir=scene.s2_dir,
        savedmodel=str(model),
        output=output_of(scene, 0.0),
        ts=32,
    )
    assert reconstruct(single).reused


def test_a_bad_date_does_not_end_the_series(scene: Scene, model: Path) -> None:
    path = Path(scene.s2[10.0].stack_10m)
    path.write_bytes(path.read_bytes()[:3000])
    result = reconstruct_series(config_of(scene, model, start=date(2020, 6, 1), max_days=15))
    # Rebuilding day 10 itself fails, and so does day 20, whose only date before is day 10.
    assert result.made == (output_of(scene, -10.0), output_of(scene, 0.0))
    assert [item.item for item in result.skipped] == [scene.s2[10.0].name, scene.s2[20.0].name]
    assert all(path.name in item.reason for item in result.skipped)
    assert storage.stat(output_of(scene, 20.0)) is None


def test_all_dates_skipped_is_an_error(scene: Scene, model: Path) -> None:
    with pytest.raises(NoSampleError, match="none of the 5 dates could be rebuilt; the first"):
        reconstruct_series(config_of(scene, model, maxgap=1, min_days=5))


def test_an_empty_period_says_what_there_is(scene: Scene, model: Path) -> None:
    with pytest.raises(NoSampleError, match="5 dates from 2020-05-26 to 2020-07-05"):
        reconstruct_series(config_of(scene, model, start=date(2021, 1, 1)))


def test_an_empty_folder_is_named(scene: Scene, model: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSampleError, match="no prepared product"):
        reconstruct_series(config_of(scene, model, s2_dir=str(tmp_path / "nothing")))


def test_settings_that_are_wrong_for_all_dates_end_the_series_at_once(
    scene: Scene, model: Path
) -> None:
    with pytest.raises(ConfigError, match="--ts 30 is no multiple of 4"):
        reconstruct_series(config_of(scene, model, ts=30))


def test_a_period_must_be_in_order(scene: Scene, model: Path) -> None:
    with pytest.raises(SettingsError, match="is after end"):
        config_of(scene, model, start=date(2020, 6, 2), end=date(2020, 6, 1))
