"""Where a training runs: one device, all GPUs of this machine, or several machines."""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Literal

import tensorflow as tf
from tensorflow.python.distribute.cluster_resolver.slurm_cluster_resolver import (
    expand_hostlist,
    expand_tasks_per_node,
)

from decloud_lib.errors import ConfigError

logger = logging.getLogger(__name__)

Strategy = Literal["mirrored", "multiworker", "singlecpu"]

#: Of the existing system: first port of the workers that Slurm starts.
_SLURM_PORT = 13565
#: Set where GPUs were asked for: how many this process must have.
PROMISED = "DECLOUD_GPUS"


def check_gpus() -> None:
    """Check that the GPUs are there that were promised, and let them give memory as it is needed.

    To be called before a GPU is used: TensorFlow takes all its memory otherwise.

    Raises
    ------
    ConfigError
        There are fewer than the variable `DECLOUD_GPUS` says.
    """
    _check_gpus(os.environ.get(PROMISED, "0"))


@lru_cache(maxsize=4)
def _check_gpus(promised: str) -> None:
    found = tf.config.list_physical_devices("GPU")
    if not promised.isdecimal():
        raise ConfigError(f"{PROMISED} is {promised!r}, expected a number of GPUs")
    if len(found) < int(promised):
        raise ConfigError(
            f"TensorFlow sees {len(found)} GPUs, and {promised} were asked for: use the GPU image, "
            "look at the node's driver and device plugin, or say allow_cpu in the profile's "
            f"section gpu (without Kubeflow: unset {PROMISED}) to compute on the CPU"
        )
    for device in found:
        try:
            tf.config.experimental.set_memory_growth(device, True)  # noqa: FBT003 - by position only
        except RuntimeError:  # too late: it is in use
            logger.debug("memory of %s does not grow", device.name)


def gpus(strategy: Strategy) -> int:
    """Return the number of GPUs of this machine that a strategy uses; 0 for the CPU."""
    # Physical devices: asking for logical ones would fix the devices before the workers have met.
    return 0 if strategy == "singlecpu" else len(tf.config.list_physical_devices("GPU"))


def workers(strategy: Strategy) -> int:
    """Return the number of processes that train together.

    Raises
    ------
    ConfigError
        As `open_strategy`.
    """
    return len(_cluster()["worker"]) if strategy == "multiworker" else 1


def open_strategy(name: Strategy) -> tf.distribute.Strategy:
    """Return how steps are spread over devices; for several workers, wait until all are there.

    Parameters
    ----------
    name
        mirrored: all GPUs of this machine, else the CPU. multiworker: one process per entry of
        `TF_CONFIG`, or per Slurm task. singlecpu: one CPU, also where there are GPUs.

    Raises
    ------
    ConfigError
        Several workers are wanted, and nothing says where they are; or GPUs were promised that
        are not there.
    """
    if name != "singlecpu":
        check_gpus()
    if name == "multiworker":
        _cluster()
        return _workers_strategy()
    if name == "singlecpu" and gpus("mirrored"):
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    if gpus(name) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@lru_cache(maxsize=1)
def _workers_strategy() -> tf.distribute.Strategy:
    """Meet the other workers, once in the life of a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=_resolver())


@contextmanager
def placed(name: Strategy) -> Iterator[None]:
    """Place what is loaded and run inside this context: on one CPU, or where TensorFlow likes."""
    with tf.device("/cpu:0") if name == "singlecpu" else nullcontext():
        yield


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Say whether this process is the one that writes: the first worker, or the only process."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def _resolver() -> Any:
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return resolver if resolver.cluster_spec().jobs else _slurm_resolver()


def _slurm_resolver() -> Any:
    """Return what Slurm says of the step that this process is a task of.

    TensorFlow's own resolver fails on nodes without GPUs, and hides GPUs that Slurm has given.
    """
    try:
        step, tasks, rank = (
            os.environ[f"SLURM_{name}"]
            for name in ("STEP_NODELIST", "STEP_TASKS_PER_NODE", "PROCID")
        )
    except KeyError as error:
        raise RuntimeError(f"neither TF_CONFIG nor {error.args[0]} is set") from error
    workers = [
        f"{host}:{_SLURM_PORT + number}"
        for host, count in zip(expand_hostlist(step), expand_tasks_per_node(tasks), strict=True)
        for number in range(count)
    ]
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": workers}), task_type="worker", task_id=int(rank)
    )


def _cluster() -> dict[str, list[str]]:
    """Return the addresses of all processes by their task; chief and workers count as workers."""
    wanted = (
        'expected TF_CONFIG like {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}, or a Slurm step'
    )
    try:
        found: dict[str, list[str]] = _resolver().cluster_spec().as_dict()
    except (RuntimeError, KeyError, ValueError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"--strategy multiworker: nothing says where the workers are ({error}); {wanted}"
        ) from error
    members = [*found.get("chief", []), *found.get("worker", [])]
    if not members:
        raise ConfigError(f"--strategy multiworker: the cluster {found} has no worker; {wanted}")
    return {**found, "worker": members}
