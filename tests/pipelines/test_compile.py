"""The compiled pipelines: deterministic, with images from one place and limits for each task."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components import images, profile
from decloud_lib import cli
from pipelines.compile import PIPELINES, compile_text
from pipelines.reporting import with_report

DECLOUD = Path(sys.executable).with_name("decloud")


ANSWERS = {"exec-doctor", "exec-report"}


@pytest.fixture(params=PIPELINES, scope="module")
def pipeline(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give each pipeline as it is compiled for a cluster."""
    return with_report(PIPELINES[request.param])


@cache
def compiled(pipeline: Callable[..., Any]) -> str:
    """Return the text of a pipeline, which many tests read."""
    return compile_text(pipeline)


def tasks(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each task that runs a container, with the name of its executor."""
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            component = spec["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                yield component["executorLabel"], task


@cache
def documents(pipeline: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the specification and the platform's settings, which no test may change."""
    spec, platform = yaml.safe_load_all(compiled(pipeline))
    return spec, platform


def executors(pipeline: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    spec, _ = documents(pipeline)
    found: dict[str, dict[str, Any]] = spec["deploymentSpec"]["executors"]
    return {name: executor["container"] for name, executor in found.items()}


def test_compiling_twice_gives_the_same_text(pipeline: Callable[..., Any]) -> None:
    assert compile_text(pipeline) == compiled(pipeline)


def test_each_image_comes_from_one_place(pipeline: Callable[..., Any]) -> None:
    found = {container["image"] for container in executors(pipeline).values()}
    assert found <= {images.PREPARE, images.TRAIN, images.INFER}


def test_each_task_has_limits(pipeline: Callable[..., Any]) -> None:
    for name, container in executors(pipeline).items():
        assert container["resources"].keys() >= {"cpuLimit", "memoryLimit"}, name


def test_each_task_gets_settings_and_credentials(pipeline: Callable[..., Any]) -> None:
    _, platform = documents(pipeline)
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(settings) == set(executors(pipeline))
    chosen = profile.current()
    assert chosen.credentials is not None
    for name, task in settings.items():
        assert task["configMapAsEnv"][0]["configMapName"] == chosen.settings.name, name
        assert task["secretAsEnv"][0]["secretName"] == chosen.credentials.name, name


def test_no_task_installs_packages(pipeline: Callable[..., Any]) -> None:
    assert "pip install" not in compiled(pipeline)


def test_no_parameter_is_null(pipeline: Callable[..., Any]) -> None:
    # The local runner cannot pass a null on: each optional parameter has a value.
    spec, _ = documents(pipeline)
    for name, entry in spec["root"]["inputDefinitions"]["parameters"].items():
        assert not entry.get("isOptional") or "defaultValue" in entry, name


def test_no_whole_number_of_a_task_is_null(pipeline: Callable[..., Any]) -> None:
    # The local runner turns whole numbers into int, which a null is not.
    spec, _ = documents(pipeline)
    dags = [spec["root"], *spec["components"].values()]
    for task in (task for dag in dags for task in dag.get("dag", {}).get("tasks", {}).values()):
        inputs = spec["components"][task["componentRef"]["name"]].get("inputDefinitions", {})
        for name, entry in inputs.get("parameters", {}).items():
            if entry["parameterType"] == "NUMBER_INTEGER" and "defaultValue" not in entry:
                assert name in task["inputs"]["parameters"], (task["taskInfo"]["name"], name)


def test_what_may_pass_by_itself_is_tried_again_with_growing_pauses(
    pipeline: Callable[..., Any],
) -> None:
    spec, _ = documents(pipeline)
    for name, task in tasks(spec):
        if name.rstrip("-0123456789") in ANSWERS:
            assert "retryPolicy" not in task, name
            continue
        policy = task["retryPolicy"]
        assert policy["maxRetryCount"] >= 1, name
        assert policy["backoffDuration"] == "30s", name
        assert policy["backoffFactor"] == 2.0, name


def test_each_loop_has_a_limit(pipeline: Callable[..., Any]) -> None:
    spec, _ = documents(pipeline)
    for part in (spec["root"], *spec["components"].values()):
        for name, task in part.get("dag", {}).get("tasks", {}).items():
            if "parameterIterator" in task:
                assert task["iteratorPolicy"]["parallelismLimit"] >= 1, name


def test_no_text_is_made_with_an_item_of_a_loop(pipeline: Callable[..., Any]) -> None:
    # `item.name` is the name of kfp's own object; in place of another field the local runner puts
    # the whole item into a text.
    spec, _ = documents(pipeline)
    for name, task in tasks(spec):
        for key, value in task.get("inputs", {}).get("parameters", {}).items():
            assert "loop-item" not in str(value.get("runtimeValue", "")), (name, key)


def test_a_report_ends_each_pipeline_however_it_ends(pipeline: Callable[..., Any]) -> None:
    spec, _ = documents(pipeline)
    inside, ending = (spec["root"]["dag"]["tasks"][name] for name in ("exit-handler-1", "report"))
    assert spec["root"]["dag"]["tasks"].keys() == {"exit-handler-1", "report"}
    assert ending["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert ending["dependentTasks"] == ["exit-handler-1"]
    status = ending["inputs"]["parameters"]["status"]
    assert status == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}
    assert "dag" in spec["components"][inside["componentRef"]["name"]]
    assert any(name.startswith("exec-doctor") for name, _ in tasks(spec))


def test_the_report_changes_no_parameter(pipeline: Callable[..., Any]) -> None:
    plain = PIPELINES[pipeline.name]  # type: ignore[attr-defined]
    assert plain.component_spec.inputs == pipeline.component_spec.inputs  # type: ignore[attr-defined]


def test_no_task_is_cached_while_its_image_may_change(pipeline: Callable[..., Any]) -> None:
    spec, _ = documents(pipeline)
    assert not any(task["cachingOptions"] for _, task in tasks(spec))


def test_with_pinned_images_tasks_are_cached_that_are_told_by_content(tmp_path: Path) -> None:
    content = yaml.safe_load((profile.FOLDER / "local.yaml").read_text())
    pinned = f"registry.example.org/decloud@sha256:{'0' * 64}"
    content["images"] = dict.fromkeys(content["images"], pinned)
    (tmp_path / "pinned.yaml").write_text(yaml.safe_dump(content))
    words = ["compile", "--out", str(tmp_path), "--profile", str(tmp_path / "pinned.yaml")]
    subprocess.run([DECLOUD, *words], check=True, stdout=subprocess.DEVNULL)
    cached, others = set(), set()
    for name in PIPELINES:
        spec = next(yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text()))
        for label, task in tasks(spec):
            is_cached = task["cachingOptions"].get("enableCache", False)
            (cached if is_cached else others).add(label)
            if is_cached:
                given = task["inputs"]["parameters"]["content"]
                assert "content" in given["parameterExpressionSelector"], label
                assert spec["deploymentSpec"]["executors"][label]["container"]["image"] == pinned
    assert cached == {"exec-prepare-s1", "exec-prepare-s2"}
    assert {"exec-doctor", "exec-list-products", "exec-train", "exec-promote"} <= others


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(cli.app, ["compile", "--out", str(tmp_path / "file")])
    assert done.exit_code == 2
    assert "is a file" in done.output


def test_the_command_writes_all_pipelines(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["compile", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert {path.stem for path in tmp_path.iterdir()} == set(PIPELINES)
