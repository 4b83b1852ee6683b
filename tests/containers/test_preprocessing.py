"""The preprocessing pipeline in containers, against an S3 server on this machine."""

import json
from pathlib import Path

import pytest

from decloud_lib import storage
from pipelines.local import DockerOptions, PipelineError, run_local
from pipelines.preprocessing import preprocessing
from tests.products import small_delivery

pytestmark = pytest.mark.container

#: The image's own user: nothing in a task may need root.
USER = "10001:10001"


@pytest.fixture
def options(engine, moto_server) -> DockerOptions:
    return DockerOptions(environment=moto_server.environment, user=USER)


def test_preprocessing_runs_in_containers(options, s3, tmp_path):
    series = small_delivery(tmp_path)
    storage.upload_folder(Path(series.root), f"{s3}/raw")

    run = run_local(
        preprocessing,
        {"products": f"{s3}/raw", "prepared": f"{s3}/prepared", "batch": 4},
        tmp_path / "runs",
        runner="docker",
        docker=options,
    )

    assert all(task.ok for task in run.tasks)
    assert {"prepare-s1", "prepare-s2", "prepare-dem", "make-tiles"} <= {
        task.name for task in run.tasks
    }
    names = {entry.uri.removeprefix(f"{s3}/") for entry in storage.list_files(f"{s3}/prepared")}
    tile = series.config.tile
    assert len([name for name in names if name.endswith("_FRE_10m.tif")]) == 8
    assert len([name for name in names if name.endswith("_from-10to3dB.tif")]) >= 8
    assert f"prepared/DEM_PREPARE/{tile}.tif" in names
    assert json.loads(storage.read_text(f"{s3}/prepared/tiles.json"))["TILES"] == [tile]


def test_a_failed_container_fails_the_pipeline(options, s3, tmp_path):
    storage.write_bytes(f"{s3}/raw/SENTINEL2/T31TCJ/notes.txt", b"no product")

    with pytest.raises(PipelineError, match="list-products"):
        run_local(
            preprocessing,
            {"products": f"{s3}/raw", "prepared": f"{s3}/prepared"},
            tmp_path / "runs",
            runner="docker",
            docker=options,
        )
