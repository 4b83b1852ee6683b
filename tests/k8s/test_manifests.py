"""The manifests: what the restricted profile asks for, references that resolve, no secrets."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

BASE = Path(__file__).parents[2] / "k8s" / "base"
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def documents() -> list[dict[str, Any]]:
    """Read all resources of the base as they are written."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [item for name in names for item in yaml.safe_load_all((BASE / name).read_text())]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for item in documents():
        if item["kind"] in WORKLOADS:
            yield f"{item['kind']}/{item['metadata']['name']}", item["spec"]["template"]["spec"]


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods():
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{name}/{container['name']}", container


def names_of(kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in documents() if item["kind"] == kind}


def test_every_file_belongs_to_the_base():
    resources = set(yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"])

    assert {path.name for path in BASE.glob("*.yaml")} == resources | {"kustomization.yaml"}


@pytest.mark.parametrize(("name", "pod"), [*pods()])
def test_pods_follow_the_restricted_profile(name, pod):
    context = pod["securityContext"]

    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] >= 10000
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] in names_of("ServiceAccount")
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in pod.get("volumes", []))


@pytest.mark.parametrize(("name", "container"), [*containers()])
def test_containers_follow_the_restricted_profile(name, container):
    context = container["securityContext"]

    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in context


@pytest.mark.parametrize(("name", "container"), [*containers()])
def test_containers_state_their_memory_and_their_health(name, container):
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()


@pytest.mark.parametrize(("name", "pod"), [*pods()])
def test_a_read_only_container_has_a_place_for_temporary_files(name, pod):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    for container in pod["containers"]:
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert "emptyDir" in volumes[mounts["/tmp"]]
        assert set(mounts.values()) <= volumes.keys()


def test_the_namespace_refuses_pods_outside_the_restricted_profile():
    labels = [item["metadata"]["labels"] for item in documents() if item["kind"] == "Namespace"]

    assert [label["pod-security.kubernetes.io/enforce"] for label in labels] == ["restricted"]


def test_no_secret_lies_in_the_repository():
    assert not names_of("Secret")
    for name, container in containers():
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in ("SECRET", "ACCESS_KEY", "PASSWORD"))
            assert not (secret and "value" in variable), (name, variable["name"])


def test_settings_that_containers_name_exist():
    known = {
        (item["metadata"]["name"], key)
        for item in documents()
        if item["kind"] == "ConfigMap"
        for key in item["data"]
    }
    sources = [
        variable["valueFrom"]["configMapKeyRef"]
        for _, container in containers()
        for variable in container.get("env", [])
        if "configMapKeyRef" in variable.get("valueFrom", {})
    ]

    assert sources
    assert {(source["name"], source["key"]) for source in sources} <= known


def test_the_service_selects_the_pods_of_the_deployment():
    found = {item["kind"]: item for item in documents()}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    ports = {
        port["name"]
        for container in found["Deployment"]["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }

    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= ports


def test_the_tracking_address_is_one_that_the_server_answers_to():
    settings = next(item["data"] for item in documents() if item["kind"] == "ConfigMap")
    host = settings["MLFLOW_TRACKING_URI"].removeprefix("http://")

    assert host in settings["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_the_image_is_the_one_that_the_pipelines_use():
    images = pytest.importorskip("components.images")
    known = {value for value in vars(images).values() if isinstance(value, str)}

    assert {container["image"] for _, container in containers()} <= known


def test_tasks_find_the_settings_that_the_pipelines_name():
    resources = pytest.importorskip("pipelines.resources")
    settings = {
        item["metadata"]["name"]: item["data"]
        for item in documents()
        if item["kind"] == "ConfigMap"
    }
    secrets = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for _, container in containers()
        for variable in container["env"]
        if "secretKeyRef" in variable["valueFrom"]
    }

    assert {"AWS_ENDPOINT_URL", "AWS_REGION", "MLFLOW_TRACKING_URI"} <= settings[
        resources.SETTINGS
    ].keys()
    assert secrets == {resources.CREDENTIALS}


def test_manifests_render_and_fit_the_schemas(tmp_path):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine: the manifests were checked as written only")
    validator = pytest.importorskip("kubernetes_validate")

    done = subprocess.run(
        [kubectl, "kustomize", str(BASE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    for item in rendered:
        validator.validate(item, "1.32", strict=True)

    assert len(rendered) == len(documents())
    assert {item["metadata"].get("namespace", "decloud") for item in rendered} == {"decloud"}
