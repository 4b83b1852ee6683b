"""What a task gets from the profile: memory, cores, GPUs and their nodes, settings, credentials."""

from concurrent.futures import ThreadPoolExecutor
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


_RETRIES: dict[TaskKind, int] = {
    "small": 2,
    "prepare": 2,
    "sample": 1,
    "train": 3,  # goes on from its checkpoint, where it has a folder for them
    "evaluate": 1,
    "reconstruct": 2,
    "register": 2,
}
"""Against lost nodes and servers that restart; all tasks may run twice."""
_ANSWERS = {"doctor", "report"}
"""Tasks whose failure is an answer: wrong input shall stop a run at once."""


def sized(task: PipelineTask, kind: TaskKind) -> PipelineTask:
    """Give a task its limits, its retries, its settings and its credentials; return it.

    Kubeflow's cache is on only for tasks whose arguments hold the state of all they read and make
    (an input `content`), and only where the profile names the image by its digest. The results of
    the others depend on what lies in the bucket, at the same address, when they run.
    """
    # Kubeflow looks at the whole call stack at each setting, and for each frame without a file of
    # its own (imports have many) through all modules: 10 s for all pipelines. A thread's is short.
    with ThreadPoolExecutor(max_workers=1) as alone:
        return alone.submit(_sized, task, kind).result()


def _sized(task: PipelineTask, kind: TaskKind) -> PipelineTask:
    chosen = profile.current()
    size = chosen.tasks[kind]
    task.set_cpu_limit(size.cpu).set_memory_limit(size.memory)
    task.set_cpu_request(size.cpu_request).set_memory_request(size.memory_request)
    task.set_caching_options(enable_caching=_is_cached(task))
    if task.component_spec.name not in _ANSWERS:
        task.set_retry(_RETRIES[kind], "30s", 2.0, "600s")
    if size.gpus and chosen.gpu:
        _on_gpu_nodes(task, size.gpus, chosen.gpu)
    if size.shared_memory:
        kubernetes.empty_dir_mount(
            task, "shared-memory", "/dev/shm", medium="Memory", size_limit=size.shared_memory
        )
    # A pod does not know what image it runs in; MLflow's runs record it.
    task.set_env_variable("DECLOUD_IMAGE", task.container_spec.image)
    places = {name: name for name in chosen.settings.keys}
    kubernetes.use_config_map_as_env(task, chosen.settings.name, places, optional=True)
    if chosen.credentials:
        keys = {name: name for name in chosen.credentials.keys}
        kubernetes.use_secret_as_env(task, chosen.credentials.name, keys, optional=True)
    return task


def _is_cached(task: PipelineTask) -> bool:
    spec = task.component_spec
    return "content" in (spec.inputs or {}) and "@sha256:" in spec.implementation.container.image


def _on_gpu_nodes(task: PipelineTask, count: int, gpu: profile.Gpu) -> None:
    task.set_accelerator_type(gpu.resource).set_accelerator_limit(count)
    if not gpu.allow_cpu:
        # See `decloud_lib.models.devices.check_gpus`; the body of a pipeline loads no TensorFlow.
        task.set_env_variable("DECLOUD_GPUS", str(count))
    for key, value in gpu.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in gpu.tolerations:
        given: dict[str, Any] = toleration.model_dump(exclude_none=True)
        kubernetes.add_toleration(task, **given)
