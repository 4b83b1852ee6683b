"""Command lines of the existing system, word by word, on local paths and in a bucket."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from decloud_lib import cli, storage
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.raster.read import open_raster
from tests.prepared_tiles import Tile, season, write_tile
from tests.stages.delivered import S1_STEM, S2_NAME, write_s1, write_theia, write_tif

TILE = "T31TEJ"


def run(command: str, **places: str) -> None:
    assert cli.main([word.format(**places) for word in command.split()]) == 0


@pytest.mark.parametrize("end", ["", f"/{TILE}"])
def test_prepare_s1(bucket: str, tmp_path: Path, end: str) -> None:
    backscatter = np.full((64, 64), 0.1)
    write_s1(tmp_path / "raw", backscatter, backscatter)
    storage.upload_folder(tmp_path / "raw", f"{bucket}/raw")
    image = f"{bucket}/raw/{S1_STEM.format('vh')}.tif"
    out = f"{bucket}/S1_PREPARE{end}"
    run("prepare-s1 --input_s1_vh {image} --out_s1_dir {out}", image=image, out=out)
    (made,) = list_s1(f"{bucket}/S1_PREPARE")
    assert storage.parent_of(made.uri) == f"{bucket}/S1_PREPARE/{TILE}"


@pytest.mark.parametrize("end", ["", f"/{TILE}"])
def test_prepare_s2(bucket: str, tmp_path: Path, end: str) -> None:
    write_theia(tmp_path / "raw")
    storage.upload_folder(tmp_path / "raw", f"{bucket}/raw")
    places = {"product": f"{bucket}/raw/{S2_NAME}", "out": f"{bucket}/S2_PREPARE{end}"}
    run("prepare-s2 --in_image {product} --out_s2_dir {out} --tilesize 64", **places)
    (made,) = list_s2(f"{bucket}/S2_PREPARE")
    assert made.uri == f"{bucket}/S2_PREPARE/{TILE}/{S2_NAME}"
    with storage.local_copy(made.stack_10m) as path, rasterio.open(path) as stack:
        assert stack.block_shapes[0] == (64, 64)


def test_prepare_dem(bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = write_tif(tmp_path / "stack.tif", np.ones((64, 96), np.int16), 20.0)
    source = write_tif(tmp_path / "dem.tif", np.full((64, 96), 7, np.int16), 20.0)
    places = {"stack": f"{bucket}/stack.tif", "source": f"{bucket}/dem.tif"}
    storage.upload(reference, places["stack"])
    storage.upload(source, places["source"])
    output = f"{bucket}/DEM_PREPARE/{TILE}.tif"
    historic = "--reference {stack} --output {out} --tmp /tmp/x --margin 0 --clean"
    # The existing system had one source of elevation; another default stands there now.
    run(f"prepare-dem {historic} --dem {{source}}", out=output, **places)
    with open_raster(output) as made:
        assert (made.grid.height, made.grid.width) == (64, 96)
    assert not Path("/tmp/x").exists()


def test_options_without_effect_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = f"prepare-dem --reference a --output {tmp_path}/b --tmp /tmp/x --margin 0 --clean"
    assert cli.main([*words.split(), "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["reference"] == "a"
    for name in ("--tmp", "--margin", "--clean"):
        assert f"{name} has no effect: " in shown.err


def test_make_roi(bucket: str, tmp_path: Path) -> None:
    tiles, _ = write_tile(tmp_path / "prepared", Tile(*season(2, 2), cells=(8, 8)))
    out = f"{bucket}/ROI"
    words = (
        f"make-roi --tiles {tiles} --datasets train valid test --props 90 5 5 --output_dir {out}"
    )
    assert cli.main(words.split()) == 0
    content = json.loads(storage.read_text(f"{out}/rois.json"))
    assert {"TRAIN_TILES", "VALID_TILES", "TEST_TILES"} <= set(content)


def test_vectors_of_make_roi_may_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["make-roi", "--tiles", "t.json", "--datasets", "train", "valid", "test"]
    words += ["--props", "90", "5", "5", "--output_dir", str(tmp_path), "--rois", "a.gpkg", "", ""]
    assert cli.main([*words, "--dry-run"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["rois"] == ["a.gpkg", "", ""]
    assert found["props"] == [90, 5, 5]
