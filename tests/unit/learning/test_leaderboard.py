from dataclasses import replace
from datetime import UTC, datetime

import pytest

from decloud_lib.learning.leaderboard import board_page, make_boards
from decloud_lib.tracking import FoundRun

RUN = FoundRun(
    run_id="a" * 32,
    name="david spring 1a2b3c4",
    experiment="spring",
    status="FINISHED",
    started=datetime(2020, 5, 1, tzinfo=UTC),
    seconds=90.0,
    params={"parameters": "1491844", "epochs": "3"},
    metrics={},
    tags={"model": "crga_os2_david"},
    page="",
)


def run(name: str, experiment: str = "spring", **metrics: float) -> FoundRun:
    found = {key.replace("__", "/"): value for key, value in metrics.items()}
    return replace(RUN, name=name, experiment=experiment, metrics=found)


def order(runs: list[FoundRun], score: str, **how: object) -> list[str]:
    (board,) = make_boards(runs, score, **how)
    return [entry.run.name for entry in board.entries]


def test_the_best_is_first_whichever_way_a_score_goes() -> None:
    runs = [
        run("low", valid__v__psnr_db=20.0, valid__v__mae=0.03),
        run("high", valid__v__psnr_db=25.0, valid__v__mae=0.02),
        run("none", train__v__psnr_db=99.0),
        run("infinite", valid__v__psnr_db=float("nan"), valid__v__mae=0.01),
    ]
    assert order(runs, "psnr_db") == ["high", "low"]
    assert order(runs, "mae") == ["infinite", "high", "low"]
    assert order(runs, "mae", limit=1) == ["infinite"]


@pytest.mark.parametrize("linear", ["linear_gap_filling", "crga_os2_gapfilling"])
def test_scores_of_a_test_set_count_before_those_of_a_validation_set(linear: str) -> None:
    tested = run("tested", test__t__psnr_db=20.0, valid__v__psnr_db=30.0)
    tested.metrics[f"test/t/{linear}/psnr_db"] = 21.5  # type: ignore[index]
    (board,) = make_boards([tested, run("seen", valid__v__psnr_db=25.0)], "psnr_db")
    seen, first = board.entries
    assert (seen.part, first.part) == ("valid/v", "test/t")
    assert (seen.gain, first.gain) == (None, pytest.approx(-1.5))
    (asked,) = make_boards([tested], "psnr_db", part="valid/v")
    assert asked.entries[0].value == 30.0


def test_settings_that_differ_tell_runs_apart() -> None:
    def trained(value: float, **params: str) -> FoundRun:
        return replace(run("same", valid__v__mae=value), params={"epochs": "3", **params})

    fast = trained(0.1, learning_rate="0.003", lr_schedule="cosine", parameters="7")
    slow, scored = (
        trained(0.2, learning_rate="0.001"),
        replace(run("x", valid__v__mae=0.3), params={}),
    )
    (board,) = make_boards([fast, slow, scored], "mae")
    assert [board.settings(entry) for entry in board.entries] == [
        "learning_rate 0.003, lr_schedule cosine",
        "learning_rate 0.001",
        "",
    ]
    assert ">learning_rate 0.003, lr_schedule cosine</td>" in board_page([board], "Board")


def test_the_parent_of_a_sweep_is_no_competitor() -> None:
    parent = replace(run("sweep", valid__v__mae=0.1), tags={"stage": "sweep"})
    assert make_boards([parent], "mae") == []


def test_experiments_are_not_mixed() -> None:
    runs = [run("a", valid__v__mae=0.1), run("b", experiment="autumn", valid__v__mae=0.2)]
    assert [board.experiment for board in make_boards(runs, "mae")] == ["autumn", "spring"]


def test_the_page_holds_what_the_board_says() -> None:
    best = run("a <b>", valid__v__mae=0.0123, valid__v__psnr_db=31.5)
    best = replace(best, tags={**best.tags, "mlflow.decloud.thumbnail": "QUJD"})
    page = board_page(make_boards([best], "mae_hidden") or make_boards([best], "mae"), "Board")
    assert "a &lt;b&gt;" in page
    assert 'src="data:image/jpeg;base64,QUJD"' in page
    for cell in ("31.50", "0.0123", "1,491,844", "1.5", "finished", "2020-05-01 00:00"):
        assert f">{cell}</td>" in page
    assert "<a href" not in page
    assert 'href="http://m/#/r"' in board_page(
        make_boards([replace(best, page="http://m/#/r")], "mae"), "Board"
    )
