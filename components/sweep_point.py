"""Component: one training of a sweep, scored."""

from kfp import dsl
from kfp.dsl import Metrics, Model, Output

from components import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def sweep_point(
    settings: dict,
    test_records: list[str],
    scores: str,
    trained: Output[Model],
    metrics: Output[Metrics],
    baselines: list[str] = [],
    overwrite: bool = False,
) -> str:
    """Train with the settings of a point and score the network; return the MLflow run.

    Parameters
    ----------
    settings
        Settings of the training.
    test_records
        Folders of the records to score on.
    scores
        Folder of the scores of this point.
    baselines
        Deterministic models to score beside it.
    overwrite
        Replace outputs that were made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import sweep_point as stage

    task.start()
    config = stage.SweepPointConfig(
        **task.given(
            settings=settings,
            test_records=test_records,
            scores=scores,
            baselines=baselines,
            overwrite=overwrite,
        )
    )
    result = stage.sweep_point(config)
    task.point(trained, result.savedmodel, run_id=result.run_id)
    task.write_metrics(metrics, result.scores)
    return result.run_id
