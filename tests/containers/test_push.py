"""Images in a registry on this machine: Debian's own, on loopback."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.profile import Images
from tests import servers

pytestmark = pytest.mark.container

PUSH = Path(__file__).parents[2] / "docker" / "push.sh"
TARGETS = ("prepare", "train-gpu", "infer", "retrain")
REVISION = "0123456789" * 4


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Run an empty registry; gives its address with a path."""
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry: apt-get install docker-registry")
    port = servers.free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yml").write_text(yaml.safe_dump(settings))
    with (tmp_path / "registry.log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "registry.yml")], stdout=log, stderr=log
        )
        try:
            servers.wait_for_port(port, 30)
            yield f"127.0.0.1:{port}/decloud"
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def made(engine: Any) -> Iterator[str]:
    """Give the name of tiny images with the labels of ours."""
    name = f"decloud-push-test-{os.getpid()}"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    try:
        for target in TARGETS:
            label(engine, content.getvalue(), f"{name}:{target}", REVISION)
        label(engine, content.getvalue(), f"{name}:train", f"{REVISION}-dirty")
        yield name
    finally:
        for image in engine.images.list(name=name):
            engine.images.remove(image.id, force=True)


def label(engine: Any, content: bytes, image: str, revision: str) -> None:
    repository, tag = image.split(":")
    engine.api.import_image_from_data(
        content,
        repository=repository,
        tag=tag,
        changes=[
            "LABEL org.opencontainers.image.version=1.2.3",
            f"LABEL org.opencontainers.image.revision={revision}",
            f"LABEL org.opencontainers.image.title={tag}",
        ],
    )


def push(name: str, tmp_path: Path, *arguments: str, **variables: str) -> Any:
    return subprocess.run(
        ["bash", str(PUSH), *arguments],
        env={**servers.environment(), "NAME": name, "OUT": str(tmp_path / "i.yaml"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pushed_images_are_named_by_digest_for_a_profile(engine, registry, made, tmp_path):
    finished = push(made, tmp_path, registry, *TARGETS)
    assert finished.returncode == 0, finished.stderr

    named = yaml.safe_load((tmp_path / "i.yaml").read_text())["images"]
    assert named.keys() == {"prepare", "train", "infer"}
    assert Images.model_validate(named).train.startswith(f"{registry}/train-gpu@sha256:")
    for reference in named.values():
        pulled = engine.images.pull(reference)
        assert pulled.labels["org.opencontainers.image.revision"] == REVISION
    tags = servers.call(f"http://{registry.split('/')[0]}/v2/decloud/infer/tags/list")
    assert b'"1.2.3"' in tags
    told = yaml.safe_load(finished.stdout.partition("(k8s/overlays):\n")[2])["images"]
    (shown,) = engine.images.get(f"{registry}/retrain:1.2.3").attrs["RepoDigests"]
    assert [item["name"] for item in told] == ["decloud/retrain"]
    assert f"{told[0]['newName']}@{told[0]['digest']}" == shown
    for reference in (*named.values(), shown):
        engine.images.remove(reference, force=True)


def test_a_dry_run_sends_nothing(registry, made, tmp_path):
    finished = push(made, tmp_path, registry, "prepare", DRY_RUN="1")

    assert finished.returncode == 0, finished.stderr
    assert f"{made}:prepare to {registry}/prepare:1.2.3" in finished.stdout
    assert not (tmp_path / "i.yaml").exists()
    assert b"decloud" not in servers.call(f"http://{registry.split('/')[0]}/v2/_catalog")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no registry"),
        (["127.0.0.1:1/x", "prepare", "train"], "nobody can check out"),
        (["127.0.0.1:1/x", "moon"], "make images"),
    ],
)
def test_what_cannot_be_pushed_is_said_before_anything_is_sent(made, tmp_path, arguments, message):
    finished = push(made, tmp_path, *arguments)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert finished.stdout == ""
