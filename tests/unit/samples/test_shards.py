"""Record files: their format, and reading them back."""

import json

import numpy as np
import pytest

from decloud_lib.errors import ConfigError, NoSampleError, RecordError, ShapeError
from decloud_lib.samples.dataset import read_dataset, record_files
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.samples.shards import Sample, write_shards

SCHEMA = SampleSchema(
    {
        "s2_timestamp_t": (),
        "s2_t": (8, 8, 4),
        "s1_ascending_t": (),
        "s1_t": (8, 8, 2),
        "dem": (4, 4, 1),
    },
    {
        "s2_timestamp_t": "float64",
        "s2_t": "int16",
        "s1_ascending_t": "bool",
        "s1_t": "uint16",
        "dem": "int16",
    },
)
CORNERS = ((2.0, 46.0), (2.1, 46.01), (2.11, 45.9), (2.01, 45.89))


def sample(number):
    rng = np.random.default_rng(number)
    arrays = {
        "s2_timestamp_t": np.array(1_591_008_600.5 + number),
        "s2_t": rng.integers(-10000, 10000, (8, 8, 4)).astype(np.int16),
        "s1_ascending_t": np.array(bool(number % 2)),
        "s1_t": rng.integers(0, 65536, (8, 8, 2)).astype(np.uint16),
        "dem": np.full((4, 4, 1), number, np.int16),
    }
    return Sample(arrays, CORNERS, {"tile": "T31TEJ"})


def write(folder, count, per_shard=4, **options):
    return write_shards(folder, map(sample, range(count)), SCHEMA, per_shard, **options)


def test_shards_are_numbered_and_keep_the_remainder(tmp_path):
    names = [path.name for path in write(tmp_path, 10)]
    assert names == ["0.records", "1.records", "2.records"]
    assert len(write(tmp_path / "cut", 10, drop_remainder=True)) == 2
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "0.geojson",
        "0.records",
        "1.geojson",
        "1.records",
        "output_shape.json",
        "output_types.json",
    ]


def test_a_plain_reader_of_the_historic_format_reads_them(tmp_path):
    """Nothing of the product is used from here on but the files."""
    import tensorflow as tf

    write(tmp_path, 3)
    types = json.loads((tmp_path / "output_types.json").read_text())
    keys = [*types, "geoinfo"]
    wanted = {key: tf.io.FixedLenFeature([], tf.string) for key in keys}
    for number, record in enumerate(tf.data.TFRecordDataset(str(tmp_path / "0.records"))):
        example = tf.train.Example.FromString(record.numpy())
        assert set(example.features.feature) == set(keys)
        assert all(len(f.bytes_list.value) == 1 for f in example.features.feature.values())
        parsed = tf.io.parse_single_example(record, wanted)
        expected = sample(number)
        for key, dtype in types.items():
            value = tf.io.parse_tensor(parsed[key], tf.dtypes.as_dtype(dtype)).numpy()
            assert np.array_equal(value, expected.arrays[key])
        corner = tf.io.parse_tensor(parsed["geoinfo"], tf.float32).numpy()
        assert np.array_equal(corner, np.array([2.0, 46.0, 2.11, 45.9], np.float32))


def test_equal_samples_give_equal_bytes(tmp_path):
    first, second = write(tmp_path / "a", 5), write(tmp_path / "b", 5)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_footprints_are_closed_polygons_with_provenance(tmp_path):
    write(tmp_path, 5)
    found = json.loads((tmp_path / "1.geojson").read_text())
    assert (found["type"], found["name"]) == ("FeatureCollection", "1_geoinfo")
    (feature,) = found["features"]
    assert feature["properties"] == {"sample_id": 0, "tile": "T31TEJ"}
    (ring,) = feature["geometry"]["coordinates"]
    assert len(ring) == 5
    assert ring[0] == ring[-1] == [2.0, 46.0]


def test_a_sample_of_another_form_is_refused(tmp_path):
    with pytest.raises(ShapeError, match="sample keys"):
        write_shards(tmp_path, [Sample({}, CORNERS)], SCHEMA)


def read(folder, batch=4, **options):
    found = read_dataset(
        record_files(folder), SCHEMA, ("s2_t", "s1_t", "dem"), ("s2_t",), batch, **options
    )
    return list(found.as_numpy_iterator())


def test_reading_keeps_order_and_remainder(tmp_path):
    write(tmp_path, 46)
    batches = read(tmp_path)
    assert [len(inputs["dem"]) for inputs, _ in batches] == [4] * 11 + [2]
    order = [int(dem[0, 0, 0]) for inputs, _ in batches for dem in inputs["dem"]]
    assert order == list(range(46))
    assert len(read(tmp_path, drop_remainder=True)) == 11


def test_inputs_are_raw_and_targets_are_reflectances(tmp_path):
    write(tmp_path, 2)
    (inputs, targets), expected = read(tmp_path)[0], sample(1).arrays
    assert inputs["s1_t"].dtype == targets["s2_t"].dtype == np.float32
    assert np.array_equal(inputs["s1_t"][1], expected["s1_t"])
    assert np.array_equal(inputs["s2_t"][1], expected["s2_t"])
    assert np.allclose(targets["s2_t"][1], expected["s2_t"] / 10000, atol=1e-7)


def test_times_stay_exact(tmp_path):
    write(tmp_path, 2)
    keys = ("s2_timestamp_t", "s1_ascending_t")
    found = read_dataset(record_files(tmp_path), SCHEMA, keys, ("s2_t",), 2)
    inputs, _ = next(iter(found.as_numpy_iterator()))
    assert inputs["s2_timestamp_t"].dtype == np.float64
    assert inputs["s2_timestamp_t"].tolist() == [1_591_008_600.5, 1_591_008_601.5]
    assert inputs["s1_ascending_t"].tolist() == [0, 1]


def test_shuffling_follows_the_seed_and_loses_nothing(tmp_path):
    write(tmp_path, 40)

    def order(seed):
        batches = read(tmp_path, batch=7, shuffle=16, seed=seed)
        return [int(dem[0, 0, 0]) for inputs, _ in batches for dem in inputs["dem"]]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == list(range(40))


def test_missing_keys_and_folders_are_errors(tmp_path):
    write(tmp_path, 1)
    with pytest.raises(ConfigError, match="the samples hold no s2_target; they hold s2_time"):
        read_dataset(record_files(tmp_path), SCHEMA, ("dem",), ("s2_target",), 1)
    with pytest.raises(NoSampleError, match=r"no \*\.records file"):
        record_files(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(NoSampleError, match="no record file"):
        read_dataset([], SCHEMA, ("dem",), (), 1)


@pytest.mark.parametrize("content", [None, b"<html>no</html>", b"x"])
def test_a_file_that_is_cut_or_something_else_is_seen_before_the_training(tmp_path, content):
    write(tmp_path, 2)
    path = tmp_path / "0.records"
    path.write_bytes(content or path.read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"0\.records: found .* no whole TFRecords.*again"):
        record_files(tmp_path)


def test_files_are_ordered_by_number(tmp_path):
    write(tmp_path, 11, per_shard=1)
    assert [path.name for path in record_files(tmp_path)] == [f"{i}.records" for i in range(11)]
    assert record_files(tmp_path / "3.records") == [tmp_path / "3.records"]
