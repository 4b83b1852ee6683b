"""Scores as tables: CSV for programs, Markdown and one HTML page for people."""

import csv
import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from decloud_lib.arrays import quality
from decloud_lib.arrays.comparison import Interval, bootstrap, compare
from decloud_lib.learning.scoring import ImageScores, joined

#: Scores of the tables for people: name, heading, format.
_SHOWN = (
    ("psnr_db", "PSNR, dB", "{:.2f}"),
    ("mae", "MAE", "{:.4f}"),
    ("rmse", "RMSE", "{:.4f}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("sam_deg", "SAM, degrees", "{:.2f}"),
    ("psnr_global_db", "global PSNR, dB", "{:.2f}"),
    ("mse_dn2", "MSE, DN²", "{:.0f}"),
    ("sam_mean_cos_rad", "SAM of mean cosine, rad", "{:.4f}"),
)
_COMPARED = ("psnr_db", "mae", "rmse", "ssim", "sam_deg")
_INTERVAL = ("n", "mean", "low", "high")
_NUMBER = re.compile(r"|[+-]?(\d[\d.]*(e[+-]?\d+)?|nan|inf)%?")

Rows = list[tuple[str, ...]]
"""The first row names the columns."""


def image_rows(sets: Sequence[ImageScores]) -> Rows:
    """Return one line per image and model: record folder, sample, model, classes, scores."""
    groups = sorted({name for item in sets for name in item.groups})
    names = list(dict.fromkeys(n for item in sets for m in item.by_model.values() for n in m))
    names.sort(key=lambda name: name not in quality.NAMES)
    rows: Rows = [("record", "sample", "model", *groups, *names)]
    for item in sets:
        for model, scores in item.by_model.items():
            for sample in range(item.n):
                classes = [
                    str(item.groups[name][sample]) if name in item.groups else "" for name in groups
                ]
                values = [f"{scores[name][sample]:.8g}" if name in scores else "" for name in names]
                rows.append((item.uri, str(sample), model, *classes, *values))
    return rows


def class_rows(sets: Sequence[ImageScores]) -> Rows:
    """Return the mean of each score with its 95 % interval: over all, by band, by class, by part.

    The historic scores of a data set are no means over images; they are in the summary only.
    """
    rows: Rows = [("model", "group", "class", "score", *_INTERVAL)]
    for model in sets[0].by_model:
        scores = joined(sets, model)
        for name, values in scores.items():
            group, kind, score = _group_of(name)
            if score in _COMPARED:
                rows.append((model, group, kind, score, *_cells(bootstrap(values))))
        for group in sets[0].groups:
            classes = np.concatenate([item.groups.get(group, np.full(item.n, "")) for item in sets])
            for kind in sorted(set(classes.tolist()) - {""}):
                for score in _COMPARED:
                    found = bootstrap(scores[score][classes == kind])
                    rows.append((model, group, kind, score, *_cells(found)))
    return rows


def comparison_rows(sets: Sequence[ImageScores]) -> Rows:
    """Return the first model against each of the others, on the same samples.

    The difference is the first minus the other. `better` is the share of the samples in which the
    first one is better: higher for PSNR and SSIM, lower for the rest.
    """
    rows: Rows = [("model", "against", "score", "n", "difference", "low", "high", "better")]
    first, *others = sets[0].by_model
    mine = joined(sets, first)
    for other in others:
        theirs = joined(sets, other)
        if other.startswith(f"{first} "):
            continue  # another output of the same model
        for score in (*_COMPARED, "mae_hidden", "psnr_db_hidden"):
            if score not in mine or score not in theirs:
                continue
            found = compare(mine[score], theirs[score])
            higher = quality.higher_is_better(score)
            better = found.share_higher if higher else 1.0 - found.share_higher
            n, mean, low, high = _cells(found.difference)
            rows.append((first, other, score, n, mean, low, high, f"{better:.4f}"))
    return rows


def calibration_rows(sets: Sequence[ImageScores]) -> Rows:
    """Return how honest each model is about its errors; only the names of columns for none.

    First the shares of errors inside intervals, wanted and found; then, by rising expectation, mean
    expected and mean found absolute error. Under cloud where the samples have masks.
    """
    rows: Rows = [("record", "model", "kind", "n", "expected", "found")]
    for item in sets:
        for model, calibration in item.calibrations.items():
            where = (item.uri, model)
            for wanted, found in calibration.coverage().items():
                rows.append(
                    (*where, "share inside", str(calibration.n), f"{wanted:g}", f"{found:.4f}")
                )
            for n, expected, error in calibration.bins():
                rows.append((*where, "absolute error", str(n), f"{expected:.6f}", f"{error:.6f}"))
    return rows


def as_csv(rows: Rows) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def markdown_table(scores: Mapping[str, Mapping[str, float]], n: int) -> str:
    """Return one line per model."""
    return f"Means over {n} images.\n\n{markdown_rows(_summary_rows(scores))}"


def markdown_rows(rows: Rows) -> str:
    """Return rows as a table of Markdown, texts to the left and numbers to the right."""
    heads, *lines = rows
    body = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    rule = "".join("---:|" if number else "---|" for number in _number_columns(rows))
    return "| " + " | ".join(heads) + f" |\n|{rule}\n{body}"


def _number_columns(rows: Rows) -> list[bool]:
    """Say of each column whether all of its cells are numbers, shares or empty."""
    columns = zip(*rows[1:], strict=True)
    return [all(_NUMBER.fullmatch(cell) for cell in column) for column in columns]


def means(scores: Mapping[str, Mapping[str, float]], n: int) -> dict[str, Rows]:
    """Return the table of means, one line per model, under its heading."""
    return {f"Means over {n} images": _summary_rows(scores)}


def html_page(title: str, tables: Mapping[str, Rows]) -> str:
    """Return a page of tables under their headings; those without lines are left out."""
    style = (
        "body{font:15px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
        "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}.n{text-align:right}"
        "caption{text-align:left;font-weight:bold;padding:.4em 0}h1{font-size:1.3em}"
    )
    body = "".join(_html_table(caption, rows) for caption, rows in tables.items() if len(rows) > 1)
    head = f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
    return f"{head}<style>{style}</style><h1>{html.escape(title)}</h1>{body}"


def _html_table(caption: str, rows: Rows) -> str:
    numbers = _number_columns(rows)

    def line(cells: Sequence[str], tag: str) -> Iterator[str]:
        yield "<tr>"
        for place, cell in enumerate(cells):
            kind = "th" if place == 0 else tag
            side = " class=n" if numbers[place] else ""
            yield f"<{kind}{side}>{html.escape(cell)}</{kind}>"
        yield "</tr>"

    head, *body = rows
    lines = "".join("".join(line(cells, "td")) for cells in body)
    heads = "".join(line(head, "th"))
    return f"<table><caption>{html.escape(caption)}</caption>{heads}{lines}</table>"


def _summary_rows(scores: Mapping[str, Mapping[str, float]]) -> Rows:
    rows: Rows = [("model", *(heading for _, heading, _ in _SHOWN))]
    for model, values in scores.items():
        rows.append((_words(model), *(form.format(values[name]) for name, _, form in _SHOWN)))
    return rows


def _words(model: str) -> str:
    return model.replace("_", " ")


def _group_of(name: str) -> tuple[str, str, str]:
    """Return group, class and score of a column: `mae_B4` is `mae` of the group `band`."""
    if name in quality.NAMES:
        return "all", "", name
    score, _, kind = name.rpartition("_")
    return ("pixels" if kind in ("hidden", "clear") else "band"), kind, score


def _cells(interval: Interval) -> tuple[str, str, str, str]:
    return (
        str(interval.n),
        f"{interval.mean:.6g}",
        f"{interval.low:.6g}",
        f"{interval.high:.6g}",
    )
