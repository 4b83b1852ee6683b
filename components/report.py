"""Component: what a run ends with, however it ended."""

from kfp import dsl
from kfp.dsl import Markdown, Output, PipelineTaskFinalStatus

from components import images


@dsl.component(base_image=images.PREPARE, install_kfp_package=False)
def report(pipeline: str, status: PipelineTaskFinalStatus, summary: Output[Markdown]) -> str:
    """Say how a run ended and what to do next; return its state.

    Parameters
    ----------
    pipeline
        Name of the pipeline.
    status
        How its tasks ended; Kubeflow fills it in.
    summary
        The report.
    """
    from decloud_lib import task

    task.start()
    task.write_outcome(summary, pipeline, status.state, status.error_message)
    return status.state
