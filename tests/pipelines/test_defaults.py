"""A component's signature repeats its stage's configuration class: same names, same defaults."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from components import images
from decloud_lib.commands import STAGES
from decloud_lib.config import StageConfig
from pipelines.compile import PIPELINES

#: What a pipeline does with a task per product, what only shows something, what people decide.
WITHOUT_COMPONENT = {"card", "draw-records", "evaluate-series", "inspect", "prepare", "rollback"}
#: The component of a group runs the stage that does all.
STAGE_OF = {name.removesuffix(" all").replace("-", "_"): name for name in STAGES}
NAMES = [
    name for name, stage in STAGE_OF.items() if stage not in WITHOUT_COMPONENT and " " not in name
]


def component(name: str) -> Any:
    return getattr(importlib.import_module(f"components.{name}"), name)


def config_class(name: str) -> type[StageConfig]:
    module, class_name, _ = STAGES[STAGE_OF[name]].target.split(":")
    found: type[StageConfig] = getattr(importlib.import_module(module), class_name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_the_fields_of_the_configuration(name: str) -> None:
    fields = set(config_class(name).model_fields)
    if name in {"list_products", "list_series", "doctor", "leaderboard"}:
        # They write nothing that could be replaced.
        fields -= {"overwrite"}
    # The state of products is for Kubeflow's cache; a task makes the same without it.
    assert set(component(name).component_spec.inputs) - {"content"} == fields


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_configuration(name: str) -> None:
    inputs = component(name).component_spec.inputs
    for field, info in config_class(name).model_fields.items():
        if field not in inputs:
            continue
        assert inputs[field].optional is not info.is_required(), field
        if not info.is_required():
            expected = to_jsonable_python(info.get_default(call_default_factory=True))
            assert inputs[field].default == expected, field


@pytest.mark.parametrize("name", NAMES)
def test_each_input_is_described(name: str) -> None:
    inputs = component(name).component_spec.inputs
    assert [field for field, spec in inputs.items() if not spec.description] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_image_comes_from_one_place(name: str) -> None:
    image = component(name).component_spec.implementation.container.image
    assert image in {images.PREPARE, images.TRAIN, images.INFER}


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_pipeline_defaults_are_those_of_the_configuration(pipeline: Callable[..., Any]) -> None:
    known: dict[str, list[Any]] = {}
    for name in (*NAMES, "prepare"):
        for field, info in config_class(name).model_fields.items():
            if not info.is_required():
                value = to_jsonable_python(info.get_default(call_default_factory=True))
                known.setdefault(field, []).append(value)
    # What a pipeline decides otherwise, on purpose.
    own = {"model", "baselines", "savedmodel"}
    for field, spec in pipeline.component_spec.inputs.items():  # type: ignore[attr-defined]
        if spec.optional and field in known and field not in own:
            given = None if spec.default in ("", -1, -1.0) else spec.default
            assert given in known[field], field
