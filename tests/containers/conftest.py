"""The engine, the images and the servers that the containers talk to; each skip says its reason."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import images
from decloud_lib import storage
from pipelines.runs import DockerOptions
from tests import servers
from tests.containers.chain import USER, Chain, Done
from tests.products import small_delivery

MLFLOW = "decloud:mlflow"
IMAGES = {images.PREPARE, images.TRAIN, images.INFER, "decloud:retrain", MLFLOW}
K8S = Path(__file__).parents[2] / "k8s"

#: A container as the restricted profile of Kubernetes would have it.
HARDENED: dict[str, Any] = {
    "network_mode": "host",
    "read_only": True,
    "tmpfs": {"/tmp": "exec,mode=1777"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "4g",
}


@dataclass(frozen=True)
class Platform:
    """What a cluster would offer: a bucket, and a tracking server that keeps artifacts in it."""

    bucket: str
    mlflow: str
    environment: dict[str, str]
    """The variables of a task."""


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """Give a client of the engine that DOCKER_HOST or the default socket leads to."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    try:
        there = {tag for image in client.images.list() for tag in image.tags}
        if IMAGES - there:
            pytest.skip(f"the engine has no image {', '.join(sorted(IMAGES - there))}: make images")
        yield client
    finally:
        client.close()


@pytest.fixture(scope="session")
def platform(engine: Any, ceph_server: Any) -> Iterator[Platform]:
    """Run MLflow in its container, on PostgreSQL, with artifacts in a bucket of Ceph."""
    if reason := servers.missing_for_postgres():
        pytest.skip(reason)
    bucket = f"s3://decloud-{servers.free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ceph_server.environment.items():
            patch.setenv(name, value)
        storage.create_bucket(bucket)
    with (
        servers.postgres() as store,
        _tracking_server(engine, ceph_server.environment, store, bucket) as url,
    ):
        environment = {**ceph_server.environment, "MLFLOW_TRACKING_URI": url}
        yield Platform(bucket, url, environment)


@pytest.fixture
def cluster(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Give the platform; the variables of this process lead to it too."""
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    return platform


@pytest.fixture
def hardened(platform: Platform) -> dict[str, Any]:
    """Give the arguments of a container with as few rights as in a cluster."""
    return {**HARDENED, "environment": dict(platform.environment)}


@pytest.fixture
def options(platform: Platform) -> DockerOptions:
    """Give what a task's container is like: the images' own user, no rights, a read-only root."""
    return _options(platform)


@pytest.fixture(scope="session")
def done(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Run the pipelines from products to an image in containers, then without them."""
    folder = tmp_path_factory.mktemp("runs")
    raw = f"{platform.bucket}/raw"
    contained = Chain(f"{platform.bucket}/contained", raw, folder, _options(platform))
    here = Chain(f"{platform.bucket}/here", raw, folder, None)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.environment.items():
            patch.setenv(name, value)
        storage.upload_folder(Path(small_delivery(folder).root), raw)
        runs = {
            "preprocessing": contained.prepare(),
            "sampling": contained.sample(),
            "training": contained.train(),
        }
        done = Done(contained, here, runs)
        runs["reconstruction"] = contained.reconstruct(done.model)
        here.prepare()
        here.sample()
        here.reconstruct(done.model)
    return done


def _options(platform: Platform) -> DockerOptions:
    return DockerOptions(environment=platform.environment, user=USER, restricted=True)


@contextmanager
def _tracking_server(
    engine: Any, bucket_variables: dict[str, str], store: str, bucket: str
) -> Iterator[str]:
    """Run the server of the Kubernetes base with its own arguments; gives its address."""
    settings = yaml.safe_load((K8S / "runs" / "settings.yaml").read_text())["data"]
    deployment = next(yaml.safe_load_all((K8S / "base" / "mlflow.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    port = servers.free_port()
    arguments = [
        argument.replace("$(MLFLOW_ARTIFACTS)", f"{bucket}/mlflow").replace("5000", str(port))
        for argument in container["args"]
    ]
    fixed = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    environment = {
        **bucket_variables,
        **fixed,
        "MLFLOW_SERVER_ALLOWED_HOSTS": settings["MLFLOW_SERVER_ALLOWED_HOSTS"],
        "MLFLOW_BACKEND_STORE_URI": store,
    }
    running = engine.containers.run(
        MLFLOW,
        [*container["command"], *arguments],
        detach=True,
        environment=environment,
        **HARDENED,
    )
    try:
        _await_health(running, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.remove(force=True)


def _await_health(running: Any, url: str) -> None:
    deadline = time.monotonic() + 600
    while True:
        try:
            servers.call(url)
            return
        except OSError:  # refused, or slower than a call waits
            running.reload()
            if running.status == "exited" or time.monotonic() > deadline:
                pytest.fail(running.logs().decode()[-4000:])
            time.sleep(0.5)
