"""Component: the check before a pipeline starts its work."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Markdown, Output

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def doctor(
    findings: Output[Markdown],
    bucket: Optional[str] = None,
    mlflow: bool = False,
    savedmodel: Optional[str] = None,
    gpus: int = 0,
    engine: str = "rasterio",
) -> str:
    """Stop a run that cannot succeed before it starts; return what was found.

    Parameters
    ----------
    findings
        The same, in the user interface.
    bucket
        Folder or prefix that must be listed, written, read and deleted in.
    mlflow
        MLflow must answer.
    savedmodel
        Network that must be there; what has only a name is not looked at.
    gpus
        GPUs that TensorFlow must see.
    engine
        Engine of the reconstruction that must be there.
    """
    from decloud_lib import task
    from decloud_lib.stages import doctor as stage

    task.start()
    config = stage.DoctorConfig(
        **task.given(bucket=bucket, mlflow=mlflow, savedmodel=savedmodel, gpus=gpus, engine=engine)
    )
    found = stage.doctor(config, needed_only=True)
    task.write_text(findings, found.text())
    found.check()
    return found.text()
