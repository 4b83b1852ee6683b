"""The reconstruction of a period: which dates, resume, bad dates."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, NoSampleError, SettingsError
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.reconstruct_series import (
    ReconstructSeriesConfig,
    plan,
    reconstruct_series,
)
from decloud_lib.types import Grid
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
    assert [ref.uri for ref in found.outputs[:4]] == list(result.made)
    assert found.outputs[4].uri.endswith("/out/collection.json")


def test_the_last_day_of_the_period_is_included(scene: Scene, model: Path) -> None:
    config = config_of(scene, model, start=date(2020, 6, 15), end=date(2020, 6, 25))
    result = reconstruct_series(config)
    assert result.made == (output_of(scene, 0.0), output_of(scene, 10.0))


def test_a_plan_tells_what_becomes_of_each_date(scene: Scene, model: Path) -> None:
    reconstruct_series(config_of(scene, model, start=date(2020, 6, 15), end=date(2020, 6, 15)))
    before = sorted(Path(scene.root).rglob("*"))
    found = plan(config_of(scene, model))
    assert sorted(Path(scene.root).rglob("*")) == before, "nothing is written"
    outcomes = {item.product: item.outcome for item in found.dates}
    names = [scene.s2[day].name for day in (-20.0, -10.0, 0.0, 10.0, 20.0)]
    wanted = ("skip", "make", "done", "make", "make")
    assert outcomes == dict(zip(names, wanted, strict=True))
    assert "no S2 date 0 to 30 days before" in found.dates[0].reason
    assert found.one is not None
    assert found.seconds == pytest.approx(3 * found.one.seconds)
    assert found.disk_gb == 2 * found.one.disk_gb
    assert "dates     5: 3 to make, 1 there already, 1 that cannot be made" in found.text()
    alone = plan(config_of(scene, model, dates_at_once=1)).one
    assert alone is not None
    assert found.one.memory.waiting > alone.memory.waiting, "each date under way takes memory"
    done = plan(config_of(scene, model, start=date(2020, 6, 15), end=date(2020, 6, 15)))
    assert done.one is None
    assert done.seconds == 0
    with pytest.raises(NoSampleError, match="no S2 date from 2021-01-01"):
        plan(config_of(scene, model, start=date(2021, 1, 1)))


def test_a_plan_names_outputs_of_other_work(scene: Scene, model: Path) -> None:
    reconstruct_series(config_of(scene, model))
    found = plan(config_of(scene, model, quality=True))
    assert {item.outcome for item in found.dates} == {"skip"}
    assert "complete output of other work (quality False against True" in found.dates[1].reason
    anew = plan(config_of(scene, model, quality=True, overwrite=True))
    assert [item.outcome for item in anew.dates] == ["skip", "make", "make", "make", "make"]
    assert Path(output_of(scene, 0.0)).exists(), "a plan removes nothing"


def test_a_longer_period_redoes_nothing(scene: Scene, model: Path) -> None:
    """W88: a series goes on where it stopped."""
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
    """W88: what fails is said in the manifest, and the rest is made."""
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


def test_a_collection_lists_the_items_of_the_series(scene: Scene, model: Path) -> None:
    result = reconstruct_series(config_of(scene, model))
    content = json.loads(Path(scene.root, "out", "collection.json").read_text())
    JsonSchemaSTACValidator().validate_core(content, pystac.STACObjectType.COLLECTION, "1.1.0")
    collection = pystac.Collection.from_file(f"{scene.root}/out/collection.json")
    items = list(collection.get_items())
    assert [f"{scene.root}/out/{item.id}.tif" for item in items] == list(result.made)
    assert [item.datetime for item in items] == [
        scene.s2[day].acquired for day in (-10.0, 0.0, 10.0, 20.0)
    ]
    assert all(item.collection_id == collection.id == "out" for item in items)
    assert collection.extent.temporal.intervals[0][1] == scene.s2[20.0].acquired


def test_lists_in_any_order_name_the_images(scene: Scene, model: Path, tmp_path: Path) -> None:
    """W86: the window of dates, the margin and the gap are options; lists need no order."""
    names = tmp_path / "s2.txt"
    days = (10.0, -20.0, 0.0, -10.0)
    names.write_text("".join(f"{scene.s2[day].uri}/\n" for day in days))
    radar = tuple(scene.s1[day].uri for day in (11.0, -9.0, 1.0, -19.0))
    config = config_of(
        scene, model, s2_dir=None, s1_dir=None, il_s2=(str(names),), il_s1=radar, pad=8, maxgap=30
    )
    result = reconstruct_series(config)
    assert result.made == tuple(output_of(scene, day) for day in (-10.0, 0.0, 10.0))
    with pytest.raises(SettingsError, match="give --s2-dir or --il-s2"):
        config_of(scene, model, s2_dir=None)


def test_the_elevations_of_all_tiles_may_be_named_by_their_folder(
    scene: Scene, tmp_path: Path
) -> None:
    contract = contract_of("s2_t", "dem", stride=2)
    model = write_identity_model(tmp_path / "model", contract, "s2_t")
    folder = storage.parent_of(scene.dem)
    result = reconstruct_series(config_of(scene, model, dem=folder, start=date(2020, 7, 1)))
    assert result.made == (output_of(scene, 20.0),)


def test_an_extent_at_zero_is_an_extent(tmp_path: Path, model: Path) -> None:
    """W74, W82: each coordinate may be zero; the whole image is only taken without an extent."""
    scene = AtZero(str(tmp_path / "prepared"), (64, 64))
    for day in (-10.0, 0.0):
        scene.add_s2(day)
        scene.add_s1(day + 1)
    box = (0.0, 0.0, 160.0, 200.0)
    result = reconstruct_series(config_of(scene, model, bbox=box, start=date(2020, 6, 15)))
    with rasterio.open(result.made[0]) as image:
        assert tuple(image.bounds) == box
    assert (stored(result.made[0]) == scene.optical(0.0)[44:64, :16]).all()


def test_dates_without_data_are_skipped(scene: Scene, tmp_path: Path) -> None:
    """W87: a date counts as empty by its no-data value, in the extent, read window by window."""
    empty = np.full((64, 64, 4), -10000, np.int16)
    scene.add_s2(10.0, pixels=empty)
    half = scene.optical(20.0)
    half[:, :32] = -10000
    scene.add_s2(20.0, pixels=half)
    contract = contract_of("s2_tm1")
    without = write_identity_model(tmp_path / "model", contract, "s2_tm1")
    names = {day: scene.s2[day].name for day in (10.0, 20.0)}
    june = {"start": date(2020, 6, 14), "max_days": 25}
    assert reconstruct_series(config_of(scene, without, **june)).skipped == ()
    skipping = config_of(
        scene, without, **june, skip_nodata_images=True, out_dir=f"{scene.root}/skipping"
    )
    assert [item.item for item in reconstruct_series(skipping).skipped] == [names[10.0]]
    left, bottom, _, top = scene.grid.bounds
    part = skipping.model_copy(
        update={"bbox": (left, bottom, left + 300, top), "out_dir": f"{scene.root}/part"}
    )
    found = reconstruct_series(part)
    assert [item.item for item in found.skipped] == [names[10.0], names[20.0]]


def test_the_order_of_dates_does_not_depend_on_how_many_are_under_way(
    scene: Scene, model: Path
) -> None:
    """W84: the model is loaded once, and the dates of a series overlap without mixing."""
    one = reconstruct_series(config_of(scene, model, dates_at_once=1))
    images = [stored(uri) for uri in one.made]
    again = reconstruct_series(config_of(scene, model, dates_at_once=4))
    assert again.reused == one.made
    four = config_of(scene, model, dates_at_once=4, out_dir=f"{scene.root}/four")
    made = reconstruct_series(four).made
    assert [Path(uri).name for uri in made] == [Path(uri).name for uri in one.made]
    for uri, image in zip(made, images, strict=True):
        assert (stored(uri) == image).all()


class AtZero(Scene):
    """A tile whose lower left corner is the origin."""

    @property
    def grid(self) -> Grid:
        return Grid("EPSG:32631", 0.0, 10.0 * self.shape[0], 10.0, *self.shape)
