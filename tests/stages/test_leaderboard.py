import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import cli, tracking
from decloud_lib.errors import ConfigError
from decloud_lib.stages.leaderboard import LeaderboardConfig, leaderboard


def record(experiment: str, name: str, psnr_db: float, **tags: str) -> str:
    with tracking.open_run(experiment, name=name, tags=tags) as run:
        run.log_params({"parameters": 1200, "epochs": 2})
        run.log_metrics({"valid/v/psnr_db": psnr_db - 5.0, "valid/v/mae": 0.1}, step=1)
        run.log_metrics({"valid/v/psnr_db": psnr_db, "valid/v/mae": 0.05}, step=2)
        run.set_thumbnail(np.zeros((48, 156, 3), "uint8"))
    return run.run_id


def test_runs_are_ranked_and_written_as_a_page(mlflow_store: str, tmp_path: Path) -> None:
    record("spring", "low", 20.0, model="first")
    best = record("spring", "high", 25.0, model="second")
    record("autumn", "other", 22.0)
    page = tmp_path / "board.html"
    result = leaderboard(LeaderboardConfig(experiments=("spring",), page=str(page)))
    assert [(run.rank, run.name, run.score) for run in result.runs] == [
        (1, "high", 25.0),
        (2, "low", 20.0),
    ]
    first = result.runs[0]
    assert (first.run_id, first.model, first.part, first.parameters) == (
        best,
        "second",
        "valid/v",
        1200,
    )
    assert page.read_text() == result.html
    assert result.html.count("data:image/jpeg;base64,") == 2
    lines = result.text().splitlines()
    assert lines[0] == "spring, by psnr_db"
    assert lines[2].split()[:5] == ["1", "high", "second", "valid/v", "25"]
    assert len(leaderboard(LeaderboardConfig()).runs) == 3


def test_more_runs_than_a_page_are_all_found(
    mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        record("spring", f"run {number}", 20.0 + number)
    monkeypatch.setattr("decloud_lib.tracking.search._PAGE", 2)
    assert [run.name for run in tracking.search_runs()] == [f"run {n}" for n in (4, 3, 2, 1, 0)]


def test_to_look_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="holds no runs"):
        leaderboard(LeaderboardConfig())
    assert tracking.find_versions("decloud") == ()
    assert tracking.find_alias("decloud", "champion") is None
    for uri in ("models:/decloud@champion", "models:/decloud/1", "runs:/0"):
        with pytest.raises(tracking.TrackingError, match=f"{uri} not found: there is no database"):
            tracking.check_model(uri)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_score_and_experiment_are_named(
    mlflow_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"holds no runs; train first, or check MLFLOW_TRACKING"):
        leaderboard(LeaderboardConfig())
    assert cli.main(["leaderboard", "--part", "test"]) == 2
    told = "--part: expected a text such as test/valid (found 'test')"
    assert told in capsys.readouterr().err
    record("spring", "run", 20.0)
    with pytest.raises(ConfigError, match=r"none of 1 runs .* valid/v/mae, valid/v/psnr_db"):
        leaderboard(LeaderboardConfig(score="psnr"))
    assert cli.main(["leaderboard", "--experiments", "summer"]) == 2
    assert "no experiment 'summer'; known: Default, spring" in capsys.readouterr().err
    assert cli.main(["leaderboard", "--score", "mae", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["score"] == 0.05
