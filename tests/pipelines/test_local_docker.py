"""The local runner with tasks as containers, against a stand-in for the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from decloud_lib.errors import ConfigError
from pipelines.local import run_local
from pipelines.runs import DockerOptions, PipelineError
from tests.docker_engine import Engine, serve
from tests.pipelines.flows import IMAGE, words_pipeline


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with serve(Engine()) as running:
        monkeypatch.setenv("DOCKER_HOST", running.address)
        yield running


def test_each_task_gets_a_container_that_reaches_bucket_and_outputs(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "words").mkdir()
    run = run_local(
        words_pipeline,
        {"words": ["a", "b"], "folder": str(tmp_path / "words"), "factor": 2.0},
        tmp_path / "runs",
        runner="docker",
        docker=DockerOptions(environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, user="7:8"),
    )
    assert run.output == 2
    assert (tmp_path / "words" / "b.txt").read_text() == "B 2.0 float"
    assert [task.name for task in run.tasks] == ["list-words", "keep", "keep", "count"]
    root = run.folder / "artifacts"
    for asked in engine.asked:
        assert (asked["Image"], asked["User"]) == (IMAGE, "7:8")
        assert asked["Env"] == ["AWS_ENDPOINT_URL=http://127.0.0.1:9"]
        assert asked["HostConfig"]["NetworkMode"] == "host"
        assert f"{root}:{root}:rw" in asked["HostConfig"]["Binds"]
        # A container that removes itself could take its exit status with it.
        assert not asked["HostConfig"].get("AutoRemove")
    assert len(engine.removed) == len(engine.asked) == 4


def test_restricted_containers_have_no_rights(engine: Engine, tmp_path: Path) -> None:
    run_local(
        words_pipeline,
        {"words": ["a"], "folder": str(tmp_path)},
        tmp_path / "runs",
        runner="docker",
        docker=DockerOptions(image="other:1", restricted=True),
    )
    host = engine.asked[0]["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert {asked["Image"] for asked in engine.asked} == {"other:1"}


def test_a_container_that_fails_fails_the_pipeline_with_its_message(
    engine: Engine, tmp_path: Path
) -> None:
    arguments = {"words": ["bad"], "folder": str(tmp_path)}
    with pytest.raises(PipelineError, match="task 'keep' failed: ProductError: found 'bad'"):
        run_local(words_pipeline, arguments, tmp_path / "runs", runner="docker")
    assert len(engine.removed) == len(engine.asked) == 2


def test_without_an_engine_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"no container engine answers .*--runner local"):
        run_local(words_pipeline, {"words": ["a"]}, tmp_path / "runs", runner="docker")
    assert not (tmp_path / "runs").exists()
