"""Models on a real series whose clear dates are hidden, so that the truth is known."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decloud_lib.arrays.hidden_dates import HiddenDate, ProofRules, hidden_scores
from decloud_lib.arrays.masks import grow
from decloud_lib.bands import S2_SCALE
from decloud_lib.learning.scoring import Estimator
from decloud_lib.learning.series import Series
from decloud_lib.progress import track
from decloud_lib.types import Array

Protocol = Literal["hidden", "partly-hidden", "partly-hidden-rim", "partly-hidden-rim-grown"]
PROTOCOLS: dict[Protocol, str] = {
    "hidden": "P1: the whole date is hidden",
    "partly-hidden": "P2: real masks of other dates hide parts of it",
    "partly-hidden-rim": "P2, and thin cloud and shadow in the visible 5 px around the gap",
    "partly-hidden-rim-grown": "the same, with the mask grown by 5 px for the models",
}
_CLEARLY_DB = 0.3
SCORES = ("psnr_db", "mae", "rmse", "sam_deg")
CALIBRATION = "inside_90"
"""Share of the errors inside the interval that should hold 90 % of them; 0.9 is right."""
_NOMINAL = 0.9


@dataclass(frozen=True, slots=True)
class Score:
    """One estimate of one hidden date."""

    protocol: Protocol
    model: str
    date: str
    """Product of the target, as its time, ISO."""
    mask: str
    """Time of the date whose mask hides it; empty where all is hidden."""
    values: Mapping[str, float]
    """By name, see `SCORES`; `CALIBRATION` of models that tell how large an error they expect."""


def score_series(
    series: Series,
    cases: Sequence[HiddenDate],
    models: Mapping[str, Estimator],
    protocols: Sequence[Protocol],
    rules: ProofRules,
) -> list[Score]:
    """Estimate every hidden date with every model.

    Parameters
    ----------
    series
        The place.
    cases
        Dates to estimate.
    models
        By name in the tables.
    protocols
        What is hidden.
    rules
        Its seed decides on the contamination too.
    """
    found = []
    for case in track(cases, len(cases), "hidden dates", "date"):
        truth = series.optical[case.target] * np.float32(S2_SCALE)
        for protocol in protocols:
            for mask, inputs, hidden in _samples(series, case, protocol, rules):
                for name, model in models.items():
                    output = model.contract.outputs[0]
                    given = model.predict(inputs)
                    estimate = given[output.tensor][0]
                    values = hidden_scores(truth, estimate, hidden)
                    if output.scale_tensor is not None:
                        error = np.abs(estimate - truth)[hidden]
                        values[CALIBRATION] = _inside(error, given[output.scale_tensor][0][hidden])
                    date = series.times[case.target].isoformat()
                    found.append(Score(protocol, name, date, mask, values))
    return found


def _inside(error: Array, scale: Array) -> float:
    """Return the share of errors in the middle 90 % of a Laplace distribution of this scale."""
    return float(np.mean(error <= -np.log1p(-_NOMINAL) * scale))


def _samples(
    series: Series, case: HiddenDate, protocol: Protocol, rules: ProofRules
) -> Iterator[tuple[str, dict[str, Array], Array]]:
    """Yield name of the mask, inputs of a model, and the pixels that are scored."""
    clear = series.optical[case.target]
    if protocol == "hidden":
        everything = np.ones(clear.shape[:2], bool)
        sky = _clouds(series, case.target)
        yield "", series.sample(case, sky, everything), everything
        return
    for number, date in enumerate(case.masks):
        hidden = series.flagged[date] != 0
        image, mask = clear, hidden
        if protocol != "partly-hidden":
            rng = np.random.default_rng([rules.seed, case.target, number])
            image = _contaminated(clear, hidden, rng)
        if protocol == "partly-hidden-rim-grown":
            mask = grow(hidden, rules.rim_px)
        if mask.all():
            continue
        # Under the mask lie the clouds of the date that the mask is of.
        seen = np.where(hidden[..., None], series.optical[date], image)
        yield series.times[date].isoformat(), series.sample(case, seen, mask), hidden


def _clouds(series: Series, target: int) -> Array:
    """Return the image of the date nearest in time among the most covered ones."""
    covers = np.nan_to_num(series.covers, nan=-1.0)
    away = [abs((time - series.times[target]).total_seconds()) for time in series.times]
    order = np.lexsort((np.array(away), -covers))
    return np.asarray(series.optical[order[0]])


def _contaminated(clear: Array, hidden: Array, rng: np.random.Generator) -> Array:
    from decloud_lib.models.gaps import contaminate_rim

    mask = hidden[..., None].astype(np.float32)
    seen = contaminate_rim(clear.astype(np.float32), mask, rng.random(5).astype(np.float32))
    rounded: Array = np.rint(np.asarray(seen)).astype(np.int16)
    return rounded


def summarise(scores: Sequence[Score], reference: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return protocol -> model -> means over the images, and the comparison with a reference.

    Beside the scores and the calibration: `n` images, `gain_db` the mean difference of PSNR to the
    reference, `worst_gain_db` the lowest one of a date, and `share_lower` the share of dates that
    are more than 0.3 dB below it; dates with several masks count once, by their mean.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    for protocol in dict.fromkeys(score.protocol for score in scores):
        of_protocol = [score for score in scores if score.protocol == protocol]
        base = _by_date(of_protocol, reference)
        table[protocol] = {}
        for model in dict.fromkeys(score.model for score in of_protocol):
            found = [score.values for score in of_protocol if score.model == model]
            names = [name for name in (*SCORES, CALIBRATION) if name in found[0]]
            row = {name: float(np.mean([item[name] for item in found])) for name in names}
            by_date = _by_date(of_protocol, model)
            gains = np.array([by_date[date] - base[date] for date in base])
            row |= {
                "n": len(found),
                "gain_db": row["psnr_db"] - float(np.mean(_values(of_protocol, reference))),
                "worst_gain_db": float(gains.min()),
                "share_lower": float(np.mean(gains < -_CLEARLY_DB)),
            }
            table[protocol][model] = row
    return table


def _values(scores: Sequence[Score], model: str) -> list[float]:
    return [score.values["psnr_db"] for score in scores if score.model == model]


def _by_date(scores: Sequence[Score], model: str) -> dict[str, float]:
    dates: dict[str, list[float]] = {}
    for score in scores:
        if score.model == model:
            dates.setdefault(score.date, []).append(score.values["psnr_db"])
    return {date: float(np.mean(values)) for date, values in dates.items()}


def csv_table(scores: Sequence[Score]) -> str:
    """Return one line per estimate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = (*SCORES, CALIBRATION)
    writer.writerow(("protocol", "model", "date", "mask", *names))
    for score in scores:
        values = [f"{score.values[name]:.8g}" if name in score.values else "" for name in names]
        writer.writerow((score.protocol, score.model, score.date, score.mask, *values))
    return text.getvalue()


def markdown_table(table: Mapping[str, Mapping[str, Mapping[str, float]]], reference: str) -> str:
    """Return one table per protocol: dB, reflectance, degrees; share of dates 0.3 dB lower."""
    lines = []
    for protocol, models in table.items():
        title = next(text for name, text in PROTOCOLS.items() if name == protocol)
        lines += [
            f"**{protocol}** ({title}), {next(iter(models.values()))['n']:.0f} images\n",
            f"| model | PSNR | against {reference} | worst date | lower | MAE | RMSE | SAM | 90% |",
            "|---|" + "---:|" * 8,
        ]
        for model, row in models.items():
            inside = f"{row[CALIBRATION]:.0%}" if CALIBRATION in row else ""
            lines.append(
                f"| {model} | {row['psnr_db']:.2f} | {row['gain_db']:+.2f} "
                f"| {row['worst_gain_db']:+.2f} | {row['share_lower']:.0%} | {row['mae']:.4f} "
                f"| {row['rmse']:.4f} | {row['sam_deg']:.2f} | {inside} |"
            )
        lines.append("")
    return "\n".join(lines)
