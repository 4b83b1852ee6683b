"""Several processes train one network, on this machine's loopback."""

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError
from decloud_lib.models.checkpoint import find_state, read_state
from decloud_lib.stages.train import TrainConfig, train
from tests import servers
from tests.records import write_records

TIMEOUT_S = 300


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def run_workers(words: Sequence[str], count: int = 2) -> list[str]:
    """Run the same command in several processes that know each other; return what each said."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    started = []
    for index in range(count):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = servers.environment() | {"TF_CONFIG": json.dumps(cluster)}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *words],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        said = [process.communicate(timeout=TIMEOUT_S)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    for process, text in zip(started, said, strict=True):
        assert process.returncode == 0, text
    return said


@pytest.mark.slow
@pytest.mark.parametrize("batch", [4, 3], ids=["even", "uneven"])
def test_two_workers_end_with_the_same_weights_as_one_device(tmp_path: Path, batch: int) -> None:
    run_workers(["tests.worker", str(tmp_path), str(batch), "multiworker"])
    chief, other = (np.load(tmp_path / f"worker-{name}.npz") for name in ("chief", "other"))
    assert (int(chief["devices"]), int(other["devices"])) == (2, 2)
    assert (float(chief["seconds"]), float(other["seconds"])) == (5.0, 5.0)
    assert (bool(chief["is_chief"]), bool(other["is_chief"])) == (True, False)
    alone = tmp_path / "alone"
    alone.mkdir()
    words = [sys.executable, "-m", "tests.worker", str(alone), str(batch), "singlecpu"]
    subprocess.run(words, check=True, timeout=TIMEOUT_S)
    single = np.load(alone / "worker-chief.npz")
    assert int(single["devices"]) == 1
    assert int(single["steps"]) == int(chief["steps"])
    for name in single.files:
        if name.startswith(("state_", "train_", "valid_")):
            np.testing.assert_array_equal(other[name], chief[name], err_msg=name)
            np.testing.assert_allclose(
                chief[name], single[name], rtol=1e-3, atol=2e-6, err_msg=name
            )


@pytest.mark.slow
def test_the_stage_runs_on_two_workers_and_one_of_them_writes(
    tmp_path: Path, mlflow_store: str
) -> None:
    import mlflow

    write_records(tmp_path / "train", n=5)
    write_records(tmp_path / "valid", n=3, seed=1)
    words = f"decloud_lib.cli train --training_record {tmp_path}/train --valid_records "
    words += f"{tmp_path}/valid -m crga_os2_david -bt 1 -bv 1 -e 2 --strategy multiworker "
    words += f"--ckpt_dir {tmp_path}/ckpt --ckpt_steps 1 --out_savedmodel {tmp_path}/models --json "
    words += "--time_limit_s 600"
    said = run_workers(words.split())
    (folder,) = (tmp_path / "models").iterdir()
    assert (folder / "manifest.json").is_file()
    mlflow.set_tracking_uri(mlflow_store)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.params["devices"] == "2"
    # TensorFlow may say something about the others' end after the result.
    results = [json.JSONDecoder().raw_decode(text, text.index("\n{\n") + 1)[0] for text in said]
    assert {result["run_id"] for result in results} == {run.info.run_id, ""}
    assert results[0]["metrics"] == pytest.approx(results[1]["metrics"])
    assert read_state(find_state(str(tmp_path / "ckpt"))).progress.epoch == 2
    # Half the batch and half the rate on two devices: the same steps as this process alone.
    alone = train(
        TrainConfig(
            training_record=str(tmp_path / "train"),
            valid_records=(str(tmp_path / "valid"),),
            model="crga_os2_david",
            batch_size_train=2,
            batch_size_valid=2,
            learning_rate=4e-4,
            epochs=2,
        )
    )
    assert alone.metrics == pytest.approx(results[0]["metrics"], rel=1e-3)


def test_workers_that_nobody_named_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    write_records(tmp_path / "train", n=1)
    config = TrainConfig(
        training_record=str(tmp_path / "train"), model="crga_os2_david", strategy="multiworker"
    )
    with pytest.raises(ConfigError, match=r"nothing says where the workers are .* TF_CONFIG"):
        train(config)
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(ConfigError, match="nothing says where the workers are"):
        train(config)
