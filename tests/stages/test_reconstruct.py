"""The reconstruction of one date: pixels, borders, no data, metadata, reuse and failures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib import manifest, storage
from decloud_lib.errors import (
    DecloudError,
    ModelFolderError,
    NoSampleError,
    OutputConflictError,
    SettingsError,
)
from decloud_lib.models.contract import ModelContract
from decloud_lib.reconstruction.job import manifest_uri
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.types import Window
from tests.unit.reconstruction.scenes import (
    Scene,
    contract_of,
    full_scene,
    stored,
    write_identity_model,
)

DAVID_KEYS = ("s1_tm1", "s2_tm1", "s1_t", "s2_t", "s1_tp1", "s2_tp1", "dem")


@pytest.fixture(scope="session")
def david(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a crga_os2_david with random weights."""
    import keras

    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    keras.utils.set_random_seed(1)
    definition, spec = registry.get("crga_os2_david"), registry.ModelSpec()
    folder = tmp_path_factory.mktemp("david")
    return export_model(definition.build(spec), definition, folder, definition.contract(spec))


@pytest.fixture(scope="session")
def gapfilling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the linear interpolation in time."""
    from decloud_lib.models import registry
    from decloud_lib.models.store import export_model

    definition, spec = registry.get("crga_os2_gapfilling"), registry.ModelSpec()
    folder = tmp_path_factory.mktemp("gapfilling")
    return export_model(definition.build(spec), definition, folder, definition.contract(spec))


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network that gives s2_t back but takes all inputs, with a margin."""
    contract = contract_of(*DAVID_KEYS, stride=4, reach_px=10)
    return write_identity_model(tmp_path_factory.mktemp("identity"), contract, "s2_t")


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network that gives s2_tm1 back and takes S1 at tm1 too."""
    contract = contract_of("s1_tm1", "s2_tm1")
    return write_identity_model(tmp_path_factory.mktemp("before"), contract, "s2_tm1")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return full_scene(str(tmp_path / "prepared"))


def config_of(scene: Scene, model: Path, output: str, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s1_dir": scene.s1_dir,
        "s2_dir": scene.s2_dir,
        "dem": scene.dem,
        "savedmodel": str(model),
        "output": output,
        "ts": 64,
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


def test_an_identity_network_gives_the_exact_pixels_of_the_full_extent(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    """W78: nothing is lost at the border, nor of the remainder."""
    output = str(tmp_path / "out" / "image.tif")
    result = reconstruct(config_of(scene, identity, output))
    assert (stored(output) == scene.optical(0.0)).all()
    assert result.pixels == 96 * 128
    assert not result.reused
    assert result.inputs["il_s2before"] == (scene.s2[-10.0].uri, scene.s2[-20.0].uri)
    assert result.inputs["il_s2after"] == (scene.s2[10.0].uri, scene.s2[20.0].uri)
    assert result.inputs["dem"] == (scene.dem,)


def test_the_output_is_a_described_cog(scene: Scene, identity: Path, tmp_path: Path) -> None:
    """W79: rounded integers, a no-data tag, band names, what was used."""
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, identity, output))
    with rasterio.open(output) as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert image.dtypes == ("int16",) * 4
        assert image.nodata == -10000
        assert image.descriptions == ("B2", "B3", "B4", "B8")
        assert image.crs.to_epsg() == 32631
        assert image.transform == scene.grid.transform
        tags = image.tags()
    assert tags["DECLOUD_MODEL"] == "fake"
    assert tags["DECLOUD_IN_S2"] == scene.s2[0.0].name
    assert tags["DECLOUD_IL_S2BEFORE"].split(",")[0] == scene.s2[-10.0].name
    assert tags["ACQUISITION_TIME"].startswith("2020-06-15T10:58:48")
    assert len(tags["DECLOUD_MODEL_SHA256"]) == 64


def test_a_large_output_has_overviews(tmp_path: Path, before: Path) -> None:
    scene = Scene(str(tmp_path / "prepared"), (600, 520))
    for day in (-10.0, 0.0):
        scene.add_s2(day)
    scene.add_s1(-9.0)
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, before, output, ts=256, dem=None))
    assert (stored(output) == scene.optical(-10.0)).all()
    with rasterio.open(output) as image:
        assert image.overviews(1)


@pytest.mark.parametrize("ts", [16, 32, 48, 100])
def test_windows_of_any_size_give_the_whole_image_result(
    tmp_path: Path, david: Path, ts: int
) -> None:
    scene = full_scene(str(tmp_path / "prepared"), (90, 102))
    whole, tiled = str(tmp_path / "whole.tif"), str(tmp_path / "tiled.tif")
    reconstruct(config_of(scene, david, whole, ts=512))
    reconstruct(config_of(scene, david, tiled, ts=ts, batch_size=3))
    expected, found = stored(whole).astype(int), stored(tiled).astype(int)
    assert expected.shape == (90, 102, 4)
    assert expected.std() > 50, "the network must react to its input for this to mean anything"
    assert np.abs(expected - found).max() <= 1


def test_another_runtime_gives_the_same_image(tmp_path: Path, david: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    scene = full_scene(str(tmp_path / "prepared"), (90, 102))
    images = [str(tmp_path / f"{runtime}.tif") for runtime in ("tensorflow", "openvino")]
    reconstruct(config_of(scene, david, images[0], ts=48))
    reconstruct(config_of(scene, david, images[1], ts=48, runtime="openvino"))
    expected, found = (stored(image).astype(int) for image in images)
    assert expected.std() > 50
    assert np.abs(expected - found).max() <= 1


def test_the_whole_image_equals_the_network_on_mirrored_arrays(tmp_path: Path, david: Path) -> None:
    from decloud_lib.arrays.windows import pad, trim
    from decloud_lib.models.store import load_model

    scene = full_scene(str(tmp_path / "prepared"), (64, 64))
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, david, output, ts=512))
    inputs = {
        "s1_tm1": scene.radar(-9.0),
        "s2_tm1": scene.optical(-10.0),
        "s1_t": scene.radar(1.0),
        "s2_t": scene.optical(0.0),
        "s1_tp1": scene.radar(11.0),
        "s2_tp1": scene.optical(10.0),
    }
    arrays = {key: pad(pixels, 12)[None] for key, pixels in inputs.items()}
    arrays["dem"] = pad(stored(scene.dem), 6)[None]
    estimate = load_model(david).predict(arrays)["s2_estim"][0]
    expected = np.rint(trim(estimate, 12) * 10000)
    assert np.abs(stored(output) - expected).max() <= 1


def test_a_scene_smaller_than_the_margin_is_rebuilt(tmp_path: Path, identity: Path) -> None:
    scene = full_scene(str(tmp_path / "prepared"), (64, 64))
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, identity, output, pad=96))
    assert (stored(output) == scene.optical(0.0)).all()


def test_no_data_is_exactly_where_a_required_image_has_none(tmp_path: Path, identity: Path) -> None:
    """W80: no data takes away its own pixels only."""
    scene = Scene(str(tmp_path / "prepared"))
    optical, radar, late = scene.optical(0.0), scene.radar(1.0), scene.optical(10.0)
    optical[:5] = -10000
    optical[40, 40, :3] = -10000  # one band left: this pixel has data
    radar[:, :7] = 0
    late[90:, 90:] = -10000
    for day, pixels in ((-10.0, None), (0.0, optical), (10.0, late)):
        scene.add_s2(day, pixels=pixels)
        scene.add_s1(day + 1, pixels=radar if day == 0.0 else None)
    scene.add_dem()
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, identity, output, maxgap=48))
    nothing = (stored(output) == -10000).all(axis=2)
    expected = np.zeros(scene.shape, bool)
    expected[:5] = expected[:, :7] = True
    expected[90:, 90:] = True
    assert (nothing == expected).all()
    assert (stored(output)[40, 40] == [-9999, -9999, -9999, optical[40, 40, 3]]).all()


def test_clear_pixels_come_from_the_closest_clear_date(tmp_path: Path, before: Path) -> None:
    """W71: by default clouds are looked at, and the closest clear date wins."""
    scene = Scene(str(tmp_path / "prepared"))
    cloud = np.zeros(scene.shape, bool)
    cloud[:, :50] = True
    everywhere_cloudy = np.zeros(scene.shape, bool)
    everywhere_cloudy[:30, :20] = True
    scene.add_s2(0.0)
    scene.add_s2(-10.0, cloud=cloud)
    scene.add_s2(-20.0, cloud=everywhere_cloudy)
    for day in (-9.0, -19.0):
        scene.add_s1(day)
    expected = scene.optical(-10.0).copy()
    expected[:, :50] = scene.optical(-20.0)[:, :50]
    expected[:30, :20] = scene.optical(-10.0)[:30, :20]
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, before, output))
    assert (stored(output) == expected).all()


@pytest.mark.parametrize(("priority", "day"), [("closest", -10.0), ("farthest", -20.0)])
def test_the_priority_decides_between_dates(
    scene: Scene, before: Path, tmp_path: Path, priority: str, day: float
) -> None:
    """W71: which date wins is an option."""
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, before, output, priority=priority))
    assert (stored(output) == scene.optical(day)).all()


def test_gap_filling_uses_the_date_of_each_pixel(tmp_path: Path, gapfilling: Path) -> None:
    scene = Scene(str(tmp_path / "prepared"), (64, 64))
    cloud = np.zeros(scene.shape, bool)
    cloud[:, 32:] = True
    flat = {
        day: np.full((64, 64, 4), dn, np.int16) for day, dn in ((-5, 1000), (-15, 0), (15, 3000))
    }
    scene.add_s2(0.0)
    scene.add_s2(-5.0, pixels=flat[-5], cloud=cloud)
    scene.add_s2(-15.0, pixels=flat[-15])
    scene.add_s2(15.0, pixels=flat[15])
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, gapfilling, output, ts=32))
    found = stored(output)
    # Left 5 days after 1000, 15 before 3000; right half way between 0 and 3000.
    assert (found[:, :32] == 1500).all()
    assert (found[:, 32:] == 1500).all()
    cloud[:] = True
    other = Scene(str(tmp_path / "other"), (64, 64))
    other.add_s2(0.0)
    other.add_s2(-5.0, pixels=flat[-5], cloud=cloud)
    other.add_s2(15.0, pixels=flat[15])
    config = config_of(other, gapfilling, str(tmp_path / "other.tif"), ts=32)
    with pytest.raises(NoSampleError, match=r"no clear pixel before 2020-06-15: .*2020-06-10"):
        reconstruct(config)
    assert not list(tmp_path.glob("other.*"))
    reconstruct(config.model_copy(update={"priority": "closest"}))
    assert (stored(str(tmp_path / "other.tif")) == 1500).all()


def test_lists_are_used_as_given(scene: Scene, before: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "image.tif")
    config = config_of(
        scene,
        before,
        output,
        s1_dir=None,
        s2_dir=None,
        il_s2before=(scene.s2[-20.0].uri,),
        il_s1before=(scene.s1[-19.0].uri, scene.s1[-9.0].uri),
        il_s2after=("not needed by this model",),
    )
    result = reconstruct(config)
    assert (stored(output) == scene.optical(-20.0)).all()
    assert "il_s2after" not in result.inputs


def test_everything_works_in_a_bucket(s3: str, identity: Path) -> None:
    scene = full_scene(f"{s3}/prepared", (64, 64))
    model = f"{s3}/models/identity"
    storage.upload_folder(identity, model)
    output = f"{s3}/reconstructed/image.tif"
    reconstruct(config_of(scene, identity, output, savedmodel=model))
    found = manifest.read(manifest_uri(output))
    assert found is not None
    assert found.outputs[0].uri == output
    assert storage.stat(output) is not None
    assert reconstruct(config_of(scene, identity, output, savedmodel=model)).reused


def test_a_finished_output_is_reused_and_another_one_is_not_replaced(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    output = str(tmp_path / "image.tif")
    config = config_of(scene, identity, output)
    reconstruct(config)
    first = storage.stat(output)
    again = reconstruct(config.model_copy(update={"batch_size": 2, "readers": 1}))
    assert again.reused
    assert storage.stat(output) == first
    other = config.model_copy(update={"maxgap": 60.0})
    with pytest.raises(OutputConflictError, match="maxgap"):
        reconstruct(other)
    assert not reconstruct(other.model_copy(update={"overwrite": True})).reused


def test_another_model_under_the_same_name_is_noticed(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    storage.upload_folder(identity, str(model))
    config = config_of(scene, model, str(tmp_path / "image.tif"))
    reconstruct(config)
    contract = model / "model.json"
    contract.write_text(contract.read_text().replace('"fake"', '"other"'))
    with pytest.raises(OutputConflictError, match=r"model\.json changed"):
        reconstruct(config)


def refused(scene: Scene, model: Path, tmp_path: Path, **more: object) -> str:
    """Run a reconstruction that must fail; return its message; nothing may be left."""
    folder = tmp_path / "out"
    with pytest.raises(DecloudError) as caught:
        reconstruct(config_of(scene, model, str(folder / "image.tif"), **more))
    assert not list(folder.rglob("*")), "a failed reconstruction must leave nothing behind"
    return str(caught.value)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_source_that_ends_in_the_middle_leaves_nothing(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    path = Path(scene.s2[10.0].stack_10m)
    halve(path)
    radar = tuple(item.uri for days, item in sorted(scene.s1.items()) if days > 1)
    named = {"il_s2after": (scene.s2[10.0].uri,), "il_s1after": radar}
    assert path.name in refused(scene, identity, tmp_path, **named)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("part", ["stack_10m", "cloud_mask"])
def test_a_source_that_ends_in_the_middle_is_not_chosen(
    scene: Scene, identity: Path, tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(getattr(scene.s2[10.0], part))
    halve(path)
    found, without = (tmp_path / name / "image.tif" for name in ("found", "without"))
    reconstruct(config_of(scene, identity, str(found)))
    assert f"{path.name} is cut short" in caplog.text
    shutil.rmtree(scene.s2[10.0].uri)
    reconstruct(config_of(scene, identity, str(without)))
    assert found.read_bytes() == without.read_bytes()


def test_only_sources_that_end_in_the_middle_are_named(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    for days in (10.0, 20.0):
        halve(Path(scene.s2[days].stack_10m))
    message = refused(scene, identity, tmp_path)
    assert "no S2 date" in message
    for days in (10.0, 20.0):
        assert Path(scene.s2[days].stack_10m).name in message.partition("left out: ")[2]


def test_a_source_of_another_place_is_refused(scene: Scene, identity: Path, tmp_path: Path) -> None:
    moved = Scene(str(tmp_path / "moved"), (100, 128))
    dem = moved.add_dem()
    message = refused(scene, identity, tmp_path, dem=dem)
    assert "height 50 against 48" in message


@pytest.mark.parametrize(("option", "value"), [("ts", 62), ("pad", 14)])
def test_window_and_margin_must_each_be_a_multiple_of_the_stride(
    scene: Scene, identity: Path, tmp_path: Path, option: str, value: int
) -> None:
    message = refused(scene, identity, tmp_path, **{option: value})
    assert f"--{option} {value} is no multiple of 4" in message


def test_no_date_before_says_what_there_is(scene: Scene, identity: Path, tmp_path: Path) -> None:
    message = refused(scene, identity, tmp_path, min_days=12, max_days=18)
    assert "no S2 date 12 to 18 days before 2020-06-15 10:58" in message
    assert "2020-05-26, 2020-06-05, 2020-06-25, 2020-07-05" in message


def test_no_sar_image_within_the_gap_says_what_there_is(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    message = refused(scene, identity, tmp_path, maxgap=2)
    assert "no S1 image within 2 h" in message
    assert "2020-06-16" in message


def test_missing_lists_and_files_are_named(scene: Scene, identity: Path, tmp_path: Path) -> None:
    assert "--dem" in refused(scene, identity, tmp_path, dem=None)
    nothing = {"s1_dir": None, "s2_dir": None}
    assert "--il-s1 or --s1-dir" in refused(scene, identity, tmp_path, **nothing)
    gone = {"dem": f"{scene.dem}.gone"}
    assert "there is no such file" in refused(scene, identity, tmp_path, **gone)


def test_a_model_with_unknown_inputs_is_refused(
    scene: Scene, identity: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    storage.upload_folder(identity, str(model))
    path = model / "model.json"
    path.write_text(path.read_text().replace('"s1_tm1"', '"s1_t0"'))
    assert "takes s1_t0, which" in refused(scene, model, tmp_path)


def test_a_network_with_dates_and_a_reach_is_refused() -> None:
    from decloud_lib.reconstruction.network import Caller
    from tests.unit.reconstruction.scenes import FakeNetwork

    contract = contract_of("s2_tm1", "s2_timestamp_tm1", reach_px=3)
    caller, window = Caller(FakeNetwork(contract)), Window(0, 0, 4, 4)
    reading = {"s2_tm1": np.ones((4, 4, 4)), "s2_timestamp_tm1": np.arange(16).reshape(4, 4, 1)}
    with pytest.raises(ModelFolderError, match="one date per sample"):
        caller([window], [reading])
    one_date = reading | {"s2_timestamp_tm1": np.zeros((1, 1, 1), np.int64)}
    network = FakeNetwork(contract_of("s2_tm1", "s2_timestamp_tm1"))
    Caller(network)([window], [one_date])
    assert network.calls == [(1, 4, 4, 4)], "one sample, as all pixels have the date"


def test_days_must_be_in_order(scene: Scene, identity: Path) -> None:
    with pytest.raises(SettingsError, match="above max_days"):
        config_of(scene, identity, "image.tif", min_days=20, max_days=10)


def test_the_output_must_be_a_geotiff(scene: Scene, identity: Path) -> None:
    with pytest.raises(SettingsError, match=r"output: expected .* .tif at its end .found 'a.jpg'"):
        config_of(scene, identity, "a.jpg")


def test_the_span_of_the_training_layout_is_the_default(
    scene: Scene, before: Path, tmp_path: Path
) -> None:
    """W71: the spans are those that the model was trained with."""
    model = tmp_path / "model"
    storage.upload_folder(before, str(model))
    path = model / "model.json"
    layout = {"tm1": {"timeframe_start_hours": -720, "timeframe_end_hours": -360}}
    contract = ModelContract.model_validate_json(path.read_text())
    path.write_text(contract.model_copy(update={"layout": layout}).model_dump_json())
    output = str(tmp_path / "image.tif")
    reconstruct(config_of(scene, model, output))
    assert (stored(output) == scene.optical(-20.0)).all()
