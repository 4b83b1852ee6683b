"""What a task gets: memory, cores, GPUs, settings and credentials. The only place with numbers."""

from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components import images

#: Products that are prepared at the same time.
PARALLELISM = 2

#: Names of k8s/base: where the bucket and MLflow are, and the keys of the bucket.
SETTINGS, CREDENTIALS = "decloud-settings", "decloud-bucket"


@dataclass(frozen=True, slots=True)
class Size:
    """Limits of a task's pod."""

    cpu: str
    """Cores."""
    memory: str
    """Bytes, with a unit: `2G`."""
    network: bool = False
    """Whether it runs a network, on `images.GPUS` GPUs."""


SMALL = Size("1", "1G")
"""Listings and JSON files."""
PREPARE = Size("2", "2G")
"""Rasters in windows: preparation stays below 1 GB whatever the product's size."""
SAMPLE = Size("2", "8G")
TRAIN = Size("4", "16G", network=True)
EVALUATE = Size("4", "8G", network=True)
RECONSTRUCT = Size("4", "4G", network=True)
REGISTER = Size("1", "2G")


def sized(task: PipelineTask, size: Size) -> PipelineTask:
    """Give a task its limits, its settings and its credentials; return it.

    Kubeflow's cache is switched off: it would skip a task whose results were since deleted from the
    bucket. The stages themselves skip what is complete, by its manifest.
    """
    task.set_cpu_limit(size.cpu).set_memory_limit(size.memory)
    task.set_cpu_request("500m").set_memory_request("512M")
    task.set_caching_options(enable_caching=False)
    if size.network and images.GPUS:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(images.GPUS)
    places = ("AWS_ENDPOINT_URL", "AWS_REGION", "MLFLOW_TRACKING_URI")
    kubernetes.use_config_map_as_env(task, SETTINGS, {name: name for name in places}, optional=True)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    kubernetes.use_secret_as_env(task, CREDENTIALS, {name: name for name in keys}, optional=True)
    return task
