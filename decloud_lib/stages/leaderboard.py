"""Show the runs of MLflow in the order of a score, on a terminal and as a page."""

from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from pydantic import Field

from decloud_lib import storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError

if TYPE_CHECKING:
    from decloud_lib.learning.leaderboard import Board

_SETTINGS_WIDTH = 60
_SPLITS = ("train/", "valid/", "test/")


class LeaderboardConfig(StageConfig):
    """Settings of `leaderboard`."""

    experiments: tuple[str, ...] = Field(
        default=(), description="MLflow experiments, by name; default: all."
    )
    score: str = Field(
        default="psnr_db",
        min_length=1,
        description="Score that decides on the order, such as psnr_db, mae, ssim or mae_hidden.",
    )
    part: str | None = Field(
        default=None,
        pattern=r"^[^/]+/[^/]+$",
        examples=["test/valid"],
        description="Split and data set of the scores, such as test/valid; default: for each run "
        "its test set, else its validation set.",
    )
    limit: int = Field(default=50, ge=1, description="Most runs of each experiment.")
    page: str | None = Field(
        default=None,
        description="HTML file to write (local or s3://): sortable, with thumbnails.",
    )


@dataclass(frozen=True, slots=True)
class RankedRun:
    """A run at its place."""

    experiment: str
    rank: int
    run_id: str
    name: str
    model: str
    part: str
    score: float
    psnr_db: float | None
    mae: float | None
    ssim: float | None
    sam_deg: float | None
    over_linear_db: float | None
    """PSNR minus that of linear interpolation on the same samples."""
    parameters: int | None
    minutes: float | None
    status: str
    settings: str
    """Those that are not the same in all runs of the experiment."""


@dataclass(frozen=True, slots=True)
class LeaderboardResult:
    """The ranked runs."""

    score: str
    runs: tuple[RankedRun, ...]
    page: str | None
    """Where the page was written."""
    html: str = ""
    """The page itself."""

    def text(self) -> str:
        """Return a table per experiment."""
        from decloud_lib.analysis.parts import Table

        chosen = self.score not in {"psnr_db", "mae", "ssim", "sam_deg"}
        heads = (
            *("#", "run", "model", "scored on", "PSNR dB", "MAE", "SSIM", "SAM deg"),
            *("over linear dB", "parameters", "minutes", "status", "settings that differ"),
            *((self.score,) if chosen else ()),
        )
        tables = []
        for experiment in dict.fromkeys(run.experiment for run in self.runs):
            rows = tuple(
                (
                    *(run.rank, run.name, run.model, run.part),
                    *(run.psnr_db, run.mae, run.ssim, run.sam_deg, run.over_linear_db),
                    *(run.parameters, run.minutes, run.status.lower()),
                    shorten(run.settings, _SETTINGS_WIDTH, placeholder=" ..."),
                    *((run.score,) if chosen else ()),
                )
                for run in self.runs
                if run.experiment == experiment
            )
            tables.append(Table("runs", f"{experiment}, by {self.score}", heads, rows).text())
        return "\n\n".join([*tables, *([f"page: {self.page}"] if self.page else [])])


def leaderboard(config: LeaderboardConfig) -> LeaderboardResult:
    """Rank the runs of experiments by a score; all of them are read with one question.

    Raises
    ------
    ConfigError
        There is no run, or none has the score.
    TrackingError
        There is no such experiment, or MLflow cannot be reached.
    """
    from decloud_lib.learning.leaderboard import board_page, make_boards

    runs = tracking.search_runs(config.experiments)
    if not runs:
        raise ConfigError(
            f"MLflow at {tracking.place()} holds no runs; train first, or check "
            "MLFLOW_TRACKING_URI (a database may lie in another folder than this one)"
        )
    boards = make_boards(runs, config.score, config.part, config.limit)
    if not boards:
        wanted = f"{config.part or 'test or validation set'}/{config.score}"
        raise ConfigError(
            f"none of {len(runs)} runs in MLflow at {tracking.place()} has a score "
            f"{wanted}; they have {_known(runs)}"
        )
    html = board_page(boards, "Leaderboard")
    if config.page is not None:
        storage.write_bytes(config.page, html.encode())
    ranked = tuple(run for board in boards for run in _ranked(board))
    return LeaderboardResult(config.score, ranked, config.page, html)


def _ranked(board: "Board") -> list[RankedRun]:
    return [
        RankedRun(
            experiment=board.experiment,
            rank=rank,
            run_id=entry.run.run_id,
            name=entry.run.name,
            model=entry.model,
            part=entry.part,
            score=entry.value,
            psnr_db=entry.score("psnr_db"),
            mae=entry.score("mae"),
            ssim=entry.score("ssim"),
            sam_deg=entry.score("sam_deg"),
            over_linear_db=entry.gain,
            parameters=entry.parameters,
            minutes=entry.minutes,
            status=entry.run.status,
            settings=board.settings(entry),
        )
        for rank, entry in enumerate(board.entries, start=1)
    ]


def _known(runs: "list[tracking.FoundRun]") -> str:
    # One part more in the name: of a baseline.
    own = (name for run in runs for name in run.metrics if name.count("/") == 2)
    names = sorted({name for name in own if name.startswith(_SPLITS)})
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
