"""The manifest of a training on several machines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from components import profile
from decloud_lib.errors import ConfigError
from pipelines.train_job import manifest

DECLOUD = Path(sys.executable).with_name("decloud")
OPTIONS = (
    *("--training-record", "s3://decloud/samples/train", "--model", "crga_os2_unet"),
    *("--ckpt_dir", "s3://decloud/ckpt", "-bt", "8"),
)


def made(name: str = "crga", workers: int = 3, settings: str = "gpu") -> dict[str, dict[str, Any]]:
    resources = manifest(name, workers, "decloud", OPTIONS, profile.load(settings))
    return {item["kind"]: item for item in resources}


def pod_of(resources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (group,) = resources["TrainingRuntime"]["spec"]["template"]["spec"]["replicatedJobs"]
    found: dict[str, Any] = group["template"]["spec"]["template"]["spec"]
    return found


def values(pod: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item for item in pod["containers"][0]["env"]}


@pytest.mark.parametrize("settings", ["gpu", "aws-cpu", "local"])
@pytest.mark.parametrize("version", ["1.31", "1.33", "1.35"])
def test_what_has_a_schema_is_valid(settings: str, version: str) -> None:
    resources = made(settings=settings)
    kubernetes_validate.validate(resources["NetworkPolicy"], version, strict=True)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod_of(resources)}
    kubernetes_validate.validate(pod, version, strict=True)


def test_each_worker_is_told_the_others_and_its_own_index() -> None:
    environment = values(pod_of(made("crga", 3)))
    assert list(environment)[:2] == ["WORKER_INDEX", "TF_CONFIG"]  # $(...) looks back only
    path = environment["WORKER_INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    for index in range(3):
        text = environment["TF_CONFIG"]["value"].replace("$(WORKER_INDEX)", str(index))
        assert json.loads(text) == {
            "cluster": {"worker": [f"crga-node-0-{number}.crga:2222" for number in range(3)]},
            "task": {"type": "worker", "index": index},
        }


def test_the_job_takes_this_runtime_and_as_many_pods_as_there_are_workers() -> None:
    resources = made("crga", 5)
    job, runtime = resources["TrainJob"], resources["TrainingRuntime"]
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"] == "crga"
    assert job["spec"]["runtimeRef"]["kind"] == runtime["kind"]
    assert job["spec"]["trainer"]["numNodes"] == runtime["spec"]["mlPolicy"]["numNodes"] == 5
    (group,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert group["name"] == pod_of(resources)["containers"][0]["name"] == "node"


def test_the_command_is_that_of_a_training_of_several_workers() -> None:
    container = pod_of(made())["containers"][0]
    assert container["command"] == ["decloud", "train"]
    assert container["args"] == [*OPTIONS, "--strategy", "multiworker"]
    assert container["image"] == profile.load("gpu").images.train


def test_pods_get_what_the_profile_says() -> None:
    pod = pod_of(made(settings="gpu"))
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert values(pod)["DECLOUD_GPUS"]["value"] == "1"
    assert "AWS_SECRET_ACCESS_KEY" not in values(pod)  # pods have an identity there
    plain = pod_of(made(settings="local"))
    assert "nodeSelector" not in plain
    assert not {"DECLOUD_GPUS"} & set(values(plain))
    key = values(plain)["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]
    assert key["name"] == "decloud-bucket"


def test_pods_keep_the_restricted_rules() -> None:
    pod = pod_of(made())
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_a_job_that_could_not_go_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="give --ckpt-dir"):
        manifest("crga", 2, "decloud", OPTIONS[:4], profile.load("gpu"))


@pytest.mark.parametrize("name", ["Crga", "1st", "a_b", "a" * 51, "a-", ""])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected lower-case letters"):
        manifest(name, 2, "decloud", OPTIONS, profile.load("gpu"))


def test_an_option_that_training_refuses_is_told_at_once() -> None:
    with pytest.raises(click.UsageError, match=r"'x' is not a valid float"):
        manifest("a", 2, "decloud", [*OPTIONS, "--time-limit-s", "x"], profile.load("gpu"))


def test_the_command_line_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    words = [DECLOUD, "train-job", "crga", "--workers", "2", "--profile", "gpu", "--out", path]
    done = subprocess.run([*words, "--", *OPTIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = manifest("crga", 2, "decloud", OPTIONS, profile.load("gpu"))
    assert list(yaml.safe_load_all(path.read_text())) == expected
    assert "&id" not in path.read_text()
