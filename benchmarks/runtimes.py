"""Forward pass of networks on the CPU: OpenVINO beside TensorFlow, on the same arrays in turn."""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.results import Row, compared

NETWORKS = ("crga_os2_david", "crga_os2_unet")
_WINDOW_PX = 512


def bench_runtimes(rounds: int) -> list[Row]:
    """Time both runtimes; no figure where OpenVINO is not installed, which is told."""
    if find_spec("openvino") is None:
        print("no figures of OpenVINO: it is not installed")
        return []
    with tempfile.TemporaryDirectory() as folder:
        return [row for name in NETWORKS for row in _rows(name, Path(folder, name), rounds)]


def _rows(name: str, folder: Path, rounds: int) -> list[Row]:
    from decloud_lib.models import registry, runtimes
    from decloud_lib.models.registry import ModelSpec
    from decloud_lib.models.store import export_model

    definition, spec = registry.get(name), ModelSpec()
    export_model(definition.build(spec), definition, folder, definition.contract(spec))
    models = {
        "TensorFlow": runtimes.load_for("tensorflow", folder),
        "OpenVINO": runtimes.load_for("openvino", folder),
    }
    rng = np.random.default_rng(0)
    inputs = {
        item.key: rng.uniform(
            1, 5000, (1, _WINDOW_PX // item.factor, _WINDOW_PX // item.factor, len(item.bands))
        ).astype(item.dtype)
        for item in models["OpenVINO"].contract.inputs
    }
    estimates = [model.predict(inputs)["s2_estim"] for model in models.values()]
    difference = float(np.abs(estimates[0] - estimates[1]).max() * 10_000)
    seconds = {runtime: float("inf") for runtime in models}
    for _ in range(max(3, rounds)):
        for runtime, model in models.items():
            start = time.perf_counter()
            model.predict(inputs)
            seconds[runtime] = min(seconds[runtime], time.perf_counter() - start)
    told = f"forward pass of {name}, {_WINDOW_PX} px, OpenVINO"
    return [
        compared(told, seconds["OpenVINO"], "s", ("TensorFlow", seconds["TensorFlow"])),
        compared(f"{told}, largest difference", difference, "DN", ("one stored unit", 1.0), 1.0),
    ]
