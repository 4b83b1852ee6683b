"""What the documentation names exists, and its commands run."""

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from decloud_lib.commands import COMMANDS, STAGES
from decloud_lib.config import StageConfig

ROOT = Path(__file__).parents[2]
MAPPING = ROOT / "docs" / "coming-from-decloud.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
STATUSES = ("here", "changed", "dropped", "planned: ")


@dataclass(frozen=True)
class Row:
    """A line of a table of the mapping."""

    section: str
    existing: str
    ours: str
    status: str
    note: str

    def __str__(self) -> str:
        return f"{self.section}: {self.existing}"


@cache
def rows() -> list[Row]:
    """Read the tables with a status column."""
    found, section = [], ""
    for line in MAPPING.read_text().splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[2].startswith(STATUSES):
            found.append(Row(section, *cells))
    return found


def is_here(row: Row) -> bool:
    return row.status in ("here", "changed")


def named(text: str, pattern: str) -> list[str]:
    return re.findall(rf"`({pattern})`", text)


def config_class(command: str) -> type[StageConfig]:
    module, name, _ = STAGES[command].target.split(":")
    found: type[StageConfig] = getattr(importlib.import_module(module), name)
    return found


def option_rows() -> Iterator[tuple[str, str]]:
    for row in rows():
        command = re.search(r"`decloud ([a-z0-9 -]+)`", row.section)
        if command and is_here(row):
            for option in named(row.ours, r"--[a-z0-9_]+"):
                yield command[1], option


def short_options() -> Iterator[tuple[str, str, str]]:
    """Yield command, short name and ours, for example `-lr` of `--learning_rate`."""
    for row in rows():
        command = re.search(r"`decloud ([a-z0-9 -]+)`", row.section)
        if command and is_here(row):
            for short in named(row.existing, r"-[a-z]+"):
                yield command[1], short, named(row.ours, r"--[a-z0-9_]+")[0]


def resolve(dotted: str) -> Any:
    """Import the longest module of a dotted name and take the rest as attributes."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name is None or not dotted.startswith(error.name):
                raise
            continue
        for name in parts[end:]:
            value = getattr(value, name)
        return value
    raise ModuleNotFoundError(dotted)


def snippets() -> list[str]:
    return re.findall(r"```bash test\n(.*?)```", MAPPING.read_text(), re.DOTALL)


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """Give a folder with a small synthetic delivery below `raw`."""
    products = importlib.import_module("tests.products")
    shutil.move(products.small_delivery(tmp_path).root, tmp_path / "raw")
    return tmp_path


def test_the_mapping_has_tables_of_every_kind():
    sections = {row.section for row in rows()}

    assert len(rows()) > 120
    assert {f"{number}." for number in range(1, 8) if number != 2} <= {
        section.split()[0] for section in sections
    }
    assert not [row for row in rows() if is_here(row) and not row.ours]


def test_every_row_of_the_mapping_has_a_known_status():
    unknown = [
        line
        for line in MAPPING.read_text().splitlines()
        if line.startswith("| ")
        and line.count("|") == 5
        and not re.search(r"\| (here|changed|dropped|planned: [a-z0-9 -]+) \|", line)
        and "| Status |" not in line
        and not line.startswith("| What |")
    ]
    differences = MAPPING.read_text().partition("## 8.")[2]

    assert [line for line in unknown if line not in differences] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_a_page_names_exist(page):
    text = page.read_text()
    code = re.findall(r"`(decloud [^`]+)`", text)
    for block in re.findall(r"```[^\n]*\n(.*?)```", text, re.DOTALL):
        code += re.findall(r"(?m)^(?:\$ |\.venv/bin/)?(decloud [^\n]*)", block)
    # "decloud:cpu decloud --help" and the like have no command.
    used = {match[1] for line in code if (match := re.match(r"decloud ([a-z][a-z0-9-]*)", line))}

    assert used <= COMMANDS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_links_to_exist(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]

    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_a_page_names_exist(page):
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text()))
    used = set(re.findall(r"(?m)(?:`|^\$ |^)make ([a-z0-9-]+)", page.read_text()))

    assert used <= targets


@pytest.mark.parametrize(("command", "option"), [*option_rows()])
def test_options_marked_as_here_exist(command, option):
    assert option.removeprefix("--") in config_class(command).model_fields


@pytest.mark.parametrize(("command", "short", "option"), [*short_options()])
def test_short_options_marked_as_here_exist(command, short, option):
    extra = config_class(command).model_fields[option.removeprefix("--")].json_schema_extra

    assert isinstance(extra, dict)
    assert short in extra["flags"]


@pytest.mark.parametrize("command", list(STAGES))
def test_every_option_is_documented_or_new(command):
    """Only options without a counterpart may be missing from the mapping."""
    mapped = {option.removeprefix("--") for name, option in option_rows() if name == command}
    historic = {
        option.removeprefix("--")
        for row in rows()
        if f"decloud {command}`" in row.section
        for option in named(row.existing, r"--[a-z0-9_]+")
    }

    assert historic & config_class(command).model_fields.keys() <= mapped


@pytest.mark.parametrize(
    "name",
    [
        name
        for row in rows()
        if is_here(row)
        for name in named(row.ours, r"decloud_lib(?:\.[A-Za-z_0-9]+)+")
    ],
)
def test_python_names_marked_as_here_can_be_imported(name):
    assert resolve(name) is not None


def test_networks_marked_as_here_are_registered():
    registry = importlib.import_module("decloud_lib.models.registry")
    found = [
        name
        for row in rows()
        if row.section.startswith("5.") and is_here(row)
        for name in named(row.existing, r"[a-z0-9_]+")
    ]

    assert "crga_os2_david" in found
    assert set(found) <= set(registry.names())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_the_commands_of_the_user_documentation_run(delivery, monkeypatch):
    """Run every snippet of the page, one after the other, in a folder with a small delivery."""
    monkeypatch.chdir(delivery)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{delivery}/mlflow.db")

    for snippet in snippets():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", snippet], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{snippet}\n{done.stdout}\n{done.stderr[-4000:]}"

    assert (delivery / "reconstructed" / "date.tif").stat().st_size > 1000
