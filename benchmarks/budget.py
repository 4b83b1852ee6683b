"""Memory of the forward pass of each network: writes the table that reconstructions plan with.

Run it where TensorFlow or a network has changed: `python -m benchmarks.budget`. Each network has a
process of its own, several times: the highest resident memory while windows are computed, less
that before the first, at two sizes; it grows with the pixels.
"""

import argparse
import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from decloud_lib.arrays.fit_grid import CELL_PX
from decloud_lib.models.contract import ModelContract, ModelInput
from decloud_lib.reconstruction import budget, heap
from decloud_lib.reconstruction.closed_form import CONTRACTS, closed_form
from decloud_lib.reconstruction.regional_fit import RegionalFit
from decloud_lib.types import Array, Window

SIDES_PX = (256, 768)
_PROCESSES = {
    "numpy": "import decloud_lib.stages.reconstruct, rasterio",
    "tensorflow": "import decloud_lib.stages.reconstruct, rasterio; "
    "from decloud_lib.models.lean import import_keras; import_keras(); "
    "import decloud_lib.models.store, tensorflow as tf; "
    "tf.function(lambda x: tf.nn.relu(x))(tf.ones((9, 9)))",
}
_CALLS = 4
"""TensorFlow learns which operations take long, and may compute branches in another order then."""
#: Computed at full resolution throughout, so each pixel takes long.
_SLOW = {"meraner_original": (64, 128)}


def measure(name: str) -> dict[str, object]:
    """Return the entry of the table for one network."""
    call, weights = (_formula if name in CONTRACTS else _network)(name)
    gc.collect()
    heap.give_back()
    before = _status_mb("VmRSS")
    points = []
    for side in _SLOW.get(name, SIDES_PX):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
        for _ in range(_CALLS):
            call(side)
        # What stays allocated after a smaller window counts too: it also does in a reconstruction.
        points.append([side, round(_status_mb("VmHWM") - before, 1)])
    found: dict[str, object] = {"weights_mb": round(weights, 1), "windows": points}
    if name not in CONTRACTS:
        contract = _contract(name)
        images = sum(1 for item in contract.inputs if item.bands)
        found |= {"stride": contract.stride, "images": images}
    return found


def _contract(name: str) -> ModelContract:
    from decloud_lib.models import registry

    return registry.get(name).contract(registry.ModelSpec())


def process_mb(imports: str) -> float:
    """Return the memory of a process that has imported something and used it a little."""
    report = (
        "print(__import__('re').search(r'VmRSS:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}; {report}"], check=True, capture_output=True, text=True
    )
    return round(int(done.stdout.split()[-1]) * 1024 / 1e6, 1)


def _network(name: str) -> tuple[Callable[[int], object], float]:
    from decloud_lib.models import registry
    from decloud_lib.models.store import serve_network

    definition, spec = registry.get(name), registry.ModelSpec()
    model, contract = definition.build(spec), definition.contract(spec)
    network = serve_network(model, contract)

    def call(side: int) -> object:
        return network.predict(
            {item.key: _stored(contract, item, side) for item in contract.inputs}
        )

    return call, sum(weight.nbytes for weight in model.get_weights()) / 1e6


def _formula(name: str) -> tuple[Callable[[int], object], float]:
    contract = CONTRACTS[name]

    def call(side: int) -> object:
        estimator = closed_form(contract, (side, side))
        assert estimator is not None
        reading = {
            key: _array(contract, key, side)[0].astype(np.uint16 if "s1_" in key else np.int16)
            for key in estimator.input_keys
            if "timestamp" not in key
        }
        for key in estimator.input_keys:
            if "timestamp" in key:
                days = {"tm1": -10, "tp1": 10}.get(key.rpartition("_")[2], 0)
                reading[key] = np.full((side, side, 1), days, np.int64)
        if isinstance(estimator, RegionalFit):
            estimator.learn([_Reader(reading)])
        return estimator([Window(0, 0, side, side)], [reading])

    return call, 0.0


def _stored(contract: ModelContract, item: ModelInput, side: int) -> Array:
    """Return one input as it is read: whole numbers, but for dates."""
    found = _array(contract, item.key, side)
    if not item.bands:
        return found
    return found.astype(np.uint8 if "cld10m" in item.key else np.int16)


class _Reader:
    def __init__(self, reading: dict[str, Array]) -> None:
        self._reading = reading

    def read(self, window: Window) -> dict[str, Array]:
        rows, cols = (
            np.clip(np.arange(start, start + size), 0, len(self._reading["s2_t"]) - 1)
            for start, size in ((window.row, window.height), (window.col, window.width))
        )
        assert max(window.shape) <= 2 * CELL_PX
        return {key: pixels[rows][:, cols] for key, pixels in self._reading.items()}

    def close(self) -> None:
        pass


def _array(contract: ModelContract, key: str, side: int) -> Array:
    """Return (1, side, side, C) of one input, about what images hold; (1,) of a date."""
    items = {item.key: item for item in contract.inputs}
    item = items.get(key)
    rng = np.random.default_rng(0)
    if item is not None and not item.bands:
        return np.zeros(1, np.float64)
    bands = len(item.bands) if item else 2 if key.startswith("s1") else 4
    size = side // (item.factor if item else 1)
    if "cld10m" in key:
        return (rng.random((1, size, size, 1)) > 0.6).astype(np.float32)
    return rng.uniform(1, 5000, (1, size, size, bands)).astype(np.float32)


def _status_mb(name: str) -> float:
    found = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("names", nargs="*", help="networks to measure; all by default")
    parser.add_argument("--here", action="store_true", help="one network, in this process")
    parser.add_argument("--rounds", type=int, default=6, help="processes; the highest counts")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(*options.names)))
        return

    from decloud_lib.models import registry

    found = dict(budget.table()) if options.names else {}
    found["processes"] = {kind: process_mb(imports) for kind, imports in _PROCESSES.items()}
    for name in options.names or registry.names():
        command = [sys.executable, "-m", "benchmarks.budget", name, "--here"]
        runs = []
        for _ in range(options.rounds):
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        sides = zip(*(run["windows"] for run in runs), strict=True)
        found[name] = runs[0] | {"windows": [max(side) for side in sides]}
        print(name, found[name], flush=True)
        text = json.dumps(dict(sorted(found.items())), indent=1)
        text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", text)
        budget.TABLE.write_text(text + "\n")


if __name__ == "__main__":
    main()
