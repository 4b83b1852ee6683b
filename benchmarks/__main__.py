"""Run the benchmarks and write `build/bench/results.json`.

Each figure stands beside a baseline that was measured in the same run, because machines are shared
and noisy: only the ratio means something elsewhere.
"""

import argparse
import json
import platform
from pathlib import Path

import psutil

from benchmarks import prepare, reconstruct

Result = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--size", type=int, default=10980, help="side of the products, 10 m pixels")
    parser.add_argument(
        "--reconstruct-size", type=int, default=2048, help="side of the rebuilt image"
    )
    parser.add_argument("--only", choices=["prepare", "reconstruct"], help="run one part")
    options = parser.parse_args()
    results: list[Result] = []
    if options.only != "reconstruct":
        results += prepare.bench_prepare_s2(options.size)
        results += prepare.bench_prepare_s1(options.size)
    if options.only != "prepare":
        results += reconstruct.bench_reconstruct(options.reconstruct_size)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "results.json"
    target.write_text(json.dumps(results, indent=2) + "\n")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }
    (options.out / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    for row in results:
        print(
            f"{row['name']:<40} {row['value']:>10.3f} {row['unit']:<10}"
            f" baseline {row['baseline']}: {row['baseline_value']:.3f}, ratio {row['ratio']:.3f}"
        )
    print(f"written to {target}")


if __name__ == "__main__":
    main()
