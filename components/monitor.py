"""Component: monitoring of what is served."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Metrics, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def monitor(
    statistics: str,
    out: str,
    page: Output[HTML],
    metrics: Output[Metrics],
    savedmodel: str = "models:/decloud@champion",
    since: Optional[str] = None,
    min_products: int = 5,
    threshold: float = 0.25,
    error_ratio: float = 1.5,
    overwrite: bool = False,
) -> bool:
    """Compare what is served with the training; say whether it has moved.

    Parameters
    ----------
    statistics
        Folder of the tables of the reconstructions.
    out
        Folder of the page and of monitor.json.
    savedmodel
        Model in use, whose training is compared with.
    since
        Nothing that was rebuilt before this day.
    min_products
        Fewer rebuilt dates than this raise no alarm.
    threshold
        Population stability index above which a feature has moved.
    error_ratio
        Alarm when the self-check's error is so many times that of the validation.
    overwrite
        Without effect: the page is always made anew.
    """
    from decloud_lib import task
    from decloud_lib.stages import monitor as stage

    task.start()
    config = stage.MonitorConfig(
        **task.given(
            statistics=statistics,
            out=out,
            savedmodel=savedmodel,
            since=since,
            min_products=min_products,
            threshold=threshold,
            error_ratio=error_ratio,
            overwrite=overwrite,
        )
    )
    result = stage.monitor(config)
    task.write_page(page, result.page)
    task.write_metrics(metrics, result.features)
    return result.drift
