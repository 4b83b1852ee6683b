"""Run a pipeline: on a cluster's Kubeflow, or here with the local runner (`decloud submit`)."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import click

from components import profile
from decloud_lib.cli import configure_logging, task_environment
from decloud_lib.errors import ConfigError
from pipelines.compile import PIPELINES, compile_to, profile_option
from pipelines.local import run_local
from pipelines.runs import DockerOptions, PipelineError


@click.command(
    "submit",
    epilog="\b\nExamples:\n"
    "  decloud submit preprocessing -a products=s3://decloud/raw -a prepared=s3://decloud/prepared\n"
    "  decloud submit training --host http://localhost:8080 -a epochs=50 ...",
)
@click.argument("name", type=click.Choice(list(PIPELINES)), metavar="PIPELINE")
@click.option(
    "-a",
    "--argument",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the pipeline; VALUE is JSON, or a text.",
)
@click.option("--host", help="Address of Kubeflow Pipelines; without it the pipeline runs here.")
@click.option("--experiment", default="decloud", show_default=True, help="Experiment on the host.")
@click.option(
    "--runner",
    type=click.Choice(["subprocess", "docker"]),
    default="subprocess",
    show_default=True,
    help="How tasks run here: as processes or as containers.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="build/runs",
    show_default=True,
    metavar="FOLDER",
    help="Folder of the compiled pipeline, the logs and the outputs of tasks.",
)
@profile_option
def submit(
    name: str,
    pairs: tuple[str, ...],
    host: str | None,
    experiment: str,
    runner: Literal["subprocess", "docker"],
    out: str,
) -> None:
    """Run a pipeline on a Kubeflow host, or here."""
    configure_logging()
    arguments = parse_arguments(pairs)
    if host is None:
        options = DockerOptions(environment=task_environment())
        run = run_local(PIPELINES[name], arguments, Path(out), runner=runner, docker=options)
        click.echo(json.dumps(run.outputs, indent=2))
        return
    package = compile_to(PIPELINES[name], Path(out, f"{name}.yaml"))
    account = profile.current().service_account
    click.echo(submit_package(package, arguments, host, experiment, service_account=account))


def parse_arguments(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Turn `name=value` texts into arguments; a value that is no JSON is a text.

    Raises
    ------
    ConfigError
        A text without an equals sign.
    """
    arguments = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise ConfigError(f"{pair!r} is no parameter; expected NAME=VALUE")
        try:
            arguments[name] = json.loads(value)
        except json.JSONDecodeError:
            arguments[name] = value
    return arguments


def submit_package(
    package: Path,
    arguments: dict[str, Any],
    host: str,
    experiment: str,
    *,
    service_account: str | None = None,
) -> str:
    """Start a compiled pipeline on a Kubeflow host and return the run's identifier.

    Raises
    ------
    PipelineError
        The host cannot be reached, or refuses.
    """
    import kfp
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    # Each attempt would be told in five lines; the last one is.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            client = kfp.Client(host=host)
        run = client.create_run_from_pipeline_package(
            str(package),
            arguments=arguments,
            experiment_name=experiment,
            service_account=service_account,
        )
    except (ApiException, HTTPError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PipelineError(
            f"Kubeflow at {host} did not take the pipeline ({reason}); check --host, the "
            "arguments, and that the address leads to its API",
            None,
            (),
        ) from error
    return str(run.run_id)
