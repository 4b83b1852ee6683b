"""What a task gets from the profile: memory, cores, GPUs and their nodes, settings, credentials."""

from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components import profile
from components.profile import TaskKind

#: Products that are prepared at the same time.
PARALLELISM = profile.current().parallelism

SMALL: TaskKind = "small"
"""Listings and JSON files."""
PREPARE: TaskKind = "prepare"
"""Rasters in windows: preparation stays below 1 GB whatever the product's size."""
SAMPLE: TaskKind = "sample"
TRAIN: TaskKind = "train"
EVALUATE: TaskKind = "evaluate"
RECONSTRUCT: TaskKind = "reconstruct"
REGISTER: TaskKind = "register"


def sized(task: PipelineTask, kind: TaskKind) -> PipelineTask:
    """Give a task its limits, its settings and its credentials; return it.

    Kubeflow's cache is switched off: it would skip a task whose results were since deleted from the
    bucket. The stages themselves skip what is complete, by its manifest.
    """
    chosen = profile.current()
    size = chosen.tasks[kind]
    task.set_cpu_limit(size.cpu).set_memory_limit(size.memory)
    task.set_cpu_request(size.cpu_request).set_memory_request(size.memory_request)
    task.set_caching_options(enable_caching=False)
    if size.gpus and chosen.gpu:
        _on_gpu_nodes(task, size.gpus, chosen.gpu)
    if size.shared_memory:
        kubernetes.empty_dir_mount(
            task, "shared-memory", "/dev/shm", medium="Memory", size_limit=size.shared_memory
        )
    places = {name: name for name in chosen.settings.keys}
    kubernetes.use_config_map_as_env(task, chosen.settings.name, places, optional=True)
    if chosen.credentials:
        keys = {name: name for name in chosen.credentials.keys}
        kubernetes.use_secret_as_env(task, chosen.credentials.name, keys, optional=True)
    return task


def _on_gpu_nodes(task: PipelineTask, count: int, gpu: profile.Gpu) -> None:
    task.set_accelerator_type(gpu.resource).set_accelerator_limit(count)
    for key, value in gpu.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in gpu.tolerations:
        given: dict[str, Any] = toleration.model_dump(exclude_none=True)
        kubernetes.add_toleration(task, **given)
