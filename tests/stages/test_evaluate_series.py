import json
from pathlib import Path

import numpy as np
import pytest

from decloud_lib.errors import ConfigError, NoSampleError, SettingsError
from decloud_lib.stages.evaluate_series import EvaluateSeriesConfig, evaluate_series
from decloud_lib.stages.prepare import PrepareConfig, prepare
from decloud_lib.synthetic import SyntheticConfig, make_products

COVERS = (0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("series")
    config = SyntheticConfig(
        seed=4, size_px=64, days=60, s2_dates=8, s2_zipped=0, edges=0.0, covers=COVERS
    )
    series = make_products(config, root / "raw")
    prepare(PrepareConfig(products=str(series.root), prepared=str(root / "prepared"), workers=1))
    return str(root / "prepared" / "tiles.json")


def config_of(tiles: str, tmp_path: Path, **more: object) -> EvaluateSeriesConfig:
    return EvaluateSeriesConfig(
        tiles=tiles, output=str(tmp_path / "scores"), masks=1, near_days=3, **more
    )


def test_models_are_scored_under_each_protocol(tiles: str, tmp_path: Path) -> None:
    config = config_of(tiles, tmp_path)
    result = evaluate_series(config)
    assert result.dates >= 2
    assert set(result.scores) == {
        "hidden",
        "partly-hidden",
        "partly-hidden-rim",
        "partly-hidden-rim-grown",
    }
    for protocol, models in result.scores.items():
        assert set(models) == {
            "linear_gap_filling",
            "nearest_date",
            "gapfilling_fitted",
            "gapfilling_kriged",
        }
        assert 0.5 < models["gapfilling_kriged"]["inside_90"] <= 1.0
        assert "inside_90" not in models["gapfilling_fitted"]
        for row in models.values():
            assert row["n"] == result.dates
            assert 10.0 < row["psnr_db"] < 60.0
        assert models["linear_gap_filling"]["gain_db"] == 0.0, protocol
    hidden = result.scores["hidden"]
    assert hidden["gapfilling_fitted"]["psnr_db"] == pytest.approx(
        hidden["linear_gap_filling"]["psnr_db"], abs=0.2
    )
    assert result.scores["partly-hidden"]["gapfilling_fitted"]["gain_db"] > 0.0
    folder = tmp_path / "scores"
    lines = (folder / "scores.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 4 * result.dates
    assert "| gapfilling_fitted |" in (folder / "scores.md").read_text()
    assert json.loads((folder / "scores.json").read_text())["dates"] == result.dates
    before = (folder / "scores.csv").stat().st_mtime_ns
    assert evaluate_series(config) == result
    assert (folder / "scores.csv").stat().st_mtime_ns == before


def test_dates_may_be_chosen_by_day(tiles: str, tmp_path: Path) -> None:
    quick = {"protocols": ("hidden",), "models": ("linear_gap_filling",)}
    every = evaluate_series(config_of(tiles, tmp_path / "a", **quick))
    csv = (tmp_path / "a" / "scores" / "scores.csv").read_text().splitlines()[1:]
    days = sorted({line.split(",")[2][:10] for line in csv})
    part = evaluate_series(config_of(tiles, tmp_path / "b", **quick, first=days[-1], last=days[-1]))
    assert (every.dates, part.dates) == (len(days), 1)
    with pytest.raises(NoSampleError, match="none of them within"):
        evaluate_series(config_of(tiles, tmp_path / "c", first="2031-01-01"))


def test_a_network_is_scored_beside_the_models(tiles: str, tmp_path: Path) -> None:
    from decloud_lib.models import registry
    from decloud_lib.models.registry import ModelSpec
    from decloud_lib.models.store import export_model

    definition, spec = registry.get("residual"), ModelSpec(width=4)
    folder = export_model(
        definition.build(spec), definition, tmp_path / "mine", definition.contract(spec)
    )
    config = config_of(
        tiles,
        tmp_path,
        savedmodels=(str(folder),),
        models=("linear_gap_filling", "gapfilling_kriged"),
        protocols=("partly-hidden",),
    )
    scores = evaluate_series(config).scores["partly-hidden"]
    np.testing.assert_allclose(
        scores["mine"]["psnr_db"], scores["gapfilling_kriged"]["psnr_db"], atol=1e-2
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocols": ("p3",)}, "no protocol 'p3'; known: hidden, partly-hidden"),
        ({"tile": "T31UDS"}, "tile T31UDS; it holds T31TCJ"),
        ({"models": ("linear_gap_filling", "crga_os2_david")}, "crga_os2_david has weights"),
        ({"window": (0, 0, 1024, 64)}, "at most 512 px a side"),
    ],
)
def test_wrong_settings_are_told(
    tiles: str, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_series(config_of(tiles, tmp_path, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (0, 0, 64)}, "four numbers"),
        ({"far_days": 2}, "--near-days is more than --far-days"),
        ({"models": ("nearest_date",)}, "must hold linear_gap_filling"),
    ],
)
def test_settings_that_contradict_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        config_of("tiles.json", tmp_path, **change)
