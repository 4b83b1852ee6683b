"""Products that are left as delivered: the same samples and images as from prepared ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import manifest, storage
from decloud_lib.errors import OutputConflictError, ProductError
from decloud_lib.raster.products.prepared import S2_PARTS, list_s1, list_s2
from decloud_lib.raster.views import open_image, read_view
from decloud_lib.stages.make_roi import MakeRoiConfig, make_roi
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from decloud_lib.stages.prepare_dem import PrepareDemConfig, prepare_dem
from decloud_lib.stages.prepare_s1 import PrepareS1Config, prepare_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, prepare_s2
from decloud_lib.stages.reconstruct import ReconstructConfig, reconstruct
from decloud_lib.stages.sample import SampleConfig, sample
from decloud_lib.synthetic import SyntheticSeries
from decloud_lib.types import Window
from tests.products import small_delivery
from tests.stages.delivered import S2_NAME, write_s1, write_theia
from tests.unit.reconstruction.scenes import contract_of, write_identity_model

MODES = ("convert", "statistics-only")


def prepare_all(series: SyntheticSeries, root: str, mode: str) -> None:
    vh = tuple(str(path) for path in sorted(series.root.glob("SENTINEL1/*/*_vh_*.tif")))
    optical = tuple(str(path) for path in sorted(series.root.glob("SENTINEL2/*/*")))
    prepare_s1(PrepareS1Config(input_s1_vh=vh, out_s1_dir=f"{root}/S1_PREPARE", mode=mode))
    prepare_s2(PrepareS2Config(in_image=optical, out_s2_dir=f"{root}/S2_PREPARE", mode=mode))
    product = list_s2(f"{root}/S2_PREPARE")[0]
    (dem,) = series.root.glob("DEM/*.tif")
    output = f"{root}/DEM_PREPARE/{product.tile}.tif"
    prepare_dem(PrepareDemConfig(dem=str(dem), reference=product.stack_20m, output=output))
    make_tiles(MakeTilesConfig(prepared=root, output=f"{root}/tiles.json"))
    roi = {"datasets": ("train",), "props": (1,), "patchsize": 64}
    make_roi(MakeRoiConfig(tiles=f"{root}/tiles.json", output_dir=f"{root}/ROI", **roi))


def draw(root: str) -> str:
    output = storage.join(root, "samples")
    sample(
        SampleConfig(
            tiles=f"{root}/tiles.json", rois=f"{root}/ROI/rois.json", patchsize=64,
            acquisition_train="AL-CRGA-OS2-clear-neighbours", output_train=output,
            with_20m_bands=True,
        )
    )  # fmt: skip
    return output


_PREPARED: dict[str, dict[str, str]] = {}


@pytest.fixture(params=["folder", "s3"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Prepare one small series in both modes, once; return the root of each."""
    # The variables that lead to the bucket are set for each test.
    bucket = request.getfixturevalue("s3") if request.param == "s3" else None
    if request.param not in _PREPARED:
        folder = tmp_path_factory.mktemp("series")
        series = small_delivery(folder, days=40)
        roots = {mode: storage.join(bucket or str(folder), mode) for mode in MODES}
        for mode, root in roots.items():
            prepare_all(series, root, mode)
        _PREPARED[request.param] = roots
    return _PREPARED[request.param]


def test_samples_are_the_same_to_the_byte(both: dict[str, str]) -> None:
    records: dict[str, dict[str, bytes]] = {}
    for mode, root in both.items():
        folder = draw(root)
        records[mode] = {
            storage.name_of(entry.uri): storage.read_bytes(entry.uri)
            for entry in storage.list_files(folder)
            if entry.uri.endswith((".records", ".tfrecord", ".json", ".geojson"))
            and not entry.uri.endswith(manifest.NAME)
        }
    converted, viewed = (records[mode] for mode in MODES)
    assert any(name.endswith((".records", ".tfrecord")) for name in converted)
    assert converted == viewed


@pytest.mark.parametrize("engine", ["rasterio", "otb"])
def test_a_date_is_rebuilt_from_delivered_files_as_from_prepared_ones(
    both: dict[str, str], tmp_path: Path, engine: str
) -> None:
    if engine == "otb":
        pytest.importorskip("otbApplication", reason="no Orfeo ToolBox here: `make otb`")
    keys = ("s1_tm1", "s2_tm1", "s1_t", "s2_t", "s1_tp1", "s2_tp1", "dem")
    model = write_identity_model(tmp_path / "model", contract_of(*keys), "s2_tm1")
    images = []
    for root in both.values():
        target = list_s2(f"{root}/S2_PREPARE")[4]
        output = storage.join(root, f"{engine}.tif")
        reconstruct(
            ReconstructConfig(
                in_s2=target.uri, s1_dir=f"{root}/S1_PREPARE", s2_dir=f"{root}/S2_PREPARE",
                dem=f"{root}/DEM_PREPARE/{target.tile}.tif", savedmodel=str(model),
                output=output, ts=64, maxgap=200, engine=engine,
            )
        )  # fmt: skip
        with open_image(output) as reader:
            images.append(reader.read(Window(0, 0, *reader.grid.shape)))
    assert np.array_equal(*images)


def test_nothing_but_statistics_and_a_description_is_written(tmp_path: Path) -> None:
    write_theia(tmp_path)
    output = str(tmp_path / "out")
    (folder,) = prepare_s2(
        PrepareS2Config(
            in_image=(str(tmp_path / S2_NAME),), out_s2_dir=output, mode="statistics-only"
        )
    ).made
    found = sorted(path.name.removeprefix(S2_NAME) for path in Path(folder).iterdir())
    assert found == ["_CLM_R1_stats.tif", "_EDG_R1_stats.tif", "_delivered.json", "manifest.json"]


def test_each_part_of_a_view_has_the_pixels_grid_and_bands_of_the_prepared_raster(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(3)
    cloud = rng.integers(0, 255, (130, 194)).astype(np.uint8)
    write_theia(tmp_path, shape=(130, 194), cloud=cloud)
    products = []
    for mode in MODES:
        output = str(tmp_path / mode)
        source = (str(tmp_path / S2_NAME),)
        prepare_s2(PrepareS2Config(in_image=source, out_s2_dir=output, mode=mode))
        products += list_s2(output)
    converted, viewed = products
    for part in S2_PARTS:
        with (
            open_image(getattr(converted, part)) as raster,
            open_image(getattr(viewed, part)) as view,
        ):
            assert (view.grid, view.bands, view.dtype) == (raster.grid, raster.bands, raster.dtype)
            assert view.nodata == raster.nodata
            whole = Window(0, 0, *raster.grid.shape)
            assert np.array_equal(view.read(whole), raster.read(whole))
            some = Window(3, 5, 17, 20)
            names = raster.bands[::-1]
            assert np.array_equal(view.read(some, names), raster.read(some, names))


def test_a_radar_view_keeps_the_time_that_its_metadata_tell(tmp_path: Path) -> None:
    sigma0 = np.full((64, 64), 0.1)
    tags = {"ACQUISITION_DATETIME_1": "2020:10:11T05:59:43Z"}
    vh = write_s1(tmp_path, sigma0, sigma0, "s1b_31TEJ_{}_DES_110_20201011txxxxxx", tags)
    output = str(tmp_path / "out")
    config = PrepareS1Config(input_s1_vh=(vh,), out_s1_dir=output, mode="statistics-only")
    (view,) = prepare_s1(config).made
    (image,) = list_s1(output)
    assert image.acquired.isoformat() == "2020-10-11T05:59:43+00:00"
    assert not image.time_is_assumed
    assert not read_view(view).time_is_assumed
    with open_image(image.uri) as reader:
        assert (reader.read(Window(0, 0, 64, 64)) == 38804).all()


def test_a_delivery_that_changed_since_is_refused(tmp_path: Path) -> None:
    write_theia(tmp_path)
    source, output = str(tmp_path / S2_NAME), str(tmp_path / "out")
    config = PrepareS2Config(in_image=(source,), out_s2_dir=output, mode="statistics-only")
    prepare_s2(config)
    (product,) = list_s2(output)
    cloud = np.full((128, 192), 255, np.uint8)
    write_theia(tmp_path, cloud=cloud)
    with (
        pytest.raises(ProductError, match=r"not what it was when the statistics .* --overwrite"),
        open_image(product.stack_10m),
    ):
        pass


def test_the_other_mode_is_other_work(tmp_path: Path) -> None:
    write_theia(tmp_path)
    base = {"in_image": (str(tmp_path / S2_NAME),), "out_s2_dir": str(tmp_path / "out")}
    (folder,) = prepare_s2(PrepareS2Config(**base)).made
    with pytest.raises(OutputConflictError, match="mode 'convert' against 'statistics-only'"):
        prepare_s2(PrepareS2Config(**base, mode="statistics-only"))
    prepare_s2(PrepareS2Config(**base, mode="statistics-only", overwrite=True))
    # The stacks are gone: what is there must be what the manifest says.
    assert len(list(Path(folder).glob("*.tif"))) == 2
    (product,) = list_s2(base["out_s2_dir"])
    assert product.stack_10m.endswith("_delivered.json#stack_10m")


def test_a_description_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{S2_NAME}_delivered.json"
    path.write_text(json.dumps({"source": "x"}))
    with (
        pytest.raises(ProductError, match=f"{path.name}: not the description"),
        open_image(f"{path}#stack_10m"),
    ):
        pass
