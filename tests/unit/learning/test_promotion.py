import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decloud_lib.arrays.comparison import COVER_CLASSES, bootstrap
from decloud_lib.errors import ConfigError
from decloud_lib.learning.policy import Policy, read_policy
from decloud_lib.learning.promotion import CHALLENGER, CHAMPION, Verdict, judge

N = 60
RULES = Policy(min_samples=20, min_class_samples=10)
LINEAR = "linear_gap_filling"


def scores(gain: float, spread: float = 0.2, champion: bool = True) -> dict[str, np.ndarray]:
    """Return scores of hard and easy samples; the challenger gains about as much on each."""
    rng = np.random.default_rng(1)
    base = rng.normal(30.0, 5.0, N)
    found = {CHALLENGER: base + gain + rng.normal(0.0, spread, N)}
    if champion:
        found[CHAMPION] = base
    return found | {LINEAR: base - 1.0}


def check(verdict: Verdict, rule: str) -> bool | None:
    (found,) = (item for item in verdict.checks if item.rule == rule)
    return found.passed


def test_the_shipped_rules_are_those_of_the_class() -> None:
    assert read_policy() == Policy()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metric: psnr", "metric: Input should be 'psnr_db'"),
        ("minimal_gain: 1", "minimal_gain: there is no such field; the rules are metric"),
        ("confidence: 95", "confidence: Input should be less than 1 \\(found 95\\)"),
        ("evaluation_set: abc", "evaluation_set: "),
        ("[1]", "expected one object"),
        ("a: [", "cannot be parsed"),
    ],
)
def test_a_wrong_policy_is_explained(tmp_path: object, text: str, told: str) -> None:
    path = tmp_path / "policy.yaml"  # type: ignore[operator]
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"policy\.yaml: .*{told}"):
        read_policy(str(path))


@pytest.mark.parametrize(
    ("gain", "accepted"), [(0.5, True), (0.06, False), (0.0, False), (-0.5, False)]
)
def test_the_gain_must_be_sure(gain: float, accepted: bool) -> None:
    verdict = judge(RULES, scores(gain), ["0-1 %"] * N)
    assert verdict.accepted is accepted
    assert check(verdict, "better than the champion") is accepted
    assert check(verdict, "better than the baseline") is True
    # Differences of 5 dB between samples do not matter: the same samples are compared.
    found = verdict.gain(CHAMPION)
    assert found is not None
    assert found.difference.mean == pytest.approx(gain, abs=0.1)
    assert found.difference.high - found.difference.low < 0.15


def test_two_equal_networks_are_a_tie() -> None:
    verdict = judge(RULES, scores(0.0, spread=0.0))
    gain = verdict.gain(CHAMPION)
    assert gain is not None
    assert (gain.difference.low, gain.difference.high, gain.share_better) == (0.0, 0.0, 0.5)
    assert not verdict.accepted


def test_a_loss_in_one_class_of_cloud_cover_is_enough_to_refuse() -> None:
    found = scores(1.0)
    classes = ["0-1 %"] * (N - 12) + ["75-100 %"] * 12
    found[CHALLENGER][-12:] -= 1.6
    verdict = judge(RULES, found, classes)
    assert check(verdict, "better than the champion") is True
    assert check(verdict, "not worse in any class of cloud cover") is False
    assert "worst is 75-100 %: psnr_db -0.5801 dB" in verdict.reasons[0]
    # Fewer samples than the rule wants are shown and not judged.
    few = judge(RULES.model_copy(update={"min_class_samples": 13}), found, classes)
    assert few.accepted
    assert any(gain.cover == "75-100 %" and gain.difference.mean < -0.3 for gain in few.gains)


def test_without_masks_classes_are_not_judged_and_it_is_said() -> None:
    verdict = judge(RULES, scores(1.0))
    assert verdict.accepted
    assert check(verdict, "not worse in any class of cloud cover") is None
    assert "no cloud masks" in verdict.checks[3].found


@pytest.mark.parametrize(("gain", "accepted"), [(0.0, True), (-1.5, False)])
def test_the_first_network_must_beat_interpolation(gain: float, accepted: bool) -> None:
    verdict = judge(RULES, scores(gain, champion=False))
    assert verdict.accepted is accepted
    assert check(verdict, "better than the champion") is None
    assert check(verdict, "better than the baseline") is accepted


def test_one_sample_without_a_number_is_enough_to_refuse() -> None:
    found = scores(5.0)
    found[CHALLENGER][3] = np.nan
    verdict = judge(RULES, found)
    assert not verdict.accepted
    assert len(verdict.reasons) == 1
    assert "1 of 60 samples have no score" in verdict.reasons[0]


def test_a_champion_without_numbers_does_not_stay_for_ever() -> None:
    found = scores(0.0)
    found[CHAMPION][:] = np.nan
    verdict = judge(RULES, found)
    assert verdict.accepted
    assert check(verdict, "better than the champion") is None


def test_too_few_samples_prove_nothing() -> None:
    assert not judge(RULES.model_copy(update={"min_samples": N + 1}), scores(5.0)).accepted


def test_a_perfect_estimate_is_better_and_counts_as_a_number() -> None:
    found = scores(0.0)
    found[CHALLENGER][:] = np.inf
    assert judge(RULES, found).accepted


def test_lower_is_better_for_errors() -> None:
    rng = np.random.default_rng(2)
    error = rng.uniform(0.02, 0.04, N)
    rules = RULES.model_copy(update={"metric": "mae", "min_gain": 0.001, "max_class_loss": 0.001})
    found = {CHALLENGER: error - 0.005, CHAMPION: error, LINEAR: error + 0.01}
    verdict = judge(rules, found)
    assert verdict.accepted
    gain = verdict.gain(CHAMPION)
    assert gain is not None
    assert gain.difference.mean == pytest.approx(0.005)
    assert not judge(rules, found | {CHALLENGER: error + 0.005}).accepted


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-3, 3),
    classes=st.lists(st.sampled_from(["", *COVER_CLASSES]), min_size=N, max_size=N),
)
def test_never_both_of_two_networks_beat_each_other(
    seed: int, shift: float, classes: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(30, 3, N), rng.normal(30 + shift, 3, N)
    verdicts = [
        judge(RULES, {CHALLENGER: mine, CHAMPION: other, LINEAR: mine - 1}, classes)
        for mine, other in ((first, second), (second, first))
    ]
    assert not all(verdict.accepted for verdict in verdicts)


def test_a_wider_interval_is_surer_and_many_samples_need_little_memory() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, 6_000)
    usual, sure = bootstrap(values), bootstrap(values, confidence=0.99)
    assert sure.low < usual.low < usual.mean < usual.high < sure.high
    # The standard error of a mean is 1 / sqrt(n); 95 % are 1.96 of them to each side.
    assert usual.high - usual.low == pytest.approx(2 * 1.96 / np.sqrt(6_000), rel=0.08)
