"""Component: registration and promotion."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Markdown, Metrics, Model, Output

from components import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def promote(
    savedmodel: str,
    run_id: str,
    registered: Output[Model],
    metrics: Output[Metrics],
    page: Output[HTML],
    summary: Output[Markdown],
    card: Output[HTML],
    test_records: list[str] = [],
    policy: Optional[str] = None,
    name: str = "decloud",
    alias: str = "champion",
    replace_broken: bool = False,
    fingerprint: Optional[str] = None,
    output: Optional[str] = None,
    batch_size: int = 4,
    skip_damaged: bool = False,
    overwrite: bool = False,
) -> str:
    """Register a network, compare it with the one in use, promote the better; return its URI.

    Parameters
    ----------
    savedmodel
        SavedModel folder.
    run_id
        MLflow run that trained it.
    test_records
        Evaluation set; without it the network is registered only.
    policy
        Rules of promotion; those shipped when not given.
    name
        Name of the registered model.
    alias
        Alias of the version in use.
    replace_broken
        A version in use that cannot be loaded counts as none.
    fingerprint
        What the network was made from: its digests become tags of the version.
    output
        Folder of promotion.json and the tables.
    batch_size
        Samples per step.
    skip_damaged
        Leave out records whose checksum is wrong.
    overwrite
        Replace an output that was made from other settings or inputs.
    """
    from decloud_lib import task
    from decloud_lib.stages import promote as stage

    task.start()
    config = stage.PromoteConfig(
        **task.given(
            savedmodel=savedmodel,
            run_id=run_id,
            test_records=test_records,
            policy=policy,
            name=name,
            alias=alias,
            replace_broken=replace_broken,
            fingerprint=fingerprint,
            output=output,
            batch_size=batch_size,
            skip_damaged=skip_damaged,
            overwrite=overwrite,
        )
    )
    result = stage.promote(config)
    task.point(registered, savedmodel, model_uri=result.model_uri, outcome=result.outcome)
    task.write_promotion(metrics, page, summary, result)
    task.write_card(card, result.run_id)
    return result.model_uri
