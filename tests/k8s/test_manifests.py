"""The manifests of each overlay: schemas, restricted pods, references that resolve, no secrets."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from decloud_lib import __version__

ROOT = Path(__file__).parents[2] / "k8s"
OVERLAYS = ("base", "overlays/local", "overlays/aws", "overlays/gpu")
#: What goes into Kubeflow's own namespace, where that is where pipelines run.
RUNS = ("overlays/local/runs", "overlays/aws/runs")
PARTS = ("runs", "overlays/local/settings", "overlays/aws/settings")
VERSIONS = ("1.31", "1.33", "1.35")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
CLUSTER_WIDE = ("Namespace",)

Manifest = dict[str, Any]


@cache
def render(overlay: str) -> tuple[Manifest, ...]:
    """Return all resources of an overlay as kubectl applies them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine: Debian has it as kubernetes-client")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    return {item["metadata"]["name"]: item for item in render(overlay) if item["kind"] == kind}


def pods(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for item in render(overlay):
        if item["kind"] in WORKLOADS:
            spec = item["spec"].get("jobTemplate", item)["spec"]
            yield f"{item['kind']}/{item['metadata']['name']}", spec["template"]


def containers(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for name, pod in pods(overlay):
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield f"{name}/{container['name']}", container


def variables(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for name, container in containers(overlay):
        for variable in container.get("env", []):
            yield f"{name}/{variable['name']}", variable


every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def test_every_folder_is_checked():
    found = {str(path.parent.relative_to(ROOT)) for path in ROOT.rglob("kustomization.yaml")}

    assert found == {*OVERLAYS, *RUNS, *PARTS}


@pytest.mark.parametrize("overlay", [*OVERLAYS, *RUNS, *PARTS])
def test_every_file_is_used(overlay):
    folder = ROOT / overlay
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    patches = {patch["path"] for patch in kustomization.get("patches", [])}
    used = patches | set(kustomization.get("resources", []))

    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} <= used


@pytest.mark.parametrize("overlay", [*OVERLAYS, *RUNS])
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas(overlay, version):
    validator = pytest.importorskip("kubernetes_validate")

    for item in render(overlay):
        validator.validate(item, version, strict=True)


@every_overlay
def test_all_lies_in_one_namespace(overlay):
    spaces = {
        item["metadata"].get("namespace")
        for item in render(overlay)
        if item["kind"] not in CLUSTER_WIDE
    }

    assert spaces == {"decloud"}


@every_overlay
def test_the_namespace_refuses_pods_outside_the_restricted_profile(overlay):
    labels = of_kind(overlay, "Namespace")["decloud"]["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@every_overlay
def test_pods_follow_the_restricted_profile(overlay):
    found = list(pods(overlay))
    assert found
    for name, pod in found:
        spec, context = pod["spec"], pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"]["type"] == "RuntimeDefault", name
        assert spec["automountServiceAccountToken"] is False, name
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), name
        allowed = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= allowed, (name, volume)


@every_overlay
def test_containers_follow_the_restricted_profile(overlay):
    for name, container in containers(overlay):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert "privileged" not in context, name


@every_overlay
def test_containers_state_what_they_take_and_how_they_are(overlay):
    for name, pod in pods(overlay):
        serves = pod["spec"].get("restartPolicy") != "Never"
        for container in pod["spec"]["containers"] if serves else []:
            assert {"readinessProbe", "livenessProbe"} <= container.keys(), name
    for name, container in containers(overlay):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name


@every_overlay
def test_a_read_only_container_has_a_place_for_temporary_files(overlay):
    claims = {
        claim["metadata"]["name"]
        for item in render(overlay)
        if item["kind"] == "StatefulSet"
        for claim in item["spec"]["volumeClaimTemplates"]
    }
    for name, pod in pods(overlay):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "emptyDir" in volumes[mounts["/tmp"]], name
            assert set(mounts.values()) <= volumes.keys() | claims, name


@every_overlay
def test_images_are_pinned_to_a_version(overlay):
    for name, container in containers(overlay):
        _, _, tag = container["image"].rpartition(":")
        assert tag, name
        assert tag not in {"latest", "stable"}, name


def test_each_cluster_gets_its_own_image_for_each_container():
    def ours(overlay: str) -> dict[str, str]:
        found = {name.rpartition("/")[2]: item["image"] for name, item in containers(overlay)}
        return {name: found[name] for name in ("mlflow", "retrain")}

    # As `make images` names them, and as `make push` does.
    assert ours("overlays/local") == {name: f"decloud:{name}" for name in ("mlflow", "retrain")}
    for overlay in ("overlays/aws", "overlays/gpu"):
        for name, image in ours(overlay).items():
            assert image == f"registry.example.org/decloud/{name}:{__version__}"


@every_overlay
def test_no_secret_lies_in_the_repository(overlay):
    assert not of_kind(overlay, "Secret")
    for name, variable in variables(overlay):
        if re.search(r"SECRET|ACCESS_KEY|PASSWORD|TOKEN", variable["name"]):
            assert "value" not in variable, name


def test_the_template_of_secrets_holds_no_value():
    lines = (ROOT / "secrets.env.template").read_text().splitlines()
    assigned = [line for line in lines if not line.startswith("#")]

    assert assigned
    assert all(line.endswith("=") for line in assigned)


@every_overlay
def test_secrets_that_containers_name_are_in_the_template(overlay):
    template = (ROOT / "secrets.env.template").read_text()
    for name, variable in variables(overlay):
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        if source:
            assert f"# {source['name']}" in template, name
            assert f"\n{source['key']}=" in template, name


@every_overlay
def test_names_that_manifests_refer_to_exist(overlay):
    accounts, settings = of_kind(overlay, "ServiceAccount"), of_kind(overlay, "ConfigMap")
    for name, pod in pods(overlay):
        assert pod["spec"]["serviceAccountName"] in accounts, name
    for name, container in containers(overlay):
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in settings, name
    for name, binding in of_kind(overlay, "RoleBinding").items():
        assert binding["roleRef"]["name"] in of_kind(overlay, "Role"), name
        assert {subject["name"] for subject in binding["subjects"]} <= accounts.keys(), name


@every_overlay
def test_variables_in_values_are_defined_before_them(overlay):
    settings = of_kind(overlay, "ConfigMap")["decloud-settings"]["data"].keys()
    for name, container in containers(overlay):
        known = set(settings) if container.get("envFrom") else set()
        for variable in container.get("env", []):
            used = set(re.findall(r"\$\((\w+)\)", variable.get("value", "")))
            assert used <= known, (name, variable["name"])
            known.add(variable["name"])
        used = set(re.findall(r"\$\((\w+)\)", " ".join(container.get("args", []))))
        assert used <= known, name


@every_overlay
def test_services_policies_and_budgets_select_pods_that_are_there(overlay):
    labels = [pod["metadata"]["labels"].items() for _, pod in pods(overlay)]
    ports = {
        port["name"] for _, container in containers(overlay) for port in container.get("ports", [])
    }
    for name, service in of_kind(overlay, "Service").items():
        assert any(service["spec"]["selector"].items() <= label for label in labels), name
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name
    policies, budgets = of_kind(overlay, "NetworkPolicy"), of_kind(overlay, "PodDisruptionBudget")
    chosen = {name: policy["spec"]["podSelector"] for name, policy in policies.items()}
    chosen |= {f"budget {name}": budget["spec"]["selector"] for name, budget in budgets.items()}
    for name, selector in chosen.items():
        wanted = selector.get("matchLabels", {}).items()
        assert any(wanted <= label for label in labels), name


@every_overlay
def test_a_budget_leaves_a_pod_that_may_be_moved(overlay):
    replicas = {
        name: item["spec"]["replicas"] for name, item in of_kind(overlay, "Deployment").items()
    }
    for name, budget in of_kind(overlay, "PodDisruptionBudget").items():
        assert budget["spec"]["minAvailable"] < replicas[name], name


@every_overlay
def test_nobody_reaches_a_pod_unless_a_policy_says_so(overlay):
    policies = of_kind(overlay, "NetworkPolicy")

    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert policies["postgres"]["spec"]["ingress"][0]["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mlflow"}}}
    ]


@pytest.mark.parametrize("overlay", RUNS)
def test_runs_in_another_namespace_have_the_same_rights_and_settings(overlay):
    whole = str(Path(overlay).parent)
    assert {item["metadata"]["namespace"] for item in render(overlay)} == {"kubeflow"}
    for kind in ("ServiceAccount", "Role", "ConfigMap"):
        for name, item in of_kind(overlay, kind).items():
            there = of_kind(whole, kind)[name]
            for part in ("rules", "data"):
                assert item.get(part) == there.get(part), (kind, name)
            annotations = item["metadata"].get("annotations")
            assert annotations == there["metadata"].get("annotations"), (kind, name)
    (binding,) = of_kind(overlay, "RoleBinding").values()
    assert [subject["namespace"] for subject in binding["subjects"]] == ["kubeflow"]


@every_overlay
def test_runs_in_another_namespace_reach_the_servers_by_its_label(overlay):
    policies = of_kind(overlay, "NetworkPolicy")
    allowed = {"namespaceSelector": {"matchLabels": {"decloud/runs": "true"}}}
    for name in {"mlflow", "s3"} & policies.keys():
        assert allowed in policies[name]["spec"]["ingress"][0]["from"], name


def test_the_profiles_name_what_the_manifests_make():
    for path in sorted((ROOT / "profiles").glob("*.yaml")):
        chosen = yaml.safe_load(path.read_text())
        for overlay in ("overlays/local", "overlays/aws"):
            assert chosen["service_account"] in of_kind(overlay, "ServiceAccount"), path
            assert chosen["settings"]["name"] in of_kind(overlay, "ConfigMap"), path
        secret = chosen.get("credentials", {}).get("name")
        assert secret is None or f"# {secret}\n" in (ROOT / "secrets.env.template").read_text()


@every_overlay
def test_rights_are_few_and_named(overlay):
    for name, role in of_kind(overlay, "Role").items():
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], name
            if set(rule["resources"]) & {"secrets", "configmaps"}:
                assert rule["resourceNames"], name
    assert not of_kind(overlay, "ClusterRoleBinding")


@every_overlay
def test_the_tracking_address_is_one_that_the_server_answers_to(overlay):
    settings = of_kind(overlay, "ConfigMap")["decloud-settings"]["data"]
    host = settings["MLFLOW_TRACKING_URI"].removeprefix("http://")

    assert host in settings["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_amazon_needs_no_static_key():
    for overlay in ("overlays/aws", "overlays/gpu"):
        accounts = of_kind(overlay, "ServiceAccount")
        for name in ("decloud-pipeline", "decloud-mlflow"):
            assert "eks.amazonaws.com/role-arn" in accounts[name]["metadata"]["annotations"]
        named = {variable["name"] for _, variable in variables(overlay)}
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & named


def test_only_the_gpu_overlay_grants_gpus():
    quotas = {
        overlay: of_kind(overlay, "ResourceQuota")["decloud"]["spec"]["hard"][
            "requests.nvidia.com/gpu"
        ]
        for overlay in OVERLAYS
    }

    assert quotas == {overlay: "8" if "gpu" in overlay else "0" for overlay in OVERLAYS}


@every_overlay
def test_the_scheduled_retraining_is_alone_and_off_until_wanted(overlay):
    job = of_kind(overlay, "CronJob")["retrain"]["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (settings,) = (item for item in of_kind(overlay, "ConfigMap") if "retraining" in item)

    assert (job["concurrencyPolicy"], job["suspend"]) == ("Forbid", True)
    # A run that failed, or a model that is not better, is not tried again at once.
    assert (job["jobTemplate"]["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert settings in {item.get("configMap", {}).get("name") for item in pod["volumes"]}
