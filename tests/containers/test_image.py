"""The images, run as a cluster would run them: no root, no capabilities, only /tmp to write to.

Needs a Docker engine and the images (`docker/test.sh` builds them).
"""

import json
import re
import urllib.error
from typing import Any

import pytest

from components import images
from decloud_lib import storage
from tests import servers

pytestmark = pytest.mark.container

OURS = [images.PREPARE, images.TRAIN, images.INFER]


def run(engine: Any, hardened: dict[str, Any], image: str, *command: str) -> str:
    return str(engine.containers.run(image, list(command), remove=True, **hardened).decode())


_LOOK = """
import importlib.util as u, json, os, pathlib
modules = [name for name in json.loads(os.environ["NAMES"]) if u.find_spec(name)]
compiled = {n: pathlib.Path(u.cache_from_source(u.find_spec(n).origin)) for n in modules}
plain = [name for name, path in compiled.items() if not path.is_file()]
print(json.dumps([os.getuid(), modules, plain]))
"""


@pytest.mark.parametrize("image", OURS)
def test_an_image_runs_without_root_with_what_it_needs_and_nothing_else(engine, hardened, image):
    needed = ["numpy", "rasterio", "kfp", "mlflow", "decloud_lib"]
    others = ["tensorflow", "otbApplication", "pytest", "kfp_server_api", "pip"]
    hardened["environment"]["NAMES"] = json.dumps([*needed, *others])
    user, found, without_bytecode = json.loads(run(engine, hardened, image, "python", "-c", _LOOK))

    assert user == 10001
    assert without_bytecode == []
    extra = {images.PREPARE: 0, images.TRAIN: 1, images.INFER: 2}[image]
    assert found == [*needed, *others[:extra]]


def test_the_image_that_retrains_can_submit_a_pipeline(engine, hardened):
    told = run(engine, hardened, "decloud:retrain", "decloud", "submit", "--help")
    assert "Run a pipeline on a Kubeflow host" in told
    assert "--if-changed" in run(
        engine, hardened, "decloud:retrain", "decloud", "retrain", "--help"
    )


@pytest.mark.parametrize("image", [images.PREPARE, images.INFER])
def test_the_doctor_finds_the_bucket_and_the_tracking_server(engine, hardened, platform, image):
    network = image == images.INFER
    wanted = ["--engine", "otb"] if network else []
    command = ["decloud", "doctor", "--bucket", platform.bucket, "--mlflow", *wanted]
    told = run(engine, hardened, image, *command)
    states = {line.split()[1]: line.split()[0] for line in told.splitlines()}

    assert states.pop("gpus") == "absent"
    assert states.pop("otb") == ("ok" if network else "absent")
    assert set(states.values()) == {"ok"}, told
    assert {"decloud", "packages", "gdal", "bucket", "mlflow"} <= states.keys()
    assert ("tensorflow" in told.split("gdal")[0]) == network


def test_a_gpu_that_is_not_there_is_told(engine, hardened):
    running = engine.containers.run(
        images.TRAIN, ["decloud", "doctor", "--gpus", "1"], detach=True, **hardened
    )
    try:
        status = running.wait()["StatusCode"]
        text = running.logs().decode()
    finally:
        running.remove(force=True)

    assert status == 2, text
    assert re.search(r"^FAILED +gpus +TensorFlow sees 0 GPUs, expected 1: ", text, re.MULTILINE)


def test_wrong_input_ends_with_status_2_and_one_line(engine, hardened):
    running = engine.containers.run(
        images.PREPARE,
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


@pytest.mark.parametrize("image", [*OURS, "decloud:retrain", "decloud:mlflow"])
def test_labels_say_what_the_image_is_and_what_it_was_made_from(engine, image):
    labels = engine.images.get(image).labels
    name = "org.opencontainers.image."

    assert labels[name + "title"] == image.replace(":", "-")
    assert labels[name + "licenses"] == "Apache-2.0"
    assert labels[name + "version"] not in ("", "unknown")
    assert len(labels[name + "revision"].removesuffix("-dirty")) == 40


@pytest.mark.parametrize("image", [*OURS, "decloud:retrain", "decloud:mlflow"])
def test_an_image_holds_no_secret(engine, platform, image):
    attributes = json.dumps(engine.images.get(image).attrs["Config"])

    assert platform.environment["AWS_SECRET_ACCESS_KEY"] not in attributes
    assert not {"AWS_", "MLFLOW_", "POSTGRES_"} & {
        item.partition("_")[0] + "_" for item in engine.images.get(image).attrs["Config"]["Env"]
    }


def test_mlflow_keeps_artifacts_in_the_bucket(cluster):
    created = json.loads(
        servers.call(
            f"{cluster.mlflow}/api/2.0/mlflow/experiments/create", "POST", b'{"name": "x"}'
        )
    )
    path = f"api/2.0/mlflow-artifacts/artifacts/{created['experiment_id']}/note.txt"
    servers.call(f"{cluster.mlflow}/{path}", "PUT", b"hello")

    stored = storage.list_files(f"{cluster.bucket}/mlflow/{created['experiment_id']}")
    assert [storage.read_bytes(entry.uri) for entry in stored] == [b"hello"]


def test_mlflow_answers_to_its_service_name_and_to_no_other(platform):
    url = f"{platform.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"

    assert b"Default" in servers.call(url, host="mlflow.decloud.svc:5000")
    with pytest.raises(urllib.error.HTTPError) as refused:
        servers.call(url, host="elsewhere.example.org")
    assert refused.value.code == 403
    refused.value.close()
