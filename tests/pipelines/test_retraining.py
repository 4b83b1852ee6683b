"""The command `retrain` and its pipeline agree on names and defaults."""

from pathlib import Path

from pydantic_core import to_jsonable_python

from decloud_lib.fingerprint import PARTS, Fingerprint, Part
from decloud_lib.stages.retrain import RetrainConfig
from pipelines.compile import PIPELINES


def config(**more: object) -> RetrainConfig:
    given = {"products": "p", "prepared": "q", "out": "o", "layout": "AL-TEST", "model": "m"}
    return RetrainConfig(**given | more)


NOW = Fingerprint(**{name: Part(items={}) for name in PARTS})


def test_all_arguments_are_parameters_of_the_pipeline() -> None:
    inputs = PIPELINES["retraining"].component_spec.inputs  # type: ignore[attr-defined]
    full = config(
        check_product="q/S2_PREPARE/T31TCJ/P", maxntrain=3, maxnvalid=2, time_limit_s=9.0,
        start="2020-01-01", end="2020-12-31", experiment="wheat", policy="rules.yaml",
    )  # fmt: skip
    given = full.arguments(NOW, "listing.json")
    assert inputs.keys() - given.keys() == {"check_dem"}
    assert given.keys() <= inputs.keys()


def test_defaults_are_those_of_the_command() -> None:
    inputs = PIPELINES["retraining"].component_spec.inputs  # type: ignore[attr-defined]
    fields = RetrainConfig.model_fields
    shared = [name for name in inputs if name in fields and inputs[name].optional]
    assert len(shared) > 30
    for name in shared:
        expected = to_jsonable_python(fields[name].get_default())
        given = None if inputs[name].default in ("", -1, -1.0) else inputs[name].default
        assert given == expected, name


def test_the_retraining_holds_all_steps_in_their_order(tmp_path: Path) -> None:
    spec = PIPELINES["retraining"].pipeline_spec  # type: ignore[attr-defined]
    tasks = spec.root.dag.tasks
    assert set(tasks) == {"preprocessing", "sampling", "training", "condition-1"}
    assert list(tasks["sampling"].dependent_tasks) == ["preprocessing"]
    assert list(tasks["training"].dependent_tasks) == ["sampling"]
    assert list(tasks["condition-1"].dependent_tasks) == ["training"]
