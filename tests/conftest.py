"""Fixtures for all tests: an isolated environment and buckets on real servers."""

import gc
import itertools
import logging
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from decloud_lib import storage, tracking
from decloud_lib.demo.server import S3Server, serve_folder
from tests import servers

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.load_profile("ci" if servers.ON_CI else "laptop")

_numbers = itertools.count()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what the imports of all tests make, neither now nor later.

    TensorFlow, MLflow and the others make some 700,000 objects that stay; Keras collects garbage
    again and again, which would take half a second each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    """Begin each test with the log of a new process, whatever other tests set up: commands do."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.setLevel(logging.WARNING)
    yield
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def quiet_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty home folder: no credentials, no settings of the person who runs the tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, quiet_home: Path) -> None:
    """Take away what could lead a test to a real bucket or tracking server."""
    for name in servers.foreign_variables():
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(quiet_home))
    # Without credentials boto3 would ask the cloud's metadata server, and wait for it.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """Run one in-memory S3 server for all tests; sets no variables."""
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one S3 server over a folder, as the demo does; sets no variables."""
    with serve_folder(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one real Ceph gateway (20 s to start: mark tests `slow`); sets no variables."""
    if reason := servers.missing_for_ceph():
        pytest.skip(reason)
    with servers.ceph(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture
def s3(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a fresh bucket on moto as `s3://name`; the AWS variables lead to it."""
    return _fresh_bucket(moto_server, monkeypatch)


@pytest.fixture
def rclone_bucket(rclone_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a fresh bucket on rclone as `s3://name`; the AWS variables lead to it."""
    return _fresh_bucket(rclone_server, monkeypatch)


@pytest.fixture
def ceph_bucket(ceph_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a fresh bucket on Ceph as `s3://name`; the AWS variables lead to it."""
    return _fresh_bucket(ceph_server, monkeypatch)


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty place to work in: once a local folder, once a bucket."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    folder = tmp_path / "bucket"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def mlflow_store(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Give an empty MLflow store in the test's folder, reached through the environment."""
    # Making the tables takes seconds: once per session.
    template = tmp_path_factory.getbasetemp() / "mlflow-template.db"
    if not template.is_file():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{template}")
            assert not tracking.has_run("none")
    shutil.copy(template, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def _fresh_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://test-{os.getpid()}-{next(_numbers)}"
    storage.create_bucket(uri)
    return uri
