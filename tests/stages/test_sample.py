"""The stage `sample` on small prepared tiles."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from decloud_lib import manifest, storage
from decloud_lib.errors import (
    ConfigError,
    GridMismatchError,
    NoSampleError,
    OutputConflictError,
    ProductError,
    SettingsError,
)
from decloud_lib.samples.dataset import read_dataset, record_files
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.stages.sample import SampleConfig, SampleResult, sample
from tests.prepared_tiles import (
    START,
    Optical,
    Radar,
    Tile,
    grid_of,
    pixels,
    season,
    write_json,
    write_tile,
)

LAYOUT = "AL-CRGA-OS2-clear-neighbours"


def config(root: Path, files: tuple[str, str], **changes):
    given = {
        "tiles": files[0],
        "rois": files[1],
        "acquisition_train": LAYOUT,
        "output_train": str(root / "samples" / "train"),
        "patchsize": 64,
        "n_samples_per_shard": 10,
    }
    return SampleConfig(**(given | changes))


def valid_set(root, name="valid", split="valid", layout=LAYOUT):
    return {
        f"acquisitions_{split}": (layout,),
        f"outputs_{split}": (str(root / "samples" / name),),
    }


@pytest.fixture
def tile():
    optical, radar = season()
    return Tile(optical, radar)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Give the JSON files of one prepared tile, for tests that only read it."""
    optical, radar = season()
    return write_tile(tmp_path_factory.mktemp("prepared"), Tile(optical, radar))


@pytest.fixture
def own_files(tmp_path, tile):
    return write_tile(tmp_path, tile)


def features(folder):
    """All footprints of a record folder, in the order of its records."""
    paths = sorted(Path(folder).glob("*.geojson"), key=lambda path: int(path.stem))
    return [item for path in paths for item in json.loads(path.read_text())["features"]]


def stored(folder, keys):
    """Read samples as stored numbers, with plain TensorFlow."""
    schema = SampleSchema.read(folder)
    found = read_dataset(record_files(Path(folder)), schema, keys, (), 1)
    return [
        {key: value[0] for key, value in inputs.items()} for inputs, _ in found.as_numpy_iterator()
    ]


def test_samples_hold_the_pixels_that_their_footprints_name(tmp_path, tile, files):
    result = sample(config(tmp_path, files, with_20m_bands=True, with_cloud_masks=True))
    folder = tmp_path / "samples" / "train"
    assert isinstance(result, SampleResult)
    assert result.counts == {str(folder): len(features(folder))}
    assert len(features(folder)) > 60
    keys = SampleSchema.read(folder).keys
    grid = grid_of(tile)
    optical = [pixels(grid, n, 4, "int16") for n in range(len(tile.optical))]
    coarse = [pixels(grid.coarsened(2), n, 6, "int16") for n in range(len(tile.optical))]
    radar = [pixels(grid, n, 2, "uint16") + 20_000 for n in range(len(tile.radar))]
    s2_dates = [image.day for image in tile.optical]
    s1_dates = [image.day for image in tile.radar]
    for arrays, feature in zip(stored(folder, keys), features(folder), strict=True):
        row, col = feature["properties"]["position"]
        here = np.s_[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64]
        half = np.s_[row * 32 : row * 32 + 32, col * 32 : col * 32 + 32]
        assert np.array_equal(arrays["dem"], pixels(grid.coarsened(2), 7, 1, "int16")[half])
        for name in ("tm1", "t", "target", "tp1"):
            day = (arrays[f"s2_timestamp_{name}"] - START.timestamp()) / 86400
            number = s2_dates.index(day)
            assert np.array_equal(arrays[f"s2_{name}"], optical[number][here])
            assert np.array_equal(arrays[f"s2_20m_{name}"], coarse[number][half])
            mask = optical[number][here][..., :1] % 251
            assert np.array_equal(arrays[f"s2_cld10m_{name}"], mask)
        day = (arrays["s1_timestamp_t"] - START.timestamp()) / 86400
        number = int(np.argmin(np.abs(np.array(s1_dates) - day)))
        assert np.array_equal(arrays["s1_t"], radar[number][here])
        assert arrays["s1_ascending_t"] == 0


def test_footprints_tell_tile_products_dates_and_cover(tmp_path, tile, files):
    sample(config(tmp_path, files))
    found = features(tmp_path / "samples" / "train")
    properties = found[0]["properties"]
    assert properties["tile"] == "T31TEJ"
    assert properties["s2_t"].startswith("SENTINEL2A_2020")
    assert properties["s2_t_cloud_percent"] == 50.0
    assert properties["s2_target_cloud_percent"] == 0.0
    assert properties["s1_t"].endswith("_from-10to3dB.tif")
    assert properties["s1_t_time_is_assumed"] is False
    assert properties["s2_t_date"].endswith(".500+00:00")
    ring = found[0]["geometry"]["coordinates"][0]
    assert all(2.9 < lon < 3.1 and 45.9 < lat < 46.1 for lon, lat in ring)


def test_the_manifest_records_layout_bands_and_counts(tmp_path, files):
    sample(config(tmp_path, files, n_samples_per_shard=50))
    done = manifest.read(str(tmp_path / "samples" / "train" / "manifest.json"))
    assert done.config["layout"]["t"]["timeframe_origin"] is True
    assert done.config["bands"]["s2_20m"] == ["B11", "B12", "B5", "B6", "B7", "B8A"]
    assert done.counts["samples"] == done.counts["possible"]
    assert done.counts["shards"] == -(-done.counts["samples"] // 50)
    assert any("CLM_R1_stats" in ref.uri for ref in done.inputs)


def test_a_second_run_does_nothing_and_other_settings_are_refused(tmp_path, files):
    first = sample(config(tmp_path, files))
    shard = tmp_path / "samples" / "train" / "0.records"
    written = shard.stat().st_mtime_ns
    assert sample(config(tmp_path, files)) == first
    assert shard.stat().st_mtime_ns == written
    with pytest.raises(OutputConflictError, match="limit None against 5"):
        sample(config(tmp_path, files, maxntrain=5))
    again = sample(config(tmp_path, files, maxntrain=5, overwrite=True))
    assert list(again.counts.values()) == [5]
    assert not (tmp_path / "samples" / "train" / "1.records").exists()


def test_one_more_output_leaves_the_others_alone(tmp_path, tile):
    left = np.array([[1, 1, 0], [1, 1, 0]])
    tile.regions = {"train": left, "valid": 1 - left}
    files = write_tile(tmp_path, tile)
    sample(config(tmp_path, files))
    shard = tmp_path / "samples" / "train" / "0.records"
    written = shard.stat().st_mtime_ns
    both = sample(config(tmp_path, files, **valid_set(tmp_path)))
    assert shard.stat().st_mtime_ns == written
    assert len(both.counts) == 2


def test_the_rest_of_an_interrupted_run_is_made_anew(tmp_path, files):
    sample(config(tmp_path, files))
    folder = tmp_path / "samples" / "train"
    assert not (folder / "unfinished.json").exists()
    content = (folder / "0.records").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "unfinished.json").write_text("{}")
    (folder / "0.records").write_bytes(b"half")
    (folder / "99.records").write_bytes(b"old")
    hidden = folder / ".partial-abc" / "0.records"
    hidden.parent.mkdir()
    hidden.write_bytes(b"half")
    sample(config(tmp_path, files))
    assert (folder / "0.records").read_bytes() == content
    assert not (folder / "99.records").exists()
    assert not hidden.exists()


def test_a_damaged_output_is_made_anew(tmp_path, files):
    sample(config(tmp_path, files))
    shard = tmp_path / "samples" / "train" / "1.records"
    content = shard.read_bytes()
    shard.write_bytes(b"cut")
    sample(config(tmp_path, files))
    assert shard.read_bytes() == content


def test_records_of_the_existing_system_are_not_replaced_unless_asked(tmp_path, files):
    """They have our file names, and no manifest."""
    folder = tmp_path / "samples" / "train"
    folder.mkdir(parents=True)
    for name in ("0.records", "0.geojson", "output_types.json", "output_shape.json"):
        (folder / name).write_text("old")
    with pytest.raises(OutputConflictError, match=r"4 files without a manifest.*--overwrite"):
        sample(config(tmp_path, files))
    assert (folder / "0.records").read_text() == "old"
    sample(config(tmp_path, files, overwrite=True))
    assert (folder / "0.records").stat().st_size > 100_000


def test_an_interrupted_run_leaves_no_shard(tmp_path, own_files):
    """The last raster cannot be read: nothing appears, and the next run works."""
    stack = sorted((tmp_path / "S2_PREPARE").rglob("*_FRE_10m.tif"))[4]
    content = stack.read_bytes()
    stack.write_bytes(content[: len(content) // 2])
    with pytest.raises(ProductError, match="damaged or cut short"):
        sample(config(tmp_path, own_files))
    folder = tmp_path / "samples" / "train"
    assert [path.name for path in folder.iterdir()] == ["unfinished.json"]
    stack.write_bytes(content)
    result = sample(config(tmp_path, own_files))
    assert len(features(folder)) == sum(result.counts.values())


def test_the_number_of_workers_does_not_change_the_shards(tmp_path, files):
    checksums = []
    for workers in (1, 3):
        output = str(tmp_path / str(workers))
        sample(config(tmp_path, files, output_train=output, workers=workers))
        checksums.append(manifest.read(f"{output}/manifest.json").checksums)
        for name, checksum in checksums[-1].items():
            content = Path(output, name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == checksum
    assert len(checksums[0]) > 5
    assert checksums[0] == checksums[1]


def test_the_table_of_the_samples_is_a_geoparquet_file(tmp_path, files):
    sample(config(tmp_path, files))
    folder = tmp_path / "samples" / "train"
    table = pq.read_table(folder / "samples.parquet")
    found = features(folder)
    assert len(table) == len(found)
    for row, feature in zip(table.to_pylist(), found, strict=True):
        told = feature["properties"]
        assert (row["tile"], [row["row"], row["col"]]) == (told["tile"], told["position"])
        assert row["sample_id"] == told["sample_id"]
        assert row["s2_target"] == told["s2_target"]
        assert row["s2_t_date"].isoformat(timespec="milliseconds") == told["s2_t_date"]
        polygon = shapely.from_wkb(row["geometry"])
        assert polygon.equals(shapely.geometry.shape(feature["geometry"]))
        assert polygon.exterior.is_ccw
        assert polygon.bounds == tuple(row["bbox"].values())
    geo = json.loads(pq.read_schema(folder / "samples.parquet").metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    everything = shapely.union_all(shapely.from_wkb(table["geometry"].to_pylist()))
    assert column["bbox"] == pytest.approx(everything.bounds)
    shards = Counter(table["shard"].to_pylist())
    assert set(shards) == set(range(len(shards)))
    assert shards[0] == 10


def test_a_folder_with_other_files_is_left_alone(tmp_path, files):
    folder = tmp_path / "samples" / "train"
    folder.mkdir(parents=True)
    (folder / "thesis.doc").write_text("dear")
    with pytest.raises(OutputConflictError, match=r"thesis\.doc"):
        sample(config(tmp_path, files))
    assert (folder / "thesis.doc").exists()


@pytest.mark.parametrize("oversampling", [False, True])
def test_one_seed_gives_equal_bytes(tmp_path, files, oversampling):
    rule = {"oversampling": True, "oversampled_sets": ("train",)} if oversampling else {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        changes = {"output_train": str(tmp_path / name), "seed": seed, "maxntrain": 25} | rule
        sample(config(tmp_path, files, **changes))

    def content(name):
        return [path.read_bytes() for path in sorted((tmp_path / name).glob("*.[rgo]*[ns]"))]

    assert len(content("a")) > 5
    assert content("a") == content("b") != content("c")


def test_constant_takes_the_same_number_from_each_position(tmp_path, files):
    sample(config(tmp_path, files, constant=True, constant_nb=3))
    positions = [tuple(f["properties"]["position"]) for f in features(tmp_path / "samples/train")]
    assert sorted(Counter(positions).values()) == [3] * 6
    ten = sample(config(tmp_path, files, output_train=str(tmp_path / "ten"), constant=True))
    assert list(ten.counts.values()) == [60]


def test_oversampling_follows_the_reference_whatever_its_name(tmp_path, tile):
    """Ten cloudy dates in June, one in September: without the rule one in eleven is of autumn."""
    days = [Optical(2 * i, 0 if i % 2 else 2048) for i in range(15)]
    tile.optical = [*days, Optical(94, 2048), Optical(96, 0)]
    files = write_tile(tmp_path, tile)
    path = Path(layout_file(tmp_path))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"cloudy": content["t"], "target": content["target"]}))
    given = {"acquisition_train": str(path), "oversampling": True}

    def autumn(**changes):
        folder = str(tmp_path / "samples" / "train")
        sample(config(tmp_path, files, **given, **changes, overwrite=True))
        months = [f["properties"]["s2_cloudy_date"][5:7] for f in features(folder)]
        return months.count("09") / len(months)

    assert autumn() < 0.05
    assert 0.35 < autumn(oversampled_sets=("train",)) < 0.65
    # One season only: nothing to balance.
    assert autumn(oversampled_sets=("train",), season_months=("1-12",)) < 0.05


def test_a_patch_needs_all_its_cells_in_the_region_and_valid(tmp_path, tile):
    """4 x 6 cells are 2 x 3 positions of 128 px; one is outside, one has an edge pixel."""
    tile.cells = (4, 6)
    region = np.ones((4, 6))
    region[0, 1] = 0
    edge = np.zeros((4, 6))
    edge[3, 5] = 1
    tile.regions = {"train": region}
    for image in tile.optical:
        image.edge = edge
    files = write_tile(tmp_path, tile)
    sample(config(tmp_path, files, patchsize=128))
    found = features(tmp_path / "samples" / "train")
    positions = {tuple(item["properties"]["position"]) for item in found}
    assert positions == {(0, 1), (0, 2), (1, 0), (1, 1)}
    assert SampleSchema.read(tmp_path / "samples" / "train").shapes["s2_t"] == (128, 128, 4)


def test_the_split_by_time_leaks_nothing(tmp_path, files):
    given = {**valid_set(tmp_path), "valid_every": 3, "guard_days": 1}
    sample(config(tmp_path, files, **given))
    targets = {item["properties"]["s2_target"] for item in features(tmp_path / "samples/valid")}
    used = {
        item["properties"][f"s2_{role}"]
        for item in features(tmp_path / "samples/train")
        for role in ("tm1", "t", "target", "tp1")
    }
    assert targets
    assert used
    assert not targets & used


def test_shared_ground_without_a_split_by_time_is_a_leak(tmp_path, files):
    with pytest.raises(ConfigError, match=r"leak: a target of valid.*SENTINEL2A.*\(--valid-every"):
        sample(config(tmp_path, files, **valid_set(tmp_path)))
    assert not (tmp_path / "samples").exists()
    both = sample(config(tmp_path, files, **valid_set(tmp_path), check_leaks=False))
    assert len(set(both.counts.values())) == 1


def used(folder, roles=("tm1", "t", "target", "tp1")):
    return {
        item["properties"][f"s2_{role}_date"][:10] for item in features(folder) for role in roles
    }


@pytest.fixture
def long_files(tmp_path):
    """Give a longer season on ground that all data sets share."""
    tile = Tile(*season(24, 30), cells=(1, 1), regions={"train": 1, "valid": 1, "test": 1})
    return write_tile(tmp_path, tile)


def test_date_ranges_keep_training_validation_and_test_apart(tmp_path, long_files):
    given = valid_set(tmp_path) | valid_set(tmp_path, "test", "test")
    dates = {"valid_dates": ("2020-06-12/2020-06-20",), "test_dates": ("2020-08-15", "2020-08-30")}
    sample(config(tmp_path, long_files, **given, **dates, guard_days=6))
    assert used(tmp_path / "samples/valid", ("target",)) == {"2020-06-16"}
    assert used(tmp_path / "samples/test", ("target",)) == {"2020-08-15", "2020-08-30"}
    train = used(tmp_path / "samples/train")
    # Images come every fifth day: those of the ranges and their neighbours are missing.
    assert {"2020-07-01", "2020-07-16", "2020-07-31", "2020-07-21"} <= train
    assert not train & {f"2020-06-{day}" for day in (11, 16, 21)}
    assert not train & {f"2020-08-{day}" for day in (10, 15, 20, 25, 30)}
    with pytest.raises(OutputConflictError, match=r"guard_days 6\.0 against 0"):
        sample(config(tmp_path, long_files, **given, **dates))


def test_validation_and_test_take_turns(tmp_path, long_files):
    given = valid_set(tmp_path) | valid_set(tmp_path, "test", "test")
    sample(config(tmp_path, long_files, **given, valid_every=3))
    assert used(tmp_path / "samples/valid", ("target",)) == {"2020-06-16"}
    assert used(tmp_path / "samples/test", ("target",)) == {"2020-07-31"}
    assert not used(tmp_path / "samples/train") & {"2020-06-16", "2020-07-31", "2020-09-14"}
    given = {"output_train": str(tmp_path / "x"), **valid_set(tmp_path, "y"), "valid_every": 20}
    with pytest.raises(NoSampleError, match="fewer than 11 days with a clear target"):
        sample(config(tmp_path, long_files, **given))


def test_training_leaves_the_ground_of_a_neighbouring_validation_tile(tmp_path, tile, caplog):
    optical, radar = season()
    east = (499_980.0 + 2 * 640 + 200, 5_100_000.0)
    other = Tile(optical, radar, name="T31TFJ", regions={"valid": 1}, corner=east)
    tile.regions = {"train": 1}
    write_tile(tmp_path, other)
    write_tile(tmp_path, tile)
    files = write_json(tmp_path, [tile, other])
    sample(config(tmp_path, files, **valid_set(tmp_path)))
    found = features(tmp_path / "samples" / "train")
    assert {item["properties"]["position"][1] for item in found} == {0, 1}
    assert "T31TEJ: 2 of 6 training positions lie on ground that a neighbouring tile" in caplog.text
    # Held-out days are held out in all tiles: then no ground is given up.
    by_time = valid_set(tmp_path, "later") | {"output_train": str(tmp_path / "samples" / "whole")}
    sample(config(tmp_path, files, **by_time, valid_every=3))
    found = features(tmp_path / "samples" / "whole")
    assert {item["properties"]["position"][1] for item in found} == {0, 1, 2}


def test_test_sets_have_their_own_regions(tmp_path, tile):
    columns = np.arange(3)[None, :].repeat(2, axis=0)
    tile.regions = {"train": columns == 0, "valid": columns == 1, "test": columns == 2}
    files = write_tile(tmp_path, tile)
    given = valid_set(tmp_path) | valid_set(tmp_path, "test", "test")
    sample(config(tmp_path, files, **given, maxntest=7))
    for name, column in (("train", 0), ("valid", 1), ("test", 2)):
        found = features(tmp_path / "samples" / name)
        assert {item["properties"]["position"][1] for item in found} == {column}
    assert len(features(tmp_path / "samples" / "test")) == 7


def test_a_tile_without_region_contributes_nothing_and_it_is_said(tmp_path, tile, caplog):
    optical, radar = season()
    other = Tile(optical, radar, name="T31TFJ", regions={"valid": 1})
    write_tile(tmp_path, other)
    write_tile(tmp_path, tile)
    files = write_json(tmp_path, [tile, other], TRAIN_TILES=["T31TEJ"])
    caplog.set_level("INFO")
    sample(config(tmp_path, files))
    found = features(tmp_path / "samples" / "train")
    assert {item["properties"]["tile"] for item in found} == {"T31TEJ"}
    assert "T31TFJ: has no region for train" in caplog.text


def test_several_tiles_are_drawn_together(tmp_path, tile):
    optical, radar = season()
    other = Tile(optical, radar, name="T31TFJ", cells=(1, 2))
    write_tile(tmp_path, other)
    write_tile(tmp_path, tile)
    result = sample(config(tmp_path, write_json(tmp_path, [tile, other]), n_samples_per_shard=20))
    found = features(tmp_path / "samples" / "train")
    tiles = [item["properties"]["tile"] for item in found]
    assert tiles.count("T31TEJ") == 3 * tiles.count("T31TFJ") == 0.75 * sum(result.counts.values())
    assert len(set(tiles[:20])) == 2


def test_files_of_the_existing_system_have_no_band_names(tmp_path):
    optical, radar = season(12, 14)
    tile = Tile(optical, radar, cells=(1, 1), with_band_names=False)
    sample(config(tmp_path, write_tile(tmp_path, tile), with_20m_bands=True))
    first = stored(tmp_path / "samples" / "train", ("s2_20m_t",))[0]["s2_20m_t"]
    assert first[0, 0].tolist() == [first[0, 0, 0] + band for band in range(6)]


def test_without_elevation_there_is_no_dem_key(tmp_path, tile):
    tile.with_dem = False
    sample(config(tmp_path, write_tile(tmp_path, tile)))
    assert "dem" not in SampleSchema.read(tmp_path / "samples" / "train").keys


def layout_file(root, name="layout.json", **changes):
    """Sentinel-2 only: a cloudy reference and a clear target within 10 days."""
    content = {
        "t": {
            "acquisition": {"s2": {"type": "S2", "min_cloud_percent": 1, "max_cloud_percent": 100}},
            "timeframe_origin": True,
        },
        "target": {
            "acquisition": {"s2": {"type": "S2"}},
            "timeframe_start_hours": -240,
            "timeframe_end_hours": 240,
        },
    }
    for key, change in changes.items():
        content[key] = content[key] | change
    (root / name).write_text(json.dumps(content))
    return str(root / name)


def test_sentinel_2_alone_needs_no_radar_root(tmp_path, tile):
    tile.radar = []
    files = write_tile(tmp_path, tile)
    sample(config(tmp_path, files, acquisition_train=layout_file(tmp_path)))
    keys = SampleSchema.read(tmp_path / "samples" / "train").keys
    assert keys == ("s2_timestamp_t", "s2_t", "s2_timestamp_target", "s2_target", "dem")
    with pytest.raises(ConfigError, match="has no S1_ROOT_DIR"):
        sample(config(tmp_path, files, output_train=str(tmp_path / "x")))


def test_a_layout_with_two_references_is_refused_by_file_and_key(tmp_path, files):
    path = layout_file(
        tmp_path,
        target={
            "timeframe_origin": "True",
            "timeframe_start_hours": None,
            "timeframe_end_hours": None,
        },
    )
    with pytest.raises(ConfigError, match=r"layout\.json: target: .*there can be only one"):
        sample(config(tmp_path, files, acquisition_train=path))


def test_a_patch_size_that_is_no_multiple_of_64_is_refused(tmp_path, files):
    with pytest.raises(ConfigError, match="patchsize is 100; expected a multiple of 64"):
        sample(config(tmp_path, files, patchsize=100))


def test_a_patch_larger_than_the_tile_is_refused(tmp_path, files):
    with pytest.raises(ProductError, match="too few for a patch of 256 px"):
        sample(config(tmp_path, files, patchsize=256))


def test_regions_without_a_whole_patch_are_told(tmp_path):
    files = write_tile(tmp_path, Tile(*season(), regions={"train": 0}))
    with pytest.raises(
        NoSampleError, match=r"train .*\(0 of 6 .*hold no whole patch; give it more"
    ):
        sample(config(tmp_path, files))


def test_nothing_found_tells_what_each_condition_left(tmp_path):
    tile = Tile([Optical(0, 2048), Optical(5, 0)], [Radar(20)], cells=(1, 2))
    files = write_tile(tmp_path, tile)
    with pytest.raises(NoSampleError) as caught:
        sample(config(tmp_path, files, acquisition_train="AL-Meraner-Occitanie"))
    message = str(caught.value)
    assert "no sample for train (AL-Meraner-Occitanie) in T31TEJ (2 of 2 positions" in message
    assert "t: valid 4, cloud 1..100 % 2, S1 within 72 h 0, in window 0" in message
    assert "target: valid 4, cloud 0..0 % 2, in window 0" in message


def test_too_few_samples_for_a_shard_are_an_error_only_when_asked(tmp_path, files):
    given = {"n_samples_per_shard": 1000, "drop_remainder": True}
    with pytest.raises(NoSampleError, match="do not fill a shard of 1000"):
        sample(config(tmp_path, files, **given))
    result = sample(config(tmp_path, files, n_samples_per_shard=25, drop_remainder=True))
    assert set(result.counts.values()) == {75}


def test_rasters_on_another_grid_are_refused(tmp_path, tile):
    files = write_tile(tmp_path, tile)
    # The same radar of a tile with one more column of patches, under the first one's name.
    wide = Tile(tile.optical[:1], tile.radar[:1], cells=(2, 4))
    write_tile(tmp_path / "wide", wide)
    for path in (tmp_path / "wide" / "S1_PREPARE").rglob("*.tif"):
        path.replace(tmp_path / path.relative_to(tmp_path / "wide"))
    with pytest.raises(GridMismatchError, match="width 4 against 3"):
        sample(config(tmp_path, files))


def test_missing_regions_and_files_say_what_to_run(tmp_path, own_files):
    with pytest.raises(ConfigError, match=r"nothing\.json: there is no such file; run make-tiles"):
        sample(config(tmp_path, (str(tmp_path / "nothing.json"), own_files[1])))
    test = valid_set(tmp_path, "test", "test")
    with pytest.raises(ConfigError, match="TEST_TILES is missing or empty; it names tiles for tra"):
        sample(config(tmp_path, own_files, **test))
    with pytest.raises(ConfigError, match=r"AL-NONE: there is no such layout.*AL-CRGA-OS2-clear"):
        sample(config(tmp_path, own_files, acquisition_train="AL-NONE"))
    (tmp_path / "ROI" / "T31TEJ_train.tif").unlink()
    with pytest.raises(ConfigError, match="region raster is missing; run make-roi"):
        sample(config(tmp_path, own_files))
    (tmp_path / "DEM_PREPARE" / "T31TEJ.tif").unlink()
    with pytest.raises(ConfigError, match="elevation of T31TEJ is missing"):
        sample(
            config(
                tmp_path,
                own_files,
                output_train=None,
                acquisition_train=None,
                **valid_set(tmp_path),
            )
        )
    (tmp_path / "tiles.json").write_text('{"S2_ROOT_DIR": "x"}')
    with pytest.raises(ConfigError, match=r"tiles\.json: TILES: Field required"):
        sample(config(tmp_path, own_files))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acquisitions_valid": (LAYOUT,)}, "valid: 1 layouts and 0 outputs"),
        ({"output_train": None}, "train: 1 layouts and 0 outputs"),
        ({"output_train": None, "acquisition_train": None}, "the outputs are none"),
        ({"valid_every": 1}, "leaves nothing to train on"),
        ({"valid_dates": ("2020-07",)}, "'2020-07': expected FIRST/LAST as 2018-07-01/2018-09-30"),
        ({"valid_every": 3, "test_dates": ("2020-07-01",)}, "expected one way to split by time"),
        (
            {"valid_dates": ("2020-07-01/2020-07-09",), "test_dates": ("2020-07-09",)},
            "have days in common",
        ),
        ({"season_months": ("3-5", "6-8")}, r"missing \[1, 2, 9, 10, 11, 12\]"),
        ({"season_months": ("all",)}, "'all' are no months"),
        ({"acquisitions_test": (LAYOUT,), "outputs_test": ("samples/train",)}, "all different"),
    ],
)
def test_outputs_must_fit_their_layouts(changes, message):
    given = {"acquisition_train": LAYOUT, "output_train": "samples/train"} | changes
    with pytest.raises(SettingsError, match=message):
        SampleConfig(tiles="t", rois="r", **given)


def test_the_historic_rule_gives_the_historic_count(tmp_path):
    """Example A of the specification with clear references: 3 samples, historically 4."""
    days = [Optical(day, cloud) for day, cloud in ((0, 0), (5, 1638), (10, 0), (20, 0))]
    days.append(Optical(15, 0, edge=7))
    radar = [Radar(0.8), Radar(6.8), Radar(12.8, edge=3)]
    files = write_tile(tmp_path, Tile(days, radar, cells=(1, 1)))
    sensors = {
        "a": {"type": "S2", "min_cloud_percent": 0, "max_cloud_percent": 100},
        "b": {"type": "S1"},
    }
    path = layout_file(tmp_path, t={"acquisition": sensors, "max_s1s2_gap_hours": 72})
    for rule, count in (("all_pairs", 3), ("historic", 4)):
        given = {"acquisition_train": path, "output_train": str(tmp_path / rule)}
        result = sample(config(tmp_path, files, **given, conflicts=rule))
        assert list(result.counts.values()) == [count]


def test_everything_works_in_a_bucket(tmp_path, s3):
    optical, radar = season(12, 14)
    tile = Tile(optical, radar, cells=(1, 1))
    write_tile(tmp_path / "local", tile)
    storage.upload_folder(tmp_path / "local", s3)
    for name in ("tiles.json", "rois.json"):
        text = (tmp_path / "local" / name).read_text().replace(str(tmp_path / "local"), s3)
        storage.write_bytes(f"{s3}/{name}", text.encode())
    result = sample(
        SampleConfig(
            tiles=f"{s3}/tiles.json",
            rois=f"{s3}/rois.json",
            acquisition_train=LAYOUT,
            output_train=f"{s3}/samples/train",
            patchsize=64,
        )
    )
    names = [storage.name_of(entry.uri) for entry in storage.list_files(f"{s3}/samples")]
    assert "manifest.json" in names
    with storage.local_copy(f"{s3}/samples/train") as folder:
        assert len(stored(folder, ("dem",))) == result.counts[f"{s3}/samples/train"]


def test_radar_alone_can_be_asked_for(tmp_path, files):
    radar = {
        "acquisition": {"s1": {"type": "S1", "orbit": "DES"}},
        "timeframe_start_hours": 24,
        "timeframe_end_hours": 120,
    }
    path = Path(layout_file(tmp_path))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": radar}))
    sample(config(tmp_path, files, acquisition_train=str(path), maxntrain=20))
    folder = tmp_path / "samples" / "train"
    assert SampleSchema.read(folder).keys[-4:] == (
        "s1_timestamp_later",
        "s1_ascending_later",
        "s1_later",
        "dem",
    )
    for arrays in stored(folder, ("s2_timestamp_t", "s1_timestamp_later")):
        hours = (arrays["s1_timestamp_later"] - arrays["s2_timestamp_t"]) / 3600
        assert 24 <= hours <= 120
