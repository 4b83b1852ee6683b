"""Component: leaderboard."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def leaderboard(
    table: Output[HTML],
    experiments: list[str] = [],
    score: str = "psnr_db",
    part: Optional[str] = None,
    limit: int = 50,
    page: Optional[str] = None,
) -> str:
    """Show the runs of MLflow in the order of a score; return the best run of the first experiment.

    Parameters
    ----------
    experiments
        MLflow experiments, by name; all where none is given.
    score
        Score that decides on the order.
    part
        Split and data set of the scores, such as test/valid.
    limit
        Most runs of each experiment.
    page
        HTML file to write too.
    """
    from decloud_lib import task
    from decloud_lib.stages import leaderboard as stage

    task.start()
    config = stage.LeaderboardConfig(
        **task.given(experiments=experiments, score=score, part=part, limit=limit, page=page)
    )
    result = stage.leaderboard(config)
    task.write_html(table, result.html, runs=len(result.runs))
    return result.runs[0].run_id
