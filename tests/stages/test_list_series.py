"""Tiles and periods as work for reconstruction tasks."""

from datetime import date
from pathlib import Path

import pytest

from decloud_lib.errors import NoSampleError, SettingsError
from decloud_lib.stages.list_series import ListSeriesConfig, list_series
from tests.unit.reconstruction.scenes import Scene


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tiles, dates on both sides of a period's border."""
    root = str(tmp_path_factory.mktemp("prepared"))
    for tile, days in (("T31TCJ", (-10.0, 0.0, 1.0, 40.0)), ("T31TDJ", (0.0,))):
        scene = Scene(root, (64, 64), tile=tile)
        for day in days:
            scene.add_s2(day)
    return f"{root}/S2_PREPARE"


def config_of(root: str, **more: object) -> ListSeriesConfig:
    values: dict[str, object] = {"s2_dir": root, "out_dir": "out", "days": 30}
    return ListSeriesConfig(**{**values, **more})  # type: ignore[arg-type]


def test_each_date_lies_in_one_task_of_its_tile(root: str) -> None:
    """W88: several tiles and periods are shared out among tasks."""
    work = list_series(config_of(root))
    assert [item["tile"] for item in work] == ["T31TCJ"] * 3 + ["T31TDJ"]
    assert all(item["s2_dir"] == f"{root}/{item['tile']}" for item in work)
    assert all(
        item["out_dir"] == f"out/{item['tile']}/{item['start']}_{item['end']}" for item in work
    )
    spans = [(date.fromisoformat(item["start"]), date.fromisoformat(item["end"])) for item in work]
    assert all((end - start).days == 29 for start, end in spans)
    for day in (date(2020, 6, 5), date(2020, 6, 15), date(2020, 6, 16), date(2020, 7, 25)):
        assert sum(start <= day <= end for start, end in spans[:3]) == 1


def test_bounds_cut_the_period_and_not_its_place(root: str) -> None:
    whole = list_series(config_of(root, tiles=("T31TCJ",)))
    cut = list_series(
        config_of(root, tiles=("T31TCJ",), start=date(2020, 6, 10), end=date(2020, 6, 15))
    )
    assert [item["out_dir"] for item in cut] == [whole[1]["out_dir"]]
    assert cut[0]["end"] == "2020-06-15"
    assert cut[0]["start"] == "2020-06-10"


def test_the_folder_of_one_tile_is_taken_as_it_is(root: str) -> None:
    (work,) = list_series(config_of(f"{root}/T31TDJ"))
    assert work["s2_dir"] == f"{root}/T31TDJ"


def test_nothing_in_the_period_says_what_there_is(root: str) -> None:
    with pytest.raises(NoSampleError, match="of T31TXX; found 5 products, tiles T31TCJ, T31TDJ"):
        list_series(config_of(root, tiles=("T31TXX",)))
    with pytest.raises(NoSampleError, match="no date from 2021-01-01 to the last"):
        list_series(config_of(root, start=date(2021, 1, 1)))
    with pytest.raises(SettingsError, match="is after end"):
        config_of(root, start=date(2021, 1, 1), end=date(2020, 1, 1))


def test_the_work_fits_the_reconstruction_of_a_series(root: str, tmp_path: Path) -> None:
    from decloud_lib.stages.reconstruct_series import ReconstructSeriesConfig

    for item in list_series(config_of(root)):
        item.pop("tile")
        config = ReconstructSeriesConfig(savedmodel=str(tmp_path), **item)  # type: ignore[arg-type]
        assert config.start is not None
