"""The engine, the image, and how a container is run; each skip says its reason."""

from collections.abc import Iterator
from typing import Any

import pytest

from components import images


class Engine:
    """A Docker client that knows the name of our image."""

    def __init__(self, client: Any, image: str) -> None:
        self.client = client
        self.image = image

    @property
    def containers(self) -> Any:
        return self.client.containers

    @property
    def images(self) -> Any:
        return self.client.images


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Give the engine that DOCKER_HOST or the default socket leads to, with our image in it."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    try:
        if not client.images.list(name=images.CPU):
            pytest.skip(f"the engine has no image {images.CPU}: make images")
        yield Engine(client, images.CPU)
    finally:
        client.close()


@pytest.fixture
def hardened(s3: str, moto_server: Any) -> dict[str, Any]:
    """Give the arguments of a container as the restricted profile would have it."""
    return {
        "network_mode": "host",
        "environment": dict(moto_server.environment),
        "read_only": True,
        "tmpfs": {"/tmp": "exec,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": "4g",
    }
