"""Component: the trainings of a sweep."""

from typing import Optional

from kfp import dsl

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def sweep_plan(
    name: str,
    space: dict,
    settings: dict,
    scores: str,
    points: Optional[int] = None,
    seed: int = 0,
    experiment: Optional[str] = None,
    pipeline_run: Optional[str] = None,
    overwrite: bool = False,
) -> list[dict]:
    """Check the trainings of a sweep and begin its parent run; return one item per training.

    Parameters
    ----------
    name
        Name of the sweep.
    space
        What varies: setting -> list of choices, or range.
    settings
        What all trainings share.
    scores
        Folder of the scores, one folder per training.
    points
        Draw so many points; all combinations where not given.
    seed
        Same seed, same points.
    experiment
        MLflow experiment.
    pipeline_run
        Run of the pipeline, a label in MLflow.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import sweep_plan as stage

    task.start()
    config = stage.SweepPlanConfig(
        **task.given(
            name=name,
            space=space,
            settings=settings,
            scores=scores,
            points=points,
            seed=seed,
            experiment=experiment,
            pipeline_run=pipeline_run,
            overwrite=overwrite,
        )
    )
    plan = stage.sweep_plan(config)
    return [{"settings": point.settings, "scores": point.scores} for point in plan.points]
