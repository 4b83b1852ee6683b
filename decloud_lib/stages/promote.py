"""Register a trained network in MLflow, and make it the champion if the evidence says so."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from decloud_lib import fingerprint, manifest, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.stages.card import write_card
from decloud_lib.stages.rollback import ROLLED_BACK_TAG

if TYPE_CHECKING:
    from decloud_lib.learning.contest import Contest, Ring
    from decloud_lib.learning.evidence import Outcome

logger = logging.getLogger(__name__)

CHALLENGER, FORMER = "challenger", "former_champion"
"""Aliases beside the champion's: the newest version that was tried, and the way back."""
NOT_PROMOTED = 4
"""Exit status when the rules, or another process, kept the champion."""
#: Contests, when other processes promote at the same time.
_TRIES = 3


class PromoteConfig(StageConfig):
    """Settings of `promote`."""

    savedmodel: str = Field(description="Model folder of the training.")
    run_id: str = Field(description="MLflow run of the training.")
    test_records: tuple[str, ...] = Field(
        default=(),
        description="Evaluation set: record folders that no model was trained on. Without it the "
        "version is registered as challenger, and nothing is promoted.",
    )
    policy: str | None = Field(
        default=None, description="Rules of promotion, YAML or JSON; default: those shipped."
    )
    name: str = Field(default="decloud", min_length=1, description="Name of the registered model.")
    alias: str = Field(
        default="champion",
        min_length=1,
        description="Alias of the version in use, for models:/NAME@ALIAS.",
    )
    replace_broken: bool = Field(
        default=False, description="A champion that cannot be loaded counts as none."
    )
    fingerprint: str | None = Field(
        default=None,
        description="What the network was made from, as `decloud retrain` wrote it: its digests "
        "become tags of the version.",
    )
    output: str | None = Field(
        default=None,
        description="Folder of promotion.json and the tables; MLflow has them anyway.",
    )
    batch_size: int = Field(default=4, ge=1, description="Samples per step.")
    skip_damaged: bool = Field(
        default=False,
        description="Leave out records whose checksum is wrong, and say how many.",
    )


@dataclass(frozen=True, slots=True)
class PromoteResult:
    """What became of the network."""

    outcome: "Outcome"
    model_uri: str
    """`models:/NAME/VERSION` of the network."""
    version: int
    run_id: str
    """MLflow run that trained it, and that holds the evidence in its folder `promotion`."""
    champion: int | None
    """Version in use now."""
    reason: str
    """Why."""
    output: str | None = None
    """Folder of the evidence; None where it is in MLflow only."""

    @property
    def exit_status(self) -> int:
        """Status that the command ends with: 4 where the rules said no."""
        return NOT_PROMOTED if self.outcome in ("not promoted", "overtaken") else 0


def promote(config: PromoteConfig) -> PromoteResult:
    """Register the network of a run, compare it with the version in use, and promote the better.

    All are scored on the same samples: the network as it was registered (alias `challenger`), the
    version in use (alias `champion`), and the baseline of the policy. The rules of the policy
    decide on the gains. The version gets the evidence as tags, the run as files. A former
    champion keeps the alias `former_champion` and is the way back of `decloud rollback`.

    Called again for the same run it makes no second version, and ends what was interrupted.

    Returns
    -------
    What became of it, and why.

    Raises
    ------
    ConfigError
        The folder is of another run, a policy that cannot be used, an evaluation set that is not
        the policy's or was trained on, or models that do not fit it.
    ModelFolderError
        There is no model folder of a finished training, or the registered files are not its.
    BrokenChampionError
        The champion cannot be loaded.
    TrackingError
        MLflow cannot be reached, or the run recorded no model.
    """
    from decloud_lib.learning.contest import Ring
    from decloud_lib.learning.policy import read_policy
    from decloud_lib.learning.record_sets import find_record_sets

    if config.alias in (CHALLENGER, FORMER):
        raise ConfigError(
            f"--alias {config.alias} is used by the promotion itself; leave --test-records out to "
            f"register a challenger"
        )
    policy = read_policy(config.policy)
    _check_folder(config)
    ring = None
    if config.test_records:
        sets = find_record_sets(config.test_records)
        ring = Ring(sets, policy, config.batch_size, config.skip_damaged)
        ring.check()
    version = tracking.register(config.run_id, config.name, CHALLENGER, _origin(config))
    champion = tracking.find_alias(config.name, config.alias)
    if champion is not None and champion.number == version.number:
        _settle(version)
        return _result(config, "already champion", version, "it is the version in use")
    if ring is None:
        write_card(version, config.savedmodel, None)
        return _result(config, "registered", version, "no evaluation set was given")
    return _decide(config, ring, version, champion)


def _decide(
    config: PromoteConfig,
    ring: "Ring",
    version: tracking.Version,
    champion: tracking.Version | None,
) -> PromoteResult:
    """Hold the contest; again where another process has promoted another version meanwhile.

    The evidence is written before the alias moves: whatever breaks, no version is in use that
    nothing speaks for, and the same call again ends what was begun.
    """
    for _ in range(_TRIES):
        contest = _contest(config, ring, version, champion)
        outcome: Outcome = "promoted" if contest.verdict.accepted else "not promoted"
        reason = _record(config, outcome, ring, version, champion, contest)
        if outcome == "not promoted":
            return _result(config, outcome, version, reason)
        if tracking.claim_alias(version, config.alias, champion):
            _settle(version)
            return _result(config, outcome, version, reason)
        champion = tracking.find_alias(config.name, config.alias)
        now = "none" if champion is None else str(champion.number)
        logger.warning("meanwhile version %s became %s: compared again", now, config.alias)
    reason = _record(config, "overtaken", ring, version, champion, contest)
    return _result(config, "overtaken", version, reason)


def _contest(
    config: PromoteConfig,
    ring: "Ring",
    version: tracking.Version,
    champion: tracking.Version | None,
) -> "Contest":
    from decloud_lib.learning.contest import BrokenChampionError, hold_contest
    from decloud_lib.learning.evidence import EVALUATION_TAG

    before = None if champion is None else champion.tags.get(EVALUATION_TAG)
    if champion is not None and before not in (None, ring.fingerprint):
        text = "%s was promoted on another evaluation set (%.12s); all are scored anew on %.12s"
        logger.info(text, champion.uri, before, ring.fingerprint)
    try:
        return hold_contest(ring, version, champion)
    except BrokenChampionError as error:
        if not config.replace_broken:
            raise
        logger.warning("%s: compared with the baseline alone", error)
        return hold_contest(ring, version, None)


def _settle(version: tracking.Version) -> None:
    """Set the other aliases as they are where this version is in use."""
    from decloud_lib.learning.evidence import PREVIOUS_TAG

    before = tracking.find_version(version.name, version.number).tags.get(PREVIOUS_TAG, "none")
    if before.isdecimal():
        tracking.point_alias(tracking.find_version(version.name, int(before)), FORMER)
    tracking.drop_alias(version, CHALLENGER)
    tracking.drop_tag(version, ROLLED_BACK_TAG)


def _record(
    config: PromoteConfig,
    outcome: "Outcome",
    ring: "Ring",
    version: tracking.Version,
    champion: tracking.Version | None,
    contest: "Contest",
) -> str:
    """Write the evidence to where people and programs look for it; return the reason."""
    from decloud_lib.learning.evidence import Evidence

    number = None if champion is None else champion.number
    evidence = Evidence(outcome, config.name, version.number, number, ring, contest)
    with tracking.reopen_run(config.run_id) as run:
        for item in ring.sets:
            run.log_dataset(item.uri, item.name, item.fingerprint, "test")
        for name, text in evidence.files().items():
            run.log_text(text, f"promotion/{name}")
    if config.output is not None:
        for name, text in evidence.files().items():
            storage.write_bytes(storage.join(config.output, name), text.encode())
    write_card(version, config.savedmodel, evidence)
    tracking.set_tags(version, evidence.tags())
    for check in contest.verdict.checks:
        logger.info("%s: %s (%s)", check.word, check.rule, check.found)
    return evidence.reason


def _result(
    config: PromoteConfig, outcome: "Outcome", version: tracking.Version, reason: str
) -> PromoteResult:
    now = tracking.find_alias(config.name, config.alias)
    number = None if now is None else now.number
    logger.info("%s, of run %s: %s", version.uri, config.run_id, outcome)
    return PromoteResult(
        outcome, version.uri, version.number, config.run_id, number, reason, config.output
    )


def _check_folder(config: PromoteConfig) -> None:
    """Check that the folder is of the run: what is promoted is what the run recorded."""
    from decloud_lib.learning.publish import RESULT, read_record

    if storage.stat(storage.join(config.savedmodel, RESULT)) is None:
        raise ModelFolderError(
            f"{config.savedmodel}: no {RESULT} there; expected the model folder of a training"
        )
    record = read_record(config.savedmodel)
    if record.run_id != config.run_id:
        raise ConfigError(
            f"{config.savedmodel} was made by MLflow run {record.run_id}, not by {config.run_id}; "
            f"give the run that made it"
        )


def _origin(config: PromoteConfig) -> dict[str, str]:
    """Return the tags that say where a version comes from."""
    tags = {"code_version": manifest.code_version(), "savedmodel": config.savedmodel}
    if config.fingerprint is not None:
        tags |= fingerprint.read(config.fingerprint).tags(config.fingerprint)
    return tags
