"""Monitoring: compare what is served with what the network was trained on."""

from kfp import dsl
from kfp.dsl import HTML

from components.doctor import doctor
from components.monitor import monitor
from pipelines.resources import SMALL, sized


@dsl.pipeline(name="monitoring", description="Tables of reconstructions to a page on drift.")
def monitoring(
    statistics: str,
    out: str,
    savedmodel: str = "models:/decloud@champion",
    since: str = "",
    min_products: int = 5,
    threshold: float = 0.25,
    error_ratio: float = 1.5,
) -> HTML:
    """Compare, and show the page.

    Parameters
    ----------
    statistics
        Folder of the tables of the reconstructions.
    out
        Folder of the page and of monitor.json.
    savedmodel
        Model in use, whose training is compared with.
    since
        Nothing that was rebuilt before this day; empty for no bound.
    min_products
        Fewer rebuilt dates than this raise no alarm.
    threshold
        Population stability index above which a feature has moved.
    error_ratio
        Alarm when the self-check's error is so many times that of the validation.
    """
    checked = sized(doctor(bucket=out, mlflow=True, savedmodel=savedmodel), SMALL)
    task = monitor(
        statistics=statistics,
        out=out,
        savedmodel=savedmodel,
        since=since,
        min_products=min_products,
        threshold=threshold,
        error_ratio=error_ratio,
    )
    return sized(task.after(checked), SMALL).outputs["page"]
