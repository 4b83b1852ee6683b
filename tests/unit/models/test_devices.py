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
    calls = (
        "from decloud_lib.models.devices import open_strategy; open_strategy('mirrored')",
        f"from decloud_lib.models import foreign as f, store; store.load_model(f.Path('{folder}'))",
    )
    for call in calls:
        done = subprocess.run(
            [sys.executable, "-c", call],
            capture_output=True,
            text=True,
            check=False,
            env={
                "DECLOUD_GPUS": "1",
                "CUDA_VISIBLE_DEVICES": "-1",
                "PYTHONPATH": ":".join(sys.path),
            },
        )
        assert done.returncode == 1
        assert "TensorFlow sees 0 GPUs, and 1 were asked for" in done.stderr
