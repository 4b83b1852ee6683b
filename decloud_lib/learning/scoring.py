"""Scores of several models over the same samples, image by image."""

import csv
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from decloud_lib.arrays import quality
from decloud_lib.learning.record_sets import LocalRecords
from decloud_lib.models.contract import ModelContract
from decloud_lib.progress import track
from decloud_lib.types import Array

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


class Estimator(Protocol):
    """A network or a deterministic model."""

    @property
    def contract(self) -> ModelContract:
        """What goes in and comes out."""

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return tensor name -> (N, H, W, C) float32 reflectance."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of the images of one record folder, in stored order."""

    data_set: str
    uri: str
    by_model: Mapping[str, Mapping[str, Array]]
    """Model -> score -> (N,)."""

    @property
    def n(self) -> int:
        """Number of images."""
        return len(next(iter(self.by_model.values()))[quality.NAMES[0]])


def score_records(
    records: LocalRecords,
    models: Mapping[str, Estimator],
    batch_size: int,
) -> ImageScores:
    """Score models on the samples of a record folder, all of them on the same pass.

    Parameters
    ----------
    records
        The samples.
    models
        By the name under which they appear in the tables. The first output of each is scored.
    batch_size
        Samples per step.
    """
    inputs = sorted({key for model in models.values() for key in model.contract.input_keys})
    targets = sorted({model.contract.target_keys[0] for model in models.values()})
    parts: dict[str, dict[str, list[Array]]] = {
        name: {score: [] for score in quality.NAMES} for name in models
    }
    batches = records.batches(inputs, targets, batch_size).as_numpy_iterator()
    total = math.ceil(records.source.samples / batch_size)
    for arrays, truth in track(batches, total, f"scores of {records.source.name}", "batch"):
        for name, model in models.items():
            output = model.contract.outputs[0]
            estimate = model.predict(arrays)[output.tensor]
            for score, values in quality.scores(truth[output.target_key], estimate).items():
                parts[name][score].append(values)
    joined = {
        name: {score: np.concatenate(values) for score, values in scores.items()}
        for name, scores in parts.items()
    }
    return ImageScores(records.source.name, records.source.uri, joined)


def summarise(sets: Sequence[ImageScores]) -> dict[str, dict[str, float]]:
    """Return model -> score over the images of all the folders together."""
    return {
        model: quality.summary(
            {
                score: np.concatenate([item.by_model[model][score] for item in sets])
                for score in quality.NAMES
            }
        )
        for model in sets[0].by_model
    }


def csv_table(sets: Sequence[ImageScores]) -> str:
    """Return one line per image and model: record folder, sample, model, scores."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("record", "sample", "model", *quality.NAMES))
    for item in sets:
        for model, scores in item.by_model.items():
            for sample in range(item.n):
                values = [f"{scores[name][sample]:.8g}" for name in quality.NAMES]
                writer.writerow((item.uri, sample, model, *values))
    return text.getvalue()


def markdown_table(scores: Mapping[str, Mapping[str, float]], n: int) -> str:
    """Return one line per model."""
    lines = [
        f"Means over {n} images.\n",
        "| model | " + " | ".join(heading for _, heading, _ in _SHOWN) + " |",
        "|---|" + "---:|" * len(_SHOWN),
    ]
    for model, values in scores.items():
        cells = [form.format(values[name]) for name, _, form in _SHOWN]
        lines.append(f"| {model.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def html_table(scores: Mapping[str, Mapping[str, float]], n: int) -> str:
    """Return a small page with one line per model."""
    heads = "".join(f"<th>{html.escape(heading)}</th>" for _, heading, _ in _SHOWN)
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(model.replace('_', ' '))}</th>"
        + "".join(f"<td>{form.format(values[name])}</td>" for name, _, form in _SHOWN)
        + "</tr>"
        for model, values in scores.items()
    )
    style = "table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:right}"
    return (
        f"<!doctype html><meta charset='utf-8'><title>Scores</title><style>{style}</style>"
        f"<table><caption>Means over {n} images</caption><tr><th>model</th>{heads}</tr>{rows}"
        "</table>"
    )
