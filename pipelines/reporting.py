"""The same pipeline with a report at its end, whether it succeeded or failed."""

import inspect
from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.report import report
from pipelines.arguments import signature
from pipelines.resources import SMALL, sized


def with_report(pipeline: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the tasks of a pipeline into an exit handler whose task reports.

    Parameters
    ----------
    pipeline
        As `dsl.pipeline` makes it. Its own tasks are taken, no pipeline is nested, so that the
        user interface shows one group.

    Returns
    -------
    A pipeline of the same name and parameters, without outputs: Kubeflow gives out nothing from
    inside an exit handler. So pipelines run without it here, where their outputs are used.
    """
    wanted = signature(pipeline)
    name: str = pipeline.name  # type: ignore[attr-defined]
    tasks: Callable[..., Any] = pipeline.pipeline_func  # type: ignore[attr-defined]

    def reported(*values: Any, **named: Any) -> None:
        ending = sized(report(pipeline=name), SMALL)
        with dsl.ExitHandler(exit_task=ending, name=name):
            tasks(*values, **named)

    reported.__doc__ = tasks.__doc__
    reported.__signature__ = wanted.replace(  # type: ignore[attr-defined]
        return_annotation=inspect.Signature.empty
    )
    made: Callable[..., Any] = dsl.pipeline(
        name=name,
        description=pipeline.description,  # type: ignore[attr-defined]
    )(reported)
    return made
