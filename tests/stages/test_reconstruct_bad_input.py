"""Wrong or damaged input of a reconstruction: a clear message, nothing half made, the rest done."""

import json
import re
import resource
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import rasterio

from decloud_lib import manifest
from decloud_lib.arrays.pairing import Pair, nearest, pairs_within_gap
from decloud_lib.errors import (
    ConfigError,
    DecloudError,
    GridMismatchError,
    MissingBandError,
    NoSampleError,
    OutputConflictError,
    ProductError,
    StorageError,
)
from decloud_lib.raster.write import RasterProfile, write_raster
from decloud_lib.reconstruction.closed_form import CONTRACTS
from decloud_lib.reconstruction.inputs import WITHOUT_RADAR
from decloud_lib.reconstruction.job import manifest_uri
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.reconstruct_series import (
    ReconstructSeriesConfig,
    plan,
    reconstruct_series,
)
from decloud_lib.types import Grid
from tests.unit.reconstruction.scenes import (
    S2_BANDS,
    Scene,
    contract_of,
    full_scene,
    stored,
    write_identity_model,
)

SHAPE = (64, 64)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return full_scene(str(tmp_path / "prepared"), SHAPE)


@pytest.fixture(scope="module")
def radar_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contract = contract_of("s1_tm1", "s2_tm1", "s1_t", "s2_t")
    return write_identity_model(tmp_path_factory.mktemp("radar"), contract, "s2_tm1")


def config_of(scene: Scene, output: str | Path, **more: object) -> ReconstructConfig:
    values: dict[str, object] = {
        "in_s2": scene.s2[0.0].uri,
        "s2_dir": scene.s2_dir,
        "savedmodel": "linear_gap_filling",
        "output": str(output),
        "ts": 32,
    }
    return ReconstructConfig(**{**values, **more})  # type: ignore[arg-type]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow larger, as a disk without space would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_a_disk_without_space_leaves_nothing(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with largest_file(20_000), pytest.raises(StorageError, match="make room on the disk"):
        reconstruct(config_of(scene, out / "image.tif"))
    assert left_in(out) == []
    reconstruct(config_of(scene, out / "image.tif"))
    assert left_in(out) == ["image.json", "image.manifest.json", "image.png", "image.tif"]


def test_a_tile_or_a_projection_of_elsewhere_is_named(scene: Scene, tmp_path: Path) -> None:
    other = Scene(str(tmp_path / "other"), SHAPE, tile="T31TDJ")
    other.add_s2(-10.0)
    with pytest.raises(GridMismatchError, match=r"T31TDJ, the image to rebuild .* of T31TCJ"):
        reconstruct(config_of(scene, tmp_path / "a.tif", il_s2before=(other.s2[-10.0].uri,)))
    far = Elsewhere(str(tmp_path / "far"), SHAPE)
    far.add_s2(-10.0)
    with pytest.raises(GridMismatchError, match="EPSG:32632"):
        reconstruct(config_of(scene, tmp_path / "a.tif", il_s2before=(far.s2[-10.0].uri,)))
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize(("side", "day"), [("before", 10.0), ("after", -10.0)])
def test_dates_on_the_wrong_side_are_refused(
    scene: Scene, tmp_path: Path, side: str, day: float
) -> None:
    given = {f"il_s2{side}": (scene.s2[day].uri,)}
    with pytest.raises(ConfigError, match=rf"--il-s2{side}: .* was not taken {side}"):
        reconstruct(config_of(scene, tmp_path / "a.tif", **given))


def test_without_radar_the_message_says_which_models_remain(
    scene: Scene, radar_model: Path, tmp_path: Path
) -> None:
    model = str(radar_model)
    with pytest.raises(NoSampleError) as caught:
        reconstruct(
            config_of(scene, tmp_path / "a.tif", savedmodel=model, maxgap=1, s1_dir=scene.s1_dir)
        )
    assert "no S1 image within 1 h" in str(caught.value)
    assert "found S1" in str(caught.value)
    for name in WITHOUT_RADAR:
        assert name in str(caught.value)
        assert name in CONTRACTS
        assert reconstruct(
            config_of(scene, tmp_path / f"{name}.tif", savedmodel=name, maxgap=1)
        ).output


def test_bands_that_a_product_lacks_are_named(scene: Scene, tmp_path: Path) -> None:
    from tests.stages.test_reconstruct_networks import export

    model = export("crga_os2_david_all_bands", tmp_path / "model")
    uri = scene.s2[-10.0].stack_20m
    four = ("B11", "B12", "B5", "B6")
    half = scene.grid.coarsened(2)
    write_raster(uri, half, RasterProfile(four, "int16"), np.ones((32, 32, 4), np.int16))
    with pytest.raises(MissingBandError, match="band B7, B8A missing; found B11, B12, B5, B6"):
        reconstruct(
            config_of(
                scene,
                tmp_path / "a.tif",
                savedmodel=str(model),
                s1_dir=scene.s1_dir,
                dem=scene.dem,
                priority="closest",
            )
        )
    assert not list(tmp_path.glob("a*"))


def test_bands_are_found_by_name_in_any_order(scene: Scene, tmp_path: Path) -> None:
    expected, shuffled = tmp_path / "expected.tif", tmp_path / "shuffled.tif"
    reconstruct(config_of(scene, expected))
    for day in (-10.0, 10.0, 0.0):
        uri = scene.s2[day].stack_10m
        profile = RasterProfile(S2_BANDS[::-1], "int16")
        write_raster(uri, scene.grid, profile, np.ascontiguousarray(stored(uri)[..., ::-1]))
    reconstruct(config_of(scene, shuffled))
    assert (stored(str(expected)) == stored(str(shuffled))).all()


def test_dates_need_no_order(scene: Scene, radar_model: Path, tmp_path: Path) -> None:
    lists = {
        "il_s2before": (scene.s2[-20.0].uri, scene.s2[-10.0].uri),
        "il_s1before": (scene.s1[-19.0].uri, scene.s1[-9.0].uri, scene.s1[1.0].uri),
        "il_s1": (scene.s1[11.0].uri, scene.s1[1.0].uri),
    }
    images = []
    for number, step in enumerate((1, -1)):
        output = tmp_path / f"{number}.tif"
        given = {option: uris[::step] for option, uris in lists.items()}
        reconstruct(config_of(scene, output, savedmodel=str(radar_model), s2_dir=None, **given))
        images.append(stored(str(output)))
    assert (images[0] == images[1]).all()
    assert (images[0] == scene.optical(-10.0)).all()


def test_an_elevation_of_another_grid_is_refused(scene: Scene, tmp_path: Path) -> None:
    contract = contract_of("s2_t", "dem", stride=2)
    model = write_identity_model(tmp_path / "model", contract, "s2_t")
    dem = str(tmp_path / "dem.tif")
    write_raster(dem, scene.grid, RasterProfile(("DEM",), "int16"), np.ones((64, 64, 1), np.int16))
    with pytest.raises(GridMismatchError, match=r"dem.tif lies on another grid"):
        reconstruct(config_of(scene, tmp_path / "a.tif", savedmodel=str(model), dem=dem))
    assert not list(tmp_path.glob("a.*"))


def test_the_other_dates_of_a_series_are_made(scene: Scene, tmp_path: Path) -> None:
    """A truncated date, one whose only neighbour is empty, ends without any; the rest is made."""
    out = tmp_path / "out"
    path = Path(scene.s2[20.0].stack_10m)
    path.write_bytes(path.read_bytes()[:2000])
    scene.add_s2(-20.0, pixels=np.full((*SHAPE, 4), -10000, np.int16))
    config = ReconstructSeriesConfig(
        s2_dir=scene.s2_dir,
        out_dir=str(out),
        savedmodel="linear_gap_filling",
        ts=32,
        max_days=15,
    )
    outcomes = {date.product: date.outcome for date in plan(config).dates}
    assert outcomes.pop(scene.s2[0.0].name) == "make"
    assert set(outcomes.values()) == {"skip"}
    found = reconstruct_series(config)
    assert found.made == (str(out / f"{scene.s2[0.0].name}_reconstructed.tif"),)
    reasons = {item.item: item.reason for item in found.skipped}
    assert "no S2 date" in reasons[scene.s2[-20.0].name]
    assert "no clear pixel before 2020-06-05" in reasons[scene.s2[-10.0].name]
    assert re.search(rf"no S2 date .*left out: .*{path.name}", reasons[scene.s2[10.0].name])
    assert "no S2 date" in reasons[scene.s2[20.0].name]
    stem = found.made[0].rpartition("/")[2].removesuffix(".tif")
    ends = (".json", ".manifest.json", ".png", ".tif")
    assert left_in(out) == [*(f"{stem}{end}" for end in ends), "collection.json", "manifest.json"]


@pytest.mark.parametrize("attempt", range(3))
def test_two_processes_of_one_output_do_not_mix(scene: Scene, tmp_path: Path, attempt: int) -> None:
    """The last whole image stays, and manifest, item and image are of one of the two."""
    del attempt
    output, start = tmp_path / "out" / "image.tif", Barrier(2)

    def one(model: str) -> str:
        start.wait(60)
        try:
            reconstruct(config_of(scene, output, savedmodel=model))
        except OutputConflictError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(one, ("linear_gap_filling", "nearest_date")))
    assert "" in told, told
    with rasterio.open(output) as image:
        model, name = (image.tags()[f"DECLOUD_{tag}"] for tag in ("SAVEDMODEL", "MODEL"))
    found = manifest.read(manifest_uri(str(output)))
    assert found is not None
    assert found.config["savedmodel"] == model
    item = json.loads((output.parent / "image.json").read_text())
    assert item["properties"]["decloud:model"] == name
    assert item["assets"]["image"]["file:checksum"] == "1220" + found.checksums["image.tif"]
    assert left_in(output.parent) == ["image.json", "image.manifest.json", "image.png", "image.tif"]
    alone = tmp_path / "alone.tif"
    reconstruct(config_of(scene, alone, savedmodel=model))
    assert (stored(str(output)) == stored(str(alone))).all()


def test_fourteen_radar_dates_give_the_twelve_closest(tmp_path: Path, radar_model: Path) -> None:
    """W70: of more radar images than are used, the farthest are left out."""
    scene = Scene(str(tmp_path / "prepared"), SHAPE)
    days = [number / 4 for number in range(-7, 8)]
    for day in (-10.0, 0.0):
        scene.add_s2(day)
    scene.add_s1(-10.0)
    for day in days:
        scene.add_s1(day)
    contract = contract_of("s1_t", "s2_t")
    model = write_identity_model(tmp_path / "model", contract, "s2_t")
    result = reconstruct(
        config_of(scene, tmp_path / "a.tif", savedmodel=str(model), s1_dir=scene.s1_dir, maxgap=96)
    )
    target = scene.s2[0.0].acquired
    distance = {item.uri: abs(item.acquired - target) for item in scene.s1.values()}
    assert set(result.inputs["il_s1"]) == set(sorted(distance, key=distance.__getitem__)[:12])


def test_raw_radar_images_are_refused_with_the_reason(scene: Scene, tmp_path: Path) -> None:
    """W72: what no reader takes is an error that says what was expected, never nothing."""
    raw = tmp_path / "s1b_31TCJ_vv_DES_110_20200605t060008.tif"
    raw.write_bytes(Path(scene.s1[-9.0].uri).read_bytes())
    contract = contract_of("s1_tm1", "s2_tm1")
    model = write_identity_model(tmp_path / "model", contract, "s2_tm1")
    config = config_of(
        scene,
        tmp_path / "a.tif",
        savedmodel=str(model),
        s2_dir=None,
        il_s1before=(str(raw),),
        il_s2before=(scene.s2[-10.0].uri,),
    )
    with pytest.raises(ProductError, match=r"not a prepared image; expected \*_vvvh_\*_from-10"):
        reconstruct(config)


@pytest.mark.parametrize("per_date", [1, 12])
def test_radar_images_beside_a_date_are_one_as_in_training_or_several(
    tmp_path: Path, per_date: int
) -> None:
    """W89: how many radar images fill each other's gaps is an option."""
    scene = Scene(str(tmp_path / "prepared"), SHAPE)
    scene.add_s2(0.0)
    near = scene.radar(0.0)
    near[:, :20] = 0
    scene.add_s1(0.0, pixels=near)
    scene.add_s1(1.0)
    model = write_identity_model(tmp_path / "model", contract_of("s1_t", "s2_t"), "s2_t")
    output = tmp_path / "a.tif"
    reconstruct(
        config_of(
            scene,
            output,
            savedmodel=str(model),
            s1_dir=scene.s1_dir,
            s1_per_date=per_date,
            write_intermediate=True,
        )
    )
    taken = stored(f"{tmp_path}/a_s1_t.tif")
    assert (taken[:, 20:] == near[:, 20:]).all()
    assert (taken[:, :20] == (0 if per_date == 1 else scene.radar(1.0)[:, :20])).all()


def test_a_slash_at_the_end_and_dots_in_names_change_nothing(scene: Scene, tmp_path: Path) -> None:
    """W83: the product's name is parsed, and a name is only cut at its ending."""
    output = tmp_path / "a.b.c.tif"
    reconstruct(config_of(scene, output, in_s2=scene.s2[0.0].uri + "/", quality=True))
    with rasterio.open(output) as image:
        assert image.tags()["DECLOUD_IN_S2"] == scene.s2[0.0].name
    names = {path.name for path in tmp_path.glob("a*")}
    ends = (".tif", "_quality.tif", ".png", ".json", ".manifest.json")
    assert names == {f"a.b.c{end}" for end in ends}


def test_times_are_whole_milliseconds() -> None:
    """W85: a millisecond beyond the gap is beyond it; the closest come first; no pair twice."""
    now = 1_600_000_000_123
    gap = 144 * 3_600_000
    optical = np.array([now, now + 1])
    assert pairs_within_gap(optical, np.array([now - gap]), gap, "asc") == [Pair(0, 0)]
    radar = np.array([now + 128_000, now + 1, now - 64_000])
    (first, *_) = pairs_within_gap(optical, radar, gap, "abs", now + 1)
    assert first == Pair(1, 1)
    assert nearest(radar, now, 3, (-gap, gap)) == [1, 2, 0]
    pairs = pairs_within_gap(optical, radar, gap, "abs", now)
    assert len(set(pairs)) == len(pairs) == 6


def test_the_installed_command_parses_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """W77: the entry point is called without arguments, as installers do."""
    project = tomllib.loads(Path(__file__, "../../../pyproject.toml").resolve().read_text())
    module, _, function = project["project"]["scripts"]["decloud"].partition(":")
    monkeypatch.setattr(sys, "argv", ["decloud", "reconstruct", "--ts", "many"])
    assert getattr(import_module(module), function)() == 2
    assert "'many' is not a valid integer" in capsys.readouterr().err


def test_each_error_is_one_of_ours(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(DecloudError, match="no model folder there; check the path"):
        reconstruct(config_of(scene, tmp_path / "a.tif", savedmodel=str(tmp_path / "no-model")))
    with pytest.raises(DecloudError, match=r"residul: no model has this name.*residual"):
        reconstruct(config_of(scene, tmp_path / "a.tif", savedmodel="residul"))


class Elsewhere(Scene):
    """The same tile's name in the next zone."""

    @property
    def grid(self) -> Grid:
        return Grid("EPSG:32632", 300000.0, 4900000.0, 10.0, *self.shape)
