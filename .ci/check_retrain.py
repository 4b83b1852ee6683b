"""Try the loop of retraining on a small synthetic data set: `check_retrain.py FOLDER`.

A first model, nothing changed, one more product, a worse model. Says every fault that it finds and
ends with status 1 when there is one.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from decloud_lib.synthetic import SyntheticConfig, make_products

MODEL = "crga_os2_david"
#: Written anew by each call, whatever it finds; MLflow's file also when it is only read.
REWRITTEN = ("result.json", "report.md", "mlflow.db")
SETTINGS = {
    "products": "products",
    "prepared": "prepared",
    "out": "retraining",
    "layout": "AL-CRGA-OS2-clear-neighbours",
    "model": MODEL,
    "policy": "policy.yaml",
    "batch": 100,
    "props": [0.75, 0.25],
    "patchsize": 64,
    "maxntrain": 96,
    "maxnvalid": 24,
    "epochs": 2,
    "learning_rate": 0.001,
    "batch_size_valid": 12,
    "output": "result.json",
    "report": "report.md",
}
#: A small and short training need not beat interpolation, and few samples are enough to see harm.
POLICY = {"baseline": None, "min_samples": 8, "min_gain": 0.0}


@dataclass(frozen=True)
class Step:
    """One call, and what must come out."""

    name: str
    status: int
    result: str
    told: str
    """Is part of what the command says."""
    options: tuple[str, ...] = ()
    before: Callable[[Path], None] = lambda _: None


def make_data(folder: Path) -> Path:
    """Make products and settings; the last optical product is kept back."""
    folder.mkdir(parents=True)
    made = make_products(SyntheticConfig(size_px=384), folder / "products")
    optical = [path for path in (made.root / "SENTINEL2/T31TCJ").iterdir() if path.is_dir()]
    late = max(optical, key=lambda path: path.name.split("_")[1])
    (folder / "late").mkdir()
    shutil.move(late, folder / "late" / late.name)
    for name, content in (("settings.yaml", SETTINGS), ("policy.yaml", POLICY)):
        (folder / name).write_text(yaml.safe_dump(content))
    return late


def steps(late: Path) -> list[Step]:
    """Return what is tried, in order."""

    def deliver(folder: Path) -> None:
        shutil.move(folder / "late" / late.name, late)

    # Learning or not is the one difference that is sure to show after so short a training.
    untrained = ("--epochs", "0")
    return [
        Step("a first model", 0, "promoted", "has no champion yet", untrained),
        Step("nothing changed", 0, "unchanged", "nothing changed since version 1", untrained),
        Step("one more product", 0, "promoted", f"1 added (SENTINEL2/T31TCJ/{late.name})",
             before=deliver),
        Step("a worse model", 4, "not promoted", "epochs 2 -> 0", untrained),
        Step("the worse model again", 0, "unchanged", "was not promoted", untrained),
    ]  # fmt: skip


def faults(folder: Path, step: Step) -> Iterator[str]:
    """Run one step and yield what is not as it must be."""
    step.before(folder)
    program = str(Path(sys.executable).with_name("decloud"))
    store = f"MLFLOW_TRACKING_URI=sqlite:///{folder.resolve()}/mlflow.db"
    command = ["env", store, program, "retrain", "--config", "settings.yaml", *step.options]
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    before, start = _written(folder), time.monotonic()
    done = subprocess.run(command, cwd=folder, check=False)
    seconds = time.monotonic() - start
    if not output.is_file():
        yield f"{step.name}: status {done.returncode} and no result, expected {step.result!r}"
        return
    found: dict[str, Any] = json.loads(output.read_text())
    sys.stdout.write(
        f"{step.name}: status {done.returncode}, {found['status']} in {seconds:.1f} s; "
        f"{found['reason']} {found['evidence']}\n"
    )
    sys.stdout.flush()
    if done.returncode != step.status:
        yield f"{step.name}: status {done.returncode}, expected {step.status}"
    if found["status"] != step.result:
        yield f"{step.name}: {found['status']!r}, expected {step.result!r}"
    if step.told not in found["reason"]:
        yield f"{step.name}: says {found['reason']!r}, expected {step.told!r} in it"
    # How long that takes is measured by the benchmarks: other work on the machine is no fault.
    if step.result == "unchanged" and (work := sorted(_written(folder) ^ before)):
        yield f"{step.name}: wrote {', '.join(name for name, _ in work)}; expected no work at all"
    if step.result == "not promoted" and (found["champion"] == found["version"]):
        yield f"{step.name}: the worse version {found['version']} is in use"


def _written(folder: Path) -> set[tuple[str, int]]:
    """Return all files with the times at which they were written."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in REWRITTEN)
    return {(str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in files}


def main() -> int:
    """Go through the loop and return the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: check_retrain.py FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    late = make_data(folder)
    found = [fault for step in steps(late) for fault in faults(folder, step)]
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
