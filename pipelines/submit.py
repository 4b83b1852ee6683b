"""Run a pipeline: on a cluster's Kubeflow, or here with the local runners (`decloud submit`)."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from components import profile
from decloud_lib.cli import configure_logging, task_environment
from decloud_lib.errors import ConfigError
from pipelines import host as hosts
from pipelines.arguments import parse_arguments
from pipelines.compile import PIPELINES, compile_to, profile_option
from pipelines.host import Host, Started
from pipelines.local import run_local
from pipelines.places import check_places, check_tracking, uses_tracking
from pipelines.runs import DockerOptions, PipelineError

logger = logging.getLogger(__name__)

_STILL_RUNNING = 124
_STOPPED = 130
_HOST_OPTIONS = ("host", "token", "token_file", "namespace", "run_name", "wait")


@click.command(
    "submit",
    context_settings={"max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  decloud submit preprocessing -p products=s3://decloud/raw -p prepared=s3://decloud/prepared\n"
    "  decloud submit training --host http://localhost:8080 --profile gpu --wait -p epochs=50 ...\n"
    "\n"
    "Status: 0 when the run succeeded (without --wait: was started), 2 when it failed or input is "
    "wrong, 124 when --timeout was over and it still runs, 130 when somebody stopped it.",
)
@click.argument("name", type=click.Choice(list(PIPELINES)), metavar="PIPELINE")
@click.option(
    *("-p", "--param", "-a", "--argument"),
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the pipeline, again and again; VALUE is JSON, texts need no quotes.",
)
@click.option("--parameters", is_flag=True, help="List the parameters of the pipeline and stop.")
@click.option("--local", is_flag=True, help="Run here, tasks as processes; the default.")
@click.option("--docker", is_flag=True, help="Run here, tasks as containers.")
@click.option("--host", metavar="URL", help="Run on this host: address of Kubeflow Pipelines.")
@click.option(
    "--token",
    envvar="DECLOUD_KFP_TOKEN",
    help="What proves who asks, for a host that wants it; better in the variable "
    "DECLOUD_KFP_TOKEN, as a list of processes shows options.",
)
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False), help="File that holds it."
)
@click.option("--namespace", help="Namespace, on a host with several users.")
@click.option("--experiment", default="decloud", show_default=True, help="Experiment on the host.")
@click.option("--run-name", help="Name of the run; default: the pipeline's with the time.")
@click.option("--wait", is_flag=True, help="Wait for the end and tell what the tasks do.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Longest time to wait."
)
@click.option(
    "--poll",
    type=click.FloatRange(min=0.001),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two questions to the host while waiting.",
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
    name: str, pairs: tuple[str, ...], out: str, *, parameters: bool, **options: Any
) -> int | None:
    """Run a pipeline on a Kubeflow host, or here."""
    from pipelines.reporting import with_report

    configure_logging()
    pipeline = PIPELINES[name]
    if parameters:
        click.echo(_parameters_text(pipeline))
        return None
    _check_together(options)
    arguments = parse_arguments(pipeline, pairs)
    if options["host"] or options["docker"]:
        check_places(pipeline, arguments)
    if options["docker"] and uses_tracking(pipeline, arguments):
        check_tracking()
    if options["host"] is None:
        docker = DockerOptions(environment=task_environment())
        run = run_local(
            pipeline,
            arguments,
            Path(out),
            runner="docker" if options["docker"] else "subprocess",
            docker=docker,
        )
        click.echo(json.dumps(run.outputs, indent=2))
        return 0
    run_name = options["run_name"] or f"{name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    package = compile_to(with_report(pipeline), Path(out, f"{name}.yaml"))
    account = profile.current().service_account
    started = hosts.start(_host(options), package, arguments, run_name, account)
    click.echo(f"{run_name}: {started.link}")
    return _wait(started, options["timeout"], options["poll"]) if options["wait"] else 0


def _check_together(options: Mapping[str, Any]) -> None:
    here = [word for word in ("local", "docker") if options[word]]
    if len(here) == 2 or (here and options["host"]):
        raise ConfigError("--local, --docker and --host exclude each other; give one")
    if options["host"] is None:
        idle = [word for word in _HOST_OPTIONS if options[word] and word != "token"]
        if idle:
            told = ", ".join("--" + word.replace("_", "-") for word in idle)
            raise ConfigError(f"{told} says nothing without --host; give the host's address")
    if options["timeout"] is not None and not options["wait"]:
        raise ConfigError("--timeout says nothing without --wait")


def _host(options: Mapping[str, Any]) -> Host:
    url = options["host"].rstrip("/")
    token = options["token"]
    if options["token_file"]:
        token = Path(options["token_file"]).read_text(encoding="utf-8").strip()
    return Host(
        url if url.startswith(("http://", "https://")) else f"https://{url}",
        token,
        options["namespace"],
        options["experiment"],
    )


def _wait(started: Started, timeout_s: float | None, every_s: float) -> int:
    """Follow a run to its end; return the exit status."""
    try:
        outcome = hosts.follow(started, timeout_s=timeout_s, every_s=every_s)
    except KeyboardInterrupt:
        raise PipelineError(
            f"no longer followed; the run goes on: {started.link}", None, ()
        ) from None
    if outcome.state == "SUCCEEDED":
        click.echo("succeeded")
        return 0
    if outcome.state == "RUNNING":
        click.echo(f"still running after {timeout_s:g} s: {started.link}")
        return _STILL_RUNNING
    if outcome.state == "CANCELED":
        click.echo(f"stopped by somebody: {started.link}")
        return _STOPPED
    told = "; ".join(outcome.failed) or "the host gives no reason"
    raise PipelineError(f"run {outcome.state.lower()}: {told} (see {started.link})", None, ())


def _parameters_text(pipeline: Callable[..., Any]) -> str:
    inputs = pipeline.component_spec.inputs  # type: ignore[attr-defined]
    rows = [
        (name, spec.type, json.dumps(spec.default) if spec.optional else "needed",
         " ".join((spec.description or "").split()))
        for name, spec in inputs.items()
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
