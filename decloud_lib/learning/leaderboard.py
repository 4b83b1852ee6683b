"""Runs in the order of a score, as rows for a terminal and as a page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined

from decloud_lib.arrays.quality import higher_is_better
from decloud_lib.tracking import FoundRun

#: Scores that are shown whichever one decides, and their formats.
SCORES = {"psnr_db": "{:.2f}", "mae": "{:.4f}", "ssim": "{:.4f}", "sam_deg": "{:.2f}"}
#: Names of linear interpolation.
_LINEAR = ("linear_gap_filling", "crga_os2_gapfilling", "crga_os1_gapfilling")
_SPLITS = ("test", "valid")
#: Parameters that have a column of their own, or follow from the model.
_TOLD = {"model", "parameters"}
_SECONDS_OF_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A run on a leaderboard."""

    run: FoundRun
    part: str
    """Split and data set that its scores are of, such as `test/valid`."""
    value: float
    """The score that decides."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.run.tags.get("model") or self.run.params.get("model", "")

    @property
    def gain(self) -> float | None:
        """Score minus that of linear interpolation on the same samples, where it is known."""
        mine = self.score("psnr_db")
        scores = (self.score(f"{name}/psnr_db") for name in _LINEAR)
        linear = next((score for score in scores if score is not None), None)
        return None if linear is None or mine is None else mine - linear

    @property
    def parameters(self) -> int | None:
        """Number of the network's weights."""
        return self._whole("parameters")

    @property
    def epochs(self) -> int | None:
        """Epochs that were asked for."""
        return self._whole("epochs")

    @property
    def minutes(self) -> float | None:
        """How long the run took."""
        return None if self.run.seconds is None else self.run.seconds / _SECONDS_OF_MINUTE

    def score(self, name: str) -> float | None:
        """Return another score of the same part."""
        return self.run.metrics.get(f"{self.part}/{name}")

    def _whole(self, name: str) -> int | None:
        text = self.run.params.get(name, "")
        return int(text) if text.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Board:
    """Runs of one experiment in the order of a score, the best first."""

    experiment: str
    score: str
    entries: tuple[Entry, ...]

    def settings(self, entry: Entry) -> str:
        """Return the settings of a run that are not the same in all: `learning_rate 0.003`."""
        # Without any it is no training; a training records those that are not the default.
        others = [other.run.params for other in self.entries if other.run.params]
        return ", ".join(
            f"{name} {value}"
            for name, value in sorted(entry.run.params.items())
            if name not in _TOLD and any(other.get(name) != value for other in others)
        )


def make_boards(
    runs: Iterable[FoundRun], score: str, part: str | None = None, limit: int | None = None
) -> list[Board]:
    """Put the runs of each experiment in order; runs without the score are left out.

    Parameters
    ----------
    runs
        Of any experiments.
    score
        Name without split and data set, such as `psnr_db`.
    part
        Split and data set, such as `test/valid`. None: for each run its test set, else its
        validation set, the first one by name.
    limit
        Most runs of a board.
    """
    found: dict[str, list[Entry]] = {}
    for run in runs:
        entry = _entry(run, score, part)
        # The parent of a sweep repeats the score of its best training.
        if entry is not None and run.tags.get("stage") != "sweep":
            found.setdefault(run.experiment, []).append(entry)
    sign = -1.0 if higher_is_better(score) else 1.0
    return [
        Board(name, score, tuple(sorted(entries, key=lambda entry: sign * entry.value)[:limit]))
        for name, entries in sorted(found.items())
    ]


def _entry(run: FoundRun, score: str, part: str | None) -> Entry | None:
    parts = [part] if part is not None else _parts_with(run, score)
    for name in parts:
        value = run.metrics.get(f"{name}/{score}", math.nan)
        if math.isfinite(value):
            return Entry(run, name, value)
    return None


def _parts_with(run: FoundRun, score: str) -> list[str]:
    """Return the parts of a run that have a score, the ones to prefer first."""
    found = []
    for metric in sorted(run.metrics):
        split, _, rest = metric.partition("/")
        data_set, _, name = rest.partition("/")
        if split in _SPLITS and name == score:
            found.append((_SPLITS.index(split), f"{split}/{data_set}"))
    return [name for _, name in sorted(found)]


def board_page(boards: Sequence[Board], title: str) -> str:
    """Return one HTML page with the boards: sorted by a click on a column, thumbnails inside."""
    name = "templates/leaderboard.html.j2"
    template = resources.files("decloud_lib.learning").joinpath(name).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page: str = environment.from_string(template).render(
        title=title, boards=boards, scores=SCORES, made=datetime.now(UTC)
    )
    return page
