"""What `make_products` writes: names, files, bytes and the record of it."""

import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from decloud_lib.errors import ConfigError, OutputConflictError
from decloud_lib.raster.optical import open_delivered
from decloud_lib.raster.products.families import open_optical
from decloud_lib.raster.products.optical import OpticalSettings
from decloud_lib.synthetic import Scene, SyntheticConfig, SyntheticSeries, make_products
from decloud_lib.synthetic.ground import tile_grid
from decloud_lib.types import Array, Window
from tests.products import small_config, small_delivery, small_scene

S2_NAME = re.compile(r"SENTINEL2[AB]_\d{8}-\d{6}-\d{3}_L2A_T31TCJ_[CD]_V\d+-\d+")
S1_NAME = re.compile(r"s1[ab]_31TCJ_(vv|vh)_(ASC|DES)_\d{3}_\d{8}t(\d{6}|x{6})\.tif")
FINE, COARSE = ("B2", "B3", "B4", "B8"), ("B5", "B6", "B7", "B8A", "B11", "B12")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSeries:
    return small_delivery(tmp_path_factory.mktemp("series"), edges=0.4)


def read(path: Path | str) -> Array:
    with rasterio.open(path) as source:
        pixels: Array = source.read()
    return pixels


def inside(product: Path, name: str) -> str:
    """Return what rasterio opens for a file of a product, in a folder or an archive."""
    if product.suffix == ".zip":
        return f"/vsizip/{product}/{product.stem}/{name}"
    return str(product / name)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_names_follow_the_grammars_of_theia_and_s1tiling(series: SyntheticSeries) -> None:
    times = [product.acquired for product in series.optical]
    assert times == sorted(times)
    for product in series.optical:
        assert product.path.name.removesuffix(".zip") == product.name
        assert f"{product.acquired:%Y%m%d-%H%M%S}" in product.name
        assert S2_NAME.fullmatch(product.name)
        assert product.path.exists()
    for date in series.radar:
        assert S1_NAME.fullmatch(date.vh.name)
        assert date.vv.name == date.vh.name.replace("_vh_", "_vv_")
        assert date.vv.is_file()
        assert date.vh.is_file()
        assert ("txxxxxx" in date.vh.name) == date.masked
    assert any(date.masked for date in series.radar)
    assert series.dem == series.root / "DEM" / "T31TCJ.tif"


def test_products_hold_the_files_of_a_delivery(series: SyntheticSeries) -> None:
    assert sum(product.path.suffix == ".zip" for product in series.optical) == 1
    for product in series.optical:
        wanted = {f"{product.name}_FRE_{band}.tif" for band in FINE + COARSE}
        wanted |= {f"MASKS/{product.name}_{mask}_R1.tif" for mask in ("CLM", "EDG")}
        if product.path.suffix == ".zip":
            with zipfile.ZipFile(product.path) as archive:
                found = {name.removeprefix(f"{product.name}/") for name in archive.namelist()}
        else:
            files = [path for path in product.path.rglob("*") if path.is_file()]
            found = {path.relative_to(product.path).as_posix() for path in files}
        assert found == wanted


def test_grids_types_and_no_data_are_those_of_the_deliveries(series: SyntheticSeries) -> None:
    for product in series.optical:
        for bands, pixel_m, side in ((FINE, 10.0, 128), (COARSE, 20.0, 64)):
            for band in bands:
                with rasterio.open(inside(product.path, f"{product.name}_FRE_{band}.tif")) as band_:
                    assert band_.crs == CRS.from_epsg(32631)
                    assert (band_.shape, band_.res) == ((side, side), (pixel_m, pixel_m))
                    assert band_.transform.c == series.grid.left
                    assert (band_.dtypes, band_.nodata) == (("int16",), -10000)
    with rasterio.open(series.radar[0].vv) as radar, rasterio.open(series.dem) as dem:
        assert (radar.dtypes, radar.nodata, radar.shape) == (("float32",), 0, (128, 128))
        assert (dem.dtypes, dem.shape, dem.res) == (("int16",), (64, 64), (20.0, 20.0))


def test_edge_mask_is_where_all_bands_have_no_data(series: SyntheticSeries) -> None:
    cut = [product for product in series.optical if product.cut]
    assert cut
    for product in series.optical:
        edge = read(inside(product.path, f"MASKS/{product.name}_EDG_R1.tif"))[0] != 0
        assert edge.any() == product.cut
        assert not edge.all()
        for bands, step in ((FINE, 1), (COARSE, 2)):
            for band in bands:
                pixels = read(inside(product.path, f"{product.name}_FRE_{band}.tif"))[0]
                np.testing.assert_array_equal(pixels == -10000, edge[::step, ::step])
        clouds = read(inside(product.path, f"MASKS/{product.name}_CLM_R1.tif"))[0]
        assert not clouds[edge].any()


def test_radar_is_zero_beyond_the_edge_of_the_swath_only(series: SyntheticSeries) -> None:
    shares = []
    for date in series.radar:
        vv, vh = read(date.vv)[0], read(date.vh)[0]
        np.testing.assert_array_equal(vv == 0, vh == 0)
        assert (vv >= 0).all()
        shares.append(float((vv == 0).mean()))
    assert 0 < sum(share > 0 for share in shares) < len(shares)
    assert max(shares) < 0.9


def test_real_time_of_some_masked_radar_dates_is_in_the_tags(series: SyntheticSeries) -> None:
    tagged = []
    for date in (date for date in series.radar if date.masked):
        with rasterio.open(date.vh) as source:
            text = source.tags().get("ACQUISITION_DATETIME")
        tagged.append(text is not None)
        if text is not None:
            assert text == f"{date.acquired:%Y:%m:%dT%H:%M:%SZ}"
    assert any(tagged)


def test_truth_is_the_clear_image_of_the_date(series: SyntheticSeries) -> None:
    scene = small_scene(edges=0.4)
    for product, date in zip(series.optical, scene.optical_dates, strict=True):
        truth = read(product.truth)
        assert truth.shape == (4, 128, 128)
        assert read(product.truth_20m).shape == (6, 64, 64)
        with rasterio.open(product.truth) as source:
            assert source.descriptions == FINE
        if date.cover == 0.0 and not product.cut:
            seen = [read(inside(product.path, f"{product.name}_FRE_{b}.tif"))[0] for b in FINE]
            np.testing.assert_array_equal(truth, np.stack(seen))
    assert series.root not in series.optical[0].truth.parents


def test_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    config = small_config(size_px=64, s2_dates=3, covers=(0.0, 0.4, 1.0), days=14)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_products(config.model_copy(update={"seed": seed}), tmp_path / name / "delivery")
    first, second, other = (digests(tmp_path / name) for name in "abc")
    assert first == second
    assert set(first.values()).isdisjoint(
        digest for name, digest in other.items() if "MASKS" not in name
    )


def test_archive_holds_what_the_folder_would(tmp_path: Path) -> None:
    options = {"size_px": 64, "s2_dates": 1, "covers": (0.4,), "days": 8}
    archived = make_products(small_config(**options, s2_zipped=1), tmp_path / "a" / "delivery")
    plain = make_products(small_config(**options, s2_zipped=0), tmp_path / "b" / "delivery")
    with zipfile.ZipFile(archived.optical[0].path) as archive:
        archive.extractall(tmp_path / "c")
    assert digests(tmp_path / "c") == digests(plain.optical[0].path.parent)


@pytest.mark.parametrize("zipped", [0, 3])
def test_products_of_esa_hold_the_same_images(tmp_path: Path, zipped: int) -> None:
    options = {"size_px": 64, "s2_dates": 3, "covers": (0.3, 0.8, 0.0), "days": 14, "edges": 0.4}
    options["s2_zipped"] = zipped
    theia = make_products(small_config(**options), tmp_path / "a" / "delivery")
    made = make_products(small_config(**options, s2_safe=2), tmp_path / "b" / "delivery")
    assert sum(product.name.startswith("S2") for product in made.optical) == 2
    compared = 0
    for one, other in zip(theia.optical, made.optical, strict=True):
        assert other.path.exists()
        assert (
            digests(one.truth.parent)[one.truth.name]
            == digests(other.truth.parent)[other.truth.name]
        )
        if one.name == other.name:
            continue
        assert other.path.name == other.name + (".zip" if zipped else ".SAFE")
        assert other.acquired == one.acquired.replace(microsecond=0)
        left, right = open_optical(str(one.path)), open_optical(str(other.path))
        assert right.name.name == other.name
        assert {band.offset for band in right.bands.values()} == {-1000.0}
        settings, window = OpticalSettings(), Window(0, 0, 64, 64)
        with open_delivered(left, settings) as theirs, open_delivered(right, settings) as ours:
            expected, found = theirs.read(window), ours.read(window)
        np.testing.assert_array_equal(found.stack_10m, expected.stack_10m)
        np.testing.assert_array_equal(found.stack_20m, expected.stack_20m)
        np.testing.assert_array_equal(found.edge != 0, expected.edge != 0)
        np.testing.assert_array_equal(found.cloud != 0, expected.cloud != 0)
        compared += 1
    assert compared == 2


def test_the_same_seed_gives_the_same_products_of_esa(tmp_path: Path) -> None:
    config = small_config(size_px=64, s2_dates=2, covers=(0.0, 0.4), days=8, s2_safe=2)
    for name in "ab":
        make_products(config, tmp_path / name / "delivery")
    first, second = (digests(tmp_path / name) for name in "ab")
    assert first == second
    assert sum(name.endswith(".jp2") for name in first) == 11
    assert not any(name.endswith(".aux.xml") for name in first)


def test_a_record_of_before_is_known_again(tmp_path: Path) -> None:
    config = small_config(size_px=64, s2_dates=1, covers=(0.0,), days=8)
    make_products(config, tmp_path / "delivery")
    assert "s2_safe" not in (tmp_path / "truth" / "series.json").read_text()
    with pytest.raises(OutputConflictError, match="other settings"):
        make_products(config.model_copy(update={"s2_safe": 1}), tmp_path / "delivery")


def test_complete_series_is_left_alone_and_an_interrupted_one_is_finished(tmp_path: Path) -> None:
    config = small_config(size_px=64, s2_dates=2, covers=(0.0, 0.5), days=8)
    series = make_products(config, tmp_path / "delivery")
    before = series.dem.stat().st_mtime_ns
    assert make_products(config, tmp_path / "delivery") == series
    assert series.dem.stat().st_mtime_ns == before
    record = tmp_path / "truth" / "series.json"
    record.write_text(record.read_text().replace('"complete": true', '"complete": false'))
    series.radar[0].vv.unlink()
    make_products(config, tmp_path / "delivery")
    assert series.radar[0].vv.is_file()
    assert '"complete": true' in record.read_text()


def test_folders_with_other_products_are_refused(tmp_path: Path) -> None:
    config = small_config(size_px=64, s2_dates=2, covers=(0.0, 0.5), days=8)
    (tmp_path / "real" / "SENTINEL2").mkdir(parents=True)
    with pytest.raises(OutputConflictError, match="found SENTINEL2"):
        make_products(config, tmp_path / "real")
    make_products(config, tmp_path / "made" / "delivery")
    with pytest.raises(OutputConflictError, match="other settings"):
        make_products(config.model_copy(update={"seed": 9}), tmp_path / "made" / "delivery")


def test_more_dates_than_passes_are_refused() -> None:
    with pytest.raises(ConfigError, match="20 optical dates in 10 days"):
        Scene(SyntheticConfig(size_px=64, days=10, s2_dates=20))


@pytest.mark.parametrize(
    ("tile", "crs", "left", "top"),
    [("T31TCJ", "EPSG:32631", 300000, 4900020), ("T31UDS", "EPSG:32631", 399960, 5700000)],
)
def test_crop_lies_in_its_tile(tile: str, crs: str, left: float, top: float) -> None:
    grid = tile_grid(tile, 768)
    assert grid.crs == crs
    assert left < grid.left < left + 109_800 - 7_680
    assert top - 109_800 + 7_680 < grid.top < top
    assert (grid.left - left) % 640 == 0
    assert (top - grid.top) % 640 == 0


def test_column_that_the_zone_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column Z"):
        tile_grid("T31TZJ", 64)


def test_small_delivery_can_be_changed_without_harm_to_the_next(tmp_path: Path) -> None:
    first = small_delivery(tmp_path / "a")
    first.dem.unlink()
    second = small_delivery(tmp_path / "b")
    assert second.dem.is_file()
    assert second.optical[0].path.exists()
