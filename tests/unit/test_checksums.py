import shutil
import subprocess
from pathlib import Path

import pytest

from decloud_lib import checksums, storage, tracking
from decloud_lib.errors import ModelFolderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a sealed folder that looks like a model's."""
    root = tmp_path / "model"
    (root / "variables").mkdir(parents=True)
    (root / "saved_model.pb").write_bytes(bytes(range(256)) * 8)
    (root / "variables/variables.index").write_bytes(b"weights")
    checksums.seal_folder(root)
    return root


def flip(path: Path, at: int = 7) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_the_digest_is_of_the_content_and_the_paths(folder: Path, tmp_path: Path) -> None:
    digest = checksums.folder_digest(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    # What is written later about a folder is not of it.
    for name in (*checksums.NOT_COUNTED,):
        (copy / name).write_text("other")
    assert checksums.folder_digest(copy) == digest
    (copy / "saved_model.pb").rename(copy / "other.pb")
    assert checksums.folder_digest(copy) != digest


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no program sha256sum")
def test_the_checksums_are_those_of_the_usual_program(folder: Path) -> None:
    check = ["sha256sum", "--check", "--strict", checksums.NAME]
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 0
    flip(folder / "saved_model.pb")
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda root: flip(root / "saved_model.pb"), r"saved_model\.pb changed since"),
        (lambda root: (root / "variables/variables.index").unlink(), r"variables\.index missing"),
        (lambda root: (root / "extra.so").write_bytes(b"code"), r"extra\.so added since"),
        (lambda root: (root / checksums.NAME).write_text("rubbish"), "holds 'rubbish', expected"),
    ],
)
def test_a_changed_folder_is_refused(folder: Path, change: object, told: str) -> None:
    with tracking.model_folder(str(folder)) as same:
        assert same == folder
    change(folder)  # type: ignore[operator]
    with pytest.raises(ModelFolderError, match=told), tracking.model_folder(str(folder)):
        pass


def test_a_folder_that_was_sealed_again_is_not_what_was_recorded(folder: Path) -> None:
    digest = checksums.folder_digest(folder)
    assert checksums.check_folder(folder, "models:/a/1", digest)
    flip(folder / "saved_model.pb")
    checksums.seal_folder(folder)
    assert checksums.check_folder(folder, "models:/a/1")
    with pytest.raises(ModelFolderError, match=r"models:/a/1: .* not the model that was recorded"):
        checksums.check_folder(folder, "models:/a/1", digest)


def test_a_folder_without_checksums_is_taken_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    with tracking.model_folder(str(tmp_path)):
        assert "no SHA256SUMS: taken as it is" in caplog.text


def test_a_changed_object_in_a_bucket_is_refused(folder: Path, s3: str) -> None:
    uri = f"{s3}/models/a"
    storage.upload_folder(folder, uri)
    with tracking.model_folder(uri) as local:
        assert checksums.folder_digest(local) == checksums.folder_digest(folder)
    storage.write_bytes(f"{uri}/saved_model.pb", b"other")
    with (
        pytest.raises(ModelFolderError, match=r"saved_model\.pb changed"),
        tracking.model_folder(uri),
    ):
        pass
