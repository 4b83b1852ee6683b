"""What follows a training, in containers: series, tiles, drift, analysis, sweep.

On the products, samples and network of `test_pipelines.py`, see `conftest.py`.
"""

import json

import pytest

from decloud_lib import storage, tracking
from tests.containers.chain import Done, assert_in_images, assert_same, names

pytestmark = pytest.mark.container

#: Three of the eight dates, with others on both sides.
PERIOD = ("2020-05-12", "2020-05-31")
DATES = {"20200513-105845-776", "20200518-105846-558", "20200530-104845-401"}


def dates(found: list[str] | set[str]) -> set[str]:
    return {storage.name_of(name).split("_")[1] for name in found}


@pytest.fixture(scope="module")
def series(done, platform):
    """Rebuild a period in a container; gives the run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.environment.items():
            patch.setenv(name, value)
        return done.contained.reconstruct_series(done.model, *PERIOD)


def test_a_series_is_rebuilt_as_without_containers(cluster, done, series, tmp_path):
    assert_in_images(series)
    assert dates(series.output) == DATES
    assert set(series.output) == {
        f"{done.root}/series/{name}"
        for name in names(f"{done.root}/series")
        if name.endswith("_reconstructed.tif")
    }
    done.here.reconstruct_series(done.model, *PERIOD)
    assert assert_same(done, "series", (".tif",), tmp_path) == 3


def test_tiles_are_rebuilt_one_task_per_period_with_the_orfeo_toolbox(cluster, done, series):
    run = done.contained.reconstruct_tiles(done.model, "2020-05-12", "2020-05-20", days=10)
    assert_in_images(run)
    ran = [task.name for task in run.tasks]
    assert ran.count("reconstruct-series") == len(run.output) == 2
    assert dates({uri for task in run.output for uri in task}) == set(sorted(DATES)[:2])
    written = names(f"{done.root}/tiles")
    for task in run.output:
        for uri in task:
            name = uri.removeprefix(f"{done.root}/tiles/")
            assert {name, name.replace(".tif", "_quality.tif")} <= written
            assert name.startswith(f"{done.contained.tile}/2020-05-")


def test_what_was_rebuilt_is_compared_with_the_training(cluster, done, series):
    run = done.contained.monitor(done.model)
    assert_in_images(run)
    found = json.loads(storage.read_text(f"{done.root}/monitoring/monitor.json"))
    assert found["products"] == len(DATES)
    assert found["validation_mae"] > 0
    assert found["features"]["nodata_percent/dem"] == 0
    assert_shown(run, "page", f"{done.root}/monitoring/report.html")


def test_the_analysis_counts_the_same_as_without_containers(cluster, done, tmp_path):
    run = done.contained.analyse()
    assert_in_images(run)
    counts = json.loads(storage.read_text(f"{done.root}/analysis/counts/counts.json"))
    assert counts
    assert_shown(run, "page", f"{done.root}/analysis/report.html")
    done.here.analyse()
    # Other tables name the files that were read.
    tables = ("counts.csv", "coverage.csv", "gaps.csv", "histogram.csv", "statistics.csv")
    assert assert_same(done, "analysis", (".tif", ".png", *tables), tmp_path) > 40


def test_a_sweep_trains_side_by_side_and_registers_the_best(cluster, done: Done):
    run = done.contained.sweep({"learning_rate": [1e-3, 1e-7]}, "swept", "rates")
    assert_in_images(run)
    assert run.output == "models:/rates/1"
    (parent,) = tracking.search_runs(["swept"], where="tags.stage = 'sweep'")
    trained = tracking.search_runs(
        ["swept"], where=f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
    )
    assert {float(found.params["learning_rate"]) for found in trained} == {1e-3, 1e-7}
    scores = {found.run_id: found.metrics["test/valid/psnr_db"] for found in trained}
    best = max(scores, key=scores.__getitem__)
    assert parent.tags["best_run"] == best
    assert parent.metrics["test/valid/psnr_db"] == scores[best]
    folders = {storage.parent_of(found.tags["scores"]) for found in trained}
    assert {storage.parent_of(folder) for folder in folders} == {f"{done.root}/sweep/scores"}
    assert len(folders) == len(trained) == 2
    for folder in folders:
        assert {"manifest.json", "scores.json", "scores.html"} <= names(folder)
    version = tracking.find_alias("rates", "challenger")
    assert version is not None
    assert version.run_id == best
    (table,) = (item for item in run.artifacts() if item.name == "table")
    assert table.metadata == {"points": 2, "best": best}
    assert "test/valid" in storage.read_text(table.uri)


def assert_shown(run, name, uri):
    """Check that a page in the bucket is what the user interface shows."""
    (page,) = (item for item in run.artifacts() if item.name == name)
    shown = storage.read_text(page.uri)
    assert shown == storage.read_text(uri)
    assert "data:image/png;base64," in shown
    assert page.metadata["source"] == uri
