"""Retrain when something changed: compare, run the retraining pipeline, say what came out."""

import logging
import time
from pathlib import Path

from pydantic_core import to_json

from decloud_lib import fingerprint, storage
from decloud_lib.cli import stage_command, task_environment
from decloud_lib.commands import StageCommand
from decloud_lib.errors import ConfigError
from decloud_lib.stages.retrain import (
    RetrainConfig,
    RetrainPlan,
    RetrainResult,
    conclude,
    markdown,
    plan_retraining,
)
from pipelines.compile import PIPELINES, compile_to
from pipelines.local import run_local
from pipelines.runs import DockerOptions, PipelineError
from pipelines.submit import submit_package

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
    result = _unchanged(plan) if not plan.needed else _run(config, plan)
    if config.output is not None:
        storage.write_bytes(config.output, to_json(result, indent=2))
    if config.report is not None:
        storage.write_bytes(config.report, markdown(result).encode())
    return result


def _unchanged(plan: RetrainPlan) -> RetrainResult:
    return RetrainResult(
        status="unchanged",
        reason=plan.reason,
        champion=plan.champion,
        former_champion=plan.champion,
        version=None,
        changes=plan.changes,
    )


def _run(config: RetrainConfig, plan: RetrainPlan) -> RetrainResult:
    listing = fingerprint.write(plan.fingerprint, config.fingerprints)
    start = time.monotonic()
    try:
        place = _on_kubeflow(config, plan, listing) if config.host else _here(config, plan, listing)
    except PipelineError as error:
        logger.error("%s", error)
        return RetrainResult(
            status="failed",
            reason=f"{plan.reason}; {error}",
            champion=plan.champion,
            former_champion=plan.champion,
            version=None,
            changes=plan.changes,
            fingerprint=listing,
            seconds=round(time.monotonic() - start, 1),
        )
    result = conclude(config, plan, listing, place, time.monotonic() - start)
    logger.info("retrain: %s in %.0f s", result.status, result.seconds)
    return result


def _here(config: RetrainConfig, plan: RetrainPlan, listing: str) -> str:
    """Run the pipeline on this machine; return the folder of the run."""
    finished = run_local(
        PIPELINES[NAME],
        config.arguments(plan.fingerprint, listing),
        Path(config.run_dir),
        runner="docker" if config.runner == "docker" else "subprocess",
        docker=DockerOptions(environment=task_environment()),
    )
    return str(finished.folder)


def _on_kubeflow(config: RetrainConfig, plan: RetrainPlan, listing: str) -> str:
    raise ConfigError("not yet")


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
