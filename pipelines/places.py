"""Where a pipeline reads and writes, looked at before its tasks run in containers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from decloud_lib import storage, tracking
from decloud_lib.errors import ConfigError
from pipelines.arguments import signature


def check_places(pipeline: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse folders of this machine for tasks that run in containers.

    What such a task writes to a folder is lost with its container, and nothing would say so. Where
    a pipeline writes is known from its first task, which looks at that place; any other value
    counts as a folder when it begins like one.

    Raises
    ------
    ConfigError
        A parameter names a folder or file of this machine.
    """
    doctor = _doctor(pipeline)
    output = doctor["bucket"].component_input_parameter if "bucket" in doctor else None
    for name, value in arguments.items():
        for text in _texts(value):
            local = text.startswith(("/", "./", "../", "~"))
            if local or (name == output and not storage.is_s3(text)):
                raise ConfigError(
                    f"parameter {name}: tasks in containers see no folder of this machine "
                    f"({text}); give s3://bucket/prefix, or run them as processes (--local)"
                )


def uses_tracking(pipeline: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Say whether a pipeline needs MLflow, by its first task or for a model of MLflow's."""
    parameters = signature(pipeline).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    texts = _texts(defaults | dict(arguments))
    return "mlflow" in _doctor(pipeline) or any(map(tracking.is_tracked, texts))


def check_tracking() -> None:
    """Refuse an MLflow that tasks in containers on this machine do not see.

    Raises
    ------
    ConfigError
        It is a file.
    """
    if not tracking.tracking_uri().startswith("http"):
        raise ConfigError(
            f"MLflow is {tracking.place()}, a file that tasks in containers do not see; "
            "start `mlflow server`, and set MLFLOW_TRACKING_URI to its address"
        )


def _doctor(pipeline: Callable[..., Any]) -> Mapping[str, Any]:
    """Return what the task `doctor` of a pipeline is given; nothing where there is none."""
    for task in pipeline.pipeline_spec.root.dag.tasks.values():  # type: ignore[attr-defined]
        if task.component_ref.name == "comp-doctor":
            found: Mapping[str, Any] = task.inputs.parameters
            return found
    return {}


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
