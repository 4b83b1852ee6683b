"""The workflows of the repository: pinned actions, few rights, one at a time."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from decloud_lib import fingerprint
from decloud_lib.learning import origins
from decloud_lib.stages.retrain import RetrainConfig

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def content(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key "on" as a truth value.
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def test_there_are_the_workflows() -> None:
    assert [path.stem for path in FILES] == ["ci", "compare", "retrain"]


def test_each_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = [line.strip().removeprefix("- ") for line in path.read_text().splitlines()]
    used = [line for line in used if line.startswith("uses:")]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_rights_are_few_and_given_by_name(path: Path) -> None:
    workflow = content(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        for right, level in job.get("permissions", {}).items():
            allowed = {("contents", "read"), ("id-token", "write"), ("pull-requests", "write")}
            assert (right, level) in allowed, name
        assert job["timeout-minutes"] <= 360


def test_no_job_that_may_write_runs_code_of_the_change() -> None:
    jobs = content(ROOT / ".github/workflows/compare.yml")["jobs"]
    for name, job in jobs.items():
        checks_out = any("actions/checkout" in step.get("uses", "") for step in job["steps"])
        may_write = "write" in job["permissions"].values()
        assert not (checks_out and may_write), name
    assert jobs["comment"]["permissions"] == {"pull-requests": "write"}
    # Never with the rights of the repository itself.
    assert "pull_request_target" not in content(ROOT / ".github/workflows/compare.yml")["on"]


def test_runs_do_not_overlap(path: Path) -> None:
    workflow = content(path)
    assert workflow["concurrency"]["group"]
    # A retraining that has begun is not thrown away.
    waits = path.stem == "retrain"
    assert workflow["concurrency"]["cancel-in-progress"] is not waits


def test_nothing_that_others_can_choose_gets_into_a_script(path: Path) -> None:
    for job in content(path)["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "values go through the environment"
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_scripts_that_are_called_exist(path: Path) -> None:
    for job in content(path)["jobs"].values():
        for step in job["steps"]:
            for script in re.findall(r"\.ci/\w+", step.get("run", "")):
                assert (ROOT / script).stat().st_mode & 0o111, script


def test_retraining_starts_on_push_schedule_and_events() -> None:
    triggers = content(ROOT / ".github/workflows/retrain.yml")["on"]
    assert triggers.keys() == {"push", "schedule", "repository_dispatch", "workflow_dispatch"}
    assert triggers["repository_dispatch"]["types"] == ["products-delivered", "drift"]


def test_a_push_that_changes_what_decides_starts_the_retraining() -> None:
    watched = content(ROOT / ".github/workflows/retrain.yml")["on"]["push"]["paths"]
    folders = [name.removesuffix("**") for name in watched if name.endswith("**")]
    deciding = origins.code_part("crga_os2_david").items
    inner = [f"decloud_lib/{name}" for name in deciding if "/" in name]
    assert len(inner) > 80
    assert [name for name in inner if not name.startswith(tuple(folders))] == []


def test_the_settings_in_the_repository_are_those_of_the_command() -> None:
    values = yaml.safe_load((ROOT / "k8s/base/retraining/settings.yaml").read_text())
    config = RetrainConfig(**values)
    assert config.products.startswith("s3://")
    assert origins.layouts_part([config.layout]).items
    assert fingerprint.PARTS == ("data", "layouts", "code", "configuration")


def test_actionlint_finds_nothing(path: Path) -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed (go install github.com/rhysd/actionlint)")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
