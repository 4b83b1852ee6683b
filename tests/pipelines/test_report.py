"""The report at the end of a run, with Kubeflow's local runner; tries after a failure."""

from pathlib import Path

import pytest

from pipelines.local import run_local
from pipelines.reporting import with_report
from pipelines.runs import PipelineError
from tests.pipelines.flows import once_more_pipeline, words_pipeline


def reports(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("summary") if path.is_file()]


def test_a_good_run_is_reported(tmp_path: Path) -> None:
    arguments = {"words": ["a"], "folder": str(tmp_path)}
    run = run_local(with_report(words_pipeline), arguments, tmp_path / "runs")
    assert [task.name for task in run.tasks] == ["list-words", "keep", "count", "report"]
    (summary,) = (item for item in run.artifacts() if item.name == "summary")
    assert summary.metadata["state"] == "SUCCEEDED"
    assert Path(summary.uri).read_text() == "# words: succeeded\n"


def test_a_failed_run_is_reported_and_stays_failed(tmp_path: Path) -> None:
    arguments = {"words": ["bad"], "folder": str(tmp_path)}
    with pytest.raises(PipelineError, match="task 'keep' failed: ProductError: found 'bad'"):
        run_local(with_report(words_pipeline), arguments, tmp_path / "runs")
    (text,) = reports(tmp_path / "runs")
    assert text.startswith("# words: failed\n")
    assert "start the same run again: finished work is found" in text


@pytest.mark.parametrize(("retries", "succeeds"), [(0, False), (1, True)])
def test_a_task_that_is_killed_once_is_tried_again(
    tmp_path: Path, retries: int, succeeds: bool
) -> None:
    arguments = {"folder": str(tmp_path)}
    if not succeeds:
        with pytest.raises(PipelineError, match="task 'die-once' failed"):
            run_local(once_more_pipeline, arguments, tmp_path / "runs", retries=retries)
        return
    run = run_local(once_more_pipeline, arguments, tmp_path / "runs", retries=retries)
    assert [(task.name, task.ok) for task in run.tasks] == [("die-once", False), ("die-once", True)]
    assert run.output == "alive"
