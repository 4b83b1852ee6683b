"""The pipelines, each task in a container of its image, against a bucket and a tracking server.

Ceph with authentication and conditional writes, MLflow on PostgreSQL: see `conftest.py`. The same
steps then run without containers, and give the same.
"""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components import images
from decloud_lib import storage
from decloud_lib.stages.retrain import RetrainConfig
from pipelines.compile import compile_to
from pipelines.local import run_local
from pipelines.retrain import run_retraining
from pipelines.runs import DockerOptions, PipelineError, PipelineRun
from tests import servers
from tests.containers.chain import (
    LAYOUT,
    USER,
    Chain,
    assert_in_images,
    assert_same,
    names,
)

pytestmark = pytest.mark.container


def test_each_task_ran_in_a_container_of_its_image(done):
    for run in done.runs.values():
        assert_in_images(run)
    ran = {task.name for run in done.runs.values() for task in run.tasks}
    assert ran >= {"prepare-s1", "prepare-s2", "prepare-dem", "sample", "train", "evaluate"}
    assert ran >= {"promote", "reconstruct"}


def test_each_step_wrote_the_bucket(cluster, done):
    found = names(done.root)

    assert len([name for name in found if name.endswith("_FRE_10m.tif")]) == 8
    assert len([name for name in found if name.endswith("_from-10to3dB.tif")]) >= 8
    assert f"prepared/DEM_PREPARE/{done.contained.tile}.tif" in found
    assert {"samples/train/manifest.json", "samples/valid/manifest.json"} <= found
    assert [name for name in found if name.startswith("models/") and name.endswith("model.json")]
    assert "scores/scores.json" in found
    assert "reconstructed.tif" in found
    # Only MLflow's server writes there: its clients have no key for it in a cluster.
    assert names(f"{cluster.bucket}/mlflow")


def test_the_network_is_registered_at_the_tracking_server(cluster, done):
    assert done.runs["training"].output == "models:/decloud/1"
    # One pass over few samples does not beat interpolation: tried, and not in use.
    version = json.loads(
        servers.call(
            f"{cluster.mlflow}/api/2.0/mlflow/registered-models/alias?name=decloud&alias=challenger"
        )
    )["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert (version["version"], version["status"]) == ("1", "READY")
    assert tags["decloud.promotion.outcome"] == "not promoted"


def test_containers_give_what_the_same_steps_give_without_them(cluster, done, tmp_path):
    images_and_records = (".tif", ".records")
    assert assert_same(done, "prepared", images_and_records, tmp_path) > 30
    assert assert_same(done, "samples", images_and_records, tmp_path) >= 2
    assert_same(done, "reconstructed.tif", images_and_records, tmp_path)


def test_retraining_in_containers_trains_once_and_then_finds_nothing_changed(
    cluster, done, tmp_path
):
    config = RetrainConfig(
        products=f"{cluster.bucket}/raw",
        prepared=f"{done.root}/prepared",
        out=f"{cluster.bucket}/retraining",
        layout=LAYOUT,
        model="crga_os2_david",
        name="retrained",
        runner="docker",
        run_dir=str(tmp_path),
        batch=8,
        props=(0.5, 0.5),
        patchsize=64,
        epochs=1,
        batch_size_train=1,
        batch_size_valid=1,
    )
    result = run_retraining(config)
    assert result.status in ("promoted", "not promoted"), result
    assert result.version == 1
    assert result.comparison
    assert result.evidence
    logs = sorted(Path(result.run or "").rglob("[0-9]*.log"))  # one of each task
    assert {log.stem.partition("-")[2] for log in logs} >= {
        *("prepare-s2", "sample", "train", "evaluate", "promote")
    }
    for log in logs:
        assert re.search(r"^Image \S+, sha256:", log.read_text(), re.MULTILINE), log

    made, ran = names(cluster.bucket), sorted(tmp_path.iterdir())
    again = run_retraining(config)
    assert (again.status, again.run, again.version) == ("unchanged", None, None)
    assert names(cluster.bucket) == made
    assert sorted(tmp_path.iterdir()) == ran


def test_a_failed_container_fails_the_pipeline(options, cluster, tmp_path):
    storage.write_bytes(f"{cluster.bucket}/wrong/SENTINEL2/T31TCJ/notes.txt", b"no product")

    with pytest.raises(PipelineError, match="list-products"):
        Chain(f"{cluster.bucket}/wrong-out", f"{cluster.bucket}/wrong", tmp_path, options).prepare()


def test_a_wrong_key_fails_the_first_task(options, cluster, tmp_path):
    wrong = DockerOptions(
        environment={**options.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}, user=USER
    )

    with pytest.raises(PipelineError, match=r"'doctor' failed.*credentials"):
        Chain(f"{cluster.bucket}/none", f"{cluster.bucket}/raw", tmp_path, wrong).prepare()


def test_all_that_is_wrong_is_told_by_the_first_task(options, cluster, tmp_path):
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    rest = {name: value for name, value in options.environment.items() if name not in keys}
    wrong = DockerOptions(
        environment={**rest, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, user=USER
    )
    says = (
        r"'doctor' failed.*bucket: .*no credentials.*mlflow: .*cannot be reached.*"
        r"network: .*cannot be reached"
    )
    with pytest.raises(PipelineError, match=says) as caught:
        Chain(f"{cluster.bucket}/none", "", tmp_path, wrong).monitor("models:/decloud/1")
    assert caught.value.task is not None
    assert caught.value.task.number == 1


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def work(place: str, long: int) -> int:
    """Take long in the first attempts; return which attempt this is."""
    import time

    from decloud_lib import storage

    attempt = len(storage.list_files(place)) + 1
    storage.write_bytes(f"{place}/attempt-{attempt}", b"")
    if attempt <= long:
        time.sleep(300)
    return attempt


@dsl.pipeline(name="interrupted")
def interrupted(place: str, long: int) -> int:
    return work(place=place, long=long).outputs["Output"]


@pytest.mark.parametrize(("kills", "ends_well"), [(1, True), (3, False)])
def test_a_killed_container_is_tried_again_and_not_for_ever(
    engine, options, cluster, tmp_path, kills, ends_well
):
    place = f"{cluster.bucket}/interrupted-{kills}"
    killed: list[str] = []
    killer = threading.Thread(target=kill, args=(engine, place, kills, killed), daemon=True)
    killer.start()

    def attempt() -> PipelineRun:
        return run_local(
            interrupted,
            {"place": place, "long": kills},
            tmp_path / "runs",
            runner="docker",
            docker=options,
            retries=2,
        )

    if ends_well:
        run = attempt()
        assert run.output == kills + 1
        assert [task.ok for task in run.tasks] == [*[False] * kills, True]
    else:
        with pytest.raises(PipelineError, match="'work' failed"):
            attempt()
    killer.join(timeout=10)
    assert len(killed) == kills


_RUN = """
import json, sys
from pathlib import Path
from pipelines.local import run_local
from pipelines.runs import DockerOptions
package, place, folder, environment = sys.argv[1:]
options = DockerOptions(environment=json.loads(environment), user="10001:10001")
run_local(Path(package), {"place": place, "long": 9}, Path(folder), runner="docker", docker=options)
"""


def test_an_interrupted_run_leaves_no_container_at_work(engine, options, cluster, tmp_path):
    place = f"{cluster.bucket}/stopped"
    package = compile_to(interrupted, tmp_path / "interrupted.yaml")
    arguments = (str(package), place, str(tmp_path), json.dumps(options.environment))
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", _RUN, *arguments]) as process:
        until = time.monotonic() + 300
        while not storage.exists(f"{place}/attempt-1"):
            assert time.monotonic() < until
            time.sleep(0.2)
        assert of_task(engine, place)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0

    assert of_task(engine, place) == []


def of_task(engine: Any, place: str) -> list[Any]:
    """Return the containers that work at a place."""
    found = engine.containers.list(filters={"ancestor": images.PREPARE})
    return [container for container in found if place in json.dumps(container.attrs["Args"])]


def kill(engine: Any, place: str, kills: int, killed: list[str]) -> None:
    """Kill the container of each attempt when it has begun its work."""
    until = time.monotonic() + 300
    while len(killed) < kills and time.monotonic() < until:
        if storage.exists(f"{place}/attempt-{len(killed) + 1}"):
            for container in of_task(engine, place):
                if container.id not in killed:
                    container.kill()
                    killed.append(container.id)
        time.sleep(0.2)
