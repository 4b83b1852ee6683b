"""What a benchmark found: a value beside its baseline, and whether the target is met."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil
import rasterio


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; only the ratio means something on another machine."""

    name: str
    value: float
    unit: str
    baseline: str
    """What the value is compared with, in words."""
    baseline_value: float
    ratio: float
    """Value / baseline value."""
    target: float | None = None
    """Bound of the ratio; None where the figure is only told."""
    wanted: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool | None:
        """Say whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.wanted == "at most" else self.ratio >= self.target

    @property
    def verdict(self) -> str:
        """Return `met`, `missed`, or nothing."""
        return {True: "met", False: "missed", None: ""}[self.met]

    def to_dict(self) -> dict[str, object]:
        """Return the content of `results.json` for this row."""
        return asdict(self) | {"met": self.met}


def compared(
    name: str,
    value: float,
    unit: str,
    baseline: tuple[str, float],
    target: float | None = None,
) -> Row:
    """Return a value beside its baseline; a target is the highest ratio."""
    words, baseline_value = baseline
    return Row(name, value, unit, words, baseline_value, value / baseline_value, target)


def as_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table, which is also readable on a terminal."""
    head = ("figure", "value", "baseline", "baseline value", "ratio", "target", "")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    rule = "| " + " | ".join("-" * max(width, 3) for width in widths) + " |"
    return "\n".join([text[0], rule, *text[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    target = "" if row.target is None else f"{row.wanted} {row.target:g}"
    return (
        row.name,
        f"{row.value:.2f} {row.unit}",
        row.baseline,
        f"{row.baseline_value:.2f} {row.unit}",
        f"{row.ratio:.2f}",
        target,
        row.verdict,
    )


def machine() -> dict[str, object]:
    """Return what the figures were seen on."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "gdal": rasterio.__gdal_version__,
    }


def _processor() -> str:
    """Return the processor's name, which Python does not know on Linux."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
