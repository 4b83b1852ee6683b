"""Component: registration."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Model, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def promote(
    savedmodel: str,
    run_id: str,
    registered: Output[Model],
    scores: Optional[str] = None,
    name: str = "decloud",
    alias: str = "champion",
    fingerprint: Optional[str] = None,
    overwrite: bool = False,
) -> str:
    """Register a SavedModel in MLflow and set its alias; return the registered model's URI.

    Parameters
    ----------
    savedmodel
        SavedModel folder.
    run_id
        MLflow run that trained it.
    scores
        scores.json to keep with the version.
    name
        Name of the registered model.
    alias
        Alias that shall point to the new version.
    fingerprint
        What the network was made from: its digests become tags of the version.
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
            scores=scores,
            name=name,
            alias=alias,
            fingerprint=fingerprint,
            overwrite=overwrite,
        )
    )
    result = stage.promote(config)
    task.point(registered, savedmodel, model_uri=result.model_uri, version=result.version)
    return result.model_uri
