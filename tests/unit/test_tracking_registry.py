import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from decloud_lib import tracking
from decloud_lib.errors import ModelFolderError
from decloud_lib.tracking.registry import logged_model
from tests import servers
from tests.unit.test_tracking import record_model

CLAIM = """
import sys, time
from decloud_lib import tracking
version = tracking.find_version("decloud", int(sys.argv[1]))
champion = tracking.find_alias("decloud", "champion")
print("ready", flush=True)
sys.stdin.readline()
print("won" if tracking.claim_alias(version, "champion", champion) else "lost", flush=True)
"""


def versions(tmp_path: Path, count: int) -> list[tracking.Version]:
    """Register some versions; the first is the champion."""
    made = []
    for number in range(count):
        run_id = record_model(tmp_path / f"model-{number}", str(number))
        made.append(tracking.register(run_id, "decloud", "challenger"))
    tracking.point_alias(made[0], "champion")
    return made


def aliased(alias: str) -> int:
    found = tracking.find_alias("decloud", alias)
    assert found is not None
    assert alias in found.aliases
    return found.number


def changed_file(tmp_path: Path, text: str) -> Path:
    """Return the stored file of the model with this text."""
    (path,) = (
        path for path in (tmp_path / "mlartifacts").rglob("model.json") if path.read_text() == text
    )
    return path


def test_a_version_carries_its_digest_and_tags(mlflow_store: str, tmp_path: Path) -> None:
    first, second = versions(tmp_path, 2)
    assert (first.number, second.number) == (1, 2)
    assert first.digest != second.digest
    assert aliased("champion") == 1
    assert aliased("challenger") == 2
    assert tracking.find_alias("decloud", "none") is None
    assert tracking.find_alias("none", "champion") is None
    tracking.set_tags(second, {"score": "1"})
    assert tracking.find_version("decloud", 2).tags["score"] == "1"
    tracking.drop_alias(first, "challenger")
    assert tracking.find_alias("decloud", "challenger") is not None
    tracking.drop_alias(second, "challenger")
    assert tracking.find_alias("decloud", "challenger") is None


def test_a_flipped_byte_of_a_registered_model_is_refused(mlflow_store: str, tmp_path: Path) -> None:
    (version,) = versions(tmp_path, 1)
    uris = ("models:/decloud@champion", version.uri, f"runs:/{version.run_id}")
    uris += (f"models:/{logged_model(version.run_id).model_id}",)
    for uri in uris:
        with tracking.model_folder(uri) as folder:
            assert (folder / "model.json").read_text() == "0"
    changed_file(tmp_path, "0").write_text("1")
    for uri in uris:
        with (
            pytest.raises(ModelFolderError, match="not the model that was recorded"),
            tracking.model_folder(uri),
        ):
            pass


def test_a_version_without_a_digest_is_refused(mlflow_store: str, tmp_path: Path) -> None:
    versions(tmp_path, 1)
    mlflow.MlflowClient().delete_model_version_tag("decloud", "1", "decloud.digest")
    with (
        pytest.raises(ModelFolderError, match=r"keeps no decloud\.digest of it"),
        tracking.model_folder("models:/decloud@champion"),
    ):
        pass


@pytest.mark.parametrize("uri", ["models:/decloud", "models:/decloud/last"])
def test_a_wrong_name_of_a_model_is_explained(mlflow_store: str, uri: str) -> None:
    with (
        pytest.raises(tracking.TrackingError, match="expected models:/NAME@ALIAS"),
        tracking.model_folder(uri),
    ):
        pass


def test_an_alias_that_moved_is_not_taken(mlflow_store: str, tmp_path: Path) -> None:
    first, second, third = versions(tmp_path, 3)
    tracking.point_alias(second, "champion")
    assert not tracking.claim_alias(third, "champion", first, 0.0)
    assert aliased("champion") == 2
    assert tracking.claim_alias(third, "champion", second, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["store", "server"])
def test_of_several_processes_at_once_one_gets_the_alias(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = versions(tmp_path, 4)
    with servers.mlflow_server(mlflow_store, tmp_path) as uri:
        if kind == "server":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        rivals = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", CLAIM, str(version.number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for version in made[1:]
        ]
        for rival in rivals:
            assert rival.stdout.readline() == "ready\n"
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        said = [rival.communicate(timeout=300)[0].strip() for rival in rivals]
        champion = aliased("champion")
    assert sorted(said) == ["lost", "lost", "won"]
    assert made[1 + said.index("won")].number == champion
