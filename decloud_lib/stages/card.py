"""Write and show the card of a registered network."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from decloud_lib import manifest, storage, tracking
from decloud_lib.config import StageConfig
from decloud_lib.errors import DecloudError

if TYPE_CHECKING:
    from decloud_lib.learning.evidence import Evidence
    from decloud_lib.learning.record_sets import RecordSet

logger = logging.getLogger(__name__)

PAGE, TEXT = "card.html", "card.md"
_FOLDER = "card"


class CardConfig(StageConfig):
    """Settings of `card`."""

    model: str = Field(
        default="models:/decloud@champion",
        description="Registered network: models:/NAME@ALIAS or models:/NAME/VERSION.",
    )
    output: str | None = Field(
        default=None, description="Folder for card.html and card.md; without it the text is shown."
    )


@dataclass(frozen=True, slots=True)
class CardResult:
    """The card of a version."""

    model_uri: str
    card: str
    """Markdown."""
    output: str | None

    def text(self) -> str:
        """Return the card, or where it is."""
        return self.card if self.output is None else storage.join(self.output, PAGE)


def card(config: CardConfig) -> CardResult:
    """Show the card that the promotion wrote: data, dates, places, scores, limits, contract.

    Raises
    ------
    TrackingError
        There is no such version, or it has no card.
    """
    version = tracking.resolve_version(config.model)
    texts = {name: tracking.read_text(version.run_id, f"{_FOLDER}/{name}") for name in (PAGE, TEXT)}
    if config.output is not None:
        for name, text in texts.items():
            storage.write_bytes(storage.join(config.output, name), text.encode())
    return CardResult(version.uri, texts[TEXT], config.output)


def write_card(version: tracking.Version, savedmodel: str, evidence: "Evidence | None") -> None:
    """Write the card of a version: as its description in MLflow, and as files of its run.

    Parameters
    ----------
    version
        The registered version.
    savedmodel
        Its model folder.
    evidence
        What its promotion found; None where it was not compared yet.
    """
    from decloud_lib.analysis.card import CardFacts, card_parts, markdown
    from decloud_lib.analysis.writing import render
    from decloud_lib.learning.tables import class_rows
    from decloud_lib.models.contract import NAME, ModelContract

    contract = storage.read_bytes(storage.join(savedmodel, NAME))
    made_by = manifest.read(storage.join(savedmodel, manifest.NAME))
    settings: Mapping[str, Any] = made_by.config if made_by is not None else {}
    facts = CardFacts(
        name=version.name,
        version=version.number,
        run_id=version.run_id,
        digest=version.digest or "",
        contract=ModelContract.model_validate_json(contract),
        settings=settings,
        training=_training(settings),
        evaluation=evidence.ring.sets if evidence is not None else (),
        class_rows=class_rows(evidence.contest.scores) if evidence is not None else (),
        verdict_rows=evidence.check_rows() if evidence is not None else (),
    )
    parts = card_parts(facts)
    text = markdown(facts.title, parts)
    tracking.describe(version, text)
    with tracking.reopen_run(version.run_id) as run:
        run.log_text(text, f"{_FOLDER}/{TEXT}")
        run.log_text(render(facts.title, parts, with_files=False), f"{_FOLDER}/{PAGE}")


def _training(settings: Mapping[str, Any]) -> "Sequence[RecordSet]":
    """Return the records of the training; none where they are gone, which stops no promotion."""
    from decloud_lib.learning.record_sets import find_record_sets

    uri = settings.get("training_record")
    if not isinstance(uri, str):
        return ()
    try:
        return find_record_sets([uri])
    except DecloudError as error:
        logger.warning("the card says nothing of the training data: %s", error)
        return ()
