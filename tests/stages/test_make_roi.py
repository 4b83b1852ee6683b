"""Regions of interest: the partition, its geometry, seeds, and refusals."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decloud_lib import storage
from decloud_lib.errors import ConfigError, OutputConflictError, ProductError, SettingsError
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.make_roi import MakeRoiConfig, draw_owners, make_roi
from decloud_lib.types import Window
from tests.stages.delivered import LEFT, S2_NAME, TOP, write_tif

EMPTY_PARTS = ("FRE_10m", "FRE_20m", "CLM_R1", "EDG_R1", "EDG_R1_stats")


@pytest.fixture
def prepared(bucket, tmp_path):
    """Give a place with two tiles of 13 x 18 elementary patches, and a third below."""

    def add(tile, shape=(13, 18)):
        name = S2_NAME.replace("T31TEJ", tile)
        folder = storage.join(bucket, "S2_PREPARE", tile, name)
        for part in EMPTY_PARTS:
            storage.write_bytes(storage.join(folder, f"{name}_{part}.tif"), b"")
        stats = write_tif(tmp_path / "stats.tif", np.zeros(shape, np.uint16), 640.0)
        storage.upload(stats, storage.join(folder, f"{name}_CLM_R1_stats.tif"))

    add("T31TEJ")
    add("T31TCJ")
    _write_tiles(bucket, ["T31TEJ", "T31TCJ"])
    return bucket, add


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


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=4),
    st.integers(0, 2**31),
)
def test_shares_are_as_close_as_whole_squares_allow(shape, props, seed):
    names = tuple("abcd"[: len(props)])
    config = MakeRoiConfig(
        tiles="t", output_dir="o", datasets=names, props=tuple(props), patchsize=64, seed=seed
    )
    owner = draw_owners(shape, config, "T31TEJ")
    counts = np.bincount(owner.ravel(), minlength=len(props))
    assert counts.sum() == owner.size
    if owner.size >= len(props):
        assert (counts >= 1).all()
    exact = np.array(props) * owner.size / sum(props)
    assert (np.abs(counts - exact) < len(props)).all()


def test_a_data_set_without_proportion_gets_nothing():
    config = MakeRoiConfig(tiles="t", output_dir="o", props=(1, 0), patchsize=64)
    assert (draw_owners((4, 4), config, "T31TEJ") == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"props": (1.0,)}, "2 data sets and 1 proportions"),
        ({"props": (0.0, 0.0)}, "expected none below 0 and one above"),
        ({"props": (2.0, -1.0)}, "expected none below 0 and one above"),
        ({"datasets": ("a", "a")}, "named twice"),
        ({"patchsize": 100}, "multiple of 64"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        MakeRoiConfig(tiles="t", output_dir="o", **options)


def test_a_tile_smaller_than_a_working_patch_is_refused(prepared):
    root, _ = prepared
    with pytest.raises(ProductError, match=r"T31TCJ: found 13 x 18 patches.*lower --patchsize"):
        _make(root, patchsize=1024)


def test_a_tile_that_is_not_prepared_is_named(prepared):
    root, _ = prepared
    _write_tiles(root, ["T31TEJ", "T31TGJ"])
    with pytest.raises(ProductError, match="no prepared Sentinel-2 product of T31TGJ"):
        _make(root)


@pytest.mark.parametrize("text", ["{}", "no json", '{"S2_ROOT_DIR": "a", "TILES": []}'])
def test_an_unusable_tiles_file_is_named(prepared, text):
    root, _ = prepared
    storage.write_bytes(storage.join(root, "tiles.json"), text.encode())
    with pytest.raises(ConfigError, match=r"tiles\.json: not a tiles JSON"):
        _make(root)
    storage.delete(storage.join(root, "tiles.json"))
    with pytest.raises(ConfigError, match="run make-tiles first"):
        _make(root)
