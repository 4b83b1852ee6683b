"""Run the benchmarks; write `results.json` and `results.md`.

Each figure stands beside a baseline that was measured in the same run, because machines are shared
and noisy: only the ratio means something elsewhere. The exit status is 0 unless --check is given
and a target is missed.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    batch,
    engines,
    fingerprints,
    first_step,
    prepare,
    reconstruct,
    records,
    runtimes,
    search,
    tracking,
    training,
)
from benchmarks.results import Row, as_table, machine

_PREPARATION = ("s2", "s1", "safe", "batch")
_PARTS = (
    *_PREPARATION,
    "search",
    "records",
    "first-step",
    "training",
    "tracking",
    "reconstruct",
    "runtimes",
    "engines",
    "fingerprints",
)


def main() -> int:
    options = _options()
    parts: dict[str, Callable[[], list[Row]]] = {
        "s2": lambda: prepare.bench_s2(options.size, options.rounds),
        "s1": lambda: prepare.bench_s1(options.size, options.rounds),
        "safe": lambda: prepare.bench_safe(options.safe_size, options.rounds),
        "batch": lambda: batch.bench_batch(options.batch_size, options.rounds),
        "search": lambda: search.bench_search(options.search_positions, options.rounds),
        "first-step": lambda: first_step.bench_first_step(options.rounds),
        "training": lambda: training.bench_training(options.training_samples, options.rounds),
        "tracking": lambda: tracking.bench_tracking(
            options.training_samples, options.rounds, options.tracking_runs
        ),
        "records": lambda: records.bench_records(options.records_samples, options.rounds),
        "engines": lambda: engines.bench_engines(options.engines_size, options.rounds),
        "fingerprints": lambda: fingerprints.bench_fingerprints(options.products, options.rounds),
        "runtimes": lambda: runtimes.bench_runtimes(options.rounds),
        "reconstruct": lambda: reconstruct.bench_reconstruct(
            options.reconstruct_size, options.reconstruct_large
        ),
    }
    wanted = {"prepare": _PREPARATION, None: _PARTS}.get(options.only, (options.only,))
    rows: list[Row] = []
    for name in wanted:
        found = parts[name]()
        print(as_table(found) + "\n", flush=True)
        rows += found
    _write(options.out, rows)
    missed = [row.name for row in rows if row.met is False]
    print(f"{len(missed)} targets missed; written to {options.out / 'results.json'}")
    return 1 if missed and options.check else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    sizes = {
        "size": (10980, "side of the Theia and Sentinel-1 products, 10 m pixels"),
        "safe-size": (5490, "side of the ESA product; JPEG 2000 takes long to make"),
        "batch-size": (4096, "side of the products that several workers share"),
        "search-positions": (300, "positions that the baseline of the search works on"),
        "records-samples": (300, "samples that are written and read, 3 MB each"),
        "training-samples": (24, "samples of an epoch of training, 128 px"),
        "tracking-runs": (500, "runs of the leaderboard"),
        "engines-size": (4096, "side of the image that the engines read"),
        "products": (10_000, "products that are compared with those of the model in use"),
        "reconstruct-size": (2048, "side of the rebuilt image"),
        "reconstruct-large": (10980, "side of the rebuilt image whose memory is measured"),
    }
    for name, (default, words) in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=words)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each job; the best counts")
    parser.add_argument("--only", choices=["prepare", *_PARTS], help="run one part")
    parser.add_argument("--check", action="store_true", help="status 1 when a target is missed")
    return parser.parse_args()


def _write(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    content = json.dumps([row.to_dict() for row in rows], indent=2)
    (folder / "results.json").write_text(content + "\n")
    (folder / "machine.json").write_text(json.dumps(facts, indent=2) + "\n")
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    (folder / "results.md").write_text(f"Seen on: {told}\n\n{as_table(rows)}\n")


if __name__ == "__main__":
    raise SystemExit(main())
