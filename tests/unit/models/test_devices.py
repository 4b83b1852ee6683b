"""GPUs that were promised: what happens where they are not there, and how their memory is taken."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from decloud_lib.errors import ConfigError
from decloud_lib.models import devices
from tests.saved_models import OS2, copy_of, export_foreign


@pytest.fixture(autouse=True)
def looked_at_anew() -> Iterator[None]:
    devices._check_gpus.cache_clear()
    yield
    devices._check_gpus.cache_clear()


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Let TensorFlow see GPUs; return those whose memory grows."""
    growing: list[str] = []
    found = [SimpleNamespace(name=f"GPU:{number}") for number in range(count)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: found)
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, _: growing.append(gpu.name)
    )
    return growing


def test_without_a_promise_any_number_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.PROMISED, raising=False)
    growing = with_gpus(monkeypatch, 2)
    devices.check_gpus()
    assert growing == ["GPU:0", "GPU:1"]


def test_what_was_promised_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.PROMISED, "2")
    with_gpus(monkeypatch, 1)
    with pytest.raises(ConfigError, match=r"sees 1 GPUs, and 2 were asked for: .*allow_cpu"):
        devices.check_gpus()
    with_gpus(monkeypatch, 2)
    devices.check_gpus()


def test_a_promise_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.PROMISED, "two")
    with pytest.raises(ConfigError, match=r"DECLOUD_GPUS is 'two', expected a number of GPUs"):
        devices.check_gpus()


def test_neither_a_training_nor_a_saved_model_goes_on_without_them(tmp_path: Path) -> None:
    folder = export_foreign(tmp_path / "m", OS2, copy_of("s2_t"), "deconv2_bn_relu")
    code = f"""
from pathlib import Path
from decloud_lib.errors import ConfigError
from decloud_lib.models import devices, store
for call in (
    lambda: devices.open_strategy("mirrored"),
    lambda: store.load_model(Path({str(folder)!r})),
):
    try:
        call()
    except ConfigError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"DECLOUD_GPUS": "1", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": ":".join(sys.path)},
    )
    told = done.stdout.splitlines()
    assert len(told) == 2
    assert all("TensorFlow sees 0 GPUs, and 1 were asked for" in line for line in told)


@pytest.mark.parametrize(
    ("nodes", "tasks", "workers"),
    [
        ("node1", "1", ["node1:13565"]),
        ("node1", "2", ["node1:13565", "node1:13566"]),
        ("gpu[08-10],login", "1(x3),2", [
            "gpu08:13565", "gpu09:13565", "gpu10:13565", "login:13565", "login:13566",
        ]),
        ("a[2,1]", "1(x2)", ["a2:13565", "a1:13565"]),
    ],
)  # fmt: skip
def test_workers_are_the_tasks_of_a_slurm_step(
    monkeypatch: pytest.MonkeyPatch, nodes: str, tasks: str, workers: list[str]
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", tasks)
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert devices._cluster()["worker"] == workers
    assert devices.workers("multiworker") == len(workers)
    monkeypatch.setenv("SLURM_PROCID", str(len(workers) - 1))
    assert devices._resolver().task_id == len(workers) - 1


def test_a_cluster_that_slurm_tells_by_halves_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("SLURM_STEP_NODELIST", "a,b")
    with pytest.raises(ConfigError, match="SLURM_STEP_TASKS_PER_NODE is set"):
        devices.workers("multiworker")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(ConfigError, match="nothing says where the workers are"):
        devices.workers("multiworker")
