import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from decloud_lib import cli, fingerprint, tracking
from decloud_lib.errors import ConfigError, ModelFolderError
from decloud_lib.fingerprint import Part
from decloud_lib.learning.contest import BrokenChampionError
from decloud_lib.models.store import load_model
from decloud_lib.stages.promote import PromoteConfig, PromoteResult, promote
from decloud_lib.stages.rollback import ROLLED_BACK_TAG, RollbackConfig, rollback
from decloud_lib.stages.train import TrainConfig, train
from tests.contestants import Contestant, record_network
from tests.records import write_records

POLICY = "baseline: nearest_date\nmin_samples: 10\n"


@pytest.fixture
def records(tmp_path: Path) -> str:
    return str(write_records(tmp_path / "samples/test", n=12, with_cloud_masks=True))


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give rules for few samples; nobody else promotes here, so nobody has to be waited for."""
    monkeypatch.setattr("decloud_lib.tracking.registry.SETTLE_S", 0.0)
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def settings(network: Contestant, records: str, policy: str, **more: object) -> PromoteConfig:
    return PromoteConfig(
        savedmodel=network.savedmodel,
        run_id=network.run_id,
        test_records=(records,),
        policy=policy,
        **more,
    )


def compete(
    tmp_path: Path, bias: float, records: str, policy: str, **more: object
) -> PromoteResult:
    number = len(list(tmp_path.glob("network-*")))
    network = record_network(tmp_path / f"network-{number}", bias)
    return promote(settings(network, records, policy, **more))


def aliases() -> dict[str, int]:
    return {
        alias: item.number for item in tracking.find_versions("decloud") for alias in item.aliases
    }


def rolled_back() -> set[int]:
    found = tracking.find_versions("decloud")
    return {item.number for item in found if ROLLED_BACK_TAG in item.tags}


def stored_graphs(tmp_path: Path, version: int) -> list[Path]:
    """Return the graph of a registered version in the artifact store."""
    run_id = tracking.find_version("decloud", version).run_id
    model_id = mlflow.MlflowClient().get_run(run_id).outputs.model_outputs[0].model_id
    return list((tmp_path / "mlartifacts").rglob(f"{model_id}/**/saved_model.pb"))


def test_a_better_network_becomes_the_champion_and_the_way_back_is_kept(
    mlflow_store: str, tmp_path: Path, records: str, policy: str
) -> None:
    first = compete(tmp_path, 0.004, records, policy)
    assert (first.outcome, first.version, first.champion) == ("promoted", 1, 1)
    assert "no champion to compare with" in first.reason
    better = compete(tmp_path, 0.0, records, policy, output=str(tmp_path / "promotion"))
    assert (better.outcome, better.model_uri, better.champion) == (
        "promoted",
        "models:/decloud/2",
        2,
    )
    assert better.exit_status == 0
    assert aliases() == {"champion": 2, "former_champion": 1}

    tags = tracking.find_version("decloud", 2).tags
    assert tags["decloud.promotion.outcome"] == "promoted"
    assert tags["decloud.promotion.previous_champion"] == "1"
    # 60 DN of noise against that and a bias of 40 DN: 10 log10((60^2 + 40^2) / 60^2) dB.
    gain = float(tags["decloud.promotion.gain.champion"].split()[0])
    assert gain == pytest.approx(1.60, abs=0.1)

    content = json.loads((tmp_path / "promotion/promotion.json").read_text())
    assert [check["passed"] for check in content["checks"]] == [True] * 5
    assert content["evaluation_set"]["fingerprint"] == tags["decloud.promotion.evaluation_set"]
    assert tracking.read_text(better.run_id, "promotion/promotion.json") == json.dumps(
        content, indent=2
    )
    with (tmp_path / "promotion/scores.csv").open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == {
            "challenger",
            "champion",
            "nearest_date",
        }

    back = rollback(RollbackConfig())
    assert (back.version, back.former) == (1, 2)
    assert aliases() == {"champion": 1}
    with pytest.raises(ConfigError, match="replaced no other version; name one"):
        rollback(RollbackConfig())
    assert rolled_back() == {2}
    assert rollback(RollbackConfig(to_version=2)).version == 2
    assert rolled_back() == {1}


@pytest.mark.parametrize(
    ("bias", "told"),
    [
        (0.02, r"better than the champion: psnr_db -9\.\d+ dB.*needed more than 0\.05"),
        (0.004, r"better than the champion: psnr_db \+0 dB, 95% interval \+0 to \+0"),
        (
            float("nan"),
            r"12 of 12 samples have no score: .*champion: no sample has a score of both; ",
        ),
    ],
    ids=["worse", "tie", "no-numbers"],
)
def test_a_network_that_is_not_surely_better_is_not_promoted(
    mlflow_store: str, tmp_path: Path, records: str, policy: str, bias: float, told: str
) -> None:
    compete(tmp_path, 0.004, records, policy)
    result = compete(tmp_path, bias, records, policy)
    assert (result.outcome, result.champion, result.exit_status) == ("not promoted", 1, 4)
    assert re.search(told, result.reason), result.reason
    assert aliases() == {"champion": 1, "challenger": 2}
    assert tracking.find_version("decloud", 2).tags["decloud.promotion.reason"] == result.reason


def test_a_first_network_must_beat_the_baseline_and_ends_with_status_4(
    mlflow_store: str,
    tmp_path: Path,
    records: str,
    policy: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = record_network(tmp_path / "bad", 0.3)
    arguments = ["promote", "--savedmodel", network.savedmodel, "--run-id", network.run_id]
    arguments += ["--test-records", records, "--policy", policy, "--json"]
    assert cli.main(arguments) == 4
    result = json.loads(capsys.readouterr().out)
    assert (result["outcome"], result["champion"]) == ("not promoted", None)
    assert "better than the baseline: nearest_date: psnr_db -" in result["reason"]
    assert aliases() == {"challenger": 1}


def test_without_an_evaluation_set_a_network_is_registered_only(
    mlflow_store: str, tmp_path: Path, records: str, policy: str
) -> None:
    network = record_network(tmp_path / "network", 0.0)
    config = settings(network, records, policy)
    alone = promote(config.model_copy(update={"test_records": ()}))
    assert (alone.outcome, alone.exit_status, alone.champion) == ("registered", 0, None)
    assert aliases() == {"challenger": 1}
    # Later, with one: the same version; and again, the version in use.
    assert promote(config).outcome == "promoted"
    assert promote(config).outcome == "already champion"
    assert aliases() == {"champion": 1}


def test_another_evaluation_set_scores_the_champion_anew(
    mlflow_store: str,
    tmp_path: Path,
    records: str,
    policy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    compete(tmp_path, 0.004, records, policy)
    other = str(write_records(tmp_path / "samples/other", n=12, seed=9))
    result = compete(tmp_path, 0.0, other, policy)
    assert result.outcome == "promoted"
    assert "was promoted on another evaluation set" in caplog.text
    # A policy can freeze the set.
    frozen = tracking.find_version("decloud", 1).tags["decloud.promotion.evaluation_set"]
    Path(policy).write_text(f"{POLICY}evaluation_set: {frozen}\n")
    with pytest.raises(ConfigError, match=f"the policy asks for {frozen}; give the set"):
        compete(tmp_path, 0.0, other, policy)
    assert len(tracking.find_versions("decloud")) == 2
    assert compete(tmp_path, 0.0, records, policy).outcome == "not promoted"


def test_samples_that_the_network_was_trained_on_prove_nothing(
    mlflow_store: str, tmp_path: Path, records: str, policy: str
) -> None:
    from decloud_lib.learning.record_sets import find_record_sets

    (seen,) = find_record_sets([records])
    network = record_network(tmp_path / "network", 0.0, trained_on=seen.fingerprint)
    with pytest.raises(ConfigError, match="samples that the challenger was trained on"):
        promote(settings(network, records, policy))


@pytest.mark.parametrize("damage", ["gone", "all gone", "flipped"])
def test_a_champion_that_cannot_be_loaded_stops_the_promotion(
    mlflow_store: str, tmp_path: Path, records: str, policy: str, damage: str
) -> None:
    compete(tmp_path, 0.005, records, policy)
    compete(tmp_path, 0.004, records, policy)
    (graph,) = stored_graphs(tmp_path, 2)
    if damage == "gone":
        shutil.rmtree(graph.parent)
    elif damage == "all gone":
        shutil.rmtree(graph.parents[2])
        with pytest.raises(ModelFolderError, match=r"models:/decloud/2: .* files are gone"):
            tracking.check_model("models:/decloud/2")
    else:
        data = bytearray(graph.read_bytes())
        data[len(data) // 2] ^= 1
        graph.write_bytes(data)
    network = record_network(tmp_path / "new", 0.0)
    config = settings(network, records, policy)
    with pytest.raises(BrokenChampionError, match=r"models:/decloud/2 cannot be loaded.*rollback"):
        promote(config)
    assert aliases()["champion"] == 2
    # Its forerunner is whole.
    assert rollback(RollbackConfig()).version == 1
    with pytest.raises(ModelFolderError, match=r"models:/decloud/2.*--to-version goes back to"):
        rollback(RollbackConfig(to_version=2))
    assert aliases()["champion"] == 1
    tracking.point_alias(tracking.find_version("decloud", 2), "champion")
    replaced = promote(config.model_copy(update={"replace_broken": True}))
    assert (replaced.outcome, replaced.champion) == ("promoted", 3)


@pytest.mark.parametrize("broken", ["claim_alias", "drop_alias"])
def test_a_promotion_that_broke_off_is_ended_by_the_same_call(
    mlflow_store: str,
    tmp_path: Path,
    records: str,
    policy: str,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    compete(tmp_path, 0.004, records, policy)
    config = settings(record_network(tmp_path / "better", 0.0), records, policy)
    with monkeypatch.context() as patch:
        patch.setattr(tracking, broken, killed)
        with pytest.raises(KeyboardInterrupt):
            promote(config)
    # The evidence is there already, also where the alias still is elsewhere.
    champion = 1 if broken == "claim_alias" else 2
    assert aliases()["champion"] == champion
    tags = tracking.find_version("decloud", 2).tags
    assert tags["decloud.promotion.outcome"] == "promoted"
    assert json.loads(tracking.read_text(config.run_id, "promotion/promotion.json"))["version"] == 2
    assert promote(config).outcome == ("promoted" if champion == 1 else "already champion")
    assert aliases() == {"champion": 2, "former_champion": 1}


def test_a_challenger_with_a_changed_file_is_refused(
    mlflow_store: str, tmp_path: Path, records: str, policy: str
) -> None:
    network = record_network(tmp_path / "network", 0.0)
    config = settings(network, records, policy)
    promote(config.model_copy(update={"test_records": ()}))
    (graph,) = stored_graphs(tmp_path, 1)
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(ModelFolderError, match=r"saved_model\.pb changed"):
        promote(config)
    assert "champion" not in aliases()


@pytest.mark.slow
def test_two_promotions_at_once_leave_the_better_network_in_use(
    mlflow_store: str, tmp_path: Path, records: str
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    assert compete(tmp_path, 0.005, records, str(policy)).outcome == "promoted"
    rivals = {bias: record_network(tmp_path / f"rival-{bias}", bias) for bias in (0.003, 0.0)}
    command = [sys.executable, "-W", "ignore", "-m", "decloud_lib.cli", "promote", "--json"]
    command += ["--test-records", records, "--policy", str(policy)]
    running = [
        subprocess.Popen(
            [*command, "--savedmodel", rival.savedmodel, "--run-id", rival.run_id],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rival in rivals.values()
    ]
    said = [json.loads(process.communicate(timeout=500)[0]) for process in running]
    worse, better = said
    # Whoever was first: the better one beat the champion that it found, whichever that was; the
    # other one beat the old champion, or lost against the better one.
    assert better["outcome"] == "promoted"
    assert worse["outcome"] in ("promoted", "not promoted")
    assert aliases()["champion"] == better["version"]
    compared = tracking.find_version("decloud", better["version"]).tags
    expected = "1" if worse["outcome"] == "not promoted" else str(worse["version"])
    assert compared["decloud.promotion.champion"] == expected


def test_a_trained_network_is_served_by_mlflow_too(mlflow_store: str, tmp_path: Path) -> None:
    trained = train(
        TrainConfig(
            training_record=str(write_records(tmp_path / "train", n=1)),
            model="crga_os2_david",
            out_savedmodel=str(tmp_path / "models"),
            epochs=0,
        )
    )
    result = promote(PromoteConfig(savedmodel=trained.savedmodel, run_id=trained.run_id))
    inputs = {}
    with tracking.model_folder(result.model_uri) as folder:
        served = load_model(folder)
        for item in served.contract.inputs:
            side = 16 // item.factor
            inputs[item.key] = np.full((1, side, side, len(item.bands)), 1000.0, "float32")
        expected = served.predict(inputs)["s2_estim"]
    # MLflow itself serves it too, with its own code, and looks at the checksums itself.
    found = mlflow.pyfunc.load_model(result.model_uri).predict(inputs)["s2_estim"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    (graph,) = stored_graphs(tmp_path, 1)
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="changed since it was recorded"):
        mlflow.pyfunc.load_model(result.model_uri)


def test_a_version_says_what_it_was_made_from(mlflow_store: str, tmp_path: Path) -> None:
    parts = {name: Part(items={name: "1"}) for name in fingerprint.PARTS}
    made_from = fingerprint.Fingerprint(**parts)
    network = record_network(tmp_path / "one", 0.0)
    config = PromoteConfig(savedmodel=network.savedmodel, run_id=network.run_id)
    promote(config)
    assert made_from.changed_parts(tracking.find_versions("decloud")[0].tags) == fingerprint.PARTS
    listing = fingerprint.write(made_from, str(tmp_path))
    # The same network again, from data that led to the same samples: the version's tags follow.
    promote(config.model_copy(update={"fingerprint": listing}))
    (version,) = tracking.find_versions("decloud")
    assert (version.number, version.run_id) == (1, network.run_id)
    assert version.aliases == ("challenger",)
    assert made_from.changed_parts(version.tags) == ()
    assert fingerprint.read(version.tags[fingerprint.LISTING_TAG]) == made_from
    assert tracking.find_versions("another") == ()


def test_an_unknown_baseline_is_refused_before_anything_is_registered(
    mlflow_store: str, tmp_path: Path, records: str
) -> None:
    (tmp_path / "policy.yaml").write_text("baseline: nearest\n")
    network = record_network(tmp_path / "network", 0.0)
    with pytest.raises(ConfigError, match="no model 'nearest'"):
        promote(settings(network, records, str(tmp_path / "policy.yaml")))
    assert tracking.find_versions("decloud") == ()


def test_the_folder_of_another_run_is_refused(mlflow_store: str, tmp_path: Path) -> None:
    network = record_network(tmp_path / "network", 0.0)
    with pytest.raises(ConfigError, match=f"was made by MLflow run {network.run_id}, not by other"):
        promote(PromoteConfig(savedmodel=network.savedmodel, run_id="other"))


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"no train\.json there"):
        promote(PromoteConfig(savedmodel=str(tmp_path), run_id="run"))


def test_the_aliases_of_the_promotion_itself_are_not_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--alias challenger is used by the promotion itself"):
        promote(PromoteConfig(savedmodel=str(tmp_path), run_id="run", alias="challenger"))


def test_without_a_champion_there_is_nothing_to_go_back_from(mlflow_store: str) -> None:
    with pytest.raises(ConfigError, match="has no champion"):
        rollback(RollbackConfig())
