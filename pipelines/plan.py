"""What a large run would take, before anything is started: `decloud plan`."""

import dataclasses
import json
import math
import re
from typing import Any

import click
from pydantic import ValidationError

from components import profile
from decloud_lib.errors import ConfigError
from pipelines.compile import profile_option
from pipelines.fanout import Limit, Rates, Scope, Shape, Step, largest_run, limits, steps

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
#: Sentinel-1 to Sentinel-2 dates of the real series in docs/proof.md: 159 to 118.
_RADAR_TO_OPTICAL = 159 / 118
_COLUMNS = (
    *("step", "tasks", "pods", "read TB", "written TB", "pod hours", "core hours", "GPU hours"),
    *("wall clock h", "cost"),
)


@click.command(
    "plan",
    context_settings={"max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  decloud plan --tiles 1 --dates 70\n"
    "  decloud plan --tiles 1000 --dates 70 --profile gpu --parallelism 200 --prefixes 20\n"
    "  decloud plan --tiles 1000 --dates 70 --assume gpu_price=2.5 --assume bucket_mb=200\n"
    "\n"
    "What the numbers mean, and which limit bites first: docs/scaling.md.",
)
@click.option("--tiles", type=click.IntRange(1, 100_000), required=True, help="MGRS tiles.")
@click.option("--dates", type=click.IntRange(1, 1000), required=True, help="Sentinel-2 per tile.")
@click.option(
    "--s1-dates",
    type=click.IntRange(0, 5000),
    help="Sentinel-1 per tile; default: 1.35 times Sentinel-2, as in the real series.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, help="Products per task."
)
@click.option(
    "--dates-per-task",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Dates that a task of the reconstruction rebuilds.",
)
@click.option(
    "--tiles-per-run", type=click.IntRange(1), help="Default: as many as the limits allow."
)
@click.option(
    "--parallelism", type=click.IntRange(1), help="Items of a loop at once; default: the profile's."
)
@click.option(
    "--prefixes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Prefixes that the delivery is spread over; each run lists one.",
)
@click.option(
    "--assume", "assumed", multiple=True, metavar="NAME=VALUE", help="Another assumption."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@profile_option
def plan(*, assumed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Say what a country's year would take: pods, bytes, hours, cost, and the limits it meets."""
    chosen = profile.current()
    shapes = {kind: _shape(size) for kind, size in chosen.tasks.items()}
    rates = _rates(assumed)
    scope = _scope(given, chosen.parallelism, rates, shapes)
    found = steps(scope, rates, shapes["prepare"], shapes["reconstruct"])
    kept = limits(scope, rates, shapes["small"], found)
    click.echo(
        _as_json(scope, rates, found, kept) if as_json else _as_text(scope, rates, found, kept)
    )


def _scope(
    given: dict[str, Any], parallelism: int, rates: Rates, shapes: dict[Any, Shape]
) -> Scope:
    if given["s1_dates"] is None:
        given["s1_dates"] = round(given["dates"] * _RADAR_TO_OPTICAL)
    wanted = {name: value for name, value in given.items() if value is not None}
    scope = Scope(**{"parallelism": parallelism, **wanted})
    if given["tiles_per_run"] is not None:
        return dataclasses.replace(scope, tiles_per_run=min(scope.tiles, given["tiles_per_run"]))
    return dataclasses.replace(
        scope, tiles_per_run=largest_run(scope, rates, shapes["small"], shapes["prepare"])
    )


def _rates(assumed: tuple[str, ...]) -> Rates:
    values = {}
    for pair in assumed:
        name, sign, text = pair.partition("=")
        if not sign or name not in Rates.model_fields:
            known = ", ".join(Rates.model_fields)
            raise ConfigError(f"--assume {pair}: expected NAME=VALUE with a name of {known}")
        values[name] = text
    try:
        return Rates.model_validate(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = wrong["loc"][0]
        raise ConfigError(f"--assume {name}={values[str(name)]}: {wrong['msg']}") from error


def _shape(size: profile.TaskSize) -> Shape:
    return Shape(_cores(size.cpu), _cores(size.cpu_request), size.gpus, _quantity(size.memory))


def _cores(text: str) -> float:
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


def _quantity(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(\w*)", text)
    assert found is not None, text
    return float(found[1]) * _UNITS[found[2]]


def _storage_gb(found: tuple[Step, ...]) -> float:
    """Return what lies in the bucket at the end: deliveries, prepared data, images."""
    delivered = sum(step.read_gb for step in found[:2])
    return delivered + sum(step.written_gb for step in found)


def _numbers(step: Step, rates: Rates) -> tuple[float, ...]:
    """Return the numbers of a line of the table, in the order of its columns."""
    return (
        step.tasks, step.pods(rates), step.read_gb / 1000, step.written_gb / 1000,
        step.hours(rates), step.cpu_hours(rates), step.gpu_hours(rates), step.wall_h,
        step.cost(rates),
    )  # fmt: skip


def _as_text(scope: Scope, rates: Rates, found: tuple[Step, ...], kept: tuple[Limit, ...]) -> str:
    numbers = [_numbers(step, rates) for step in found]
    total = [sum(column) for column in zip(*numbers, strict=True)]
    total[-2] = _wall_h(found)
    names = [*(step.name for step in found), "total"]
    rows = [
        (name, *(_number(value) for value in line))
        for name, line in zip(names, [*numbers, total], strict=True)
    ]
    runs = math.ceil(scope.tiles / scope.tiles_per_run)
    stored = _storage_gb(found)
    month = stored * rates.storage_price
    head = (
        f"{scope.tiles:,} tiles, {scope.dates} Sentinel-2 and {scope.s1_dates} Sentinel-1 dates "
        f"each; runs of at most {scope.tiles_per_run:,} tiles: {runs:,}; items of a loop at once: "
        f"{scope.parallelism}"
    )
    assumptions = [
        (f"  {name}", f"{getattr(rates, name):g}", field.description or "")
        for name, field in Rates.model_fields.items()
    ]
    parts = [
        [head],
        _aligned([_COLUMNS, *rows]),
        [f"in the bucket: {_number(stored / 1000)} TB, {month:,.0f} a month"],
        ["limits of a run of the preprocessing:", *_aligned([_limit_row(limit) for limit in kept])],
        ["taken for granted (--assume NAME=VALUE):", *_aligned(assumptions)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _wall_h(found: tuple[Step, ...]) -> float:
    """Both loops of products run beside each other, the others one after the other."""
    radar, optical, *others = (step.wall_h for step in found)
    return max(radar, optical) + sum(others)


def _limit_row(limit: Limit) -> tuple[str, ...]:
    return (
        "  fits " if limit.holds else "  BITES",
        limit.name,
        f"{_number(limit.value)} of {_number(limit.bound)} {limit.unit}",
        "" if limit.holds else limit.remedy,
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return lines with columns of equal width; numbers stand right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if re.match(r"[\d.]", rows[-1][at]) and at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _as_json(scope: Scope, rates: Rates, found: tuple[Step, ...], kept: tuple[Limit, ...]) -> str:
    shown = {
        "scope": dataclasses.asdict(scope),
        "steps": {
            step.name: {
                "tasks": step.tasks,
                "pods": step.pods(rates),
                "read_gb": step.read_gb,
                "written_gb": step.written_gb,
                "pod_hours": step.hours(rates),
                "core_hours": step.cpu_hours(rates),
                "gpu_hours": step.gpu_hours(rates),
                "wall_hours": step.wall_h,
                "cost": step.cost(rates),
            }
            for step in found
        },
        "wall_hours": _wall_h(found),
        "stored_gb": _storage_gb(found),
        "limits": {
            limit.name: {"value": limit.value, "bound": limit.bound, "holds": limit.holds}
            for limit in kept
        },
        "assumptions": rates.model_dump(),
    }
    return json.dumps(shown, indent=2)
