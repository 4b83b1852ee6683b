"""`decloud submit`: here with the local runner, or on a host."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from decloud_lib.errors import ConfigError
from pipelines.compile import PIPELINES, compile_to
from pipelines.runs import PipelineError
from pipelines.submit import parse_arguments, submit_package

DECLOUD = Path(sys.executable).with_name("decloud")


def test_values_are_json_or_text() -> None:
    pairs = (
        "batch=2",
        "props=[0.5, 0.5]",
        "tiles=s3://b/tiles.json",
        "overwrite=true",
        "run_name=",
    )
    assert parse_arguments(pairs) == {
        "batch": 2,
        "props": [0.5, 0.5],
        "tiles": "s3://b/tiles.json",
        "overwrite": True,
        "run_name": "",
    }


@pytest.mark.parametrize("pair", ["batch", "=2", ""])
def test_a_text_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        parse_arguments((pair,))


def test_a_failing_task_ends_the_command_with_2_and_one_line(tmp_path: Path) -> None:
    words = ["preprocessing", "-a", f"products={tmp_path}", "-a", f"prepared={tmp_path}/prepared"]
    done = subprocess.run(
        [DECLOUD, "submit", *words, "--out", tmp_path / "runs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: pipeline 'preprocessing': task 'list-products")
    assert "no product found; expected" in last
    assert "Traceback" not in done.stderr


def test_a_host_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    package = compile_to(PIPELINES["preprocessing"], tmp_path / "preprocessing.yaml")
    with pytest.raises(PipelineError, match=f"Kubeflow at {host} .*; check --host") as caught:
        submit_package(package, {}, host, "spring")
    assert "\n" not in str(caught.value)


def test_a_host_gets_the_compiled_pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import kfp

    sent: dict[str, Any] = {}

    class Run:
        run_id = "run-1"

    class Client:
        def __init__(self, host: str) -> None:
            sent["host"] = host

        def create_run_from_pipeline_package(self, package: str, **options: Any) -> Run:
            sent.update(options, package=Path(package).read_text())
            return Run()

    monkeypatch.setattr(kfp, "Client", Client)
    package = compile_to(PIPELINES["preprocessing"], tmp_path / "preprocessing.yaml")
    run = submit_package(
        package, {"batch": 2}, "http://kubeflow", "spring", service_account="runner"
    )
    assert run == "run-1"
    assert sent["host"] == "http://kubeflow"
    assert sent["arguments"] == {"batch": 2}
    assert sent["experiment_name"] == "spring"
    assert sent["service_account"] == "runner"
    assert "name: preprocessing" in sent["package"]
