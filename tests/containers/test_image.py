"""The image, run as a cluster would run it: no root, no capabilities, nothing but /tmp to write to.

Needs a Docker engine and the image (`docker/test.sh` builds it).
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from decloud_lib import storage
from tests import servers

pytestmark = pytest.mark.container

BASE = Path(__file__).parents[2] / "k8s" / "base"


def call(url: str, method: str = "GET", body: bytes | None = None, host: str = "") -> bytes:
    """Send one request and return the answer; loopback only, never through a proxy."""
    request = urllib.request.Request(url, data=body, method=method)
    if host:
        request.add_header("Host", host)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return bytes(answer.read())


@pytest.fixture
def mlflow_server(engine, hardened, s3) -> Iterator[str]:
    """Run the server of the Kubernetes base with its own arguments, and artifacts in the bucket.

    Its store is a file here; in the cluster it is PostgreSQL.
    """
    settings = yaml.safe_load((BASE / "settings.yaml").read_text())["data"]
    deployment = next(yaml.safe_load_all((BASE / "mlflow.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    port = servers.free_port()
    arguments = [
        argument.replace("$(MLFLOW_ARTIFACTS)", f"{s3}/mlflow").replace("5000", str(port))
        for argument in container["args"]
    ]
    hardened["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"] = settings["MLFLOW_SERVER_ALLOWED_HOSTS"]
    hardened["environment"]["MLFLOW_BACKEND_STORE_URI"] = "sqlite:////tmp/mlflow.db"
    running = engine.containers.run(
        container["image"], [*container["command"], *arguments], detach=True, **hardened
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                call(f"http://127.0.0.1:{port}/health")
                break
            except (urllib.error.URLError, ConnectionError):
                running.reload()
                if running.status == "exited" or time.monotonic() > deadline:
                    pytest.fail(running.logs().decode()[-4000:])
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.remove(force=True)


def run(engine: Any, hardened: dict[str, Any], command: list[str]) -> str:
    return str(engine.containers.run(engine.image, command, remove=True, **hardened).decode())


def test_the_command_line_works_without_root(engine, hardened):
    assert "prepare-s1" in run(engine, hardened, ["decloud", "--help"])
    assert run(engine, hardened, ["id", "-u"]).strip() == "10001"


def test_the_libraries_of_all_steps_can_be_loaded(engine, hardened):
    code = "import rasterio, tensorflow, mlflow, kfp, decloud_lib; print(decloud_lib.__file__)"

    assert "/opt/venv/lib/python3.11/site-packages/decloud_lib" in run(
        engine, hardened, ["python", "-W", "ignore", "-c", code]
    )


def test_packages_have_their_bytecode(engine, hardened):
    code = (
        "import importlib.util as u, pathlib;"
        "print([n for n in ('numpy', 'rasterio', 'kfp', 'decloud_lib')"
        " if not pathlib.Path(u.cache_from_source(u.find_spec(n).origin)).is_file()])"
    )

    assert run(engine, hardened, ["python", "-c", code]).strip() == "[]"


def test_wrong_input_ends_with_status_2_and_one_line(engine, hardened):
    running = engine.containers.run(
        engine.image,
        ["decloud", "prepare-s2", "--in_image", "/tmp/none", "--out_s2_dir", "/tmp/out"],
        detach=True,
        **hardened,
    )
    try:
        status = running.wait()["StatusCode"]
        text = running.logs().decode()
    finally:
        running.remove(force=True)

    assert status == 2, text
    assert text.startswith("error: none: ")
    assert len(text.splitlines()) == 1


def test_labels_say_what_the_image_is(engine):
    labels = engine.images.get(engine.image).labels

    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] not in ("", "unknown")


def test_the_server_can_reach_its_database(engine, hardened):
    code = "import psycopg2, sqlalchemy.dialects.postgresql.psycopg2; print(psycopg2.__version__)"

    found = engine.containers.run(
        "decloud:mlflow", ["python", "-c", code], remove=True, **hardened
    ).decode()
    assert found.startswith("2.")


def test_mlflow_keeps_artifacts_in_the_bucket(mlflow_server, s3):
    created = json.loads(
        call(f"{mlflow_server}/api/2.0/mlflow/experiments/create", "POST", b'{"name": "x"}')
    )
    path = f"api/2.0/mlflow-artifacts/artifacts/{created['experiment_id']}/note.txt"
    call(f"{mlflow_server}/{path}", "PUT", b"hello")

    stored = storage.list_files(f"{s3}/mlflow")
    assert [storage.read_bytes(entry.uri) for entry in stored] == [b"hello"]


def test_mlflow_answers_to_its_service_name_and_to_no_other(mlflow_server):
    url = f"{mlflow_server}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"

    assert b"Default" in call(url, host="mlflow.decloud.svc:5000")
    with pytest.raises(urllib.error.HTTPError) as refused:
        call(url, host="elsewhere.example.org")
    assert refused.value.code == 403
    refused.value.close()
