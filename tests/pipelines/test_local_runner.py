"""The wrapper of Kubeflow's local runner: events, logs, outputs, failures, interruption."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.compile import compile_to
from pipelines.local import run_local
from pipelines.runs import PipelineError, PipelineRun, TaskRun, error_in
from tests.pipelines.flows import words_pipeline

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Told:
    """A finished run of the words, and what was told meanwhile."""

    run: PipelineRun
    folder: Path
    events: list[tuple[str, TaskRun]]
    lines: list[str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("words")
    events: list[tuple[str, TaskRun]] = []
    lines: list[str] = []
    run = run_local(
        words_pipeline,
        # A whole number for a real one, a tuple for a list, a folder with a slash.
        {"words": ("a", "b", "c"), "folder": f"{folder}/", "factor": 3},
        tmp_path_factory.mktemp("runs"),
        on_event=lambda pipeline, task: events.append((pipeline, task)),
        on_line=lambda pipeline, task, level, text: lines.append(
            f"{pipeline} {task.name} {level} {text}"
        ),
    )
    return Told(run, folder, events, lines)


def test_a_loop_runs_and_its_tasks_are_told(told: Told) -> None:
    assert told.run.output == 3
    assert (told.folder / "b.txt").read_text() == "B 3.0 float"
    names = ["list-words", "keep", "keep", "keep", "count"]
    assert [task.name for task in told.run.tasks] == names
    assert all(task.ok and task.seconds for task in told.run.tasks)
    assert len(told.events) == 10
    assert {name for name, _ in told.events} == {"words"}


def test_each_task_has_its_own_log(told: Told) -> None:
    logs = [task.log.read_text() for task in told.run.tasks if task.name == "keep"]
    for word in "abc":
        said = f"the words are {word} {word.upper()}"
        assert sorted(said in log for log in logs) == [False, False, True]
    # As the task printed it: an exception is recognised at the beginning of its line.
    assert all(re.search(r"^\[KFP Executor .*Got executor_input", log, re.M) for log in logs)


def test_what_the_stages_log_is_told_at_once(told: Told) -> None:
    assert sorted(told.lines) == [f"words keep 20 the words are {w} {w.upper()}" for w in "abc"]


def test_artifacts_are_listed_and_exist(told: Told) -> None:
    artifacts = told.run.artifacts()
    names = [artifact.name for artifact in artifacts]
    assert names in (["metrics", "data", "data", "data"], ["data", "data", "data", "metrics"])
    assert all(Path(artifact.uri).exists() for artifact in artifacts)
    assert {artifact.metadata.get("letters") for artifact in artifacts} == {1, None}


def test_a_failing_task_fails_the_pipeline_with_its_message(tmp_path: Path) -> None:
    arguments = {"words": ["good", "bad", "fine"], "folder": str(tmp_path)}
    with pytest.raises(PipelineError) as caught:
        run_local(words_pipeline, arguments, tmp_path / "runs")
    message = str(caught.value)
    assert "pipeline 'words': task 'keep' failed: ProductError: found 'bad', expected" in message
    assert caught.value.task is not None
    assert str(caught.value.task.log) in message
    assert any("the words are bad BAD" in line for line in caught.value.tail) or any(
        "Traceback" in line for line in caught.value.tail
    )
    # The other items of the loop are done: finished work is kept.
    assert (tmp_path / "fine.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"words": ["a"]}, "missing 1 required argument: folder"),
        ({"words": ["a"], "folder": "x", "sauce": 1}, 'unexpected keyword argument "sauce"'),
        ({"words": "a", "folder": "x"}, "Incompatible argument"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    tmp_path: Path, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(PipelineError, match="pipeline 'words': ") as caught:
        run_local(words_pipeline, arguments, tmp_path / "runs")
    assert says in str(caught.value)


def test_a_compiled_file_runs_too_and_the_root_logger_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = compile_to(words_pipeline, tmp_path / "words.yaml")
    arguments = {"words": ["a"], "folder": str(tmp_path)}
    with caplog.at_level("INFO"):
        assert run_local(path, arguments, tmp_path / "runs").output == 1
    assert caplog.records[0].message == "words: list-words started"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_after_an_interrupt(tmp_path: Path, how: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.local import run_local;"
        "from tests.pipelines.flows import words_pipeline as p;"
        "run_local(p, {'words': ['slow', 'next', 'last'], 'folder': sys.argv[1]},"
        "Path(sys.argv[1]) / 'runs')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stderr=-1)
    with process:
        _wait_until((tmp_path / "slow.started").exists)
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode != 0
    _wait_until(lambda: not _mentions(str(tmp_path)))


def _wait_until(condition: object, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def _mentions(text: str) -> bool:
    """Say whether a process of this machine has a text in its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_text(errors="replace"):
                    return True
            except OSError:
                continue
    return False


def test_the_message_of_a_log_is_its_last_exception() -> None:
    lines = ("ValueError: first", "  more", "decloud_lib.errors.ProductError: found", "  nothing")
    assert error_in(lines) == "ProductError: found nothing"
    ours = "decloud_lib.tracking.server.TrackingError: MLflow is away"
    assert error_in((ours,)) == "TrackingError: MLflow is away"
    assert error_in(("Killed",)) == "Killed"
    assert error_in(()) == ""
