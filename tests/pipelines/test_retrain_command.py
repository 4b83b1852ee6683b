"""`decloud retrain --runner kfp` against a stand-in for Kubeflow, and what it writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from decloud_lib import fingerprint, storage
from decloud_lib.errors import ConfigError, SettingsError
from decloud_lib.stages.retrain import RetrainConfig
from pipelines.compile import PIPELINES, compile_to
from pipelines.retrain import run_retraining
from tests.kubeflow import NOW, Kubeflow, serve


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_to(PIPELINES["retraining"], tmp_path_factory.mktemp("p") / "retraining.yaml")


def deliver_one(products: str) -> None:
    """Put what looks like a product there: a fingerprint lists, and reads nothing."""
    name = "SENTINEL2A_20200503-105900-000_L2A_T31TCJ_C_V2-2"
    storage.write_bytes(f"{products}/SENTINEL2/T31TCJ/{name}/MTD.xml", b"")


@pytest.fixture
def kubeflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with serve(Kubeflow()) as running:
        yield running


@pytest.fixture
def config(
    kubeflow: Kubeflow, package: Path, mlflow_store: str, s3: str, tmp_path: Path
) -> RetrainConfig:
    deliver_one(f"{s3}/products")
    return RetrainConfig(
        products=f"{s3}/products",
        prepared=f"{s3}/prepared",
        out=f"{s3}/out",
        layout="AL-TEST",
        model="crga_os2_david",
        runner="kfp",
        host=kubeflow.url,
        package=str(package),
        poll_s=0.01,
        output=str(tmp_path / "result.json"),
        report=str(tmp_path / "report.md"),
    )


def test_a_run_is_submitted_with_the_fingerprint(kubeflow: Kubeflow, config: RetrainConfig) -> None:
    result = run_retraining(config.model_copy(update={"wait": False}))
    assert (result.status, result.exit_status) == ("submitted", 0)
    assert result.run == f"{kubeflow.url}/#/runs/details/r0"
    given = kubeflow.runs[0]["runtime_config"]["parameters"]
    assert given["fingerprint"] == result.fingerprint
    written = fingerprint.read(str(result.fingerprint))
    assert given["models"] == f"{config.out}/runs/{written.digest}/models"
    assert kubeflow.runs[0]["display_name"].startswith(f"retraining {written.digest} ")
    told = json.loads(Path(str(config.output)).read_text())
    assert (told["status"], told["reason"]) == ("submitted", "decloud has no champion yet")


def test_a_run_that_ends_without_a_better_version_is_told(
    kubeflow: Kubeflow, config: RetrainConfig
) -> None:
    kubeflow.course = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    result = run_retraining(config)
    assert (result.status, result.exit_status) == ("not promoted", 4)
    assert Path(str(config.report)).read_text().startswith("### Version (none) was not promoted")


def test_a_task_that_fails_is_the_answer(kubeflow: Kubeflow, config: RetrainConfig) -> None:
    error = {"code": 2, "message": "no sample fits the layout"}
    times = {"start_time": NOW, "end_time": NOW}
    task = {"task_id": "t", "display_name": "sample", "state": "FAILED", "error": error, **times}
    kubeflow.course = [{"state": "FAILED", "run_details": {"task_details": [task]}}]
    result = run_retraining(config)
    assert (result.status, result.exit_status) == ("failed", 5)
    assert "no sample fits the layout" in result.evidence
    assert "Retraining failed" in Path(str(config.report)).read_text()


def test_a_compiled_pipeline_has_its_profile_already(config: RetrainConfig) -> None:
    with pytest.raises(SettingsError, match="leave --profile out"):
        RetrainConfig(**config.model_dump() | {"profile": "gpu"})


@pytest.mark.parametrize("runner", ["docker", "kfp"])
def test_containers_take_no_folders_of_this_machine(config: RetrainConfig, runner: str) -> None:
    given = config.model_dump() | {"runner": runner}
    with pytest.raises(SettingsError, match=r"--products /raw: .*give s3://bucket/prefix"):
        RetrainConfig(**given | {"products": "/raw"})
    buckets = {"products": "s3://a/raw", "prepared": "s3://a/prepared", "out": "s3://a/out"}
    with pytest.raises(SettingsError, match=r"--test-records frozen: .*give s3://bucket/prefix"):
        RetrainConfig(**given | buckets | {"test_records": ["frozen"]})
    with pytest.raises(SettingsError, match=r"--policy rules.yaml: .*give s3://bucket/prefix"):
        RetrainConfig(**given | buckets | {"policy": "rules.yaml"})
    with pytest.raises(SettingsError, match=r"--layout mine.json: .*give s3://bucket/prefix"):
        RetrainConfig(**given | buckets | {"layout": "mine.json"})
    assert RetrainConfig(**given | buckets).runner == runner


def test_containers_need_mlflow_behind_an_address(config: RetrainConfig, s3: str) -> None:
    deliver_one(f"{s3}/raw")
    places = {"products": f"{s3}/raw", "prepared": f"{s3}/prepared", "out": f"{s3}/out"}
    with pytest.raises(ConfigError, match=r"MLflow is sqlite:.*set MLFLOW_TRACKING_URI"):
        run_retraining(RetrainConfig(**config.model_dump() | places | {"runner": "docker"}))
    assert storage.list_files(f"{s3}/out") == []
