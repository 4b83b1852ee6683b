from dataclasses import replace
from pathlib import Path

import pytest

from decloud_lib import storage
from decloud_lib.errors import ConfigError, NoSampleError, RecordError, ShapeError
from decloud_lib.learning import naming
from decloud_lib.learning.record_sets import find_record_sets, local_records
from decloud_lib.manifest import Manifest
from decloud_lib.models import registry
from decloud_lib.models.registry import ModelSpec
from tests.records import write_records

DAVID = "crga_os2_david"


def test_records_in_a_bucket_are_found_and_read(bucket: str, tmp_path: Path) -> None:
    storage.upload_folder(write_records(tmp_path / "made", n=7), storage.join(bucket, "a/train"))
    found = find_record_sets([storage.join(bucket, "a/train") + "/"])
    assert [item.name for item in found] == ["train"]
    with local_records(found) as records:
        batches = records[0].batches(("s2_t", "s2_timestamp_tm1"), ("s2_target",), 4)
        sizes = [len(inputs["s2_t"]) for inputs, _ in batches.as_numpy_iterator()]
    assert sizes == [4, 3]


def test_a_damaged_record_is_named_or_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_records(tmp_path / "train", n=7)
    content = bytearray((folder / "1.records").read_bytes())
    content[len(content) // 4] ^= 1
    (folder / "1.records").write_bytes(content)
    found = find_record_sets([str(folder)])
    keys = ("s2_t",), ("s2_target",)
    with (
        pytest.raises(RecordError, match=r"1\.records: record 0 of 2 is damaged"),
        local_records(found) as records,
    ):
        list(records[0].batches(*keys, 1))
    with local_records(found, skip_damaged=True) as records:
        assert records[0].samples == len(list(records[0].batches(*keys, 1))) == 6
    assert "1.records: left out 1 damaged records" in caplog.text


@pytest.mark.parametrize("loss", ["a file", "half of a file", "the end of a file"])
def test_samples_that_are_gone_are_counted(
    loss: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_records(tmp_path / "train", n=9)
    last = folder / "1.records"
    size = last.stat().st_size
    if loss == "a file":
        last.unlink()
    else:
        # Four records: half of the file is two whole ones.
        last.write_bytes(last.read_bytes()[: size // 2 if loss == "half of a file" else size - 1])
    left = {"a file": 5, "half of a file": 7, "the end of a file": 8}[loss]
    made_by = Manifest(stage="sample", config={}, inputs=(), counts={"samples": 9})
    found = [replace(item, made_by=made_by) for item in find_record_sets([str(folder)])]
    said = "damaged or cut short" if loss == "the end of a file" else f"found {left} samples.*9"
    with pytest.raises(RecordError, match=said), local_records(found):
        pass
    with local_records(found, skip_damaged=True) as records:
        assert len(list(records[0].batches(("s2_t",), ("s2_target",), 1))) == left
    assert f"train: found {left} samples, its manifest says 9" in caplog.text


def test_files_without_a_sample_are_refused(tmp_path: Path) -> None:
    folder = write_records(tmp_path / "train", n=1)
    (folder / "0.records").write_bytes(b"")
    found = find_record_sets([str(folder)])
    with pytest.raises(NoSampleError, match="found no sample in its files"), local_records(found):
        pass


def test_folders_of_one_name_are_told_apart_by_their_parent(tmp_path: Path) -> None:
    uris = [str(write_records(tmp_path / part / "valid", n=1)) for part in ("a", "b")]
    assert [item.name for item in find_record_sets(uris)] == ["a-valid", "b-valid"]


def test_folders_are_told_apart_however_deep_they_differ(tmp_path: Path) -> None:
    parts = ("a/s/valid", "b/s/valid", "b/t/valid", "train")
    uris = [str(write_records(tmp_path / part, n=1)) + "/" for part in parts]
    assert [item.name for item in find_record_sets(uris)] == [
        *("a-s-valid", "b-s-valid", "t-valid", "train")
    ]


def test_a_folder_given_twice_is_refused(tmp_path: Path) -> None:
    uri = str(write_records(tmp_path / "valid", n=1))
    with pytest.raises(ConfigError, match="given twice"):
        find_record_sets([uri, uri + "/"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoSampleError, match=r"nowhere: no \*\.records there"):
        find_record_sets([str(tmp_path / "nowhere")])
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_key_is_named_with_the_models_that_fit(tmp_path: Path) -> None:
    (found,) = find_record_sets([str(write_records(tmp_path / "train", n=1, with_dem=False))])
    definition = registry.get(DAVID)
    with pytest.raises(ConfigError, match=r"hold no dem, .* models that fit: .*nearest_date"):
        found.check(definition.contract(ModelSpec()), definition.target_keys)
    found.check(definition.contract(ModelSpec(use_dem=False)), definition.target_keys)


def test_a_size_that_the_stride_does_not_divide_is_refused(tmp_path: Path) -> None:
    (found,) = find_record_sets([str(write_records(tmp_path / "train", n=1))])
    contract = registry.get(DAVID).contract(ModelSpec()).model_copy(update={"stride": 48})
    with pytest.raises(ShapeError, match="must be a multiple of 48"):
        found.check(contract, ("s2_target",))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    first, other = (
        find_record_sets([str(write_records(tmp_path / name, n=n))])[0].fingerprint
        for name, n in (("a", 2), ("b", 3))
    )
    again = find_record_sets([str(write_records(tmp_path / "c", n=2))])[0].fingerprint
    assert first == again != other


def test_other_samples_of_the_same_sizes_have_another_fingerprint(
    bucket: str, tmp_path: Path
) -> None:
    folders = [write_records(tmp_path / str(seed), n=7, seed=seed) for seed in (1, 2)]
    names = [{file.name: file.stat().st_size for file in folder.iterdir()} for folder in folders]
    assert names[0] == names[1]
    first, other = (find_record_sets([str(folder)])[0].fingerprint for folder in folders)
    assert first != other
    storage.upload_folder(folders[0], storage.join(bucket, "there"))
    assert find_record_sets([storage.join(bucket, "there")])[0].fingerprint == first


def test_the_experiment_is_named_after_data_set_and_layout(tmp_path: Path) -> None:
    (train,) = find_record_sets([str(write_records(tmp_path / "spring/train", n=1))])
    assert naming.data_name(train) == naming.experiment_of(train) == "spring"
    (whole,) = find_record_sets([str(write_records(tmp_path / "autumn", n=1))])
    assert naming.data_name(whole) == "autumn"
    made_by = Manifest(stage="sample", config={"layout_name": "AL-OS2"}, inputs=())
    known = replace(train, made_by=made_by)
    assert naming.experiment_of(known) == "spring AL-OS2"
    assert naming.run_name("david", known).startswith("david spring ")
    assert naming.run_tags("train", "david", [known])["layout"] == "AL-OS2"
