import logging
import socket
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import storage, tracking
from decloud_lib.errors import ModelFolderError

SIGNATURE = {"s2_t": ("float32", (-1, -1, -1, 4))}


def client() -> object:
    import mlflow

    return mlflow.MlflowClient()


def record_model(folder: Path, text: str = "network") -> str:
    folder.mkdir()
    (folder / "model.json").write_text(text)
    with tracking.open_run("tests", name="run") as run:
        run.log_model(folder, "net", SIGNATURE, {"s2_estim": SIGNATURE["s2_t"]}, ["numpy==2.0"], 0)
    return run.run_id


def test_a_run_holds_what_was_recorded(mlflow_store: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with tracking.open_run("tests", name="first", tags={"model": "m"}) as run:
        run.log_params({"learning_rate": 0.1, "seed": 3})
        run.log_metrics({"valid/a/psnr_db": 20.0, "valid/a/loss": float("inf")}, step=1)
        run.log_metrics({"valid/a/psnr_db": 21.0}, step=2)
        run.log_image(np.zeros((8, 8, 3), "uint8"), "previews/valid", 1)
        run.log_file(tmp_path / "table.csv", "scores")
        run.log_dataset(str(tmp_path), "valid", "ab" * 32, "validation")
    found = client().get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"learning_rate": "0.1", "seed": "3"}
    assert found.data.metrics == {"valid/a/psnr_db": 21.0}
    assert found.data.tags["model"] == "m"
    assert found.inputs.dataset_inputs[0].dataset.name == "valid"
    assert (tmp_path / "mlartifacts" / run.run_id / "artifacts/scores/table.csv").is_file()


def test_names_of_folders_may_hold_what_mlflow_refuses(mlflow_store: str) -> None:
    with tracking.open_run("tests") as run:
        run.log_metrics({"valid/été (copy) 100%/mae": 0.1}, step=1)
        run.log_image(np.zeros((8, 8, 3), "uint8"), "previews/été (copy) 100%", 1)
    assert client().get_run(run.run_id).data.metrics == {"valid/été _copy_ 100_/mae": 0.1}
    images = client().list_artifacts(run.run_id, "images")
    assert all("previews~_t_ _copy_ 100_+" in item.path for item in images)
    assert len(images) == 2


def test_a_data_set_that_another_run_adds_at_the_same_time_is_recorded(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlDataset
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.orm import make_transient

    add, times = SqlAlchemyStore._log_inputs_impl, []

    def overtaken(store: SqlAlchemyStore, *words: object) -> None:
        """Add it twice the first time, as if another run came between look and entry."""
        times.append(len(times))
        add(store, *words)
        if len(times) == 1:
            with store.ManagedSessionMaker(read_only=False) as session:
                row = session.query(SqlDataset).one()
                make_transient(row)
                session.add(row)

    monkeypatch.setattr(SqlAlchemyStore, "_log_inputs_impl", overtaken)
    with tracking.open_run("tests", name="first") as run:
        run.log_dataset(str(tmp_path), "valid", "ab" * 32, "validation")
    found = client().get_run(run.run_id)
    assert [item.dataset.name for item in found.inputs.dataset_inputs] == ["valid"]
    assert times == [0, 1]


def test_a_run_goes_on_and_a_failure_is_marked(mlflow_store: str) -> None:
    with tracking.open_run("tests") as run:
        run.log_params({"seed": 3})

    def fail() -> None:
        with tracking.open_run("tests", run_id=run.run_id) as again:
            again.log_params({"seed": 3})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert client().get_run(run.run_id).info.status == "FAILED"
    assert tracking.has_run(run.run_id)
    assert not tracking.has_run("0" * 32)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_added_later_leaves_the_end_of_a_run(fails: bool, mlflow_store: str) -> None:
    with tracking.open_run("tests") as run:
        run.log_metrics({"valid/v/psnr_db": 20.0})
    ended = client().get_run(run.run_id).info
    with suppress(RuntimeError), tracking.reopen_run(run.run_id) as again:
        again.log_metrics({"test/t/psnr_db": 21.0})
        if fails:
            raise RuntimeError("stop")
    found = client().get_run(run.run_id)
    assert (found.info.end_time, found.info.status) == (ended.end_time, "FINISHED")
    assert found.data.metrics == {"valid/v/psnr_db": 20.0, "test/t/psnr_db": 21.0}
    with pytest.raises(tracking.TrackingError, match="not found"), tracking.reopen_run("0" * 32):
        pass


def test_a_model_is_registered_once_per_run(mlflow_store: str, tmp_path: Path) -> None:
    first = record_model(tmp_path / "one", "one")
    assert tracking.register(first, "decloud", "champion").number == 1
    assert tracking.register(first, "decloud", "champion").number == 1
    second = record_model(tmp_path / "two", "two")
    assert tracking.register(second, "decloud", "champion", {"score": "1"}).number == 2
    for uri, text in {
        "models:/decloud@champion": "two",
        "models:/decloud/1": "one",
        f"runs:/{first}": "one",
        str(tmp_path / "one"): "one",
    }.items():
        with tracking.model_folder(uri) as folder:
            assert (folder / "model.json").read_text() == text


def test_a_model_folder_in_a_bucket_is_brought_here(s3: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("x")
    storage.upload_folder(tmp_path, storage.join(s3, "models/a"))
    with tracking.model_folder(storage.join(s3, "models/a")) as folder:
        assert (folder / "model.json").read_text() == "x"


@pytest.mark.parametrize("uri", ["models:/decloud@champion", "models:/decloud/3", "runs:/none"])
def test_a_model_that_is_not_there_is_named(mlflow_store: str, uri: str) -> None:
    with (
        pytest.raises(tracking.TrackingError, match=r"at sqlite.*not found; check the name"),
        tracking.model_folder(uri),
    ):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    uri = str(tmp_path / "none")
    with pytest.raises(ModelFolderError, match="no model folder"), tracking.model_folder(uri):
        pass


def test_a_run_without_a_model_cannot_be_registered(mlflow_store: str) -> None:
    with tracking.open_run("tests") as run:
        pass
    with pytest.raises(tracking.TrackingError, match="has no model"):
        tracking.register(run.run_id, "decloud", "champion")


def test_a_server_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    start = time.monotonic()
    with (
        pytest.raises(tracking.TrackingError, match="cannot be reached"),
        tracking.open_run("tests"),
    ):
        pass
    assert time.monotonic() - start < 20.0


def test_by_default_runs_are_kept_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "note.txt").write_text("note")
    with tracking.open_run("tests") as run:
        run.log_file(tmp_path / "note.txt")
    assert (tmp_path / "mlflow.db").is_file()
    # Making the tables of a new store leaves our log as it was.
    logging.getLogger("decloud_lib.manifest").warning("still heard")
    assert "still heard" in caplog.text
    assert (tmp_path / "mlartifacts" / run.run_id / "artifacts/note.txt").is_file()


def test_a_run_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    from decloud_lib.tracking import origin

    image = "registry/decloud@sha256:" + "ab" * 32
    monkeypatch.setenv("DECLOUD_IMAGE", image)
    monkeypatch.delenv("DECLOUD_COMMIT", raising=False)
    origin.commit.cache_clear()
    # Outside of an image nothing is said about one, whatever the pipeline asks for.
    assert "image" not in tracking.origin_tags()
    monkeypatch.setenv("DECLOUD_COMMIT", "0123456789abcdef")
    origin.commit.cache_clear()
    assert tracking.origin_tags(pipeline_run="p", parent_run="r") == {
        "commit": "0123456",
        "image": image,
        "image_digest": "sha256:" + "ab" * 32,
        "pipeline_run": "p",
        "mlflow.parentRunId": "r",
    }
    origin.commit.cache_clear()


def test_no_commit_is_made_up_outside_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from decloud_lib.tracking import origin

    monkeypatch.delenv("DECLOUD_COMMIT", raising=False)
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(origin, "_PACKAGE", tmp_path)
    origin.commit.cache_clear()
    assert tracking.commit() is None
    origin.commit.cache_clear()
