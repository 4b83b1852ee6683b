"""Sweep: train with several settings, side by side, and register the best network."""

from kfp import dsl

from components.doctor import doctor
from components.promote import promote
from components.sweep_choose import sweep_choose
from components.sweep_plan import sweep_plan
from components.sweep_point import sweep_point
from pipelines.resources import PARALLELISM, REGISTER, SMALL, TRAIN, sized


@dsl.pipeline(
    name="sweep", description="Trainings over a space of settings, the best one registered."
)
def sweep(
    sweep_name: str,
    space: dict,
    settings: dict,
    test_records: list[str],
    scores: str,
    baselines: list[str] = ["linear_gap_filling"],
    points: int = -1,
    seed: int = 0,
    score: str = "psnr_db",
    part: str = "",
    experiment: str = "",
    name: str = "decloud",
    overwrite: bool = False,
) -> str:
    """Train at each point, choose the best, register it as challenger; returns the model's URI.

    Parameters
    ----------
    sweep_name
        Name of the sweep; one of the same name goes on with the same parent run.
    space
        What varies: setting of the training -> list of choices, or range.
    settings
        What all trainings share: model, training_record, valid_records, out_savedmodel, epochs.
    test_records
        Folders of the records to score on.
    scores
        Folder of the scores, one folder per point.
    baselines
        Deterministic models to score beside each network.
    points
        Draw so many points; -1: all combinations.
    seed
        Same seed, same points.
    score
        Score that decides.
    part
        Split and data set of the score, such as test/valid; empty: the test set.
    experiment
        MLflow experiment; empty: the names of the data set and of its layout.
    name
        Name of the registered model.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    checked = sized(doctor(bucket=scores, mlflow=True), SMALL)
    planned = sweep_plan(
        name=sweep_name,
        space=space,
        settings=settings,
        scores=scores,
        points=points,
        seed=seed,
        experiment=experiment,
        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        overwrite=overwrite,
    )
    sized(planned.after(checked), SMALL)
    with dsl.ParallelFor(planned.output, parallelism=PARALLELISM) as point:
        tried = sweep_point(
            settings=point.settings,
            test_records=test_records,
            scores=point.scores,
            baselines=baselines,
            overwrite=overwrite,
        )
        sized(tried, TRAIN)
    best = sweep_choose(name=sweep_name, score=score, part=part)
    sized(best.after(tried), SMALL)
    registered = promote(
        savedmodel=best.outputs["savedmodel"],
        run_id=best.outputs["run_id"],
        name=name,
        overwrite=overwrite,
    )
    return sized(registered, REGISTER).outputs["Output"]
