"""Component: evaluation."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Metrics, Output

from components import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def evaluate(
    test_records: list[str],
    metrics: Output[Metrics],
    table: Output[HTML],
    savedmodel: Optional[str] = None,
    model: Optional[str] = None,
    beside: list[str] = [],
    baselines: list[str] = [],
    skip_damaged: bool = False,
    output: Optional[str] = None,
    strategy: str = "mirrored",
    batch_size: int = 4,
    run_id: Optional[str] = None,
    experiment: Optional[str] = None,
    pipeline_run: Optional[str] = None,
    overwrite: bool = False,
) -> str:
    """Score a network beside baselines on the same samples; return the URI of scores.json.

    Parameters
    ----------
    test_records
        Folders of records.
    savedmodel
        Network to score: a folder or a registered model.
    model
        Deterministic model to score instead, or what the folder must hold.
    beside
        Other networks to compare with.
    baselines
        Deterministic models to score beside it.
    skip_damaged
        Leave out records whose checksum is wrong.
    output
        Folder of the scores; without it they go to MLflow only.
    strategy
        mirrored or singlecpu.
    batch_size
        Samples per step.
    run_id
        MLflow run that gets the scores.
    experiment
        MLflow experiment.
    pipeline_run
        Run of the pipeline, a label in MLflow.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import storage, task
    from decloud_lib.stages import evaluate as stage

    task.start()
    config = stage.EvaluateConfig(
        **task.given(
            test_records=test_records,
            savedmodel=savedmodel,
            model=model,
            beside=beside,
            baselines=baselines,
            skip_damaged=skip_damaged,
            output=output,
            strategy=strategy,
            batch_size=batch_size,
            run_id=run_id,
            experiment=experiment,
            pipeline_run=pipeline_run,
            overwrite=overwrite,
        )
    )
    result = stage.evaluate(config)
    task.write_scores(table, metrics, result.scores, result.n)
    return storage.join(result.output, "scores.json") if result.output else ""
