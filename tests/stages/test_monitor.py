"""Tables of what is served, and their comparison with what a network was trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.analysis.monitoring import Product, read_products
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.reconstruction.observed import self_check
from decloud_lib.samples.profile import NAME, Profile
from decloud_lib.stages.monitor import MonitorConfig, monitor
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.retrain import RetrainConfig
from tests.unit.reconstruction.scenes import (
    Scene,
    contract_of,
    full_scene,
    write_identity_model,
)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network that gives the date itself back."""
    contract = contract_of("s2_tm1", "s1_t", "s2_t", "s2_tp1")
    return write_identity_model(tmp_path_factory.mktemp("identity"), contract, "s2_t")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = full_scene(str(tmp_path / "prepared"))
    cloud = np.zeros(scene.shape, np.uint8)
    cloud[:24] = 1
    scene.add_s2(0.0, cloud=cloud)
    return scene


def serve(scene: Scene, model: Path, tmp_path: Path, **more: object) -> str:
    config = ReconstructConfig(
        in_s2=scene.s2[0.0].uri,
        s1_dir=scene.s1_dir,
        s2_dir=scene.s2_dir,
        savedmodel=str(model),
        output=str(tmp_path / "images" / f"date{len(more)}.tif"),
        statistics=str(tmp_path / "statistics"),
        ts=64,
        **more,  # type: ignore[arg-type]
    )
    reconstruct(config)
    return str(config.statistics)


def trained(model: Path, served: Product, folder: Path, *, shifted: str = "") -> Path:
    """Give the model folder with a profile as if it had been trained on what is served."""
    features = dict(served.histograms)
    if shifted:
        found = features[shifted]
        features[shifted] = found.model_copy(update={"counts": found.counts[::-1]})
    copy = Path(shutil.copytree(model, folder))
    (copy / NAME).write_text(Profile(items=200, features=features).model_dump_json())
    return copy


def test_a_reconstruction_tells_its_inputs_and_its_error(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    folder = serve(scene, identity, tmp_path)
    (found,) = read_products(folder)
    assert (found.name, found.tile) == (scene.s2[0.0].name, "T31TCJ")
    assert found.model_uri == str(identity)
    means = {name: item.mean for name, item in found.histograms.items()}
    assert means["cloud_percent/t"] == pytest.approx(25, abs=2.5)
    assert means["days/s2_tm1"] == pytest.approx(10, abs=1.5)
    assert means["hours/s1_t"] == pytest.approx(19, abs=5)
    # All windows were looked at: the values are those of the stack.
    blue = scene.optical(0.0)[..., 0]
    assert means["values/s2_t/B2"] == pytest.approx(blue.mean(), rel=0.05)
    # The network gives the date back, so that clear pixels are met exactly.
    assert found.values["self_check/mae"] == 0
    assert found.values["self_check/psnr_db"] == 100
    assert found.values["self_check/pixels"] == 72 * 96
    # One radar image lies within three days.
    assert found.values["images/s1_t"] == 1


def test_pixels_that_were_kept_prove_nothing(scene: Scene, identity: Path, tmp_path: Path) -> None:
    folder = serve(scene, identity, tmp_path, keep_clear=True)
    (found,) = read_products(folder)
    assert found.values.keys() == {"images/s1_t"}


def test_an_image_that_is_there_gets_its_table_and_keeps_it(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    table = Path(serve(scene, identity, tmp_path), "date0.parquet")
    before = table.read_bytes()
    serve(scene, identity, tmp_path)
    assert table.read_bytes() == before
    table.unlink()
    serve(scene, identity, tmp_path)
    assert table.is_file()


def test_the_self_check_measures_what_its_names_say() -> None:
    seen = np.full((1000, 4), 2000, np.int16)
    found = self_check(seen, seen + 100, np.full(seen.shape, 50, np.int16))
    assert found["mae"] == pytest.approx(0.01)
    assert found["bias"] == pytest.approx(0.01)
    assert found["psnr_db"] == pytest.approx(40)
    assert found["coverage_90"] == 1.0  # 100 < 2.3 x 50
    rng = np.random.default_rng(0)
    noisy = seen + rng.laplace(0, 80, seen.shape).round()
    coverage = self_check(seen, noisy, np.full(seen.shape, 80))["coverage_90"]
    assert coverage == pytest.approx(0.9, abs=0.02)
    assert self_check(seen[:0], seen[:0]) == {"pixels": 0.0}


def test_what_is_served_as_trained_raises_no_alarm(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    folder = serve(scene, identity, tmp_path)
    model = trained(identity, read_products(folder)[0], tmp_path / "model")
    out = tmp_path / "monitor"
    result = monitor(
        MonitorConfig(statistics=folder, savedmodel=str(model), out=str(out), min_products=1)
    )
    assert (result.drift, result.exit_status, result.products) == (False, 0, 1)
    assert result.reason == "1 date as in the training"
    assert max(result.features.values()) == pytest.approx(0, abs=1e-9)
    assert set(result.chance) == set(result.features)
    assert result.text().startswith("no alarm: 1 date as in the training\n")
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert json.loads((out / "monitor.json").read_text())["drift"] is False


def test_inputs_that_have_moved_raise_an_alarm_that_retraining_understands(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    folder = serve(scene, identity, tmp_path)
    name = "values/s2_tm1/B4"
    model = trained(identity, read_products(folder)[0], tmp_path / "model", shifted=name)
    # Each image counts as one: a single one proves little, twelve do.
    table = Path(folder, "date0.parquet")
    config = MonitorConfig(
        statistics=folder, savedmodel=str(model), out=str(tmp_path / "monitor"), min_products=5
    )
    assert not monitor(config).drift
    for number in range(1, 40):
        shutil.copy(table, table.with_name(f"date{number}.parquet"))
    result = monitor(config)
    assert (result.drift, result.exit_status) == (True, 4)
    assert result.moved.keys() == {name}
    assert f"* {name}" in result.text()
    assert result.reason.startswith(f"{name} has moved (PSI ")
    report = json.loads((tmp_path / "monitor" / "monitor.json").read_text())
    assert RetrainConfig.model_fields["monitoring"].default is None
    assert (report["drift"], report["reason"]) == (True, result.reason)
    # Two hundred samples of two sets of dates prove no more than two.
    profile = Profile.model_validate_json((model / NAME).read_text())
    (model / NAME).write_text(profile.model_copy(update={"moments": 2}).model_dump_json())
    unsure = monitor(config.model_copy(update={"out": str(tmp_path / "unsure")}))
    assert not unsure.drift
    assert unsure.features[name] == result.features[name]
    (model / NAME).write_text(profile.model_dump_json())
    few = config.model_copy(update={"min_products": 50})
    assert monitor(few).reason.startswith("only 40 dates of 50 that are needed (values/s2_tm1")


def test_wrong_input_is_told(scene: Scene, identity: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "monitor")
    with pytest.raises(NoSampleError, match="no tables; rebuild dates with --statistics"):
        monitor(MonitorConfig(statistics=str(tmp_path / "none"), savedmodel="m", out=out))
    folder = serve(scene, identity, tmp_path)
    with pytest.raises(ConfigError, match=r"has no profile\.json"):
        monitor(MonitorConfig(statistics=folder, savedmodel=str(identity), out=out))
    Path(folder, "other.parquet").write_text("text")
    with pytest.raises(ConfigError, match=r"other\.parquet: no table of a reconstruction"):
        read_products(folder)
