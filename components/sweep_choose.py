"""Component: the best of a sweep."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import HTML, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def sweep_choose(
    name: str,
    table: Output[HTML],
    score: str = "psnr_db",
    part: Optional[str] = None,
    overwrite: bool = False,
) -> NamedTuple("Best", [("savedmodel", str), ("run_id", str)]):
    """Rank the trainings of a sweep; return the model folder and the run of the best.

    Parameters
    ----------
    name
        Name of the sweep.
    score
        Score that decides.
    part
        Split and data set of the score.
    overwrite
        Without effect: the parent run is always brought up to date.
    """
    from decloud_lib import task
    from decloud_lib.stages import sweep_choose as stage

    task.start()
    config = stage.SweepChooseConfig(
        **task.given(name=name, score=score, part=part, overwrite=overwrite)
    )
    best = stage.sweep_choose(config)
    task.write_html(table, best.html, points=best.points, best=best.run_id)
    return best.savedmodel, best.run_id
