"""Whether a new network, the challenger, shall replace the champion: rules applied to scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decloud_lib.arrays.comparison import COVER_CLASSES, Interval, compare
from decloud_lib.learning.policy import Policy
from decloud_lib.types import Array

CHALLENGER, CHAMPION = "challenger", "champion"
#: An image without any error counts like one with an error of a tenth of a stored integer.
_PERFECT_DB = 100.0
_UNITS = {"psnr_db": " dB", "sam_deg": " degrees"}
_WORDS = {True: "passed", False: "FAILED", None: "not judged"}


@dataclass(frozen=True, slots=True)
class Gain:
    """What the challenger gains over another model on the same samples; positive is better."""

    against: str
    cover: str
    """Class of cloud cover; empty for all samples."""
    difference: Interval
    """Mean over the samples, in the unit of the metric, with its interval."""
    share_better: float
    """Share of the samples in which the challenger is better, 0-1; ties count half."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, applied."""

    rule: str
    passed: bool | None
    """None where there was nothing to apply it to."""
    found: str
    """What was found, and what was expected."""

    @property
    def word(self) -> str:
        """`passed`, `FAILED` or `not judged`."""
        return _WORDS[self.passed]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rules, applied."""

    metric: str
    checks: tuple[Check, ...]
    gains: tuple[Gain, ...]

    @property
    def accepted(self) -> bool:
        """Say whether the challenger shall become the champion."""
        return all(check.passed is not False for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why it shall not; empty when it shall."""
        failed = (check for check in self.checks if check.passed is False)
        return tuple(f"{check.rule}: {check.found}" for check in failed)

    def gain(self, against: str) -> Gain | None:
        """Return the gain over another model on all samples; None where there is no such model."""
        found = (item for item in self.gains if item.against == against and not item.cover)
        return next(found, None)


def judge(
    policy: Policy, scores: Mapping[str, Array], classes: Sequence[str] | None = None
) -> Verdict:
    """Apply the rules to the scores of the same samples.

    Parameters
    ----------
    policy
        The rules.
    scores
        Model -> (N,) values of the policy's metric; the challenger, the champion where there is
        one, and the baseline where the policy names one.
    classes
        (N,) class of cloud cover of each sample, empty where unknown; None where the samples do not
        tell.
    """
    scores = {name: _countable(policy.metric, values) for name, values in scores.items()}
    gains = tuple(_gains(policy, scores, classes))
    checks = (
        _all_scored(scores[CHALLENGER]),
        _enough(policy, scores[CHALLENGER]),
        _beats_champion(policy, scores, gains),
        _loses_nowhere(policy, scores, gains, told=classes is not None),
        _beats_baseline(policy, gains),
    )
    return Verdict(policy.metric, checks, gains)


def _countable(metric: str, values: Array) -> Array:
    if metric != "psnr_db":
        return np.asarray(values, dtype=np.float64)
    # A minimum keeps NaN.
    return np.minimum(np.asarray(values, dtype=np.float64), _PERFECT_DB)


def _gains(
    policy: Policy, scores: Mapping[str, Array], classes: Sequence[str] | None
) -> Iterator[Gain]:
    mine = policy.sign * scores[CHALLENGER]
    kinds = np.asarray(classes if classes is not None else [""] * len(mine))
    for other in scores:
        if other == CHALLENGER:
            continue
        theirs = policy.sign * scores[other]
        for cover in ("", *COVER_CLASSES):
            chosen = kinds == cover if cover else np.ones(len(mine), bool)
            if chosen.any():
                found = compare(mine[chosen], theirs[chosen], confidence=policy.confidence)
                yield Gain(other, cover, found.difference, found.share_higher)


def _all_scored(mine: Array) -> Check:
    missing = int(np.count_nonzero(~np.isfinite(mine)))
    found = f"{missing} of {len(mine)} samples have no score: the network gives no numbers there"
    if not missing:
        found = f"all {len(mine)} samples have a score"
    return Check("a score for each sample", missing == 0, found)


def _enough(policy: Policy, mine: Array) -> Check:
    found = f"{len(mine)} samples, at least {policy.min_samples} are needed"
    return Check("enough samples", len(mine) >= policy.min_samples, found)


def _beats_champion(policy: Policy, scores: Mapping[str, Array], gains: Sequence[Gain]) -> Check:
    rule = "better than the champion"
    if CHAMPION not in scores:
        return Check(rule, None, "there is no champion to compare with")
    if not np.isfinite(scores[CHAMPION]).any():
        return Check(rule, None, "the champion gives no numbers on these samples")
    gain = next(item for item in gains if item.against == CHAMPION and not item.cover)
    passed = gain.difference.low > policy.min_gain
    return Check(rule, passed, _shown(policy, gain, f"more than {policy.min_gain:g}"))


def _loses_nowhere(
    policy: Policy, scores: Mapping[str, Array], gains: Sequence[Gain], *, told: bool
) -> Check:
    rule = "not worse in any class of cloud cover"
    judged = [
        item
        for item in gains
        if item.against == CHAMPION and item.cover and item.difference.n >= policy.min_class_samples
    ]
    if CHAMPION not in scores:
        return Check(rule, None, "there is no champion to compare with")
    if not told:
        return Check(rule, None, "the samples hold no cloud masks (sample --with-cloud-masks)")
    if not judged:
        return Check(rule, None, f"no class has {policy.min_class_samples} samples")
    worst = min(judged, key=lambda item: item.difference.mean)
    text = _shown(policy, worst, f"at least {-policy.max_class_loss:g} in the mean")
    return Check(
        rule, worst.difference.mean >= -policy.max_class_loss, f"worst is {worst.cover}: {text}"
    )


def _beats_baseline(policy: Policy, gains: Sequence[Gain]) -> Check:
    rule = "better than the baseline"
    gain = next(
        (item for item in gains if item.against == policy.baseline and not item.cover), None
    )
    if gain is None:
        return Check(rule, None, "the policy names none")
    passed = gain.difference.low > policy.min_baseline_gain
    found = _shown(policy, gain, f"more than {policy.min_baseline_gain:g}")
    return Check(rule, passed, f"{gain.against}: {found}")


def _shown(policy: Policy, gain: Gain, needed: str) -> str:
    found, unit = gain.difference, _UNITS.get(policy.metric, "")
    if not found.n:
        return "no sample has a score of both"
    return (
        f"{policy.metric} {found.mean:+.4g}{unit}, {policy.confidence:.0%} interval "
        f"{found.low:+.4g} to {found.high:+.4g}, on {found.n} samples; needed {needed}"
    )
