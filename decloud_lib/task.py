"""What the body of a Kubeflow component calls around its stage: start, settings, what the UI shows.

Artifacts are the objects that Kubeflow hands to a task (`Output[...]`); only three of their
attributes are used, so this module needs no Kubeflow package.
"""

import base64
import html
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from decloud_lib import storage, tracking
from decloud_lib.cli import configure_logging, unwind_on_termination
from decloud_lib.manifest import Skipped
from decloud_lib.stages import PrepareResult
from decloud_lib.stages.promote import PromoteResult
from decloud_lib.stages.quarantine import list_records

logger = logging.getLogger(__name__)

#: Columns of the table of scores: name in `scores.json`, heading, format.
_COLUMNS = (
    ("psnr_db", "PSNR, dB", "{:.2f}"),
    ("mae", "MAE", "{:.4f}"),
    ("rmse", "RMSE", "{:.4f}"),
    ("ssim", "SSIM", "{:.3f}"),
    ("sam_deg", "SAM, degrees", "{:.2f}"),
)
#: Pictures on a page: each has about half a megabyte.
_MOST_PICTURES = 12
_STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em}h1{font-size:1.3em}h2{font-size:1.1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;"
    "border-bottom:1px solid #ddd;vertical-align:top}figure{margin:1em 0}"
    "img{max-width:100%;border:1px solid #ddd}"
)
_GOOD = {"SUCCEEDED", "COMPLETE"}
_WHAT_TO_DO = """\
- The last line of the log of the first task that failed says what was found and what to do.
- `doctor` failed: credentials, bucket, MLflow or GPUs are not as the run needs them; nothing was
  begun.
- Put it right and start the same run again: finished work is found by its manifest and kept, a
  training goes on from its last checkpoint.
- Products that could not be prepared stop nothing: they are in the report of `make-tiles`."""


class Artifact(Protocol):
    """An output artifact of a task."""

    uri: str
    metadata: dict[str, Any]

    @property
    def path(self) -> str:
        """Local file that Kubeflow brings to the pipeline's own storage."""


def start() -> None:
    """Make the stage's log lines visible in the task's log, and let it end cleanly when told to."""
    configure_logging()
    unwind_on_termination()


def given(**values: Any) -> dict[str, Any]:
    """Return the settings that were given: neither None, nor an empty text, nor -1.

    A pipeline parameter cannot be null in Kubeflow's local runner, so a pipeline says "not given"
    by an empty text or by -1 and the field's default holds. No stage has a field where these two
    are meaningful values.
    """
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != "" and (isinstance(value, bool) or value != -1)
    }


def point(artifact: Artifact, uri: str, **facts: Any) -> None:
    """Let an artifact stand for data in the bucket: lineage without copying.

    Parameters
    ----------
    artifact
        Output of the task.
    uri
        Where the data are: `s3://...` or a local path.
    facts
        Numbers and texts shown beside it.
    """
    artifact.uri = uri
    artifact.metadata.update(facts)


def point_prepared(artifact: Artifact, uri: str, result: PrepareResult) -> int:
    """Let an artifact stand for what a preparation did; return the number of products made."""
    made, quarantined = len(result.made), len(result.quarantined)
    point(artifact, uri, made=made, reused=result.reused, quarantined=quarantined)
    return made


def write_quarantine(report: Artifact, prepared: str) -> int:
    """Show the products that could not be prepared, with the reasons; return their number.

    Parameters
    ----------
    report
        HTML artifact.
    prepared
        Root of the prepared data, with the records in QUARANTINE.
    """
    records = list_records(storage.join(prepared, "QUARANTINE"))
    report.metadata.update(quarantined=len(records))
    rows = "".join(
        f"<tr><td>{html.escape(record.item)}</td><td>{html.escape(record.reason)}</td></tr>"
        for record in records
    )
    title = f"Could not be prepared: {len(records)}" if records else "All were prepared"
    _write_html(report, title, f"<table>{rows}</table>" if records else "")
    return len(records)


def write_pictures(page: Artifact, images: Sequence[str], skipped: Sequence[Skipped] = ()) -> None:
    """Show the quicklooks of rebuilt images, the first dozen, and what was left out and why.

    Parameters
    ----------
    page
        HTML artifact.
    images
        URIs of the images; those without a quicklook are named only.
    skipped
        What could not be rebuilt.
    """
    shown = []
    for number, uri in enumerate(images):
        picture = f"{uri.removesuffix('.tif')}.png"
        source = ""
        if number < _MOST_PICTURES and storage.exists(picture):
            data = base64.b64encode(storage.read_bytes(picture)).decode()
            source = f"<img alt='before and after' src='data:image/png;base64,{data}'>"
        shown.append(f"<figure>{source}<figcaption>{html.escape(uri)}</figcaption></figure>")
    rows = "".join(
        f"<tr><td>{html.escape(item.item)}</td><td>{html.escape(item.reason)}</td></tr>"
        for item in skipped
    )
    left_out = f"<h2>Left out: {len(skipped)}</h2><table>{rows}</table>" if skipped else ""
    _write_html(page, f"Rebuilt: {len(images)}", "".join(shown) + left_out)


def write_page(page: Artifact, uri: str) -> None:
    """Show a page that a stage wrote.

    Parameters
    ----------
    page
        HTML artifact.
    uri
        The page; pictures must be inside it.
    """
    page.metadata.update(source=uri)
    _write(page, storage.read_text(uri))


def write_text(report: Artifact, text: str) -> None:
    """Show text as it stands: columns stay columns."""
    _write(report, f"```\n{text}\n```\n")


def write_html(page: Artifact, html_text: str, **facts: Any) -> None:
    """Show a page that a stage returned, and facts beside it."""
    page.metadata.update(facts)
    _write(page, html_text)


def write_metrics(artifact: Artifact, values: Mapping[str, float]) -> None:
    """Show numbers in the UI, and keep them as JSON in the artifact's file.

    The file matters: a metrics artifact without one is never found in the cache.
    """
    numbers = {name: float(value) for name, value in values.items()}
    artifact.metadata.update(numbers)
    _write(artifact, json.dumps(numbers, indent=2))


def write_scores(
    table: Artifact, metrics: Artifact, scores: Mapping[str, Mapping[str, float]], n: int
) -> None:
    """Show scores as metrics named `<method>/<score>` and as a table, one row per method.

    Parameters
    ----------
    table
        HTML artifact.
    metrics
        Metrics artifact.
    scores
        Method, then name of the score, then value (architecture: one meaning each).
    n
        Number of patches the scores are means over.
    """
    flat = {
        f"{method}/{name}": value
        for method, values in scores.items()
        for name, value in values.items()
    }
    write_metrics(metrics, {**flat, "patches": n})
    heads = "".join(f"<th>{heading}</th>" for _, heading, _ in _COLUMNS)
    rows = "".join(
        f"<tr><td>{html.escape(method.replace('_', ' '))}</td>"
        + "".join(
            f"<td>{form.format(values[name]) if name in values else ''}</td>"
            for name, _, form in _COLUMNS
        )
        + "</tr>"
        for method, values in scores.items()
    )
    _write_html(table, f"Means over {n} patches", f"<table><tr><th></th>{heads}</tr>{rows}</table>")


def write_promotion(
    metrics: Artifact, page: Artifact, summary: Artifact, result: PromoteResult
) -> None:
    """Show why a network was promoted, or not: the gains, all tables, the rules with their results.

    Parameters
    ----------
    metrics
        Metrics artifact.
    page
        HTML artifact.
    summary
        Markdown artifact.
    result
        What the promotion returned; its evidence is read from MLflow.
    """
    shown = {"promoted": float(result.outcome in ("promoted", "already champion"))}
    texts = dict.fromkeys(("html", "md"), f"{result.model_uri}: {result.outcome}, {result.reason}")
    if result.outcome not in ("registered", "already champion"):
        files = {kind: f"promotion/promotion.{kind}" for kind in ("json", *texts)}
        found = {kind: tracking.read_text(result.run_id, name) for kind, name in files.items()}
        texts = {kind: found[kind] for kind in texts}
        gains = (item for item in json.loads(found["json"])["gains"] if not item["cover"])
        for gain in gains:
            for name in ("mean", "low", "high"):
                shown[f"gain/{gain['against']}/{name}"] = gain["difference"][name]
    write_metrics(metrics, {name: value for name, value in shown.items() if value is not None})
    _write(page, texts["html"])
    _write(summary, texts["md"])


def write_card(card: Artifact, run_id: str) -> None:
    """Show the card that the promotion wrote.

    Parameters
    ----------
    card
        HTML artifact.
    run_id
        MLflow run that trained the network.
    """
    _write(card, tracking.read_text(run_id, "card/card.html"))


def write_outcome(summary: Artifact, pipeline: str, state: str, message: str | None = None) -> None:
    """Show how a run ended and what to do; log it too.

    Parameters
    ----------
    summary
        Markdown artifact.
    pipeline
        Name of the pipeline.
    state
        As Kubeflow says it: SUCCEEDED, FAILED, CANCELED.
    message
        What Kubeflow knows about the failure.
    """
    summary.metadata.update(pipeline=pipeline, state=state)
    lines = [f"# {pipeline}: {state.lower()}"]
    if state in _GOOD:
        logger.info("%s: %s", pipeline, state.lower())
    else:
        told = " ".join((message or "").split()) or "Kubeflow gives no reason"
        logger.error("%s: %s: %s", pipeline, state.lower(), told)
        lines += [f"**{told}**", _WHAT_TO_DO]
    _write(summary, "\n\n".join(lines) + "\n")


def _write_html(page: Artifact, title: str, body: str) -> None:
    head = f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
    _write(page, f"{head}<h1>{title}</h1>{body}")


def _write(artifact: Artifact, text: str) -> None:
    path = Path(artifact.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
