"""Regions of interest: the partition, polygons, the guard band, geometry, seeds, and refusals."""

import io
import json
import logging

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from PIL import Image

from decloud_lib import cli, manifest, storage
from decloud_lib.errors import (
    ConfigError,
    GridMismatchError,
    OutputConflictError,
    ProductError,
    SettingsError,
)
from decloud_lib.raster.read import open_raster
from decloud_lib.sampling.sources import read_rois
from decloud_lib.stages.make_roi import MakeRoiConfig, make_roi
from decloud_lib.types import Window
from tests.stages.delivered import LEFT, S2_NAME, TOP, write_tif

OTHER_PARTS = ("FRE_20m", "CLM_R1", "EDG_R1")
STATS = ("CLM_R1_stats", "EDG_R1_stats")
CELL_M = 640.0


@pytest.fixture
def prepared(bucket, tmp_path):
    """Give a place with two tiles of 13 x 18 elementary patches, and what adds products."""

    def add(tile, shape=(13, 18), name=S2_NAME, left=LEFT, stats_left=LEFT):
        name = name.replace("T31TEJ", tile)
        folder = storage.join(bucket, "S2_PREPARE", tile, name)
        for part in OTHER_PARTS:
            storage.write_bytes(storage.join(folder, f"{name}_{part}.tif"), b"")
        # Pixels that are not looked at, of a size that does not divide: sparse files are small.
        fine = (shape[0] * 64 + 36, shape[1] * 64 + 12)
        stack = tmp_path / "stack.tif"
        with rasterio.open(
            stack,
            "w",
            driver="GTiff",
            height=fine[0],
            width=fine[1],
            count=1,
            dtype="int16",
            crs="EPSG:32631",
            transform=rasterio.Affine(10, 0, left, 0, -10, TOP),
            sparse_ok=True,
        ):
            pass
        storage.upload(stack, storage.join(folder, f"{name}_FRE_10m.tif"))
        for part in STATS:
            at = stats_left if part == "EDG_R1_stats" else left
            path = tmp_path / "stats.tif"
            write_tif(path, np.zeros(shape, np.uint16), CELL_M, left=at)
            storage.upload(path, storage.join(folder, f"{name}_{part}.tif"))

    add("T31TEJ")
    add("T31TCJ")
    _write_tiles(bucket, ["T31TEJ", "T31TCJ"])
    return bucket, add


@pytest.fixture
def polygons(bucket, tmp_path):
    """Give what writes rectangles of cells (rows, columns) as a GeoPackage in EPSG:4326."""

    def write(name, rows, cols, left=LEFT):
        x, y = (left + CELL_M * np.array(cols)), (TOP - CELL_M * np.array(rows))
        ring = shapely.segmentize(shapely.box(x[0], y[1], x[1], y[0]), 100)
        lonlat = rasterio.warp.transform_geom("EPSG:32631", "EPSG:4326", ring.__geo_interface__)
        path = tmp_path / name
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(np.array([shapely.geometry.shape(lonlat)], object)),
            field_data=[],
            fields=[],
            crs="EPSG:4326",
            geometry_type="Polygon",
            driver="GPKG",
        )
        storage.upload(path, storage.join(bucket, name))
        return storage.join(bucket, name)

    return write


def _write_tiles(root, tiles):
    content = {"S2_ROOT_DIR": storage.join(root, "S2_PREPARE"), "TILES": tiles, "S1_ROOT_DIR": "x"}
    storage.write_bytes(storage.join(root, "tiles.json"), json.dumps(content).encode())


def _make(root, **options):
    folder = storage.join(root, "ROI")
    config = MakeRoiConfig(tiles=storage.join(root, "tiles.json"), output_dir=folder, **options)
    return make_roi(config)


def _read(root, tile, dataset):
    with open_raster(storage.join(root, "ROI", f"{tile}_{dataset}.tif")) as reader:
        return reader.read(Window(0, 0, *reader.grid.shape))[..., 0], reader


def _manifest(root):
    return manifest.read(storage.join(root, "ROI", manifest.NAME))


def test_the_data_sets_partition_each_tile_in_whole_squares(prepared):
    root, _ = prepared
    result = _make(root)
    for tile in ("T31TEJ", "T31TCJ"):
        train, reader = _read(root, tile, "train")
        assert (reader.dtype, reader.grid.shape) == ("uint8", (13, 18))
        assert (reader.grid.left, reader.grid.top, reader.grid.pixel_m) == (LEFT, TOP, 640)
        valid, _ = _read(root, tile, "valid")
        total = train + valid
        # 3 x 4 squares of 256 px; what lies beyond the last whole one belongs to none.
        assert (total[:12, :16] == 1).all()
        assert (total[12:] == 0).all()
        assert (total[:, 16:] == 0).all()
        squares = train[:12, :16].reshape(3, 4, 4, 4)
        assert (squares == squares[:, :1, :, :1]).all()
        assert squares[:, 0, :, 0].sum() == 10
    assert result.cells == {"train": 2 * 10 * 16, "valid": 2 * 2 * 16}
    assert result.patches == {"train": 2 * 10, "valid": 2 * 2}
    content = json.loads(storage.read_text(result.output))
    assert content == {
        "ROIS_ROOT_DIR": storage.join(root, "ROI"),
        "TRAIN_TILES": ["T31TCJ", "T31TEJ"],
        "VALID_TILES": ["T31TCJ", "T31TEJ"],
    }


def test_a_seed_gives_one_draw_and_each_tile_its_own(prepared):
    root, add = prepared
    _make(root, patchsize=64)
    first = {tile: _read(root, tile, "train")[0] for tile in ("T31TEJ", "T31TCJ")}
    assert (first["T31TEJ"] != first["T31TCJ"]).any()
    _make(root, patchsize=64, seed=1, overwrite=True)
    assert (_read(root, "T31TEJ", "train")[0] != first["T31TEJ"]).any()
    add("T31TGJ")
    _write_tiles(root, ["T31TEJ", "T31TCJ", "T31TGJ"])
    _make(root, patchsize=64, overwrite=True)
    for tile, train in first.items():
        np.testing.assert_array_equal(_read(root, tile, "train")[0], train)


def test_data_sets_are_free_and_proportions_of_any_unit(prepared):
    root, _ = prepared
    result = _make(root, datasets=("train", "test", "valid1"), props=(60, 20, 20), patchsize=64)
    assert {name: count / (2 * 13 * 18) for name, count in result.cells.items()} == pytest.approx(
        {"train": 0.6, "test": 0.2, "valid1": 0.2}, abs=0.01
    )
    content = json.loads(storage.read_text(result.output))
    assert content["VALID_TILES"] == []
    assert content["TEST_TILES"] == content["VALID1_TILES"] == ["T31TCJ", "T31TEJ"]


def test_shared_ground_goes_to_every_data_set(prepared):
    root, _ = prepared
    assert _make(root, share_ground=True).cells == {"train": 2 * 192, "valid": 2 * 192}


def test_complete_regions_are_left_alone(prepared):
    root, _ = prepared
    first = _make(root)
    before = storage.list_files(storage.join(root, "ROI"))
    assert _make(root) == first
    assert storage.list_files(storage.join(root, "ROI")) == before
    with pytest.raises(OutputConflictError, match="seed 0 against 5"):
        _make(root, seed=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"props": (1.0,)}, "2 data sets and 1 proportions"),
        ({"props": (0.0, 0.0)}, "expected none below 0 and one above"),
        ({"props": (2.0, -1.0)}, "expected none below 0 and one above"),
        ({"datasets": ("a", "a")}, "named twice"),
        ({"datasets": ("Train", "train")}, "capitals do not tell names apart"),
        ({"datasets": ("train", "../valid")}, r"data set '\.\./valid': expected letters"),
        ({"datasets": ("train", "")}, "data set '': expected letters"),
        ({"patchsize": 100}, "multiple of 64"),
        ({"rois": ("a.gpkg",)}, "2 data sets and 1 vector files"),
        ({"rois": ("a", "b", "c")}, "2 data sets and 3 vector files"),
        ({"roi_mode": "both"}, "restrict"),
        ({"guard": 100}, "multiple of 64"),
        ({"guard": -64}, "greater than or equal to 0"),
        ({"squaresize": 320}, "squares of 320 px and patches of 256 px"),
        ({"share_ground": True, "guard": 64}, "share their ground"),
        ({"share_ground": True, "roi_mode": "override", "rois": ("a", "")}, "no draw"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        MakeRoiConfig(tiles="t", output_dir="o", **options)


def test_a_tile_smaller_than_a_working_patch_is_refused(prepared):
    root, _ = prepared
    with pytest.raises(ProductError, match=r"T31TCJ: found 13 x 18 patches.*lower --patchsize"):
        _make(root, patchsize=1024)
    with pytest.raises(ProductError, match=r"a square of 1024 px; lower --squaresize"):
        _make(root, squaresize=1024)


def test_a_tile_that_is_not_prepared_is_named(prepared):
    root, _ = prepared
    _write_tiles(root, ["T31TEJ", "T31TGJ"])
    with pytest.raises(ProductError, match="no prepared Sentinel-2 product of T31TGJ"):
        _make(root)


@pytest.mark.parametrize("text", ["{}", "no json", '{"S2_ROOT_DIR": "a", "TILES": []}'])
def test_an_unusable_tiles_file_is_named(prepared, text):
    root, _ = prepared
    storage.write_bytes(storage.join(root, "tiles.json"), text.encode())
    with pytest.raises(ConfigError, match=r"tiles\.json: (S2_ROOT_DIR|TILES|not a usable JSON)"):
        _make(root)
    storage.delete(storage.join(root, "tiles.json"))
    with pytest.raises(ConfigError, match="run make-tiles first"):
        _make(root)


def test_products_that_disagree_about_the_grid_are_refused(prepared):
    root, add = prepared
    later = S2_NAME.replace("20201012", "20201017")
    add("T31TEJ", name=later, stats_left=LEFT + 640)
    with pytest.raises(GridMismatchError, match=r"20201017.*EDG_R1_stats.*left 500040.*500680"):
        _make(root)


def test_statistics_off_the_grid_of_their_images_are_refused(prepared):
    root, add = prepared
    add("T31TGJ", left=LEFT + 10, stats_left=LEFT + 10)
    add("T31TFJ", left=LEFT, stats_left=LEFT + 10)
    _write_tiles(root, ["T31TGJ"])
    _make(root)
    _write_tiles(root, ["T31TFJ"])
    message = r"FRE_10m\.tif \(with pixels 64 times larger\) and .*left 500040.0 against 500050"
    with pytest.raises(GridMismatchError, match=message):
        _make(root, overwrite=True)


def test_restrict_takes_only_squares_inside_the_polygons(prepared, polygons):
    root, _ = prepared
    # Columns 0..9 hold two whole squares of four cells, and half of a third.
    uri = polygons("test.gpkg", (0, 13), (0, 10))
    result = _make(root, datasets=("train", "valid", "test"), props=(90, 5, 5), rois=("", "", uri))
    for tile in ("T31TEJ", "T31TCJ"):
        train, valid, test = (_read(root, tile, n)[0] for n in ("train", "valid", "test"))
        assert (train + valid + test <= 1).all()
        assert (train + valid + test)[:12, :16].all()
        assert test[:, 8:].sum() == 0
        # In both groups of six squares each data set that may have one has one.
        assert test.sum() == 16
        assert valid[:, :8].sum() == valid[:, 8:].sum() == 16
    assert result.patches == {"train": 18, "valid": 4, "test": 2}
    inputs = {storage.name_of(ref.uri) for ref in _manifest(root).inputs}
    assert inputs == {"tiles.json", "test.gpkg"}


def test_ground_outside_all_polygons_belongs_to_none(prepared, polygons):
    root, _ = prepared
    left = polygons("train.gpkg", (0, 13), (0, 8))
    right = polygons("valid.gpkg", (0, 5), (8, 18))
    _make(root, rois=(left, right))
    train, valid = (_read(root, "T31TEJ", name)[0] for name in ("train", "valid"))
    assert train[:12, :8].all()
    assert train.sum() == 12 * 8
    assert valid[:4, 8:16].all()
    assert valid.sum() == 4 * 8


def test_override_forces_squares_inside_the_polygons(prepared, polygons):
    root, _ = prepared
    _make(root)
    drawn = _read(root, "T31TEJ", "valid")[0]
    uri = polygons("valid.gpkg", (4, 8), (0, 12))
    _make(root, rois=["", uri], roi_mode="override", overwrite=True)
    valid, train = (_read(root, "T31TEJ", name)[0] for name in ("valid", "train"))
    assert valid[4:8, :12].all()
    np.testing.assert_array_equal(valid[:4], drawn[:4])
    np.testing.assert_array_equal(valid[8:], drawn[8:])
    assert (train + valid)[:12, :16].all()


def test_no_polygons_is_an_empty_text_or_an_empty_list(prepared):
    root, _ = prepared
    _make(root)
    first = _read(root, "T31TEJ", "train")[0]
    _make(root, rois=["", ""], overwrite=True)
    np.testing.assert_array_equal(_read(root, "T31TEJ", "train")[0], first)


def test_polygons_beside_a_tile_give_nothing_there_and_it_is_said(prepared, polygons, caplog):
    root, add = prepared
    far = LEFT + 100 * CELL_M
    add("T31TGJ", left=far, stats_left=far)
    _write_tiles(root, ["T31TEJ", "T31TGJ"])
    uri = polygons("test.gpkg", (0, 13), (0, 18), left=far)
    caplog.set_level(logging.INFO)
    options = {"datasets": ("train", "test"), "rois": ("", uri)}
    result = _make(root, **options)
    assert _read(root, "T31TEJ", "test")[0].sum() == 0
    assert _read(root, "T31TGJ", "test")[0].sum() > 0
    assert result.patches["train"] == 12 + 10
    assert "T31TEJ: the polygons of test lie beside the tile" in caplog.text
    assert [item.item for item in _manifest(root).skipped] == ["T31TEJ_test"]
    _write_tiles(root, ["T31TEJ"])
    with pytest.raises(ProductError, match=r"test\.gpkg: .* no elementary patch of any tile.*EPSG"):
        _make(root, **options, overwrite=True)


def test_a_vector_file_that_cannot_be_used_leaves_no_output(prepared):
    root, _ = prepared
    uri = storage.join(root, "page.gpkg")
    with pytest.raises(ProductError, match=r"page\.gpkg: there is no such file"):
        _make(root, rois=(uri, ""))
    storage.write_bytes(uri, b"<html></html>")
    with pytest.raises(ProductError, match=r"page\.gpkg: not a vector file"):
        _make(root, rois=(uri, ""))
    assert storage.list_files(storage.join(root, "ROI")) == []


def test_other_polygons_are_other_work(prepared, polygons):
    root, _ = prepared
    uri = polygons("valid.gpkg", (0, 13), (0, 8))
    first = _make(root, rois=("", uri))
    assert _make(root, rois=("", uri)) == first
    polygons("valid.gpkg", (0, 13), (0, 12))
    with pytest.raises(OutputConflictError, match=r"valid\.gpkg changed since"):
        _make(root, rois=("", uri))


def test_a_guard_lies_between_the_data_sets(prepared):
    root, _ = prepared
    whole = _make(root, squaresize=256)
    result = _make(root, guard=64, overwrite=True)
    for tile in ("T31TEJ", "T31TCJ"):
        train, valid = (np.argwhere(_read(root, tile, n)[0]) for n in ("train", "valid"))
        assert np.abs(train[:, None] - valid[None]).max(axis=2).min() == 2
    assert result.cells["valid"] == whole.cells["valid"]
    assert result.cells["train"] < whole.cells["train"]
    assert 0 < result.patches["train"] < whole.patches["train"]
    counts = _manifest(root).counts
    assert counts == {
        "train": result.cells["train"],
        "valid": result.cells["valid"],
        "train/patches": result.patches["train"],
        "valid/patches": result.patches["valid"],
    }
    assert _make(root, guard=64) == result


def test_a_guard_that_leaves_no_patch_says_what_helps(prepared, caplog):
    root, _ = prepared
    result = _make(root, props=(1, 1), patchsize=64, guard=128)
    assert result.patches["train"] == 0
    assert "train keeps no whole patch: the guard band of 128 px" in caplog.text
    assert "raise --squaresize to 320 at least" in caplog.text
    caplog.clear()
    result = _make(root, props=(1, 1), patchsize=64, guard=128, squaresize=320, overwrite=True)
    assert result.patches["train"] > 0
    assert "keeps no" not in caplog.text


def test_polygons_smaller_than_a_square_say_what_helps(prepared, polygons, caplog):
    root, _ = prepared
    result = _make(root, rois=("", polygons("valid.gpkg", (0, 3), (0, 18))))
    assert result.patches == {"train": 24, "valid": 0}
    assert "no square of 256 px for it lies inside its polygons" in caplog.text


def test_squares_of_several_patches_go_to_one_data_set(prepared):
    root, _ = prepared
    result = _make(root, patchsize=128, squaresize=256)
    assert result.patches == {"train": 2 * 10 * 4, "valid": 2 * 2 * 4}
    first = _read(root, "T31TEJ", "train")[0]
    _make(root, patchsize=256, overwrite=True)
    np.testing.assert_array_equal(_read(root, "T31TEJ", "train")[0], first)


def test_pictures_show_the_data_sets_in_the_colours_of_the_log(prepared, caplog):
    root, _ = prepared
    caplog.set_level(logging.INFO)
    _make(root)
    content = storage.read_bytes(storage.join(root, "ROI", "T31TEJ.png"))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (18 * 4, 13 * 4)
        pixels = np.asarray(picture)[::4, ::4]
    for name in ("train", "valid"):
        (line,) = (r.getMessage() for r in caplog.records if f"make-roi: {name} (#" in r.message)
        tone = tuple(bytes.fromhex(line.partition("#")[2][:6]))
        found = (pixels == tone).all(axis=-1)
        np.testing.assert_array_equal(found, _read(root, "T31TEJ", name)[0] == 1)
    made = {storage.name_of(ref.uri) for ref in _manifest(root).outputs}
    assert {"T31TEJ.png", "T31TCJ.png", "rois.json"} <= made


def test_any_name_of_a_data_set_comes_back_from_the_rois_file(prepared):
    root, _ = prepared
    result = _make(root, datasets=("Train", "year-2_B"), props=(3, 1))
    rois = read_rois(result.output)
    for name in ("Train", "train", "YEAR-2_b"):
        found = rois.rasters(name, ("T31TEJ", "T31TCJ"))
        assert {tile: storage.name_of(uri).lower() for tile, uri in found.items()} == {
            tile: f"{tile}_{name}.tif".lower() for tile in ("T31TCJ", "T31TEJ")
        }
        for uri in found.values():
            assert storage.stat(uri) is not None


def test_the_historic_command_line(prepared, polygons):
    root, _ = prepared
    test = polygons("b.gpkg", (0, 13), (0, 8))
    words = (
        f"make-roi --tiles {root}/tiles.json --datasets train valid test --props 90 5 5 "
        f"--output_dir {root}/ROI -p 128 --rois"
    ).split()
    found = CliRunner().invoke(cli.app, [*words, "", "", test], catch_exceptions=False)
    assert found.exit_code == 0
    test_cells = _read(root, "T31TEJ", "test")[0]
    assert test_cells.any()
    assert not test_cells[:, 8:].any()
