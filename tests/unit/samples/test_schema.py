"""Names, shapes and types of a sample."""

import json

import numpy as np
import pytest

from decloud_lib.acquisitions import load_layout
from decloud_lib.errors import ConfigError, ShapeError
from decloud_lib.samples.schema import SampleSchema, check_patchsize, schema_of

#: Specification section 6, AL-TEST without 20 m bands, patches of 256 px.
AL_TEST = {
    "s2_timestamp_tm1": [None],
    "s2_tm1": [None, 256, 256, 4],
    "s1_timestamp_tm1": [None],
    "s1_ascending_tm1": [None],
    "s1_tm1": [None, 256, 256, 2],
    "s2_timestamp_t": [None],
    "s2_t": [None, 256, 256, 4],
    "s1_timestamp_t": [None],
    "s1_ascending_t": [None],
    "s1_t": [None, 256, 256, 2],
    "s2_timestamp_target": [None],
    "s2_target": [None, 256, 256, 4],
    "s2_timestamp_tp1": [None],
    "s2_tp1": [None, 256, 256, 4],
    "s1_timestamp_tp1": [None],
    "s1_ascending_tp1": [None],
    "s1_tp1": [None, 256, 256, 2],
    "dem": [None, 128, 128, 1],
}


def al_test(**changes):
    options = {"with_20m_bands": False, "with_dem": True} | changes
    return schema_of(load_layout("AL-TEST"), 256, **options)


def test_al_test_has_the_historic_keys_in_the_historic_order():
    found = json.loads(al_test().shapes_json())
    assert found == AL_TEST
    assert list(found) == list(AL_TEST)


def test_the_json_files_have_the_historic_form():
    schema = al_test()
    assert schema.shapes_json().startswith(
        '{\n    "s2_timestamp_tm1": [\n        null\n    ],\n    "s2_tm1": [\n        null,\n'
    )
    assert schema.types_json().startswith(
        '{\n    "s2_timestamp_tm1": "float64",\n    "s2_tm1": "int16",\n'
        '    "s1_timestamp_tm1": "float64",\n    "s1_ascending_tm1": "bool",\n'
        '    "s1_tm1": "uint16",\n'
    )


def test_20m_bands_follow_the_10m_bands():
    schema = al_test(with_20m_bands=True)
    assert schema.keys[:4] == ("s2_timestamp_tm1", "s2_tm1", "s2_20m_tm1", "s1_timestamp_tm1")
    assert schema.shapes["s2_20m_target"] == (128, 128, 6)
    assert "dem" not in al_test(with_dem=False).keys


def test_cloud_masks_follow_the_bands_and_times_can_be_left_out():
    schema = al_test(with_20m_bands=True, with_cloud_masks=True, with_timestamps=False)
    assert schema.keys[:5] == (
        "s2_tm1",
        "s2_20m_tm1",
        "s2_cld10m_tm1",
        "s1_ascending_tm1",
        "s1_tm1",
    )
    assert schema.shapes["s2_cld10m_t"] == (256, 256, 1)
    assert schema.dtypes["s2_cld10m_t"] == "uint8"
    assert not [key for key in schema.keys if "timestamp" in key]


def test_the_files_are_read_back(tmp_path):
    schema = al_test()
    schema.write(tmp_path)
    assert SampleSchema.read(tmp_path) == schema


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"output_types\.json is missing"):
        SampleSchema.read(tmp_path)
    al_test().write(tmp_path)
    (tmp_path / "output_types.json").write_text('{"dem": "int16"}')
    with pytest.raises(ConfigError, match="name different keys"):
        SampleSchema.read(tmp_path)
    (tmp_path / "output_types.json").write_text("[")
    with pytest.raises(ConfigError, match="not a usable JSON file"):
        SampleSchema.read(tmp_path)


@pytest.mark.parametrize("size", [0, -64, 100, 63])
def test_a_patch_size_must_be_a_multiple_of_64(size):
    with pytest.raises(ConfigError, match=f"patchsize is {size}; expected a multiple of 64"):
        check_patchsize(size)


def test_arrays_of_another_form_are_refused():
    schema = SampleSchema({"dem": (4, 4, 1)}, {"dem": "int16"})
    schema.check({"dem": np.zeros((4, 4, 1), np.int16)})
    with pytest.raises(ShapeError, match="dem is int16"):
        schema.check({"dem": np.zeros((4, 4, 2), np.int16)})
    with pytest.raises(ShapeError, match="dem is float32"):
        schema.check({"dem": np.zeros((4, 4, 1), np.float32)})
    with pytest.raises(ShapeError, match="sample keys"):
        schema.check({})
