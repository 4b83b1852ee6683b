"""Write each pipeline as the YAML that Kubeflow takes: `python -m pipelines.compile`."""

import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from components import profile

_TARGETS = {
    "preprocessing": "pipelines.preprocessing:preprocessing",
    "sampling": "pipelines.sampling:sampling",
    "analysis": "pipelines.analysis:analysis",
    "training": "pipelines.training:training",
    "retraining": "pipelines.retraining:retraining",
    "reconstruction": "pipelines.reconstruction:reconstruction",
    "reconstruction-series": "pipelines.reconstruction:reconstruction_series",
}


class _Pipelines(Mapping[str, Callable[..., Any]]):
    """Pipelines by name, each imported when it is asked for: the profile is chosen before."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        module, _, attribute = _TARGETS[name].partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_TARGETS)

    def __len__(self) -> int:
        return len(_TARGETS)


PIPELINES = _Pipelines()


def profile_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--profile`, which takes effect before the pipelines are imported."""
    return click.option(
        "--profile",
        metavar="NAME|FILE",
        expose_value=False,
        is_eager=True,
        callback=lambda _context, _parameter, value: value and profile.use(value),
        help="Settings of the cluster: a name of k8s/profiles, or a YAML file. Default: the "
        "variable DECLOUD_PROFILE, or local.",
    )(command)


def compile_to(pipeline: Callable[..., Any], path: Path) -> Path:
    """Compile one pipeline to a YAML file; the same code gives the same bytes."""
    from kfp import compiler

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(path))
    return path


def compile_text(pipeline: Callable[..., Any]) -> str:
    """Return the YAML of one pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        return compile_to(pipeline, Path(folder, "pipeline.yaml")).read_text(encoding="utf-8")


@click.command("compile")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="build/pipelines",
    show_default=True,
    metavar="FOLDER",
    help="Folder of the YAML files.",
)
@profile_option
def compile_command(out: str) -> None:
    """Compile all pipelines; images, sizes and nodes come from the profile."""
    from pipelines.reporting import with_report

    for name, pipeline in PIPELINES.items():
        click.echo(compile_to(with_report(pipeline), Path(out, f"{name}.yaml")))


if __name__ == "__main__":
    compile_command()
