"""Write each pipeline as the YAML that Kubeflow takes: `python -m pipelines.compile`."""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from components import profile
from pipelines.runs import PipelineError, error_in

_TARGETS = {
    "preprocessing": "pipelines.preprocessing:preprocessing",
    "sampling": "pipelines.sampling:sampling",
    "analysis": "pipelines.analysis:analysis",
    "training": "pipelines.training:training",
    "retraining": "pipelines.retraining:retraining",
    "monitoring": "pipelines.monitoring:monitoring",
    "sweep": "pipelines.sweep:sweep",
    "reconstruction": "pipelines.reconstruction:reconstruction",
    "reconstruction-series": "pipelines.reconstruction:reconstruction_series",
    "reconstruction-tiles": "pipelines.reconstruction:reconstruction_tiles",
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


def compile_apart(name: str, folder: Path, profile_name: str | None = None) -> Path:
    """Compile a pipeline in a process of its own, with its report; return the file.

    For a process that may know another profile already: each knows one.

    Raises
    ------
    PipelineError
        It cannot be compiled.
    """
    command = [sys.executable, "-P", "-m", "pipelines.compile", "--only", name]
    command += ["--out", str(folder), *(["--profile", profile_name] if profile_name else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = tuple(done.stderr.splitlines()[-20:])
        raise PipelineError(f"pipeline {name!r} cannot be compiled: {error_in(tail)}", None, tail)
    return folder / f"{name}.yaml"


@click.command("compile")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="build/pipelines",
    show_default=True,
    metavar="FOLDER",
    help="Folder of the YAML files.",
)
@click.option("--only", type=click.Choice(list(PIPELINES)), help="Only this pipeline.")
@profile_option
def compile_command(out: str, only: str | None) -> None:
    """Compile all pipelines; images, sizes and nodes come from the profile."""
    from pipelines.reporting import with_report

    for name in [only] if only else PIPELINES:
        click.echo(compile_to(with_report(PIPELINES[name]), Path(out, f"{name}.yaml")))


if __name__ == "__main__":
    compile_command()
