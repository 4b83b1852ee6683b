"""Write each pipeline as the YAML that Kubeflow takes: `python -m pipelines.compile`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from kfp import compiler

from pipelines.analysis import analysis
from pipelines.preprocessing import preprocessing
from pipelines.reconstruction import reconstruction, reconstruction_series
from pipelines.sampling import sampling
from pipelines.training import training

PIPELINES: dict[str, Callable[..., Any]] = {
    "preprocessing": preprocessing,
    "sampling": sampling,
    "analysis": analysis,
    "training": training,
    "reconstruction": reconstruction,
    "reconstruction-series": reconstruction_series,
}


def compile_to(pipeline: Callable[..., Any], path: Path) -> Path:
    """Compile one pipeline to a YAML file; the same code gives the same bytes."""
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
def compile_command(out: str) -> None:
    """Compile all pipelines.

    The images come from DECLOUD_IMAGE and DECLOUD_IMAGE_GPU, the number of GPUs from DECLOUD_GPUS.
    """
    for name, pipeline in PIPELINES.items():
        click.echo(compile_to(pipeline, Path(out, f"{name}.yaml")))


if __name__ == "__main__":
    compile_command()
