"""What the compiled pipelines hold, in a form that people read: `python -m tests.pipelines.golden`.

Writes `tests/golden/pipelines/*.json` anew; `make golden` does. Look at the difference before it is
committed: it is what a cluster will do otherwise.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from components import profile

FOLDER = Path(__file__).parents[1] / "golden" / "pipelines"
PROFILES = tuple(sorted(path.stem for path in profile.FOLDER.glob("*.yaml")))
_DECLOUD = Path(sys.executable).with_name("decloud")

Spec = dict[str, Any]


def compile_all(folder: Path) -> dict[str, str]:
    """Compile all pipelines with each shipped profile; return a summary per pipeline."""

    def compile_with(name: str) -> None:
        words = [_DECLOUD, "compile", "--profile", name, "--out", folder / name]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    # One process knows one profile.
    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_with, PROFILES))
    names = sorted(path.stem for path in (folder / PROFILES[0]).glob("*.yaml"))
    return {name: summary(name, folder) for name in names}


def summary(pipeline: str, folder: Path) -> str:
    """Return the summary of a pipeline, as JSON."""
    compiled = {
        name: list(yaml.safe_load_all((folder / name / f"{pipeline}.yaml").read_text("utf-8")))
        for name in PROFILES
    }
    spec = compiled[PROFILES[0]][0]
    told = {
        "parameters": dict(_parameters(spec["root"])),
        "tasks": dict(_tasks(spec, spec["root"], "")),
        "profiles": {
            name: {label: _resources(label, *documents) for label in _executors(documents[0])}
            for name, documents in compiled.items()
        },
    }
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def _executors(spec: Spec) -> dict[str, Spec]:
    found: dict[str, Spec] = spec["deploymentSpec"]["executors"]
    return found


def _parameters(part: Spec) -> Iterator[tuple[str, str]]:
    for name, entry in part.get("inputDefinitions", {}).get("parameters", {}).items():
        default = json.dumps(entry["defaultValue"]) if "defaultValue" in entry else "needed"
        yield name, f"{entry['parameterType']}: {default}"


def _tasks(spec: Spec, part: Spec, above: str) -> Iterator[tuple[str, Spec]]:
    """Yield each task below a part with its path, and what decides when and how it runs."""
    for name, task in part.get("dag", {}).get("tasks", {}).items():
        component = spec["components"][task["componentRef"]["name"]]
        path = f"{above}{name}"
        facts: Spec = {"after": sorted(task.get("dependentTasks", []))}
        if "parameterIterator" in task:
            facts["at once"] = task.get("iteratorPolicy", {}).get("parallelismLimit", "all")
        if "condition" in task.get("triggerPolicy", {}):
            facts["if"] = task["triggerPolicy"]["condition"]
        if "executorLabel" in component:
            facts["runs"] = component["executorLabel"]
            facts["retries"] = task.get("retryPolicy", {}).get("maxRetryCount", 0)
            facts["cached"] = task["cachingOptions"].get("enableCache", False)
            facts["gives"] = sorted(
                f"{key}: {_kind(entry)}"
                for kind in ("artifacts", "parameters")
                for key, entry in component.get("outputDefinitions", {}).get(kind, {}).items()
            )
        yield path, facts
        yield from _tasks(spec, component, f"{path}/")


def _kind(entry: Spec) -> str:
    found: str = entry.get("parameterType") or entry["artifactType"]["schemaTitle"]
    return found.removeprefix("system.")


def _resources(label: str, spec: Spec, platform: Spec) -> list[str]:
    """Return what a task gets, a text each; settings that are not known here as they stand."""
    container = _executors(spec)[label]["container"]
    sizes = container["resources"]
    settings = dict(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label])
    told = [
        f"image {container['image']}",
        *(
            f"{word} {sizes[f'resource{key}Request']} to {sizes[f'resource{key}Limit']}"
            for word, key in (("cores", "Cpu"), ("memory", "Memory"))
        ),
        *(f"variable {item['name']}={item['value']}" for item in container.get("env", [])),
    ]
    if "accelerator" in sizes:
        told.append(
            f"{sizes['accelerator']['resourceCount']} {sizes['accelerator']['resourceType']}"
        )
    for kind in ("configMap", "secret"):
        for source in settings.pop(f"{kind}AsEnv", []):
            names = ", ".join(entry["envVar"] for entry in source["keyToEnv"])
            told.append(f"{kind} {source[f'{kind}Name']}: {names}")
    return [*told, *(f"{key} {json.dumps(settings[key])}" for key in sorted(settings))]


def main() -> None:
    """Write the summaries anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = compile_all(Path(folder))
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, text in found.items():
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
