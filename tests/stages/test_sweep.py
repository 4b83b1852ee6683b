"""Sweeps: what is planned, what is chosen; a whole one runs in the tests of the pipelines."""

import json
from pathlib import Path

import pytest

from decloud_lib import cli, tracking
from decloud_lib.errors import ConfigError
from decloud_lib.stages.sweep_choose import SweepChooseConfig, sweep_choose
from decloud_lib.stages.sweep_plan import SweepPlan, SweepPlanConfig, preview, sweep_plan
from tests.records import write_records


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    records = write_records(tmp_path / "spring/train", n=1)
    return {
        "training_record": str(records),
        "out_savedmodel": str(tmp_path / "models"),
        "epochs": 2,
    }


def config(settings: dict[str, object], **changes: object) -> SweepPlanConfig:
    space = {"model": ["a", "b"], "width": [8, 16]}
    return SweepPlanConfig(**({"name": "first", "space": space, "settings": settings} | changes))


def test_points_have_folders_of_their_own_below_one_parent(
    settings: dict[str, object], mlflow_store: str, tmp_path: Path
) -> None:
    plan = sweep_plan(config(settings))
    assert plan.experiment == "spring"
    assert [point.varied for point in plan.points] == [
        {"model": model, "width": width} for model in "ab" for width in (8, 16)
    ]
    assert len({point.settings["out_savedmodel"] for point in plan.points}) == 4
    for point in plan.points:
        assert point.settings["out_savedmodel"] == str(tmp_path / "models" / point.name)
        assert point.settings["parent_run_id"] == plan.parent_run_id
        assert point.settings["experiment"] == "spring"
    names = [point.settings["run_name"] for point in plan.points]
    assert len(set(names)) == 4
    assert names[0].startswith(f"{plan.points[0].varied['model']} ")
    assert names[0].endswith(f" width={plan.points[0].varied['width']}")
    # The same name goes on below the same run, and a point keeps its name.
    more = sweep_plan(config(settings, space={"model": ["b", "c"], "width": [16]}))
    assert more.parent_run_id == plan.parent_run_id
    assert more.points[0] == plan.points[-1]
    (parent,) = tracking.search_runs()
    assert (parent.name, parent.tags["sweep"]) == ("sweep first", "first")


def test_a_preview_begins_nothing(settings: dict[str, object], mlflow_store: str) -> None:
    plan = preview(config(settings, points=3))
    assert len(plan.points) == 3
    assert plan.text().splitlines()[0] == "3 trainings in spring"
    assert tracking.search_runs() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"learning_rat": [1.0]}}, "learning_rat: there is no such field"),
        ({"space": {"width": [1]}}, "the training with width=1 cannot be: width: "),
        ({"space": {"epochs": [1, 2]}}, "epochs is varied, or the sweep's own"),
    ],
)
def test_a_training_that_cannot_be_is_named_before_any_begins(
    settings: dict[str, object], mlflow_store: str, changes: dict[str, object], message: str
) -> None:
    wanted = config(settings | ({} if "epochs" in str(changes) else {"model": "a"}), **changes)
    with pytest.raises(ConfigError, match=message):
        sweep_plan(wanted)
    assert tracking.search_runs() == []


def test_the_space_is_given_as_json(
    settings: dict[str, object], mlflow_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "sweep",
        "plan",
        "--name",
        "first",
        "--settings",
        json.dumps(settings | {"model": "a"}),
    ]
    assert cli.main([*words, "--space", '{"width": [8, 16]}', "--json", "--dry-run"]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 2
    assert cli.main([*words, "--space", '{"width": [8']) == 2
    assert "--space: expected a JSON object" in capsys.readouterr().err


def child(plan: SweepPlan, name: str, value: float, **tags: str) -> str:
    labels = {"mlflow.parentRunId": plan.parent_run_id, **tags}
    with tracking.open_run(plan.experiment, name=name, tags=labels) as run:
        run.log_params({"model": name, "learning_rate": 0.1})
        run.log_metrics({"test/t/psnr_db": value})
    return run.run_id


def test_the_best_network_is_chosen(settings: dict[str, object], mlflow_store: str) -> None:
    plan = sweep_plan(config(settings))
    with pytest.raises(ConfigError, match="none of the 0 trainings of sweep 'first'"):
        sweep_choose(SweepChooseConfig(name="first"))
    child(plan, "a", 20.0, savedmodel="models/a", scores="scores/a")
    best = child(plan, "b", 22.0, savedmodel="models/b", scores="scores/b")
    # One that left no network, and one of no sweep.
    child(plan, "diverged", 30.0)
    with tracking.open_run(plan.experiment, name="other") as run:
        run.log_metrics({"test/t/psnr_db": 40.0})
    choice = sweep_choose(SweepChooseConfig(name="first"))
    assert (choice.run_id, choice.savedmodel, choice.scores) == (best, "models/b", "scores/b")
    assert (choice.value, choice.points) == (22.0, 2)
    (parent,) = tracking.search_runs(where="tags.stage = 'sweep'")
    assert parent.metrics == {"test/t/psnr_db": 22.0, "score/test/psnr_db": 22.0}
    assert (parent.tags["best_run"], parent.tags["best.model"]) == (best, "b")


def test_a_sweep_that_was_never_begun_is_named(mlflow_store: str) -> None:
    with pytest.raises(ConfigError, match="no sweep 'second' in MLflow"):
        sweep_choose(SweepChooseConfig(name="second"))
