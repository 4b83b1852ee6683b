"""Choose the best network of a sweep, and show all of them on its parent run."""

import logging
from dataclasses import dataclass

from pydantic import Field

from decloud_lib import tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError
from decloud_lib.learning import naming
from decloud_lib.learning.leaderboard import Entry, board_page, make_boards
from decloud_lib.stages.sweep_plan import NAME, parent_filter

logger = logging.getLogger(__name__)

_SHOWN = ("model", "learning_rate", "batch_size_train", "width", "seed")


class SweepChooseConfig(StageConfig):
    """Settings of `sweep choose`."""

    name: str = Field(pattern=NAME, examples=["rates-2"], description="Name of the sweep.")
    score: str = Field(
        default="psnr_db", min_length=1, description="Score that decides, such as psnr_db or mae."
    )
    part: str | None = Field(
        default=None,
        pattern=r"^[^/]+/[^/]+$",
        examples=["test/valid"],
        description="Split and data set of the score, such as test/valid; default: the test set.",
    )


@dataclass(frozen=True, slots=True)
class SweepChoice:
    """The best training of a sweep."""

    run_id: str
    savedmodel: str
    scores: str
    """Its `scores.json`."""
    value: float
    points: int
    """Number of trainings with a score."""
    html: str
    """Page with all of them."""


def sweep_choose(config: SweepChooseConfig) -> SweepChoice:
    """Rank the trainings below the parent run of a sweep.

    The parent run gets the page, the best score, and the best run's main settings.

    Raises
    ------
    ConfigError
        There is no such sweep, or none of its trainings has a score and a network.
    TrackingError
        MLflow cannot be reached.
    """
    parents = tracking.search_runs(where=parent_filter(config.name))
    if not parents:
        raise ConfigError(f"no sweep {config.name!r} in MLflow; begin it with `decloud sweep plan`")
    parent = parents[0]
    runs = tracking.search_runs(
        [parent.experiment], where=f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
    )
    boards = make_boards(runs, config.score, config.part)
    ranked = [entry for board in boards for entry in board.entries if _network(entry)]
    if not ranked:
        raise ConfigError(
            f"none of the {len(runs)} trainings of sweep {config.name!r} has a score "
            f"{config.score} and a network; look at their runs in MLflow"
        )
    best = ranked[0]
    page = board_page(boards, f"Sweep {config.name}")
    with tracking.open_run(parent.experiment, run_id=parent.run_id) as run:
        run.log_text(page, "sweep/leaderboard.html")
        value = {f"{best.part}/{config.score}": best.value}
        run.log_metrics(value | naming.headlines(value))
        run.set_tags(
            {"best_run": best.run.run_id, "savedmodel": _network(best)}
            | {f"best.{key}": best.run.params[key] for key in _SHOWN if key in best.run.params}
        )
        if best.run.thumbnail:
            run.set_tags({tracking.THUMBNAIL: best.run.thumbnail})
    logger.info("best of %d: %s, %s %.4g", len(ranked), best.run.name, config.score, best.value)
    return SweepChoice(
        run_id=best.run.run_id,
        savedmodel=_network(best),
        scores=best.run.tags.get("scores", ""),
        value=best.value,
        points=len(ranked),
        html=page,
    )


def _network(entry: Entry) -> str:
    return entry.run.tags.get("savedmodel", "")
