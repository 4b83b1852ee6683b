"""Check what a run of the demo left behind: `check_summary.py PATH/summary.json`.

Says every fault that it finds and ends with status 1 when there is one.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio
from PIL import Image

KEYS = {
    "steps": dict,
    "scores": dict,
    "reconstruction": str,
    "model_uri": str,
    "mlflow_tracking_uri": str,
    "bucket": str,
}
METHODS = ("model", "linear_gap_filling", "nearest_date")
SCORES = {"psnr_db": (0, 100), "mae": (0, 1), "ssim": (-1, 1), "sam_deg": (0, 180)}
BANDS = {"B2", "B3", "B4", "B8"}


def key_faults(summary: dict[str, Any]) -> Iterator[str]:
    """Yield what is missing or of another type."""
    for key, kind in KEYS.items():
        if not isinstance(summary.get(key), kind) or not summary[key]:
            yield f"{key}: expected a non-empty {kind.__name__}, found {summary.get(key)!r}"


def number_faults(summary: dict[str, Any]) -> Iterator[str]:
    """Yield scores and times that are missing, not finite or out of their range."""
    for step, seconds in summary["steps"].items():
        if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
            yield f"steps.{step}: {seconds!r} is no number of seconds"
    for method in METHODS:
        for name, (low, high) in SCORES.items():
            value = summary["scores"].get(method, {}).get(name)
            if not isinstance(value, int | float) or not low <= value <= high:
                yield f"scores.{method}.{name}: expected {low}..{high}, found {value!r}"


def picture_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with a picture."""
    if not path.is_file():
        yield f"{path}: missing"
        return
    with Image.open(path) as picture:
        extrema = picture.convert("L").getextrema()
        if min(picture.size) < 100 or extrema[0] == extrema[1]:
            yield f"{path}: {picture.size} px of one colour, or too small"


def raster_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with a reconstructed image."""
    if not path.is_file():
        yield f"{path}: missing"
        return
    with rasterio.open(path) as raster:
        if set(raster.descriptions) != BANDS:
            yield f"{path}: bands {raster.descriptions}, expected {sorted(BANDS)}"
        if raster.crs is None or raster.nodata is None:
            yield f"{path}: CRS {raster.crs}, no-data tag {raster.nodata}; both are expected"
        if raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") != "COG":
            yield f"{path}: not a cloud-optimised GeoTIFF"
        pixels = raster.read(1, masked=True)
        if pixels.count() == 0 or pixels.min() == pixels.max():
            yield f"{path}: no pixels, or all the same"


def report_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with the report."""
    if not path.is_file():
        yield f"{path}: missing"
        return
    text = path.read_text()
    if "</html>" not in text or "data:image/png" not in text:
        yield f"{path}: not a whole HTML page with its pictures inside"


def faults(path: Path) -> Iterator[str]:
    """Yield all faults of a run, from its summary."""
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        yield f"{path}: {error}"
        return
    missing = list(key_faults(summary))
    yield from missing
    if missing:
        return
    yield from number_faults(summary)
    yield from raster_faults(Path(summary["reconstruction"]))
    yield from picture_faults(path.with_name("before_after.png"))
    yield from report_faults(path.with_name("report.html"))


def main() -> int:
    """Check each summary that is named and return the exit status."""
    if len(sys.argv) < 2:
        sys.stderr.write("usage: check_summary.py SUMMARY.json ...\n")
        return 2
    found = [fault for name in sys.argv[1:] for fault in faults(Path(name))]
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if not found:
        sys.stdout.write(f"{', '.join(sys.argv[1:])}: complete\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
