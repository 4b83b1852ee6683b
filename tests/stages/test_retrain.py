"""Whether a model is to be trained again, decided against registered versions."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from decloud_lib import fingerprint, tracking
from decloud_lib.errors import ConfigError, ProductError, SettingsError
from decloud_lib.learning.evidence import MARKDOWN_NAME, OUTCOME_TAG, REASON_TAG
from decloud_lib.stages.retrain import RetrainConfig, plan_retraining, take_fingerprint
from decloud_lib.stages.retrain_result import Work, markdown, unchanged
from decloud_lib.stages.rollback import ROLLED_BACK_TAG

TENSORS = {"s2_t": ("float32", (-1, -1, -1, 4))}
S1 = "SENTINEL1/T31TCJ/s1b_31TCJ_{}_DES_110_20200501t060008.tif"
S2 = "SENTINEL2/T31TCJ/SENTINEL2A_20200503-105629-000_L2A_T31TCJ_C_V2-2"


def deliver(root: Path, name: str, text: str = "content") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def config(mlflow_store: str, tmp_path: Path) -> RetrainConfig:
    products = tmp_path / "products"
    for name in (S1.format("vv"), S1.format("vh"), f"{S2}/MTD.xml", "DEM/T31TCJ.tif"):
        deliver(products, name)
    return RetrainConfig(
        products=str(products),
        prepared=str(tmp_path / "prepared"),
        out=str(tmp_path / "out"),
        layout="AL-CRGA-OS2-clear-neighbours",
        model="crga_os2_david",
    )


def register(config: RetrainConfig, folder: Path, alias: str, **tags: str) -> Work:
    """Register a model that was made from what is there now."""
    made_from = take_fingerprint(config)
    listing = fingerprint.write(made_from, config.fingerprints)
    model = folder / f"model-{alias}"
    model.mkdir()
    (model / "model.json").write_text("network")
    with tracking.open_run("tests", name=alias) as run:
        run.log_model(model, "net", TENSORS, TENSORS, ["numpy==2.0"], 0)
    tracking.register(run.run_id, config.name, alias, {**made_from.tags(listing), **tags})
    return Work(config, plan_retraining(config), listing)


def test_without_a_champion_there_is_something_to_do(config: RetrainConfig) -> None:
    plan = plan_retraining(config)
    assert (plan.needed, plan.champion) == (True, None)
    assert plan.reason == "decloud has no champion yet"


def test_nothing_changed_nothing_to_do(config: RetrainConfig, tmp_path: Path) -> None:
    register(config, tmp_path, "champion")
    plan = plan_retraining(config)
    assert (plan.needed, plan.champion, plan.changes) == (False, 1, ())
    assert plan.reason == "nothing changed since version 1"
    result = unchanged(plan)
    assert (result.status, result.exit_status, result.champion) == ("unchanged", 0, 1)
    assert markdown(result).startswith("### Nothing to do\n\nnothing changed since version 1\n")
    assert plan_retraining(config.model_copy(update={"force": True})).needed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("added", f"data: 1 added ({S2.replace('0503', '0508')})"),
        ("removed", f"data: 1 removed ({S2})"),
        ("changed", f"data: 1 changed ({S1.format('vh')})"),
    ],
)
def test_products_that_differ_are_named(
    change: str, told: str, config: RetrainConfig, tmp_path: Path
) -> None:
    products = tmp_path / "products"
    deliver(products, f"{S2.replace('0503', '0513')}/MTD.xml")
    register(config, tmp_path, "champion")
    if change == "added":
        deliver(products, f"{S2.replace('0503', '0508')}/MTD.xml")
    elif change == "removed":
        (products / S2 / "MTD.xml").unlink()
    else:
        deliver(products, S1.format("vv"), "other content")
    plan = plan_retraining(config)
    assert (plan.needed, plan.reason) == (True, told)
    assert [item.kind for item in plan.changes] == [change]


def test_settings_and_layouts_that_differ_are_shown(config: RetrainConfig, tmp_path: Path) -> None:
    register(config, tmp_path, "champion")
    other = config.model_copy(update={"learning_rate": 0.001, "layout": "AL-TEST"})
    assert plan_retraining(other).reason == (
        "layouts: 1 added (AL-TEST), 1 removed (AL-CRGA-OS2-clear-neighbours); "
        "configuration: 1 changed (learning_rate 0.0002 -> 0.001)"
    )
    # Where things lie and how they are called decides nothing.
    moved = {"batch": 7, "experiment": "other", "run_dir": "elsewhere", "runner": "docker"}
    assert not plan_retraining(config.model_copy(update=moved)).needed


def test_a_lost_listing_still_shows_what_part_changed(
    config: RetrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = register(config, tmp_path, "champion")
    Path(work.listing).unlink()
    deliver(tmp_path / "products", f"{S2}/MTD.xml", "other content")
    plan = plan_retraining(config)
    assert plan.needed
    assert plan.reason == "data: what version 1 of decloud was made from is not known"
    assert "cannot be read" in caplog.text


def test_what_was_tried_is_not_tried_again(config: RetrainConfig, tmp_path: Path) -> None:
    register(config, tmp_path, "champion")
    deliver(tmp_path / "products", f"{S2}/MTD.xml", "other content")
    verdict = {OUTCOME_TAG: "not promoted", REASON_TAG: "0.3 dB worse"}
    work = register(config, tmp_path, "challenger", **verdict)
    plan = plan_retraining(config)
    assert not plan.needed
    assert plan.reason.startswith("version 2 is made from the same and was not promoted (data: 1")
    assert plan_retraining(config.model_copy(update={"force": True})).needed
    result = work.concluded("here")
    assert (result.status, result.exit_status) == ("not promoted", 4)
    assert (result.champion, result.version, result.evidence) == (1, 2, "0.3 dB worse")
    assert result.text().splitlines()[1:] == [
        "0.3 dB worse",
        "In use before: version 1; now: version 1.",
    ]
    text = markdown(result)
    assert text.startswith("### Version 2 was not promoted\n")
    assert "0.3 dB worse" in text
    page = Path(work.arguments["scores"], "promotion", MARKDOWN_NAME)
    page.parent.mkdir(parents=True)
    page.write_text("| rule | found |")
    assert "| rule | found |" in markdown(work.concluded("here"))
    assert f"| data | changed | `{S2}` |" in text


def test_an_interrupted_promotion_is_tried_again_and_a_rolled_back_one_is_not(
    config: RetrainConfig, tmp_path: Path
) -> None:
    register(config, tmp_path, "champion")
    deliver(tmp_path / "products", f"{S2}/MTD.xml", "other content")
    register(config, tmp_path, "challenger")
    assert plan_retraining(config).needed  # registered, and not compared
    version = tracking.find_version("decloud", 2)
    tracking.set_tags(version, {OUTCOME_TAG: "promoted"})
    assert plan_retraining(config).needed  # compared, and the alias was not moved
    tracking.set_tags(version, {ROLLED_BACK_TAG: "2026-01-01"})
    assert "version 2 is made from the same and was rolled back" in plan_retraining(config).reason


def test_a_promoted_version_is_the_result(config: RetrainConfig, tmp_path: Path) -> None:
    register(config, tmp_path, "champion")
    deliver(tmp_path / "products", f"{S2}/MTD.xml", "other content")
    plan = plan_retraining(config)
    work = register(config, tmp_path / "products", "champion")
    result = Work(config, plan, work.listing).concluded("here")
    assert (result.status, result.exit_status) == ("promoted", 0)
    assert (result.former_champion, result.champion, result.version) == (1, 2, 2)
    failed = Work(config, plan, work.listing).failed("task 'train' failed")
    assert (failed.status, failed.exit_status, failed.champion) == ("failed", 5, 1)
    assert "task 'train' failed" in markdown(failed)


def test_a_drift_is_a_reason_too(config: RetrainConfig, tmp_path: Path) -> None:
    register(config, tmp_path, "champion")
    report = tmp_path / "monitor.json"
    seen = config.model_copy(update={"monitoring": str(report)})
    report.write_text(json.dumps({"drift": False, "reason": "", "features": []}))
    assert not plan_retraining(seen).needed
    report.write_text(json.dumps({"drift": True, "reason": "cloud cover: 0.31", "features": []}))
    plan = plan_retraining(seen)
    assert (plan.needed, plan.reason) == (True, "drift: cloud cover: 0.31")
    report.write_text("[]")
    with pytest.raises(ConfigError, match=r"monitor.json: no report; expected the JSON of"):
        plan_retraining(seen)


def test_a_place_without_products_is_refused(config: RetrainConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProductError, match="no Sentinel-2 product that can be used"):
        plan_retraining(config.model_copy(update={"products": str(tmp_path / "empty")}))
    # An elevation has no date, so it is always among the chosen.
    deliver(tmp_path / "products", "DEM/T31TCJ.tif", "heights")
    with pytest.raises(ProductError, match="of these tiles and days"):
        plan_retraining(config.model_copy(update={"start": date(2090, 1, 1)}))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("model", "crga", "no model 'crga'; known: crga_os1_gapfilling"),
        ("model", "nearest_date", "has no weights to train"),
        ("layout", "OS2", "OS2: there is no such layout; expected a JSON file or one of AL-"),
        ("policy", "rules.yaml", r"rules.yaml: .*min_gain: .*greater than or equal to 0"),
    ],
)
def test_what_a_later_task_would_refuse_is_refused_at_once(
    field: str, value: str, told: str, config: RetrainConfig, tmp_path: Path
) -> None:
    deliver(tmp_path, "rules.yaml", "min_gain: -1")
    given = str(tmp_path / value) if field == "policy" else value
    with pytest.raises(ConfigError, match=told):
        plan_retraining(config.model_copy(update={field: given}))


def test_settings_that_do_not_fit_each_other_are_refused(config: RetrainConfig) -> None:
    values = config.model_dump(exclude={"overwrite"})
    with pytest.raises(SettingsError, match="give --host"):
        RetrainConfig(**values | {"runner": "kfp"})
    with pytest.raises(SettingsError, match="expected two shares above 0"):
        RetrainConfig(**values | {"props": (0.5,)})
    with pytest.raises(SettingsError, match=r"does not lie below .*S2_PREPARE"):
        RetrainConfig(**values | {"check_product": "elsewhere/PRODUCT"})


def test_the_pipeline_gets_a_folder_of_its_own(config: RetrainConfig, tmp_path: Path) -> None:
    now = take_fingerprint(config)
    check = f"{config.prepared}/S2_PREPARE/T31TCJ/PRODUCT"
    given = config.model_copy(update={"check_product": check}).arguments(now, "listing.json")
    folder = f"{config.out}/runs/{now.digest}"
    assert given["train_records"] == f"{folder}/samples/train"
    assert given["test_records"] == given["valid_records"] == (f"{folder}/samples/valid",)
    assert given["check_image"] == f"{folder}/check.tif"
    assert given["check_s1_dir"] == f"{config.prepared}/S1_PREPARE/T31TCJ"
    assert given["check_dem"] == f"{config.prepared}/DEM_PREPARE/T31TCJ.tif"
    deliver(tmp_path / "products", f"{S2}/MTD.xml", "other content")
    assert config.arguments(take_fingerprint(config), "")["models"] != given["models"]


def test_another_time_of_a_file_in_a_folder_counts_as_a_change(
    config: RetrainConfig, tmp_path: Path
) -> None:
    before = take_fingerprint(config)
    os.utime(tmp_path / "products" / S2 / "MTD.xml", ns=(1, 1))
    assert take_fingerprint(config).data.digest != before.data.digest
