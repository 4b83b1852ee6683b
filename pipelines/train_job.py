"""A training on several machines as a job of Kubeflow Trainer 2 (`decloud train-job`).

Trainer has no policy for TensorFlow: its plain one starts as many pods as there are workers, each
with a host name that follows from the job's. So the list of workers is known when the manifest is
written, and each pod is told its index by Kubernetes: together `TF_CONFIG`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from components import profile
from components.profile import Gpu, Profile, TaskSize
from decloud_lib.cli import stage_command
from decloud_lib.commands import STAGES
from decloud_lib.errors import ConfigError
from decloud_lib.options import resolve_config
from decloud_lib.stages.train_config import TrainConfig
from pipelines.compile import profile_option

_API = "trainer.kubeflow.org/v1alpha1"
_NODE = "node"
"""Name of Trainer's container and of its group of pods; part of the host names."""
_PORT = 2222
_RESTARTS = 10
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
#: The job's name and `-node-0-<index>` are a host name.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")


@click.command(
    "train-job",
    context_settings={"ignore_unknown_options": True, "max_content_width": 100},
    epilog="\b\nExample:\n"
    "  decloud train-job crga-2026 --workers 4 --profile gpu -- \\\n"
    "    --training-record s3://decloud/samples/train --model crga_os2_unet \\\n"
    "    --out-savedmodel s3://decloud/models --ckpt-dir s3://decloud/checkpoints/crga-2026 \\\n"
    "    | kubectl apply -f -",
)
@click.argument("name")
@click.option(
    "--workers", type=click.IntRange(2, 1000), required=True, help="Pods that train together."
)
@click.option("--namespace", default="decloud", show_default=True, help="Where the job runs.")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; default: stdout.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[--] OPTIONS OF TRAIN")
@profile_option
def train_job(
    name: str, workers: int, namespace: str, out: str | None, options: tuple[str, ...]
) -> None:
    """Write the manifest of a training on several machines, for Kubeflow Trainer 2.

    Images, sizes, GPUs and their nodes come from the profile, all else from the options of `train`.
    """
    text = yaml.safe_dump_all(
        manifest(name, workers, namespace, options, profile.current()), sort_keys=False, width=100
    )
    if out is None:
        click.echo(text, nl=False)
    else:
        Path(out).write_text(text, encoding="utf-8")
        click.echo(out)


def manifest(
    name: str, workers: int, namespace: str, options: Sequence[str], settings: Profile
) -> list[dict[str, Any]]:
    """Return the resources: who may call the pods, how they are made, the job.

    Parameters
    ----------
    name
        Of the job.
    workers
        Number of pods.
    namespace
        Where all of it lives.
    options
        Options of `decloud train` as on the command line, without `--strategy`.
    settings
        The profile.

    Raises
    ------
    ConfigError
        The name is none that Kubernetes takes, or pods that start again could not go on.
    click.UsageError
        An option that `train` refuses.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"job {name!r}: expected lower-case letters, digits and dashes, beginning with a "
            "letter, 50 characters at most"
        )
    arguments = [*options, "--strategy", "multiworker"]
    if _train_config(arguments).ckpt_dir is None:
        raise ConfigError(
            f"job {name}: give --ckpt-dir; when a pod is lost all start again, and go on from there"
        )
    labels = {"app.kubernetes.io/name": "train", "app.kubernetes.io/instance": name}

    def meta() -> dict[str, Any]:
        return {"name": name, "namespace": namespace, "labels": dict(labels)}

    pod = _pod(name, workers, arguments, settings)
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta(),
            "spec": _only_each_other(name),
        },
        {
            "apiVersion": _API,
            "kind": "TrainingRuntime",
            "metadata": meta(),
            "spec": {
                "mlPolicy": {"numNodes": workers},
                "template": {"spec": _job_set(pod)},
            },
        },
        {
            "apiVersion": _API,
            "kind": "TrainJob",
            "metadata": meta(),
            "spec": {
                "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime"}
                | {"name": name},
                "trainer": {"numNodes": workers},
            },
        },
    ]


def _train_config(arguments: Sequence[str]) -> TrainConfig:
    context = stage_command("train", STAGES["train"]).make_context("train", list(arguments))
    given = {key: context.params[key] for key in TrainConfig.model_fields}
    config = resolve_config(TrainConfig, context.params["config"], given)
    assert isinstance(config, TrainConfig)
    return config


def _only_each_other(name: str) -> dict[str, Any]:
    labels = {"jobset.sigs.k8s.io/jobset-name": name}
    return {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"],
        # Without a port: NCCL takes ports as it likes.
        "ingress": [{"from": [{"podSelector": {"matchLabels": dict(labels)}}]}],
    }


def _job_set(pod: dict[str, Any]) -> dict[str, Any]:
    step = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    # One worker that is lost stops all the others; they find each other again together.
    job = {"backoffLimit": 0, "template": pod}
    return {
        "failurePolicy": {"maxRestarts": _RESTARTS},
        "replicatedJobs": [
            {"name": _NODE, "template": {"metadata": {"labels": step}, "spec": job}}
        ],
    }


def _pod(name: str, workers: int, arguments: Sequence[str], settings: Profile) -> dict[str, Any]:
    size = settings.tasks["train"]
    container: dict[str, Any] = {
        "name": _NODE,
        "image": settings.images.train,
        "command": ["decloud", "train"],
        "args": list(arguments),
        "env": _environment(name, workers, size, settings),
        "resources": _resources(size, settings.gpu),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if size.shared_memory:
        container["volumeMounts"].append({"name": "shared-memory", "mountPath": "/dev/shm"})
        memory = {"medium": "Memory", "sizeLimit": size.shared_memory}
        volumes.append({"name": "shared-memory", "emptyDir": memory})
    spec: dict[str, Any] = {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    if size.gpus and settings.gpu:
        spec["nodeSelector"] = settings.gpu.node_selector
        spec["tolerations"] = [
            item.model_dump(exclude_none=True) for item in settings.gpu.tolerations
        ]
    return {"spec": spec}


def _environment(
    name: str, workers: int, size: TaskSize, settings: Profile
) -> list[dict[str, Any]]:
    hosts = [f"{name}-{_NODE}-0-{index}.{name}:{_PORT}" for index in range(workers)]
    # Kubernetes puts the value of an earlier variable into $(...); the index must stay a number.
    cluster = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": "@"}})
    variables: list[dict[str, Any]] = [
        {"name": "WORKER_INDEX", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
        {"name": "TF_CONFIG", "value": cluster.replace('"@"', "$(WORKER_INDEX)")},
    ]
    if size.gpus and settings.gpu and not settings.gpu.allow_cpu:
        variables.append({"name": "DECLOUD_GPUS", "value": str(size.gpus)})
    for kind, keys in (
        ("configMapKeyRef", settings.settings),
        ("secretKeyRef", settings.credentials),
    ):
        for key in keys.keys if keys else ():
            reference = {"name": keys.name, "key": key, "optional": True} if keys else {}
            variables.append({"name": key, "valueFrom": {kind: reference}})
    return variables


def _resources(size: TaskSize, gpu: Gpu | None) -> dict[str, Any]:
    devices = {gpu.resource: str(size.gpus)} if size.gpus and gpu else {}
    return {
        "requests": {"cpu": size.cpu_request, "memory": size.memory_request} | devices,
        "limits": {"cpu": size.cpu, "memory": size.memory} | devices,
    }
