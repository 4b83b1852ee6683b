"""Profiles: what a cluster's file says is what its compiled tasks get."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import profile
from decloud_lib.errors import ConfigError

DECLOUD = Path(sys.executable).with_name("decloud")
SHIPPED = sorted(path.stem for path in profile.FOLDER.glob("*.yaml"))
GPU_TASKS = {"exec-train", "exec-evaluate", "exec-promote"}


def compiled(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Compile in a process of its own: one process knows one profile."""
    words = [DECLOUD, "compile", "--out", folder, *options]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def for_gpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of all pipelines, compiled for a cluster with GPUs."""
    folder = tmp_path_factory.mktemp("gpu")
    done = compiled(folder, "--profile", "gpu")
    assert done.returncode == 0, done.stderr
    return folder


def tasks(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the containers and the Kubernetes settings of the tasks of a pipeline."""
    spec, platform = yaml.safe_load_all(path.read_text())
    containers = {
        name: executor["container"]
        for name, executor in spec["deploymentSpec"]["executors"].items()
    }
    return containers, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_can_be_used(name: str) -> None:
    assert profile.load(name).tasks


def test_local_is_the_default() -> None:
    assert profile.current() == profile.load("local")


def test_gpu_tasks_run_on_gpu_nodes_and_others_do_not(for_gpus: Path) -> None:
    containers, settings = tasks(for_gpus / "training.yaml")
    wanted = profile.load("gpu")

    for name, container in containers.items():
        size = container["resources"]
        if name in GPU_TASKS:
            assert size["accelerator"]["resourceType"] == "nvidia.com/gpu"
            assert size["accelerator"]["resourceCount"] == "1"
            assert container["image"] == (
                wanted.images.infer if "reconstruct" in name else wanted.images.train
            )
            assert settings[name]["nodeSelector"]["labels"] == {"nvidia.com/gpu.present": "true"}
            assert settings[name]["tolerations"][0]["key"] == "nvidia.com/gpu"
            assert settings[name]["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
            assert settings[name]["emptyDirMounts"][0]["medium"] == "Memory"
            assert {"name": "DECLOUD_GPUS", "value": "1"} in container["env"]
        else:
            assert "DECLOUD_GPUS" not in str(container)
            assert "accelerator" not in size
            assert container["image"] == wanted.images.prepare
            assert not {"nodeSelector", "tolerations", "emptyDirMounts"} & settings[name].keys()
        assert "secretAsEnv" not in settings[name]  # pods have an identity there
    assert containers.keys() >= GPU_TASKS


def test_a_profile_may_allow_the_cpu_in_place_of_gpus(tmp_path: Path) -> None:
    content = yaml.safe_load((profile.FOLDER / "gpu.yaml").read_text())
    content["gpu"]["allow_cpu"] = True
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    assert compiled(tmp_path / "out", "--profile", str(path), "--only", "training").returncode == 0
    text = (tmp_path / "out" / "training.yaml").read_text()
    assert "accelerator" in text
    assert "DECLOUD_GPUS" not in text


def test_a_variable_chooses_the_profile_too(
    for_gpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECLOUD_PROFILE", "gpu")
    done = compiled(tmp_path)
    assert done.returncode == 0, done.stderr

    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in for_gpus.iterdir()}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (for_gpus / path.name).read_bytes()


def test_an_unknown_profile_lists_the_known_ones(tmp_path: Path) -> None:
    done = compiled(tmp_path, "--profile", "moon")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"expected one of {', '.join(SHIPPED)}" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {"prepare": "a"}}, "images.train: Field required"),
        ({"colour": "blue"}, "colour: unknown key; see k8s/README.md"),
        ({"paralelism": 3}, "paralelism: unknown key; did you mean parallelism"),
        (
            {"tasks": {"small": {"cpu": "1", "memory": "1G", "gpu": 1}}},
            "tasks.small.gpu: unknown key; did you mean gpus",
        ),
        ({"parallelism": 0}, "parallelism: Input should be greater than or equal to 1"),
        ({"tasks": {"small": {"cpu": "1", "memory": "1G"}}}, "evaluate, prepare, .* missing"),
        ({"gpu": None}, "evaluate, reconstruct, train ask for GPUs, and there is no section 'gpu'"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content = yaml.safe_load((profile.FOLDER / "gpu.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **change}))

    with pytest.raises(ConfigError, match=message):
        profile.load(str(path))


@pytest.mark.parametrize("size", ["two", "1 G", "-1G", ""])
def test_a_size_without_a_unit_that_kubernetes_knows_is_refused(tmp_path: Path, size: str) -> None:
    content = yaml.safe_load((profile.FOLDER / "local.yaml").read_text())
    content["tasks"]["train"]["memory"] = size
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))

    with pytest.raises(ConfigError, match=r"tasks\.train\.memory"):
        profile.load(str(path))


@pytest.mark.parametrize("text", ["", "- images", "images"])
def test_a_file_without_settings_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match="found no settings; expected images, tasks and others"):
        profile.load(str(path))


def test_a_file_that_is_no_yaml_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("images: [")

    assert compiled(tmp_path / "out", "--profile", str(path)).returncode == 2


def test_another_profile_is_refused_once_components_are_made() -> None:
    profile.current()

    with pytest.raises(ConfigError, match="components are made with another one already"):
        profile.use("gpu")
