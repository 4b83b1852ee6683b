"""`decloud plan`: the simulated fan-out against what can be worked out by hand, and its limits."""

import json
import math
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from components import profile
from decloud_lib import cli
from decloud_lib.errors import ConfigError
from pipelines.fanout import Rates, Scope, Shape, largest_run, limits, simulate, steps

EVEN = Rates(spread=0, failing=0, pod_s=0, driver_s=0)
SMALL, PREPARE = Shape(1, 0.5), Shape(2, 1, memory=2e9)
GPU = Shape(8, 4, gpus=1, memory=32e9)


def plan(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(cli.app, ["plan", *words, "--json"], standalone_mode=False)
    if done.exception:
        raise done.exception
    shown: dict[str, object] = json.loads(done.output)
    return shown


@pytest.mark.parametrize(
    ("tasks", "places", "rounds"), [(1, 20, 1), (20, 20, 1), (21, 20, 2), (100, 1, 100)]
)
def test_equal_tasks_take_whole_rounds(tasks: int, places: int, rounds: int) -> None:
    assert simulate(tasks, 10.0, places, EVEN) == pytest.approx(10.0 * rounds)


@given(st.integers(1, 300), st.integers(1, 50), st.floats(1, 500))
def test_a_loop_is_never_faster_than_its_work_allows(
    tasks: int, places: int, seconds: float
) -> None:
    took = simulate(tasks, seconds, places, EVEN)
    assert took >= tasks * seconds / places * (1 - 1e-9)
    assert took <= (tasks * seconds / places + seconds) * (1 + 1e-9)


def test_the_spread_keeps_the_mean() -> None:
    rates = replace_rates(spread=0.5)
    assert simulate(20_000, 10.0, 1, rates) / 20_000 == pytest.approx(10.0, rel=0.02)


def replace_rates(**values: float) -> Rates:
    return EVEN.model_copy(update=values)


def test_drivers_pods_and_second_tries_take_their_time() -> None:
    rates = replace_rates(pod_s=20, driver_s=5)
    assert simulate(1, 100.0, 1, rates) == pytest.approx(100 + 20 + 2 * 5)
    tried = replace_rates(failing=0.5)
    assert simulate(10_000, 10.0, 1, tried) / 10_000 == pytest.approx(15.0, rel=0.03)


def test_bytes_and_tasks_are_counted() -> None:
    scope = Scope(tiles=10, dates=70, s1_dates=94, batch=8, dates_per_task=10)
    radar, optical, dem, rebuilt = steps(scope, EVEN, PREPARE, GPU)
    assert radar.tasks == 10 * math.ceil(94 / 8)
    assert optical.tasks == 10 * math.ceil(70 / 8)
    assert (dem.tasks, rebuilt.tasks) == (10, 70)
    assert optical.read_gb == pytest.approx(700 * EVEN.s2_read_gb)
    assert optical.pods(EVEN) == 3 * optical.tasks
    assert rebuilt.gpu_hours(EVEN) > 0
    assert optical.gpu_hours(EVEN) == 0


def test_more_places_take_less_time_and_cost_the_same() -> None:
    few = Scope(tiles=100, dates=70, s1_dates=94, tiles_per_run=100, parallelism=20)
    many = replace(few, parallelism=200)
    for slow, fast in zip(
        steps(few, EVEN, PREPARE, GPU), steps(many, EVEN, PREPARE, GPU), strict=True
    ):
        assert fast.wall_h < slow.wall_h / 4
        assert fast.cost(EVEN) == pytest.approx(slow.cost(EVEN))


@given(st.integers(1, 2000), st.integers(1, 100), st.integers(1, 50))
def test_a_run_is_as_large_as_its_limits_allow(tiles: int, dates: int, batch: int) -> None:
    scope = Scope(tiles=tiles, dates=dates, s1_dates=dates, batch=batch)
    chosen = largest_run(scope, EVEN, SMALL, PREPARE)
    assert 1 <= chosen <= tiles

    def held(tiles_per_run: int) -> bool:
        tried = replace(scope, tiles_per_run=tiles_per_run)
        loops = steps(tried, EVEN, PREPARE, GPU)
        return all(limit.holds for limit in limits(tried, EVEN, SMALL, loops)[2:5])

    assert held(chosen) or chosen == 1
    assert chosen == tiles or not held(chosen + 1)


def test_a_country_and_year_meets_the_listing_first() -> None:
    shown = plan("--tiles", "1000", "--dates", "70")
    assert shown["scope"]["s1_dates"] == 94  # type: ignore[index]
    held = {name: limit["holds"] for name, limit in shown["limits"].items()}  # type: ignore[attr-defined]
    assert held.pop("files listed at once") is False
    assert all(held.values())
    spread = plan("--tiles", "1000", "--dates", "70", "--prefixes", "20")
    assert all(limit["holds"] for limit in spread["limits"].values())  # type: ignore[attr-defined]


def test_the_profile_gives_the_places() -> None:
    shown = plan("--tiles", "2", "--dates", "5")
    assert shown["scope"]["parallelism"] == profile.current().parallelism  # type: ignore[index]


def test_an_assumption_changes_the_plan() -> None:
    words = ("--tiles", "2", "--dates", "5")
    slow = plan(*words, "--assume", "bucket_mb=10")
    assert slow["assumptions"]["bucket_mb"] == 10  # type: ignore[index]
    assert slow["wall_hours"] > plan(*words)["wall_hours"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("speed=3", "expected NAME=VALUE with a name of s2_read_gb"),
        ("bucket_mb", "expected NAME=VALUE"),
        ("bucket_mb=fast", "--assume bucket_mb=fast: Input should be a valid number"),
        ("bucket_mb=0", "--assume bucket_mb=0: Input should be greater than 0"),
    ],
)
def test_a_wrong_assumption_is_told(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan("--tiles", "1", "--dates", "1", "--assume", text)


def test_the_table_names_its_assumptions() -> None:
    words = ["plan", "--tiles", "1000", "--dates", "70"]
    text = CliRunner().invoke(cli.app, words, catch_exceptions=False).output
    assert "BITES  files listed at once" in text
    assert all(name in text for name in Rates.model_fields)
    lines = [line for line in text.splitlines() if line.startswith(("step", "prepare", "total"))]
    assert len({len(line) for line in lines}) == 1
