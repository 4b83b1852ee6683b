"""The report and the summary of the demo."""

import json
import re
from pathlib import Path

from decloud_lib.demo.gallery import Gallery
from decloud_lib.demo.report import best_methods, render
from decloud_lib.demo.summary import Score, Summary

BETTER = Score(psnr_db=32.0, mae=0.018, ssim=0.91, sam_deg=3.5)
WORSE = Score(psnr_db=30.5, mae=0.022, ssim=0.88, sam_deg=4.2)
PNG = b"\x89PNG not really"


def summary(model: Score = WORSE) -> Summary:
    return Summary(
        kind="synthetic",
        steps={"products": 10.0, "training": 90.5},
        tasks={"training/train": 80.0},
        scores={"model": model, "linear_gap_filling": BETTER, "nearest_date": WORSE},
        patches=40,
        split="Apart <by> place.",
        date="2020-06-11",
        cloud_percent=61.5,
        reconstruction="out/image.tif",
        series=("s3://bucket/a.tif",),
        model_uri="models:/decloud@champion",
        mlflow_tracking_uri="sqlite:///mlflow.db",
        mlflow_run_id="abc",
        bucket="s3://decloud",
        code_version="0.1.0",
        machine="2 cores",
    )


def page(tmp_path: Path, model: Score = WORSE) -> str:
    picture = tmp_path / "picture.png"
    picture.write_bytes(PNG)
    curves = {"train/train/loss": [(1.0, 0.1), (2.0, 0.05)], "other": [(1.0, 2.0)]}
    return render(summary(model), Gallery(picture, picture), curves, "mlflow ui")


def test_a_lost_comparison_is_said() -> None:
    assert "does not beat linear gap-filling: it is 1.50 dB PSNR below" in summary().verdict
    assert "40 held-out patches; it is worse in MAE and SSIM and SAM." in summary().verdict


def test_a_won_comparison_is_said() -> None:
    won = Score(psnr_db=33.25, mae=0.01, ssim=0.9, sam_deg=3.0)
    assert "beats linear gap-filling by 1.25 dB" in summary(won).verdict
    assert "it is better in MAE and SAM, worse in SSIM." in summary(won).verdict


def test_the_best_method_is_chosen_by_the_direction_of_each_score() -> None:
    mixed = Score(psnr_db=33.0, mae=0.03, ssim=0.95, sam_deg=9.0)
    assert best_methods(summary(mixed)) == {
        "psnr_db": "model",
        "mae": "linear_gap_filling",
        "ssim": "model",
        "sam_deg": "linear_gap_filling",
    }


def test_the_report_needs_nothing_beside_it(tmp_path: Path) -> None:
    html = page(tmp_path)
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in html


def test_the_report_shows_scores_steps_and_where_things_are(tmp_path: Path) -> None:
    html = page(tmp_path)
    for text in ("32.00", "0.0180", "training/train", "90.5", "out/image.tif", "mlflow ui"):
        assert text in html
    assert "Apart &lt;by&gt; place." in html


def test_the_summary_holds_what_programs_read() -> None:
    plain = json.loads(summary().model_dump_json())
    assert plain["scores"]["nearest_date"].keys() == {"psnr_db", "mae", "ssim", "sam_deg"}
    wanted = {"steps", "reconstruction", "model_uri", "mlflow_tracking_uri", "bucket"}
    assert wanted <= plain.keys()
