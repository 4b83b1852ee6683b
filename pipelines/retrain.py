"""Retrain when something changed: compare, run the retraining pipeline, say what came out."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import to_json

from components import profile
from decloud_lib import fingerprint, storage
from decloud_lib.cli import stage_command, task_environment
from decloud_lib.commands import StageCommand
from decloud_lib.stages.retrain import RetrainConfig, RetrainPlan, plan_retraining
from decloud_lib.stages.retrain_result import RetrainResult, Work, markdown, unchanged
from pipelines import host as hosts
from pipelines.compile import compile_apart
from pipelines.host import Host
from pipelines.local import run_local
from pipelines.places import check_tracking
from pipelines.runs import DockerOptions, PipelineError

logger = logging.getLogger(__name__)

NAME = "retraining"


def run_retraining(config: RetrainConfig) -> RetrainResult:
    """Train again if something changed since the model in use was made, and compare the two.

    The result is written to `output` and `report` too, whatever it is.

    Returns
    -------
    RetrainResult
        `exit_status` is 0 when there was nothing to do or the new version is promoted, 4 when it
        is not, 5 when a step failed.

    Raises
    ------
    DecloudError
        The inputs cannot be used, or a server cannot be reached: nothing was started.
    """
    plan = plan_retraining(config)
    logger.info("retrain: %s", plan.text())
    result = _run(config, plan) if plan.needed else unchanged(plan)
    if config.output is not None:
        storage.write_bytes(config.output, to_json(result, indent=2))
    if config.report is not None:
        storage.write_bytes(config.report, markdown(result).encode())
    return result


def _run(config: RetrainConfig, plan: RetrainPlan) -> RetrainResult:
    if config.runner == "docker":
        check_tracking()
    listing = fingerprint.write(plan.fingerprint, config.fingerprints)
    work = Work(config, plan, listing)
    start = time.monotonic()
    try:
        place, ended = _on_kubeflow(work) if config.runner == "kfp" else (_here(work), True)
    except PipelineError as error:
        logger.error("%s", error)
        result = work.failed(str(error))
    else:
        result = work.concluded(place) if ended else work.submitted(place)
    seconds = round(time.monotonic() - start, 1)
    logger.info("retrain: %s after %.0f s", result.status, seconds)
    return replace(result, seconds=seconds)


def _here(work: Work) -> str:
    """Run the pipeline on this machine; return the folder of the run."""
    finished = run_local(
        _package(work.config),
        work.arguments,
        Path(work.config.run_dir),
        runner="docker" if work.config.runner == "docker" else "subprocess",
        docker=DockerOptions(environment=task_environment()),
    )
    return str(finished.folder)


def _package(config: RetrainConfig) -> Path:
    if config.package is not None:
        return Path(config.package)
    return compile_apart(NAME, Path(config.run_dir), config.profile)


def _on_kubeflow(work: Work) -> tuple[str, bool]:
    """Start the pipeline on a host; return its page, and whether it has ended."""
    config = work.config
    account = None
    if config.package is None:
        account = profile.load(config.profile).service_account if config.profile else None
    token = storage.read_text(config.token_file).strip() if config.token_file else None
    place = Host(str(config.host).rstrip("/"), token, config.namespace, config.experiment)
    package = _package(config)
    name = f"{NAME} {work.plan.fingerprint.digest} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    started = hosts.start(place, package, work.arguments, name, account)
    logger.info("%s: %s", name, started.link)
    if not config.wait:
        return started.link, False
    outcome = hosts.follow(started, every_s=config.poll_s)
    if outcome.state != "SUCCEEDED":
        told = "; ".join(outcome.failed) or "no task says why"
        raise PipelineError(f"{started.link} ended {outcome.state}: {told}", None, ())
    return started.link, True


retrain = stage_command(
    "retrain",
    StageCommand(
        "pipelines.retrain:RetrainConfig:run_retraining",
        "Train again if data, layout, code or settings changed, and compare with the model in use.",
        "decloud retrain --config retraining.yaml\n"
        "decloud retrain --config retraining.yaml --runner kfp --host http://localhost:8080 --json",
        "Compares what a model would be made from now with what the one in use was made from: the "
        "listing of the products, the layout, the code that decides, the settings. Status 0: "
        "nothing to do, or the new version is in use; 4: it is not better and not promoted; 5: a "
        "step failed. --dry-run says what changed and starts nothing.",
        plan="plan_retraining",
    ),
)
