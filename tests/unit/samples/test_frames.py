"""Damaged records: found by their checksums, named, and left out when asked."""

import numpy as np
import pytest
import tensorflow as tf

from decloud_lib.errors import RecordError
from decloud_lib.samples.dataset import named_damage, read_dataset, record_files
from decloud_lib.samples.frames import count_records, damaged_records, without_damaged
from decloud_lib.samples.schema import SampleSchema
from decloud_lib.samples.shards import Sample, write_shards

SCHEMA = SampleSchema({"dem": (4, 4, 1)}, {"dem": "int16"})
CORNERS = ((2.0, 46.0), (2.1, 46.0), (2.1, 45.9), (2.0, 45.9))


def write(folder, count=6, per_shard=3):
    samples = (Sample({"dem": np.full((4, 4, 1), n, np.int16)}, CORNERS) for n in range(count))
    return write_shards(folder, samples, SCHEMA, per_shard)


def damage(path, record, of=3, where=0.5):
    """Turn one bit of a record."""
    content = bytearray(path.read_bytes())
    content[int((record + where) * len(content) / of)] ^= 1
    path.write_bytes(content)


def read(files):
    batches = read_dataset(files, SCHEMA, ("dem",), (), 1).as_numpy_iterator()
    return [int(inputs["dem"][0, 0, 0, 0]) for inputs, _ in batches]


def test_records_are_counted_and_whole(tmp_path):
    for path in write(tmp_path):
        assert count_records(path) == 3
        assert damaged_records(path) == []
        assert without_damaged(path, tmp_path) == (path, [])


# In the content, in its checksum, and in the checksum of the length.
@pytest.mark.parametrize("where", [0.5, 0.99, 0.08])
def test_a_turned_bit_is_found(tmp_path, where):
    first, second = write(tmp_path)
    damage(second, 1, where=where)
    assert damaged_records(first) == []
    assert damaged_records(second) == [1]


def test_reading_stops_with_the_name_of_the_file(tmp_path):
    damage(write(tmp_path)[1], 2)
    files = record_files(tmp_path)
    with (
        pytest.raises(RecordError, match=r"1\.records: record 2 of 3 is damaged.*--skip-damaged"),
        named_damage(files),
    ):
        read(files)


def test_other_errors_pass(tmp_path):
    write(tmp_path)
    with pytest.raises(tf.errors.DataLossError), named_damage(record_files(tmp_path)):
        raise tf.errors.DataLossError(None, None, "not of these files")


def test_only_the_damaged_record_is_left_out(tmp_path):
    first, second = write(tmp_path / "in")
    damage(first, 0)
    damage(first, 1)
    copy, damaged = without_damaged(first, tmp_path)
    assert (copy, damaged) == (tmp_path / "0.records", [0, 1])
    assert read([copy, second]) == [2, 3, 4, 5]


def test_a_file_that_is_cut_is_refused_or_its_end_left_out(tmp_path):
    path = write(tmp_path / "in")[0]
    path.write_bytes(path.read_bytes()[:-1])
    for function in (count_records, damaged_records):
        with pytest.raises(
            RecordError, match=r"no whole TFRecords.*behind record 2.*--skip-damaged"
        ):
            function(path)
    copy, damaged = without_damaged(path, tmp_path)
    assert damaged == [2]
    assert read([copy]) == [0, 1]


def test_behind_a_wrong_length_nothing_can_be_read(tmp_path):
    path = write(tmp_path / "in")[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 3 + 5] ^= 1  # a length of terabytes
    path.write_bytes(content)
    with pytest.raises(RecordError, match="behind record 1"):
        count_records(path)
    copy, damaged = without_damaged(path, tmp_path)
    assert damaged == [1]
    assert read([copy]) == [0]
