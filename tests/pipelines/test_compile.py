"""The compiled pipelines: deterministic, with images from one place and limits for each task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components import images, profile
from decloud_lib import cli
from pipelines.compile import PIPELINES, compile_text


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return PIPELINES[request.param]


def executors(pipeline: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    spec = next(yaml.safe_load_all(compile_text(pipeline)))
    found: dict[str, dict[str, Any]] = spec["deploymentSpec"]["executors"]
    return {name: executor["container"] for name, executor in found.items()}


def test_compiling_twice_gives_the_same_text(pipeline: Callable[..., Any]) -> None:
    assert compile_text(pipeline) == compile_text(pipeline)


def test_each_image_comes_from_one_place(pipeline: Callable[..., Any]) -> None:
    found = {container["image"] for container in executors(pipeline).values()}
    assert found <= {images.CPU, images.NETWORK}


def test_each_task_has_limits(pipeline: Callable[..., Any]) -> None:
    for name, container in executors(pipeline).items():
        assert container["resources"].keys() >= {"cpuLimit", "memoryLimit"}, name


def test_each_task_gets_settings_and_credentials(pipeline: Callable[..., Any]) -> None:
    _, platform = yaml.safe_load_all(compile_text(pipeline))
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(settings) == set(executors(pipeline))
    chosen = profile.current()
    assert chosen.credentials is not None
    for name, task in settings.items():
        assert task["configMapAsEnv"][0]["configMapName"] == chosen.settings.name, name
        assert task["secretAsEnv"][0]["secretName"] == chosen.credentials.name, name


def test_no_task_installs_packages(pipeline: Callable[..., Any]) -> None:
    assert "pip install" not in compile_text(pipeline)


def test_no_parameter_is_null(pipeline: Callable[..., Any]) -> None:
    # The local runner cannot pass a null on: each optional parameter has a value.
    spec = next(yaml.safe_load_all(compile_text(pipeline)))
    for name, entry in spec["root"]["inputDefinitions"]["parameters"].items():
        assert not entry.get("isOptional") or "defaultValue" in entry, name


def test_no_whole_number_of_a_task_is_null(pipeline: Callable[..., Any]) -> None:
    # The local runner turns whole numbers into int, which a null is not.
    spec = next(yaml.safe_load_all(compile_text(pipeline)))
    dags = [spec["root"], *spec["components"].values()]
    for task in (task for dag in dags for task in dag.get("dag", {}).get("tasks", {}).values()):
        inputs = spec["components"][task["componentRef"]["name"]].get("inputDefinitions", {})
        for name, entry in inputs.get("parameters", {}).items():
            if entry["parameterType"] == "NUMBER_INTEGER" and "defaultValue" not in entry:
                assert name in task["inputs"]["parameters"], (task["taskInfo"]["name"], name)


def test_tasks_are_not_cached(pipeline: Callable[..., Any]) -> None:
    assert "enableCache: true" not in compile_text(pipeline)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(cli.app, ["compile", "--out", str(tmp_path / "file")])
    assert done.exit_code == 2
    assert "is a file" in done.output


def test_the_command_writes_all_pipelines(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["compile", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert {path.stem for path in tmp_path.iterdir()} == set(PIPELINES)
