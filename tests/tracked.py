"""A fresh MLflow store per test, without the seconds that its tables take each time."""

import shutil
from pathlib import Path

import pytest

from decloud_lib import tracking


@pytest.fixture
def mlflow_store(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Give an empty store in the test's folder, reached through the environment."""
    template = tmp_path_factory.getbasetemp() / "mlflow-template.db"
    if not template.is_file():
        _make_tables(template)
    shutil.copy(template, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def _make_tables(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        assert not tracking.has_run("none")
