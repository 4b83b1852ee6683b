import numpy as np
import pytest

from decloud_lib.models import registry
from decloud_lib.models.store import serve_definition

DAY_S = 86_400.0


def estimate(name: str, days: tuple[float, float, float], unit_s: float = 1.0) -> float:
    inputs = {
        "s2_tm1": np.full((1, 4, 4, 4), 1000, "int16"),
        "s2_tp1": np.full((1, 4, 4, 4), 3000, "int16"),
    }
    for key, day in zip(("tm1", "target", "tp1"), days, strict=True):
        inputs[f"s2_timestamp_{key}"] = np.array([(1.6e9 + day * DAY_S) / unit_s])
    found = serve_definition(registry.get(name)).predict(inputs)["s2_estim"]
    assert np.ptp(found) == 0.0
    return float(found.flat[0])


@pytest.mark.parametrize("unit_s", [1.0, 1e-3, 60.0])
def test_day_5_of_20_is_a_quarter_of_the_way_in_any_unit(unit_s: float) -> None:
    assert estimate("crga_os2_gapfilling", (0, 5, 20), unit_s) == pytest.approx(0.15, abs=1e-6)


def test_times_are_not_rounded_to_single_precision() -> None:
    minutes = (0.0, 1 / 1440, 4 / 1440)
    assert estimate("crga_os2_gapfilling", minutes) == pytest.approx(0.15, abs=1e-6)


def test_a_date_outside_is_extrapolated() -> None:
    assert estimate("crga_os2_gapfilling", (0, 30, 20)) == pytest.approx(0.4, abs=1e-6)


def test_equal_dates_give_the_first_image() -> None:
    assert estimate("crga_os2_gapfilling", (3, 3, 3)) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(
    ("day", "expected"), [(9, 0.1), (10, 0.1), (11, 0.3), (-5, 0.1), (25, 0.3)]
)
def test_the_nearest_date_is_copied(day: float, expected: float) -> None:
    assert estimate("nearest_date", (0, day, 20)) == pytest.approx(expected, abs=1e-6)


def test_the_readable_name_is_an_alias() -> None:
    assert registry.get("linear_gap_filling").name == "crga_os2_gapfilling"
