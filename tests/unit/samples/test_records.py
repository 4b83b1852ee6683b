"""The bytes of a record, beside those that TensorFlow makes."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.samples.records import RecordForm
from decloud_lib.samples.schema import SampleSchema

DTYPES = ("uint8", "int16", "uint16", "float64", "float32", "bool", "int32", "int64")
CORNERS = np.array([2.5, 46.0, 2.75, 45.5], np.float32)


def filled(schema, arrays):
    form = RecordForm(schema)
    record = form.blank()
    form.fill(record, {**arrays, "geoinfo": CORNERS})
    assert len(record) == form.length
    return record.tobytes()


def by_tensorflow(arrays):
    """One Example with a serialised tensor per key."""
    features = {
        key: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(array).numpy()])
        )
        for key, array in {**arrays, "geoinfo": CORNERS}.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


@st.composite
def samples(draw):
    keys = draw(
        st.lists(st.from_regex(r"\A[a-z0-9_]{1,20}\Z"), min_size=1, unique=True, max_size=5)
    )
    arrays = {}
    for key in keys:
        shape = tuple(draw(st.lists(st.integers(1, 70), max_size=3)))
        values = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 255, shape)
        arrays[key] = np.asarray(values).astype(draw(st.sampled_from(DTYPES)))
    return arrays


@settings(deadline=None, max_examples=20)
@given(samples())
def test_a_record_is_the_example_that_tensorflow_makes(tmp_path_factory, arrays):
    schema = SampleSchema(
        {key: array.shape for key, array in arrays.items()},
        {key: array.dtype.name for key, array in arrays.items()},
    )
    record, expected = filled(schema, arrays), by_tensorflow(arrays)
    path = tmp_path_factory.mktemp("records") / "0.records"
    path.write_bytes(record + record)
    # TensorFlow's reader checks the lengths and the checksums of the frame.
    found = [item.numpy() for item in tf.data.TFRecordDataset(str(path))]
    assert len(found) == 2
    for content in found:
        assert tf.train.Example.FromString(content) == expected
        # Byte for byte, but for the order of the keys, which is no part of the format.
        assert sorted(content) == sorted(expected.SerializeToString())


def test_keys_stand_in_text_order():
    schema = SampleSchema({"s2_target": (), "s2_t": ()}, {"s2_target": "bool", "s2_t": "bool"})
    record = filled(schema, {"s2_target": np.array(True), "s2_t": np.array(False)})
    assert record.index(b"geoinfo") < record.index(b"s2_t\x12") < record.index(b"s2_target")


def test_a_window_of_a_larger_array_is_stored_like_a_copy():
    schema = SampleSchema({"s2_t": (4, 4, 2), "dem": (2, 2, 1)}, {"s2_t": "int16", "dem": "int16"})
    large = np.arange(8 * 8 * 2, dtype=np.int16).reshape(8, 8, 2)
    planes = np.moveaxis(np.arange(8, dtype=np.int16).reshape(2, 2, 2), 0, -1)
    windows = {"s2_t": large[2:6, 3:7], "dem": planes[..., 1:]}
    copies = {key: np.ascontiguousarray(window) for key, window in windows.items()}
    assert filled(schema, windows) == filled(schema, copies)
