"""The image of a month: full extent, seams, no data, names, reuse, wrong input."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib.errors import (
    ConfigError,
    GridMismatchError,
    NoSampleError,
    OutputConflictError,
    SettingsError,
)
from decloud_lib.stages.synthesise import SynthesiseConfig, plan, synthesise
from tests.stages.test_reconstruct_networks import export
from tests.unit.reconstruction.scenes import (
    Scene,
    contract_of,
    stored,
    write_identity_model,
)

KEYS = tuple(f"s2_t{number}" for number in range(6))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Four dates around 15 June 2020, the clearest on the third; radar near each."""
    scene = Scene(str(tmp_path_factory.mktemp("prepared")), (96, 130))
    for day, share in ((-12.0, 0.9), (-4.0, 0.5), (3.0, 0.1), (9.0, 0.3)):
        cloud = np.zeros(scene.shape, bool)
        cloud[: round(64 * share)] = True
        pixels = scene.optical(day)
        if day == 9.0:
            pixels[:7, :5] = -10000
        scene.add_s2(day, cloud=cloud, pixels=pixels)
        scene.add_s1(day)
    scene.add_s2(60.0)
    scene.add_dem()
    return scene


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that gives its first date back."""
    return write_identity_model(tmp_path_factory.mktemp("copy"), contract_of(*KEYS), "s2_t0")


def config_of(scene: Scene, model: Path, out: Path, **more: object) -> SynthesiseConfig:
    values: dict[str, object] = {
        "s2_dir": scene.s2_dir,
        "s1_dir": scene.s1_dir,
        "dem": scene.dem,
        "savedmodel": str(model),
        "out_dir": str(out),
        "year": 2020,
        "month": 6,
        "ts": 64,
    }
    return SynthesiseConfig(**{**values, **more})  # type: ignore[arg-type]


def test_a_plan_tells_and_writes_nothing(scene: Scene, copy: Path, tmp_path: Path) -> None:
    found = plan(config_of(scene, copy, tmp_path / "out"))
    assert (found.shape, found.windows) == ((96, 130), 6)
    assert len(found.inputs["il_s2"]) == 6
    assert found.output.endswith("monthly_synthesis_s2_202006.tif")
    assert found.seconds > 0
    assert not (tmp_path / "out").exists()
    with pytest.raises(NoSampleError, match="no S2 date for 2020-12"):
        plan(config_of(scene, copy, tmp_path / "out", month=12))


def test_the_first_place_is_that_of_the_clearest_date(
    scene: Scene, copy: Path, tmp_path: Path
) -> None:
    """W76: every input counts for no data, the month has two digits, overwrite is heeded."""
    result = synthesise(config_of(scene, copy, tmp_path))
    assert result.output == f"{tmp_path}/monthly_synthesis_s2_202006.tif"
    days = (3.0, 3.0, 3.0, 9.0, -4.0, -12.0)
    assert result.dates == tuple(scene.s2[day].name for day in days)
    expected = scene.optical(3.0)
    expected[:7, :5] = -10000  # a date that the network takes has no data there
    assert (stored(result.output) == expected).all()
    with rasterio.open(result.output) as image:
        assert (image.dtypes[0], image.nodata) == ("int16", -10000)
        assert image.tags()["DECLOUD_MONTH"] == "2020-06"
        assert image.tags()["DECLOUD_IL_S2"].split(",")[0] == scene.s2[3.0].name
    assert synthesise(config_of(scene, copy, tmp_path)).reused
    with pytest.raises(OutputConflictError, match="max_nodata"):
        synthesise(config_of(scene, copy, tmp_path, max_nodata=0.5))
    assert not synthesise(config_of(scene, copy, tmp_path, max_nodata=0.5, overwrite=True)).reused


def test_a_text_file_lists_the_images(scene: Scene, copy: Path, tmp_path: Path) -> None:
    listing = tmp_path / "dates.txt"
    listing.write_text(f"# June\n{scene.s2[-4.0].uri}/\n\n")
    result = synthesise(config_of(scene, copy, tmp_path, s2_dir=None, il_s2=(str(listing),)))
    assert set(result.dates) == {scene.s2[-4.0].name}
    listing.write_text("\n")
    with pytest.raises(ConfigError, match="names no image"):
        synthesise(config_of(scene, copy, tmp_path, il_s2=(str(listing),)))


def test_the_toolbox_reads_a_month_without_seams_too(scene: Scene, tmp_path: Path) -> None:
    pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb`")
    model = export("monthly_synthesis_6_s2s1_images_david", tmp_path / "model")
    images = []
    for size, engine in ((256, "rasterio"), (32, "otb")):
        result = synthesise(config_of(scene, model, tmp_path / str(size), ts=size, engine=engine))
        assert result.output.endswith("monthly_synthesis_s2s1_202006.tif")
        images.append(stored(result.output).astype(int))
    assert images[0].std() > 10
    assert np.abs(images[0] - images[1]).max() <= 1


def test_wrong_input_is_told(scene: Scene, copy: Path, tmp_path: Path) -> None:
    """W76: no date that qualifies, and a month that is none, are told."""
    with pytest.raises(NoSampleError, match="no S2 date for 2020-01"):
        synthesise(config_of(scene, copy, tmp_path, month=1))
    with pytest.raises(SettingsError, match="month"):
        config_of(scene, copy, tmp_path, month=13)
    other = Scene(str(tmp_path / "other"), (96, 130), tile="T31TDJ")
    uris = (scene.s2[3.0].uri, other.add_s2(3.0).uri)
    with pytest.raises(GridMismatchError, match="T31TCJ, T31TDJ"):
        synthesise(config_of(scene, copy, tmp_path, il_s2=uris))
    radar = write_identity_model(
        tmp_path / "radar", contract_of(*KEYS, *(f"s1_t{n}" for n in range(6))), "s2_t0"
    )
    with pytest.raises(ConfigError, match="needs SAR images"):
        synthesise(config_of(scene, radar, tmp_path, s1_dir=None))
    assert not list(tmp_path.glob("*.tif"))
