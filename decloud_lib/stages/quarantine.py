"""Products that could not be prepared: left out with a record of the reason, the rest goes on."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decloud_lib import manifest, storage
from decloud_lib.errors import DecloudError, ProductError, UnusableProductError
from decloud_lib.progress import track
from decloud_lib.stages import PrepareResult, Quarantined

logger = logging.getLogger(__name__)


class _Record(BaseModel):
    """Content of a quarantine file."""

    model_config = ConfigDict(frozen=True)

    item: str
    family: str
    reason: str
    when: datetime = Field(default_factory=lambda: datetime.now(UTC))
    code_version: str = Field(default_factory=manifest.code_version)


def record(folder: str, family: str, item: str, error: Exception, name: str = "") -> Quarantined:
    """Write down why a product was left out; a record of an earlier try is replaced.

    Parameters
    ----------
    folder
        Where the records of all products are.
    family
        `s1`, `s2` or `dem`.
    item
        URI of the product.
    error
        What went wrong.
    name
        What the record is called; the last part of the URI where empty. An elevation goes by its
        tile, because several tiles may come from one source.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    content = _Record(item=item, family=family, reason=reason)
    place = storage.join(folder, record_name(family, item, name))
    storage.write_bytes(place, content.model_dump_json(indent=2).encode())
    return Quarantined(item, reason)


def release(folder: str, family: str, item: str, name: str = "") -> None:
    """Remove the record of a product that could be prepared after all; none is no error."""
    storage.delete(storage.join(folder, record_name(family, item, name)))


def record_name(family: str, item: str, name: str = "") -> str:
    """Return the name of the record of a product; see `record`."""
    return f"{family}_{name or storage.name_of(item)}.json"


def list_records(folder: str) -> tuple[Quarantined, ...]:
    """Return what lies in quarantine, sorted by product."""
    found = []
    for uri in storage.list_children(folder):
        if not uri.endswith(".json"):
            continue
        try:
            content = _Record.model_validate_json(storage.read_bytes(uri))
        except ValidationError as error:
            raise ProductError(
                f"{uri}: not a quarantine record ({error.error_count()} problems); "
                "remove what else lies in this folder"
            ) from error
        found.append(Quarantined(content.item, content.reason))
    return tuple(sorted(found, key=lambda entry: entry.item))


def work_through(
    items: Sequence[str],
    prepare_one: Callable[[str], str | None],
    family: str,
    folder: str | None,
    name: str = "",
) -> PrepareResult:
    """Prepare products one after the other; one that fails does not stop the others.

    Parameters
    ----------
    items
        URIs of the products.
    prepare_one
        Prepares one product; returns the URI of what it made, None where it was complete already.
    family
        `s1`, `s2` or `dem`.
    folder
        Where the reasons of failures are written; None: they are raised when all has been tried.
    name
        See `record`; for a single product.

    Raises
    ------
    DecloudError
        Without a folder: the only failure as it is, or a ProductError that tells all of them. A
        product that is of no use is no failure as long as there are others.
    """
    made: list[str] = []
    failed: dict[str, DecloudError] = {}
    reused = 0
    label = f"prepare-{family}"
    for item in track(items, len(items), label, "product"):
        try:
            output = prepare_one(item)
        except DecloudError as error:
            failed[item] = error
            if len(items) > 1 or folder is not None:
                logger.error("%s: left out: %s", label, error)
            continue
        if folder is not None:
            release(folder, family, item, name)
        if output is None:
            reused += 1
        else:
            made.append(output)
    # What is raised says all that the summary would: a wrong product alone is one line.
    if folder is None and (
        len(failed) == len(items) or not all(map(_is_of_no_use, failed.values()))
    ):
        _raise(failed, len(items), label)
    logger.info(
        "%s: %d made, %d were complete already, %d left out", label, len(made), reused, len(failed)
    )
    if folder is not None:
        left_out = (record(folder, family, item, error, name) for item, error in failed.items())
        return PrepareResult(tuple(made), reused, tuple(left_out))
    told = tuple(Quarantined(item, str(error)) for item, error in failed.items())
    return PrepareResult(tuple(made), reused, told)


def _is_of_no_use(error: DecloudError) -> bool:
    return isinstance(error, UnusableProductError)


def _raise(failed: dict[str, DecloudError], total: int, label: str) -> None:
    first, *_ = failed.values()
    if total == 1:
        raise first
    told = "; ".join(str(error) for error in failed.values())
    others = ", the others are done" if len(failed) < total else ""
    raise ProductError(
        f"{label}: {len(failed)} of {total} products could not be prepared{others}: {told}"
    ) from first
