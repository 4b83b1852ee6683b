"""What a retraining led to, for people and for programs."""

from dataclasses import dataclass
from typing import Any, Literal

from decloud_lib import storage, tracking
from decloud_lib.fingerprint import Change
from decloud_lib.learning.evidence import MARKDOWN_NAME, REASON_TAG
from decloud_lib.stages.retrain import RetrainConfig, RetrainPlan

Status = Literal["unchanged", "submitted", "promoted", "not promoted", "failed"]
EXIT_STATUS: dict[Status, int] = {
    "unchanged": 0,
    "submitted": 0,
    "promoted": 0,
    "not promoted": 4,
    "failed": 5,
}
"""Wrong input ends with 2, as everywhere."""

#: Changes that a report names.
_MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """What came out; `EXIT_STATUS` says how the command ends."""

    status: Status
    reason: str
    """What changed, or why nothing is done."""
    champion: int | None
    """Version in use now."""
    former_champion: int | None
    """Version in use before."""
    version: int | None = None
    """Version that was trained."""
    changes: tuple[Change, ...] = ()
    evidence: str = ""
    """Why the new version was promoted, or not; what failed."""
    comparison: str = ""
    """How the new version compares, as Markdown."""
    fingerprint: str | None = None
    """URI of what the model is made from."""
    run: str | None = None
    """Local folder of the run, or its address on Kubeflow."""
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """Status that the command ends with."""
        return EXIT_STATUS[self.status]

    @property
    def in_use(self) -> str:
        """Say which version was in use, and which one is."""
        before, now = (
            f"version {number}" if number else "none"
            for number in (self.former_champion, self.champion)
        )
        return f"In use before: {before}; now: {now}."

    def text(self) -> str:
        """Say it in a few lines."""
        lines = (f"{self.status}: {self.reason}", self.evidence, self.in_use)
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Work:
    """A retraining that is needed, and what can be said of it."""

    config: RetrainConfig
    plan: RetrainPlan
    listing: str
    """URI of the fingerprint."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Parameters of the pipeline."""
        return self.config.arguments(self.plan.fingerprint, self.listing)

    def submitted(self, run: str) -> RetrainResult:
        """Return the result of a run that goes on elsewhere."""
        return self._result("submitted", run=run)

    def failed(self, why: str) -> RetrainResult:
        """Return the result of a run with a step that failed."""
        return self._result("failed", evidence=why)

    def concluded(self, run: str) -> RetrainResult:
        """Look up in MLflow what a finished run led to.

        Raises
        ------
        TrackingError
            MLflow cannot be reached.
        """
        versions = tracking.find_versions(self.config.name)
        now = next((item.number for item in versions if self.config.alias in item.aliases), None)
        same = (item for item in versions if not self.plan.fingerprint.changed_parts(item.tags))
        made = next(same, None)
        promoted = made is not None and made.number == now
        return self._result(
            "promoted" if promoted else "not promoted",
            champion=now,
            version=made.number if made else None,
            evidence=made.tags.get(REASON_TAG, "") if made else "",
            comparison=self._comparison(),
            run=run,
        )

    def _comparison(self) -> str:
        """Return what the promotion wrote; nothing where there was no comparison."""
        uri = storage.join(self.arguments["scores"], "promotion", MARKDOWN_NAME)
        return storage.read_text(uri) if storage.stat(uri) is not None else ""

    def _result(self, status: Status, **facts: Any) -> RetrainResult:
        common = {
            "reason": self.plan.reason,
            "champion": self.plan.champion,
            "former_champion": self.plan.champion,
            "changes": self.plan.changes,
            "fingerprint": self.listing,
        }
        return RetrainResult(status=status, **(common | facts))


def unchanged(plan: RetrainPlan) -> RetrainResult:
    """Return the result where nothing is to be done."""
    return RetrainResult(
        status="unchanged",
        reason=plan.reason,
        champion=plan.champion,
        former_champion=plan.champion,
        changes=plan.changes,
    )


def markdown(result: RetrainResult) -> str:
    """Return a result as Markdown: for a comment on a pull request, or a summary."""
    heads = {
        "unchanged": "Nothing to do",
        "submitted": "Retraining started",
        "promoted": f"Version {result.version} is now in use",
        "not promoted": f"Version {result.version or '(none)'} was not promoted",
        "failed": "Retraining failed",
    }
    lines = [f"### {heads[result.status]}", "", result.reason, ""]
    if result.changes:
        lines += ["| part | what | name |", "|---|---|---|"]
        shown = result.changes[:_MOST_ROWS]
        lines += [f"| {item.part} | {item.kind} | `{item}` |" for item in shown]
        if len(result.changes) > len(shown):
            lines.append(f"| | | and {len(result.changes) - len(shown)} more |")
        lines.append("")
    if result.comparison:
        lines += [result.comparison.strip(), ""]
    elif result.evidence:
        lines += [result.evidence, ""]
    lines += [result.in_use, ""]
    return "\n".join(lines)
