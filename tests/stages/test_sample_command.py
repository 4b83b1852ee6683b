"""`decloud sample` with the option names of the existing system: what each option does."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import cli
from decloud_lib.samples.frames import count_records
from decloud_lib.samples.schema import SampleSchema
from tests.prepared_tiles import Optical, Tile, season, write_tile

LAYOUT = "AL-CRGA-OS2-clear-neighbours"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tile of 4 x 6 elementary patches: two columns for each of three data sets."""
    columns = np.arange(6)[None, :].repeat(4, axis=0) // 2
    regions = {name: columns == n for n, name in enumerate(("train", "valid", "test"))}
    root = tmp_path_factory.mktemp("prepared")
    return write_tile(root, Tile(*season(), cells=(4, 6), regions=regions))


def words(files, root, *more):
    """The command of the documentation, with a training set."""
    command = (
        f"sample --tiles {files[0]} --rois {files[1]} --patchsize 64 --n_samples_per_shard 20 "
        f"--acquisition_train {LAYOUT} --output_train {root}/train"
    )
    return [*command.split(), *more]


def others(root):
    return (
        f"--acquisitions_valid {LAYOUT} {LAYOUT} --outputs_valid {root}/valid {root}/valid2 "
        f"--acquisitions_test {LAYOUT} --outputs_test {root}/test"
    ).split()


def features(folder):
    paths = sorted(Path(folder).glob("*.geojson"), key=lambda path: int(path.stem))
    return [
        item["properties"] for path in paths for item in json.loads(path.read_text())["features"]
    ]


def shards(folder):
    paths = sorted(Path(folder).glob("*.records"), key=lambda path: int(path.stem))
    return [count_records(path) for path in paths]


def test_training_several_validation_and_test_sets(files, tmp_path):
    assert cli.main(words(files, tmp_path, *others(tmp_path))) == 0
    for name, columns in (
        ("train", {0, 1}),
        ("valid", {2, 3}),
        ("valid2", {2, 3}),
        ("test", {4, 5}),
    ):
        assert {found["position"][1] for found in features(tmp_path / name)} == columns
    # Two sets of one split hold the same samples, in another order.
    assert shards(tmp_path / "valid") == shards(tmp_path / "valid2")
    assert features(tmp_path / "valid") != features(tmp_path / "valid2")


def test_lists_of_different_lengths_are_refused(files, tmp_path, capsys):
    more = ["--acquisitions_valid", LAYOUT, "--outputs_valid", "a", "b"]
    assert cli.main(words(files, tmp_path, *more)) == 2
    assert "valid: 1 layouts and 2 outputs" in capsys.readouterr().err


def test_patchsize(files, tmp_path):
    """128 px: the tile has 2 x 3 positions; 192 px: no position lies in one region."""
    assert cli.main(words(files, tmp_path, "-p", "128", "--maxntrain", "5")) == 0
    schema = SampleSchema.read(tmp_path / "train")
    assert schema.shapes["s2_t"] == (128, 128, 4)
    assert schema.shapes["dem"] == (64, 64, 1)
    assert {found["position"][1] for found in features(tmp_path / "train")} == {0}
    assert cli.main(words(files, tmp_path, "-p", "192")) == 2


def test_n_samples_per_shard(files, tmp_path):
    assert cli.main(words(files, tmp_path, "-s", "7", "--maxntrain", "18")) == 0
    assert shards(tmp_path / "train") == [7, 7, 4]


def test_drop_remainder(files, tmp_path, caplog):
    more = ["-s", "7", "--maxntrain", "18"]
    assert cli.main(words(files, tmp_path, *more, "--drop_remainder")) == 0
    assert shards(tmp_path / "train") == [7, 7]
    assert cli.main(words(files, tmp_path, *more, "--overwrite", "--no-drop-remainder")) == 0
    assert shards(tmp_path / "train") == [7, 7, 4]


def test_maximal_numbers(files, tmp_path):
    more = ["--maxntrain", "3", "--maxnvalid", "4", "--maxntest", "5"]
    assert cli.main(words(files, tmp_path, *others(tmp_path), *more)) == 0
    counts = {name: shards(tmp_path / name) for name in ("train", "valid", "valid2", "test")}
    assert counts == {"train": [3], "valid": [4], "valid2": [4], "test": [5]}


def test_with_20m_bands(files, tmp_path):
    assert cli.main(words(files, tmp_path, "--with_20m_bands", "--maxntrain", "2")) == 0
    assert SampleSchema.read(tmp_path / "train").shapes["s2_20m_tp1"] == (32, 32, 6)


def test_with_cloud_masks_and_without_times(files, tmp_path):
    more = ["--with_cloud_masks", "--no_with_timestamps", "--maxntrain", "2"]
    assert cli.main(words(files, tmp_path, *more)) == 0
    assert SampleSchema.read(tmp_path / "train").keys == (
        *("s2_tm1", "s2_cld10m_tm1", "s1_ascending_tm1", "s1_tm1"),
        *("s2_t", "s2_cld10m_t", "s1_ascending_t", "s1_t"),
        *("s2_target", "s2_cld10m_target"),
        *("s2_tp1", "s2_cld10m_tp1", "s1_ascending_tp1", "s1_tp1", "dem"),
    )


@pytest.mark.parametrize(("more", "most"), [([], 10), (["--constant_nb", "2"], 2)])
def test_constant(files, tmp_path, more, most):
    assert cli.main(words(files, tmp_path, "--constant", *more)) == 0
    found = Counter(tuple(item["position"]) for item in features(tmp_path / "train"))
    assert list(found.values()) == [most] * 8


def test_oversampling_is_for_validation_and_test(tmp_path):
    """In June there are many samples, in September one per position."""
    days = [Optical(2 * i, 0 if i % 2 else 2048) for i in range(15)]
    optical = [*days, Optical(92, 0), Optical(94, 2048), Optical(96, 0)]
    columns = np.arange(2)[None, :]
    regions = {name: columns == n for n, name in enumerate(("train", "valid"))}
    radar = season(0, 30)[1]
    files = write_tile(tmp_path, Tile(optical, radar, cells=(1, 2), regions=regions))
    command = (
        f"sample -t {files[0]} --rois {files[1]} -p 64 --oversampling "
        f"--acquisition_train AL-Meraner-Occitanie --output_train {tmp_path}/train "
        f"--acquisitions_valid AL-Meraner-Occitanie --outputs_valid {tmp_path}/valid"
    )
    assert cli.main(command.split()) == 0

    def autumn(name):
        months = [found["s2_t_date"][5:7] for found in features(tmp_path / name)]
        return months.count("09") / len(months)

    assert autumn("train") < 0.1
    assert 0.3 < autumn("valid") < 0.7


def test_dry_run_tells_what_would_be_written_to_the_byte(files, tmp_path, capsys):
    command = words(files, tmp_path, *others(tmp_path), "--maxnvalid", "30")
    assert cli.main([*command, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    assert cli.main(command) == 0
    for found in told["sets"]:
        folder = Path(found["output"])
        assert found["action"] == "make"
        assert found["shards"] == len(shards(folder))
        assert found["samples"] == sum(shards(folder)) <= found["possible"]
        assert found["bytes"] == sum(path.stat().st_size for path in folder.glob("*.records"))
    assert [found["samples"] for found in told["sets"]][1:3] == [30, 30]
    capsys.readouterr()
    assert cli.main([*command, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"done    train  {LAYOUT}: ")
    assert lines[-1].startswith("total: 0 ")
    assert cli.main([*command, "--dry-run", "--maxnvalid", "20"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:4]] == [
        *("done", "replace", "replace", "done"),
    ]


def test_dry_run_finds_what_a_run_would_refuse(files, tmp_path, capsys):
    command = words(files, tmp_path, "--dry-run", "--maxntrain", "5", "--drop-remainder")
    assert cli.main(command) == 2
    assert "5 samples do not fill a shard of 20" in capsys.readouterr().err
