"""The pipelines on a tiny scene against an S3 server, with Kubeflow's local runner."""

import json
from pathlib import Path

import pytest

from decloud_lib import storage
from pipelines.compile import PIPELINES
from pipelines.local import run_local
from pipelines.runs import PipelineRun
from tests.products import small_delivery
from tests.unit.reconstruction.scenes import Scene

LAYOUT = "AL-CRGA-OS2-clear-neighbours"


@pytest.fixture
def delivered(s3: str, tmp_path: Path) -> str:
    """Give a bucket whose `raw` folder holds a small delivery."""
    series = small_delivery(tmp_path)
    storage.upload_folder(series.root, f"{s3}/raw")
    return s3


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give an empty tracking store; the variable crosses into the tasks."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    return uri


def run(name: str, tmp_path: Path, **arguments: object) -> PipelineRun:
    done = run_local(PIPELINES[name], arguments, tmp_path / "runs")
    assert all(task.ok for task in done.tasks)
    assert done.artifacts()
    for artifact in done.artifacts():
        assert storage.exists(artifact.uri), artifact
    return done


def prepare(bucket: str, tmp_path: Path) -> PipelineRun:
    return run(
        "preprocessing",
        tmp_path,
        products=f"{bucket}/raw/",
        prepared=f"{bucket}/prepared/",
        batch=4,
    )


def make_samples(bucket: str, tmp_path: Path) -> PipelineRun:
    return run(
        "sampling",
        tmp_path,
        tiles=f"{bucket}/prepared/tiles.json",
        roi_dir=f"{bucket}/prepared/ROI",
        acquisition_train=LAYOUT,
        output_train=f"{bucket}/samples/{LAYOUT}/train",
        acquisitions_valid=[LAYOUT],
        outputs_valid=[f"{bucket}/samples/{LAYOUT}/valid"],
        props=[0.5, 0.5],
        patchsize=64,
    )


def test_preprocessing_and_sampling_fill_the_bucket(delivered: str, tmp_path: Path) -> None:
    prepared = prepare(delivered, tmp_path)
    assert prepared.output == f"{delivered}/prepared/tiles.json"
    assert json.loads(storage.read_text(prepared.output))
    names = [task.name for task in prepared.tasks]
    assert names.count("prepare-s2") == 2
    assert {"list-products", "prepare-s1", "prepare-dem", "make-tiles"} < set(names)

    sampled = make_samples(delivered, tmp_path)
    assert sampled.output > 0
    for split in ("train", "valid"):
        assert storage.exists(f"{delivered}/samples/{LAYOUT}/{split}/manifest.json")

    # Run again: the tasks find their work done.
    before = storage.list_files(f"{delivered}/prepared")
    prepare(delivered, tmp_path)
    assert storage.list_files(f"{delivered}/prepared") == before


@pytest.mark.slow
def test_the_whole_chain_ends_with_registered_network_and_images(
    delivered: str, tmp_path: Path, tracking: str
) -> None:
    prepare(delivered, tmp_path)
    make_samples(delivered, tmp_path)
    samples = f"{delivered}/samples/{LAYOUT}"
    trained = run(
        "training",
        tmp_path,
        training_record=f"{samples}/train",
        valid_records=[f"{samples}/valid"],
        test_records=[f"{samples}/valid"],
        out_savedmodel=f"{delivered}/models",
        scores=f"{delivered}/scores",
        epochs=1,
        batch_size_train=1,
        batch_size_valid=1,
        strategy="singlecpu",
    )
    # Two samples prove nothing, so the network stays the challenger; it is used by its version.
    assert trained.output == "models:/decloud/1"
    promotion = json.loads(storage.read_text(f"{delivered}/scores/promotion/promotion.json"))
    assert promotion["outcome"] == "not promoted"
    assert {item.name for item in trained.artifacts()} >= {"registered", "page", "summary"}
    scores = json.loads(storage.read_text(f"{delivered}/scores/scores.json"))["scores"]
    assert set(scores) == {"model", "linear_gap_filling", "nearest_date"}
    metrics = next(item for item in trained.artifacts() if item.name == "metrics")
    assert metrics.metadata

    tile_s2 = storage.list_children(f"{delivered}/prepared/S2_PREPARE")[0]
    tile = storage.name_of(tile_s2)
    product = sorted(storage.list_children(tile_s2))[2]
    places = {
        "savedmodel": trained.output,
        "s1_dir": f"{delivered}/prepared/S1_PREPARE/{tile}",
        "s2_dir": tile_s2,
        "dem": f"{delivered}/prepared/DEM_PREPARE/{tile}.tif",
        "ts": 128,
        "min_days": 0,
        "max_days": 60,
    }
    image = f"{delivered}/reconstructed/one.tif"
    assert run("reconstruction", tmp_path, in_s2=product, output=image, **places).output == image
    series = run(
        "reconstruction-series", tmp_path, out_dir=f"{delivered}/reconstructed/series", **places
    )
    assert series.output
    assert all(storage.exists(uri) for uri in series.output)


def test_tiles_and_periods_are_rebuilt_by_a_task_each(tmp_path: Path) -> None:
    """W88: several tiles and periods, by as many tasks; here without a network."""
    root = str(tmp_path / "prepared")
    for tile in ("T31TCJ", "T31TDJ"):
        scene = Scene(root, (64, 64), tile=tile)
        for day in (-30.0, 0.0, 30.0):
            scene.add_s2(day)
    made = run(
        "reconstruction-tiles",
        tmp_path,
        s2_dir=f"{root}/S2_PREPARE",
        out_dir=f"{root}/out",
        savedmodel="linear_gap_filling",
        start="2020-06-01",
        end="2020-06-30",
        max_days=40.0,
        quality=True,
    ).output
    assert len(made) == 2
    (first,), (second,) = sorted(made)
    assert "/out/T31TCJ/2020-06-07_2020-07-06/SENTINEL2A_20200615-" in first
    assert "/out/T31TDJ/" in second
    for image in (first, second):
        assert storage.exists(image)
        assert storage.exists(image.replace(".tif", "_quality.tif"))
        assert storage.exists(storage.join(storage.parent_of(image), "collection.json"))
