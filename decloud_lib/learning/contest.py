"""Challenger, champion and baseline on the same samples."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decloud_lib import tracking
from decloud_lib.errors import ConfigError, DecloudError
from decloud_lib.learning.policy import Policy
from decloud_lib.learning.promotion import CHALLENGER, CHAMPION, Verdict, judge
from decloud_lib.learning.record_sets import RecordSet, local_records
from decloud_lib.learning.scoring import COVER, Estimator, ImageScores, joined, score_records
from decloud_lib.models import registry
from decloud_lib.models.contract import ModelContract

logger = logging.getLogger(__name__)


class BrokenChampionError(DecloudError):
    """The champion cannot be loaded, so nothing can be compared with it."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What all are measured by."""

    sets: Sequence[RecordSet]
    """The evaluation set."""
    policy: Policy
    batch_size: int
    skip_damaged: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the evaluation set; of several folders together, in any order."""
        found = sorted(item.fingerprint for item in self.sets)
        return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()

    def check(self) -> None:
        """Check that the evaluation set is the one that the policy asks for, and its baseline.

        Raises
        ------
        ConfigError
            It is another one, or the baseline is no model without weights.
        """
        if self.policy.baseline is not None:
            _baseline(self.policy.baseline)
        wanted = self.policy.evaluation_set
        if wanted is not None and wanted != self.fingerprint:
            raise ConfigError(
                f"the evaluation set {', '.join(item.uri for item in self.sets)} has the "
                f"fingerprint {self.fingerprint}, the policy asks for {wanted}; give the set that "
                f"the policy means, or change evaluation_set there"
            )


@dataclass(frozen=True, slots=True)
class Contest:
    """What came out."""

    contract: ModelContract
    """Of the challenger."""
    scores: Sequence[ImageScores]
    """One per record folder; the challenger first."""
    verdict: Verdict


def hold_contest(
    ring: Ring, challenger: tracking.Version, champion: tracking.Version | None
) -> Contest:
    """Score challenger, champion and baseline on the evaluation set, and apply the rules.

    Raises
    ------
    BrokenChampionError
        The champion cannot be loaded.
    ConfigError, ShapeError
        A model does not fit the samples, or the challenger was trained on them.
    ModelFolderError, TrackingError
        The challenger cannot be loaded.
    """
    with ExitStack() as stack:
        models: dict[str, Estimator] = {CHALLENGER: stack.enter_context(_loaded(challenger.uri))}
        if champion is not None:
            models[CHAMPION] = _load_champion(champion, stack)
        if ring.policy.baseline is not None:
            models[ring.policy.baseline] = _baseline(ring.policy.baseline)
        contract = models[CHALLENGER].contract
        for item in ring.sets:
            _check_unseen(item, contract)
            for model in models.values():
                item.check(model.contract, model.contract.target_keys[:1])
        known = registry.get(contract.name) if contract.name in registry.names() else None
        records = stack.enter_context(local_records(ring.sets, skip_damaged=ring.skip_damaged))
        found = [score_records(item, models, ring.batch_size, known) for item in records]
    return Contest(contract, found, _judge(ring.policy, models, found))


def _judge(
    policy: Policy, models: Mapping[str, Estimator], found: Sequence[ImageScores]
) -> Verdict:
    values = {name: joined(found, name)[policy.metric] for name in models}
    classes = None
    if any(COVER in item.groups for item in found):
        parts = [item.groups.get(COVER, np.full(item.n, "")) for item in found]
        classes = np.concatenate(parts).tolist()
    return judge(policy, values, classes)


@contextmanager
def _loaded(uri: str) -> Iterator[Estimator]:
    from decloud_lib.models.store import load_model

    with tracking.model_folder(uri) as folder:
        yield load_model(Path(folder))


def _load_champion(champion: tracking.Version, stack: ExitStack) -> Estimator:
    try:
        return stack.enter_context(_loaded(champion.uri))
    except (DecloudError, OSError) as error:
        raise BrokenChampionError(
            f"the champion {champion.uri} cannot be loaded ({error}); `decloud rollback` goes back "
            f"to the one before it, --replace-broken promotes as if there were none"
        ) from error


def _baseline(name: str) -> Estimator:
    from decloud_lib.models.store import serve_definition

    definition = registry.get(name)
    if definition.trainable:
        raise ConfigError(f"the policy's baseline {name} has weights; name a model without any")
    return serve_definition(definition)


def _check_unseen(item: RecordSet, contract: ModelContract) -> None:
    if contract.data_fingerprint == item.fingerprint:
        raise ConfigError(
            f"{item.uri} holds the samples that the challenger was trained on; they prove nothing: "
            f"give records that it has not seen"
        )
