"""The card of a registered network: what it is, what it saw, how good it is, where it ends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from decloud_lib import storage
from decloud_lib.analysis.footprints import footprint_files, records_part
from decloud_lib.analysis.parts import Cell, Part, Table
from decloud_lib.errors import RecordError, StorageError
from decloud_lib.learning.record_sets import RecordSet
from decloud_lib.models.contract import ModelContract
from decloud_lib.sampling.provenance import TABLE

#: Settings of a training that a reader asks for first.
_SETTINGS = (
    "epochs",
    "time_limit_s",
    "learning_rate",
    "lr_schedule",
    "batch_size_train",
    "augment",
    "use_dem",
    "width",
    "seed",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PLAIN_LIMITS = """\
- Ground under cloud is told from other dates and from radar: what changed in between and shows in
  none of them (a harvest, a flood, snow) is not seen.
- Samples are taken as independent; neighbouring patches are not quite, so intervals are
  somewhat too narrow.
- Cloud masks miss thin cloud and shadow; scores are against images that such masks call clear."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card is made from."""

    name: str
    version: int
    run_id: str
    digest: str
    contract: ModelContract
    settings: Mapping[str, Any]
    """Of the training."""
    training: Sequence[RecordSet]
    """Empty where the records are gone."""
    evaluation: Sequence[RecordSet]
    class_rows: Sequence[Sequence[str]] = ()
    """Scores by class with intervals; the first row names the columns."""
    verdict_rows: Sequence[Sequence[str]] = ()
    """Rules of the promotion with their results; the first row names the columns."""

    @property
    def title(self) -> str:
        """Heading of the card."""
        return f"{self.name} version {self.version}: {self.contract.name}"


def card_parts(facts: CardFacts) -> list[Part]:
    """Return the parts of a card, in the order in which they are read."""
    seen = {role: [_seen(item) for item in sets] for role, sets in _roles(facts).items()}
    parts = [_network(facts), _data(facts, seen), *_places(facts), *_scores(facts)]
    return [*parts, _limits(facts, seen)]


def markdown(title: str, parts: Sequence[Part]) -> str:
    """Return parts as Markdown; pictures are named only, as MLflow shows none there."""
    lines = [f"# {title}", ""]
    for part in parts:
        lines += [f"## {part.title}", "", part.text, ""]
        if part.figures:
            lines += ["The picture is in `card/card.html` of the run.", ""]
        for table in part.tables:
            lines += [f"**{table.title}**", "", _markdown_table(table), ""]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where and when the samples of a record folder are."""

    tiles: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    months: tuple[int, ...]


def _roles(facts: CardFacts) -> dict[str, Sequence[RecordSet]]:
    return {"training": facts.training, "evaluation": facts.evaluation}


def _seen(item: RecordSet) -> _Seen:
    uri = storage.join(item.uri, TABLE)
    if storage.stat(uri) is None:
        return _Seen((), None, None, ())
    with storage.local_copy(uri) as path:
        names = pq.read_schema(path).names
        # The date that is estimated, where the samples have one of its own.
        date = next((f"s2_{d}_date" for d in ("target", "t") if f"s2_{d}_date" in names), None)
        table = pq.read_table(path, columns=["tile", *([date] if date else [])])
    tiles = tuple(sorted(set(table["tile"].to_pylist())))
    dates = sorted(day for day in table[date].to_pylist() if day is not None) if date else []
    if not dates:
        return _Seen(tiles, None, None, ())
    return _Seen(tiles, dates[0], dates[-1], tuple(sorted({day.month for day in dates})))


def _network(facts: CardFacts) -> Part:
    contract = facts.contract
    outputs = ", ".join(item.tensor for item in contract.outputs)
    text = (
        f"{contract.name} estimates {outputs}, reflectance 0-1, from stored values. Windows are "
        f"multiples of {contract.stride} px and have a margin of {contract.margin_px} px "
        f"(10 m pixels)."
    )
    known: list[tuple[Cell, ...]] = [
        ("registered as", f"models:/{facts.name}/{facts.version}"),
        ("made", f"{contract.created:%Y-%m-%d %H:%M} UTC"),
        ("MLflow run", facts.run_id),
        ("code", contract.code_version),
        ("digest of the files", facts.digest),
    ]
    known += [(name, str(facts.settings[name])) for name in _SETTINGS if name in facts.settings]
    columns = ("name", "bands", "pixel, m", "type")
    inputs = [
        (item.key, ", ".join(item.bands) or "date", 10 * item.factor, item.dtype)
        for item in contract.inputs
    ]
    given = [
        (item.tensor, ", ".join(item.bands), 10 * item.factor, "float32")
        for item in contract.outputs
    ]
    return Part(
        "network",
        "Network",
        text,
        (
            Table("facts", "Origin", ("what", "value"), tuple(known)),
            Table("inputs", "Inputs", columns, tuple(inputs)),
            Table("outputs", "Outputs", columns, tuple(given)),
        ),
    )


def _data(facts: CardFacts, seen: Mapping[str, Sequence[_Seen]]) -> Part:
    rows: list[tuple[Cell, ...]] = []
    for role, sets in _roles(facts).items():
        for item, found in zip(sets, seen[role], strict=True):
            period = (
                f"{found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}"
                if found.first is not None
                else "unknown"
            )
            places = ", ".join(found.tiles) or "unknown"
            count = item.samples or None
            rows.append((role, item.uri, count, places, period, item.fingerprint[:12]))
    columns = ("role", "records", "samples", "tiles", "estimated dates", "fingerprint")
    # A layout has no name inside; the sampling keeps that of its file.
    names = dict.fromkeys(item.layout_name for item in facts.training if item.layout_name)
    unknown = "unknown" if facts.contract.layout is None else "that of the contract, name unknown"
    text = f"Acquisition layout of the training: {', '.join(names) or unknown}."
    if not facts.training:
        text += " The records of the training are not known, or no longer there."
    return Part("data", "Data", text, (Table("sets", "Record folders", columns, tuple(rows)),))


def _places(facts: CardFacts) -> Iterator[Part]:
    folders = [item.uri for sets in _roles(facts).values() for item in sets]
    if not folders:
        yield Part("places", "Places", "Unknown: no records are known.")
        return
    try:
        found = records_part(footprint_files(list(dict.fromkeys(folders))), None)
    except (RecordError, StorageError) as error:
        yield Part("places", "Places", f"Unknown: {error}.")
        return
    text = "Each square is a patch; its colour counts the samples of its dates."
    yield Part("places", "Places", text, figures=found.figures)


def _scores(facts: CardFacts) -> Iterator[Part]:
    if not facts.class_rows:
        text = "Not compared yet; what evaluations found are metrics of its MLflow run."
        yield Part("scores", "Scores", text)
        return
    text = (
        "Means over the evaluation samples with bootstrap intervals; psnr_db and ssim: higher is "
        "better, mae, rmse (reflectance) and sam_deg: lower is better."
    )
    yield Part(
        "scores",
        "Scores",
        text,
        (
            _table("verdict", "Rules of the promotion", facts.verdict_rows),
            _by_class(facts.class_rows[1:]),
        ),
    )


def _by_class(rows: Sequence[Sequence[str]]) -> Table:
    """Put the scores side by side; the bands are left out: the table of the evaluation has them."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for model, group, kind, score, n, *interval in rows:
        if group == "band":
            continue
        mean, low, high = (f"{float(value):.4g}" for value in interval)
        line = lines.setdefault((model, f"{group} {kind}".strip()), {"n": n})
        line[score] = f"{mean} ({low} to {high})"
    columns = list(dict.fromkeys(name for line in lines.values() for name in line))
    body = tuple(
        (*names, *(line.get(name, "") for name in columns)) for names, line in lines.items()
    )
    return Table("classes", "By class", ("model", "samples", *columns), body)


def _limits(facts: CardFacts, seen: Mapping[str, Sequence[_Seen]]) -> Part:
    tiles = sorted({tile for item in seen["training"] for tile in item.tiles})
    where = ", ".join(tiles) or "places that are not known"
    limits = [f"Trained on {where}; other landscapes and climates are not tested."]
    months = {month for item in seen["training"] for month in item.months}
    if months and len(months) < len(_MONTHS):
        missing = ", ".join(name for i, name in enumerate(_MONTHS, start=1) if i not in months)
        limits.append(f"No training sample has its estimated date in {missing}.")
    common = set(tiles) & {tile for item in seen["evaluation"] for tile in item.tiles}
    if common:
        limits.append(
            f"The evaluation lies on tiles of the training too ({', '.join(sorted(common))}): it "
            "tells nothing of new places."
        )
    if not any(item.scale_tensor for item in facts.contract.outputs):
        limits.append("The network does not say how sure it is.")
    text = "\n".join(f"- {limit}" for limit in limits)
    return Part("limits", "Known limits", f"{text}\n{_PLAIN_LIMITS}")


def _table(name: str, title: str, rows: Sequence[Sequence[str]]) -> Table:
    columns, *body = rows
    return Table(name, title, tuple(columns), tuple(tuple(row) for row in body))


def _markdown_table(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.shown()]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines
    )
