"""The demo's report: one HTML file that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from decloud_lib.demo.gallery import Gallery
from decloud_lib.demo.pictures import draw_curves
from decloud_lib.demo.summary import Summary

SCORE_NAMES = {
    "psnr_db": ("PSNR", "dB", "higher is better", 2),
    "mae": ("MAE", "reflectance", "lower is better", 4),
    "ssim": ("SSIM", "0-1", "higher is better", 3),
    "sam_deg": ("SAM", "degrees", "lower is better", 2),
}
METHOD_NAMES = {
    "model": "Network",
    "linear_gap_filling": "Linear gap-filling",
    "nearest_date": "Nearest-date copy",
}


@dataclass(frozen=True)
class Figure:
    """A picture of the report."""

    title: str
    caption: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Link:
    """Something that the reader may want to open."""

    title: str
    target: str


def best_methods(summary: Summary) -> dict[str, str]:
    """Name the best method of each score."""
    best = {}
    for name, (_, _, direction, _) in SCORE_NAMES.items():
        choose = max if direction.startswith("higher") else min
        best[name] = choose(summary.scores, key=lambda key: getattr(summary.scores[key], name))
    return best


def render(
    summary: Summary,
    gallery: Gallery,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    mlflow_command: str,
) -> str:
    """Render the report.

    Parameters
    ----------
    summary
        What ran and what came out.
    gallery
        Pictures on disk.
    curves
        (epoch, value) of each metric of the training run, by name.
    mlflow_command
        What to type to open the MLflow UI.

    Returns
    -------
    One self-contained HTML page.
    """
    template = resources.files("decloud_lib.demo").joinpath("templates/report.html.j2").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page: str = environment.from_string(template).render(
        summary=summary,
        figures=_figures(summary, gallery, curves),
        links=_links(summary),
        commands={"Open the experiment in MLflow (then http://127.0.0.1:5000):": mlflow_command},
        score_names=SCORE_NAMES,
        method_names=METHOD_NAMES,
        best=best_methods(summary),
        longest=max(summary.steps.values(), default=1.0),
    )
    return page


def _figures(
    summary: Summary, gallery: Gallery, curves: Mapping[str, Sequence[tuple[float, float]]]
) -> list[Figure]:
    truth = "the truth under the clouds" if summary.kind == "synthetic" else "no truth: it is real"
    figures = [
        Figure(
            "Before and after",
            "The cloudy date, its nearest clear dates, the radar image, what the new network makes "
            "of it and what residual does, whose weights come with the package (trained beforehand "
            f"on other synthetic places and on a real series), {truth}. True colour at full "
            "resolution.",
            gallery.before_after.read_bytes(),
        )
    ]
    if gallery.series is not None:
        caption = "Dates around it, each rebuilt with residual."
        figures.append(Figure("A short time series", caption, gallery.series.read_bytes()))
    losses = {name: points for name, points in curves.items() if name.endswith("/loss")}
    if losses:
        caption = "Mean absolute error of reflectance per epoch, training and held-out patches."
        figures.append(Figure("Learning curve", caption, draw_curves(losses, "loss (MAE)")))
    return figures


def _links(summary: Summary) -> list[Link]:
    return [
        Link("Reconstructed image (COG)", summary.reconstruction),
        *(Link("Series", uri) for uri in summary.series),
        Link("Registered model", summary.model_uri),
        Link("Promotion", summary.promotion),
        Link("MLflow", summary.mlflow_tracking_uri),
        Link("MLflow run", summary.mlflow_run_id),
        Link("Data", summary.bucket),
    ]
