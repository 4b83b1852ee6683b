"""`decloud submit`: here with the local runner, or on a host (a stand-in for Kubeflow)."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components import profile
from decloud_lib import cli
from decloud_lib.errors import ConfigError, DecloudError
from pipelines.arguments import parse_arguments
from pipelines.compile import PIPELINES
from pipelines.places import check_places, uses_tracking
from pipelines.runs import PipelineError
from tests.kubeflow import NOW, Kubeflow, serve

DECLOUD = Path(sys.executable).with_name("decloud")
WORDS = ("-p", "products=s3://decloud/raw", "-p", "prepared=s3://decloud/prepared")
WAIT = ("--wait", "--poll", "0.01")


@pytest.fixture
def kubeflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """Give a host; what the client keeps in the home folder of a user is not read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with serve(Kubeflow()) as running:
        yield running


def submit(out: Path, *words: str) -> Result:
    return CliRunner().invoke(
        cli.app, ["submit", "preprocessing", *words, "--out", str(out)], standalone_mode=False
    )


def task(name: str, state: str, **facts: Any) -> dict[str, Any]:
    return {"task_id": name, "display_name": name, "state": state, **facts}


def step(state: str, *tasks: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"state": state, "run_details": {"task_details": list(tasks)}, **facts}


def test_values_are_what_the_pipeline_wants() -> None:
    pairs = ("batch=2", 'tiles=["31TEJ"]', "cog=true", "start=2020-01-01", "end=")
    places = ("products=12", 'prepared="s3://b/a b"')
    assert parse_arguments(PIPELINES["preprocessing"], (*pairs, *places)) == {
        "batch": 2,
        "tiles": ["31TEJ"],
        "cog": True,
        "start": "2020-01-01",
        "end": "",
        "products": "12",
        "prepared": "s3://b/a b",
    }


def test_a_whole_number_stands_for_a_real_one() -> None:
    words = ("tiles=t", "roi_dir=r", "acquisition_train=a", "output_train=o", "props=[1, 0.5]")
    given = parse_arguments(PIPELINES["sampling"], (*words, "guard_days=3"))
    assert given["guard_days"] == 3.0
    assert isinstance(given["guard_days"], float)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("batch", "'batch' is no parameter; expected NAME=VALUE"),
        ("=2", "expected NAME=VALUE"),
        ("batch=two", "parameter batch: found 'two', expected a whole number"),
        ("batch=2.5", "parameter batch: found '2.5', expected a whole number"),
        ("cog=yes", "parameter cog: found 'yes', expected true or false"),
        ("tiles=31TEJ", r"parameter tiles: .* expected a list of texts as JSON, such as '\[\"a\""),
        ("clm_bits=[0.5]", "parameter clm_bits: .* expected a list of whole numbers"),
        ("bach=2", "unknown parameter bach; did you mean batch; known are products, prepared"),
        ("products=again", "parameter products is given twice"),
    ],
)
def test_a_wrong_parameter_is_told(pair: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_arguments(PIPELINES["preprocessing"], ("products=p", "prepared=q", pair))


def test_a_missing_parameter_is_told() -> None:
    with pytest.raises(ConfigError, match=r"missing: prepared \(a text\); give each as -p"):
        parse_arguments(PIPELINES["preprocessing"], ("products=p",))


@pytest.mark.parametrize(
    ("name", "pair", "says"),
    [
        ("preprocessing", "products=/data/raw", "parameter products: .*no folder of this.*/data"),
        ("preprocessing", "prepared=prepared", r"parameter prepared: .*\(prepared\); give s3://"),
        ("sweep", 'settings={"out_savedmodel": "./m"}', r"parameter settings: .*\(./m\)"),
        ("sweep", 'test_records=["s3://b/a", "~/b"]', r"parameter test_records: .*\(~/b\)"),
        ("sweep", "scores=gs://b/a", "gs://b/a: gs:// is no place"),
    ],
)
def test_containers_get_no_folder_of_this_machine(name: str, pair: str, says: str) -> None:
    good = {
        "preprocessing": ("products=s3://b/raw", "prepared=s3://b/prepared"),
        "sweep": ("sweep_name=a", "space={}", "settings={}", "test_records=[]", "scores=s3://b/s"),
    }[name]
    check_places(PIPELINES[name], parse_arguments(PIPELINES[name], good))
    changed = [item for item in good if item.partition("=")[0] != pair.partition("=")[0]]
    with pytest.raises(DecloudError, match=says):
        check_places(PIPELINES[name], parse_arguments(PIPELINES[name], [*changed, pair]))


@pytest.mark.parametrize("where", ["--docker", "--host=http://127.0.0.1:9"])
def test_a_folder_is_refused_before_anything_starts(tmp_path: Path, where: str) -> None:
    done = submit(tmp_path / "runs", where, "-p", "products=s3://b", "-p", "prepared=here")
    assert isinstance(done.exception, ConfigError)
    assert "see no folder of this machine (here)" in str(done.exception)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["training", "training_record=s3://b", "valid_records=[]", "test_records=[]"], True),
        (["reconstruction", "in_s2=s3://b/a"], True),
        (["reconstruction", "in_s2=s3://b/a", "savedmodel=linear_gap_filling"], False),
        (["analysis", "tiles=s3://b/t.json"], False),
    ],
)
def test_containers_need_mlflow_behind_an_address(words: list[str], needed: bool) -> None:
    pipeline = PIPELINES[words[0]]
    arguments = dict(pair.split("=", 1) for pair in words[1:])
    assert uses_tracking(pipeline, arguments) is needed


def test_an_mlflow_in_a_file_is_refused_for_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    words = [
        "submit",
        "reconstruction",
        "--docker",
        "-p",
        "in_s2=s3://b/a",
        "-p",
        "output=s3://b/o",
    ]
    done = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path)], standalone_mode=False)
    assert isinstance(done.exception, ConfigError)
    assert "MLflow is sqlite:///here.db, a file that tasks in containers do not" in str(
        done.exception
    )


def test_parameters_are_listed(tmp_path: Path) -> None:
    done = submit(tmp_path, "--parameters")
    lines = done.output.splitlines()
    assert lines[0].split()[:4] == ["products", "String", "needed", "Folder"]
    assert lines[2].split()[:3] == ["batch", "Integer", "1"]
    assert len(lines) == len(PIPELINES["preprocessing"].component_spec.inputs)


def test_a_failing_task_ends_the_command_with_2_and_one_line(tmp_path: Path) -> None:
    words = ["preprocessing", "-p", f"products={tmp_path}", "-p", f"prepared={tmp_path}/prepared"]
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


def test_a_host_gets_the_compiled_pipeline(kubeflow: Kubeflow, tmp_path: Path) -> None:
    words = ("-p", "batch=2", "--experiment", "spring", "--run-name", "first")
    done = submit(tmp_path, "--host", f"{kubeflow.url}/", *WORDS, *words)
    assert done.exception is None, done.exception
    assert done.return_value == 0
    assert done.stdout == f"first: {kubeflow.url}/#/runs/details/r0\n"
    assert [item["display_name"] for item in kubeflow.experiments] == ["spring"]
    (run,) = kubeflow.runs
    assert run["display_name"] == "first"
    assert run["experiment_id"] == "e0"
    assert run["service_account"] == profile.current().service_account
    assert run["runtime_config"]["parameters"] == {
        "batch": 2,
        "products": "s3://decloud/raw",
        "prepared": "s3://decloud/prepared",
    }
    spec = run["pipeline_spec"]["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "preprocessing"
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]


def test_a_run_without_a_name_gets_one_with_the_time(kubeflow: Kubeflow, tmp_path: Path) -> None:
    assert submit(tmp_path, "--host", kubeflow.url, *WORDS).exception is None
    assert kubeflow.runs[0]["display_name"].startswith("preprocessing 20")


def test_a_name_that_a_run_bears_is_refused(kubeflow: Kubeflow, tmp_path: Path) -> None:
    words = ("--host", kubeflow.url, *WORDS, "--run-name", "first")
    assert submit(tmp_path, *words).exception is None
    done = submit(tmp_path, *words)
    assert isinstance(done.exception, ConfigError)
    assert "there is a run 'first' already (PENDING, of 2026-01-02 03:04)" in str(done.exception)
    assert len(kubeflow.runs) == 1


@pytest.mark.parametrize("way", ["option", "file", "variable"])
def test_a_token_opens_the_door(
    kubeflow: Kubeflow,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    kubeflow.token = "secret-1"
    (tmp_path / "token").write_text("secret-1\n")
    words = {
        "option": ["--token", "secret-1"],
        "file": ["--token-file", str(tmp_path / "token")],
        "variable": [],
    }[way]
    if way == "variable":
        monkeypatch.setenv("DECLOUD_KFP_TOKEN", "secret-1")
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *words)
    assert done.exception is None, done.exception
    assert "secret-1" not in done.output


def test_without_a_token_a_closed_host_says_what_to_do(kubeflow: Kubeflow, tmp_path: Path) -> None:
    kubeflow.token = "secret-1"
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS)
    assert isinstance(done.exception, PipelineError)
    assert "refuses (401): it does not know who asks: give --token" in str(done.exception)
    assert kubeflow.runs == []


def test_a_namespace_goes_with_every_question(kubeflow: Kubeflow, tmp_path: Path) -> None:
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, "--namespace", "team")
    assert done.exception is None, done.exception
    assert kubeflow.experiments[0]["namespace"] == "team"


def test_waiting_tells_the_states_and_ends_with_0(
    kubeflow: Kubeflow,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.submit.configure_logging", lambda: None)
    caplog.set_level("INFO")
    kubeflow.silent = 2
    times = {"start_time": NOW, "end_time": "2026-01-02T03:04:35Z"}
    kubeflow.course = [
        step("RUNNING", task("doctor", "RUNNING")),
        step("RUNNING", task("doctor", "SUCCEEDED", **times), task("list-products", "PENDING")),
        step("SUCCEEDED", task("doctor", "SUCCEEDED"), task("root-driver", "SUCCEEDED")),
    ]
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT)
    assert done.exception is None, done.exception
    assert done.return_value == 0
    told = [record.message for record in caplog.records if record.name == "pipelines.host"]
    assert told[-2:] == ["doctor: running", "doctor: succeeded after 30 s"]
    assert done.output.splitlines()[-1] == "succeeded"


def test_a_failed_run_names_its_tasks_and_ends_with_2(kubeflow: Kubeflow, tmp_path: Path) -> None:
    broken = task("prepare-s2", "FAILED", error={"code": 13, "message": "no\nroom"})
    kubeflow.course = [step("FAILED", broken, task("root", "FAILED"))]
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT)
    assert isinstance(done.exception, DecloudError)  # status 2
    assert str(done.exception).startswith("run failed: prepare-s2: no room (see http")


def test_a_success_that_hides_a_failure_is_none(kubeflow: Kubeflow, tmp_path: Path) -> None:
    # The exit task was fine, and what it was to report on was not.
    tasks = (task("exit-handler-1", "FAILED"), task("train", "FAILED"), task("report", "SUCCEEDED"))
    kubeflow.course = [step("SUCCEEDED", *tasks)]
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT)
    assert str(done.exception).startswith("run failed: train (see http")


def test_a_task_that_went_well_at_last_is_no_failure(kubeflow: Kubeflow, tmp_path: Path) -> None:
    kubeflow.course = [step("SUCCEEDED", task("train(0)", "FAILED"), task("train(1)", "SUCCEEDED"))]
    assert submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT).return_value == 0


@pytest.mark.parametrize(("state", "status"), [("CANCELED", 130), ("RUNNING", 124)])
def test_a_run_that_does_not_end_has_a_status_of_its_own(
    kubeflow: Kubeflow, tmp_path: Path, state: str, status: int
) -> None:
    kubeflow.course = [step(state)]
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT, "--timeout", "0.1")
    assert done.exception is None, done.exception
    assert done.return_value == status


def test_a_host_that_falls_silent_is_asked_ten_times(kubeflow: Kubeflow, tmp_path: Path) -> None:
    kubeflow.silent = 10**6
    kubeflow.course = [step("SUCCEEDED")]
    done = submit(tmp_path, "--host", kubeflow.url, *WORDS, *WAIT)
    assert "cannot be reached" in str(done.exception)
    assert "the run may go on: http" in str(done.exception)


def test_a_host_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = submit(tmp_path, "--host", host, *WORDS)
    assert isinstance(done.exception, PipelineError)
    assert f"Kubeflow at {host} cannot be reached" in str(done.exception)
    assert "check --host" in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--local", "--docker"], "exclude each other"),
        (["--local", "--host", "http://h"], "exclude each other"),
        (["--wait"], "--wait says nothing without --host"),
        (["--run-name", "a", "--namespace", "b"], "--namespace, --run-name says nothing"),
        (["--host", "http://h", "--timeout", "3"], "--timeout says nothing without --wait"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    tmp_path: Path, words: list[str], says: str
) -> None:
    done = submit(tmp_path, *WORDS, *words)
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
