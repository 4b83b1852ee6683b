"""Why a version was promoted, or not: as tags, JSON, Markdown and a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from decloud_lib.learning import tables
from decloud_lib.learning.contest import Contest, Ring
from decloud_lib.learning.promotion import CHAMPION, Gain
from decloud_lib.learning.scoring import summarise

Outcome = Literal["promoted", "already champion", "registered", "not promoted", "overtaken"]
"""`registered`: no evaluation set was given. `overtaken`: other processes kept moving the alias."""

TAG = "decloud.promotion."
OUTCOME_TAG, REASON_TAG = f"{TAG}outcome", f"{TAG}reason"
PREVIOUS_TAG = f"{TAG}previous_champion"
"""Number of the version that a champion replaced, `none` for the first one."""
EVALUATION_TAG = f"{TAG}evaluation_set"
#: MLflow cuts or refuses longer ones.
_TAG_CHARACTERS = 1000
JSON_NAME, MARKDOWN_NAME, PAGE_NAME = "promotion.json", "promotion.md", "promotion.html"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A contest and what it led to."""

    outcome: Outcome
    name: str
    """Of the registered model."""
    version: int
    """Of the challenger."""
    champion: int | None
    """Version that it was compared with."""
    ring: Ring
    contest: Contest

    @property
    def reason(self) -> str:
        """Say in one line why it came out so."""
        verdict = self.contest.verdict
        if self.outcome == "overtaken":
            return "another process moved the alias again and again meanwhile; run it again"
        shown = verdict.reasons or tuple(f"{item.rule}: {item.found}" for item in verdict.checks)
        return "; ".join(shown)

    def tags(self) -> dict[str, str]:
        """Return the labels of the version, all under one prefix."""
        verdict, policy = self.contest.verdict, self.ring.policy
        found = {
            OUTCOME_TAG: self.outcome,
            REASON_TAG: self.reason,
            f"{TAG}champion": _number(self.champion),
            f"{TAG}metric": policy.metric,
            f"{TAG}samples": str(self._n),
            EVALUATION_TAG: self.ring.fingerprint,
            f"{TAG}time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.outcome == "promoted":
            found[PREVIOUS_TAG] = _number(self.champion)
        for against in (CHAMPION, policy.baseline or ""):
            gain = verdict.gain(against)
            if gain is not None:
                found[f"{TAG}gain.{against}"] = _interval(gain)
        own = summarise(self.contest.scores)
        found |= {
            f"score.{name}": f"{value:.6g}" for name, value in next(iter(own.values())).items()
        }
        return {key: text[:_TAG_CHARACTERS] for key, text in found.items()}

    def files(self) -> dict[str, str]:
        """Return file name -> content: for programs, for a comment, as a page, by sample."""
        return {
            JSON_NAME: json.dumps(self._content(), indent=2),
            MARKDOWN_NAME: self._markdown(),
            PAGE_NAME: self._page(),
            "scores.csv": tables.as_csv(tables.image_rows(self.contest.scores)),
        }

    @property
    def _n(self) -> int:
        return sum(item.n for item in self.contest.scores)

    def _content(self) -> dict[str, Any]:
        verdict = self.contest.verdict
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "model": self.name,
            "version": self.version,
            "champion": self.champion,
            "samples": self._n,
            "evaluation_set": {
                "fingerprint": self.ring.fingerprint,
                "records": [item.uri for item in self.ring.sets],
            },
            "policy": self.ring.policy.model_dump(mode="json"),
            "checks": [asdict(item) for item in verdict.checks],
            "gains": [_plain(asdict(item)) for item in verdict.gains],
            "scores": _plain(summarise(self.contest.scores)),
        }

    def _page(self) -> str:
        found = self.contest.scores
        shown = {"Rules": self.check_rows()}
        if self.contest.verdict.gains:
            gains = f"What it gains, {self.ring.policy.metric}; positive is better"
            shown[gains] = self._gain_rows()
        shown |= tables.means(summarise(found), self._n)
        shown["By class"] = tables.class_rows(found)
        return tables.html_page(self._title, shown)

    def _markdown(self) -> str:
        parts = [f"**{self._title}**", tables.markdown_rows(self.check_rows())]
        if self.contest.verdict.gains:
            parts.append(tables.markdown_rows(self._gain_rows()))
        parts.append(tables.markdown_table(summarise(self.contest.scores), self._n))
        return "\n\n".join(parts)

    @property
    def _title(self) -> str:
        against = "no champion" if self.champion is None else f"champion version {self.champion}"
        return f"{self.name} version {self.version} against {against}: {self.outcome}"

    def check_rows(self) -> tables.Rows:
        """Return the rules with their results; the first row names the columns."""
        checks = self.contest.verdict.checks
        return [("rule", "result", "found"), *((c.rule, c.word, c.found) for c in checks)]

    def _gain_rows(self) -> tables.Rows:
        rows: tables.Rows = [
            ("against", "cloud cover", "samples", "mean gain", "low", "high", "better in")
        ]
        for gain in self.contest.verdict.gains:
            found = gain.difference
            numbers = (f"{value:+.4g}" for value in (found.mean, found.low, found.high))
            cover = gain.cover or "all"
            rows.append((gain.against, cover, str(found.n), *numbers, f"{gain.share_better:.0%}"))
        return rows


def _number(version: int | None) -> str:
    return "none" if version is None else str(version)


def _interval(gain: Gain) -> str:
    found = gain.difference
    return f"{found.mean:+.4g} [{found.low:+.4g}, {found.high:+.4g}]"


def _plain(values: Any) -> Any:
    """Replace what JSON has no number for: an infinite PSNR, the mean of nothing."""
    if isinstance(values, Mapping):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_plain(value) for value in values]
    if isinstance(values, float) and not np.isfinite(values):
        return None
    return values
