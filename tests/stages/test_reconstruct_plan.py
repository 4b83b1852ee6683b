"""What a reconstruction would take is told beforehand; windows follow from the memory."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from decloud_lib.cli import app
from decloud_lib.errors import ConfigError
from decloud_lib.stages.reconstruct import ReconstructConfig, plan, reconstruct
from tests.unit.reconstruction.five_dates import add_dates
from tests.unit.reconstruction.scenes import Scene, stored


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(str(tmp_path_factory.mktemp("prepared")), (300, 330))
    add_dates(scene, (-20.0, -10.0, 0.0, 10.0))
    return scene


def config_of(scene: Scene, output: Path, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "savedmodel": "gapfilling_fitted",
        "output": str(output),
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["gapfilling_fitted", "linear_gap_filling"])
def test_a_plan_tells_and_writes_nothing(scene: Scene, tmp_path: Path, model: str) -> None:
    config = config_of(scene, tmp_path / "a.tif", savedmodel=model, quality=True, ts=128)
    found = plan(config)
    assert found.windows == 9
    assert found.shape == (300, 330)
    assert found.computed_per_written >= 1.0
    assert found.seconds > 0
    # Four bands and four of quality, two bytes each, twice.
    assert found.disk_gb == pytest.approx(2 * 300 * 330 * 2 * (4 + 4) / 1e9, rel=0.5)
    assert found.inputs["il_s2before"]
    assert not list(tmp_path.iterdir())


def test_the_command_prints_the_plan(scene: Scene, tmp_path: Path) -> None:
    words = ["reconstruct", "--in-s2", scene.s2[0.0].uri, "--s2-dir", scene.s2_dir]
    words += ["--savedmodel", "linear_gap_filling", "--output", f"{tmp_path}/a.tif", "--dry-run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines() if line)
    assert {"image", "model", "inputs", "windows", "memory", "disk", "time"} <= set(lines)
    assert "pixels computed per pixel written" in lines["windows"]
    assert not list(tmp_path.iterdir())


def test_windows_follow_from_the_memory_and_the_image_does_not(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = []
    for limit in (0.4, 2.0):
        output = tmp_path / f"{limit}.tif"
        with caplog.at_level(logging.INFO):
            reconstruct(config_of(scene, output, memory_limit=limit))
        images.append(stored(str(output)).astype(int))
    told = [record.getMessage() for record in caplog.records if "windows of" in record.getMessage()]
    sides = [int(text.split()[2]) for text in told]
    assert sides[0] < sides[1]
    assert abs(images[0] - images[1]).max() <= 1
    assert reconstruct(config_of(scene, output, memory_limit=1.0)).reused
    with pytest.raises(ConfigError, match=r"--memory-limit 0\.01"):
        reconstruct(config_of(scene, tmp_path / "b.tif", memory_limit=0.01))
    assert not (tmp_path / "b.tif").exists()
