"""Wrong or missing input: one line and status 2 for a command, a failed task for a pipeline."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from decloud_lib import cli, storage
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.stages.quarantine import list_records
from pipelines.compile import PIPELINES
from pipelines.local import run_local
from pipelines.runs import PipelineError
from tests.prepared_tiles import Tile, season, write_tile
from tests.stages.delivered import S1_STEM, S2_NAME, write_s1, write_theia

TILE = "T31TEJ"
LAYOUT = "AL-CRGA-OS2-clear-neighbours"
LIST = "list-products --products {raw} --prepared {out} --family s2"
PREPARE_S1 = f"prepare-s1 --input-s1-vh {{raw}}/SENTINEL1/{TILE}/{S1_STEM.format('vh')}.tif"
PREPARE_S2 = f"prepare-s2 --in-image {{raw}}/SENTINEL2/{TILE}/{S2_NAME}"
SAMPLE = (
    "sample --tiles {tiles} --rois {root}/prepared/rois.json --patchsize {patchsize} "
    "--acquisition-train {layout} --output-train {out}/train"
)
ROI = "make-roi --tiles {tiles} --output-dir {out} --patchsize {patchsize}"


@dataclass(frozen=True)
class Wrong:
    """What is wrong, and where it has to be seen."""

    spoil: Callable[[Path], dict[str, str]]
    """Changes good input; returns what a user then gives."""
    command: str
    task: str
    says: str


def remove(pattern: str) -> Callable[[Path], dict[str, str]]:
    """Take away what a delivery must hold."""

    def spoil(root: Path) -> dict[str, str]:
        (found,) = (root / "raw").rglob(pattern)
        found.unlink()
        return {}

    return spoil


def empty(root: Path) -> dict[str, str]:
    (root / "empty").mkdir()
    return {"raw": f"{root}/empty"}


def two_references(root: Path) -> dict[str, str]:
    optical = {"acquisition": {"s2": {"type": "S2"}}, "timeframe_origin": True}
    path = root / "two.json"
    path.write_text(json.dumps({"t": optical, "target": optical}))
    return {"layout": str(path)}


def given(name: str, value: str) -> Callable[[Path], dict[str, str]]:
    return lambda root: {name: value.format(root=root)}


KINDS = {
    "no such product": Wrong(
        given("raw", "{root}/elsewhere"),
        LIST,
        "list-products",
        "elsewhere: no product found; expected S1Tiling pairs",
    ),
    "no product at all": Wrong(
        empty, LIST, "list-products", "no product found; expected S1Tiling pairs"
    ),
    "half a pair": Wrong(
        remove("*_vv_*.tif"),
        f"{PREPARE_S1} --out-s1-dir {{out}}/S1",
        "prepare-s1",
        "_vv_.*: there is no such file; .* needs both polarisations.*: deliver the missing half",
    ),
    "a missing band": Wrong(
        remove("*_FRE_B8A.tif"),
        f"{PREPARE_S2} --out-s2-dir {{out}}/S2",
        "prepare-s2",
        "band B8A missing; found B2, .*; expected .*: was it delivered completely",
    ),
    "a missing mask": Wrong(
        remove("*_CLM_R1.tif"),
        f"{PREPARE_S2} --out-s2-dir {{out}}/S2",
        "prepare-s2",
        "mask CLM_R1 missing; found B2, .*; expected .*: was it delivered completely",
    ),
    "two references": Wrong(
        two_references, SAMPLE, "sample", "'t' is the timeframe origin already; there can be only"
    ),
    "no tiles file": Wrong(
        given("tiles", "{root}/nowhere.json"),
        ROI,
        "make-roi",
        "nowhere.json: there is no such file; run make-tiles first",
    ),
    "a patch size that cannot be": Wrong(
        given("patchsize", "100"), ROI, "make-roi", "patchsize: .* multiple of 64 .found 100"
    ),
}


@pytest.fixture(params=KINDS)
def wrong(request: pytest.FixtureRequest) -> Wrong:
    return KINDS[request.param]


def good_input(root: Path) -> dict[str, str]:
    """Write a tiny delivery and a tiny prepared tile; return what a user would give."""
    write_theia(root / "raw" / "SENTINEL2" / TILE)
    backscatter = np.full((128, 192), 0.1)
    write_s1(root / "raw" / "SENTINEL1" / TILE, backscatter, backscatter)
    tiles, _ = write_tile(root / "prepared", Tile(*season(4, 4), cells=(2, 2)))
    names = {"root": str(root), "raw": f"{root}/raw", "out": f"{root}/out"}
    return {**names, "tiles": tiles, "layout": LAYOUT, "patchsize": "64"}


def run_pipeline(name: str, root: Path, values: dict[str, str]) -> PipelineError:
    """Run a pipeline with the input; return how it failed."""
    arguments: dict[str, object] = {"products": values["raw"], "prepared": values["out"]}
    if name == "sampling":
        arguments = {
            "tiles": values["tiles"],
            "roi_dir": f"{values['out']}/ROI",
            "acquisition_train": values["layout"],
            "output_train": f"{values['out']}/train",
            "props": [0.5, 0.5],
            "patchsize": int(values["patchsize"]),
        }
    with pytest.raises(PipelineError) as caught:
        run_local(PIPELINES[name], arguments, root / "runs")
    return caught.value


def test_a_command_ends_with_one_line_and_status_2(
    wrong: Wrong, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = good_input(tmp_path)
    values |= wrong.spoil(tmp_path)
    words = wrong.command.format(**values).split()
    assert cli.main([*words, "--log-level", "error"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert re.search(f"^error: .*{wrong.says}", line), line
    assert not storage.list_files(values["out"])


# One for each task that fails; a bad product is no failure of the pipeline: see the next test.
@pytest.mark.parametrize("kind", ["no such product", "two references", "no tiles file"])
def test_the_task_fails_and_the_pipeline_with_it(kind: str, tmp_path: Path) -> None:
    wrong = KINDS[kind]
    values = good_input(tmp_path)
    values |= wrong.spoil(tmp_path)
    name = "sampling" if wrong.task in {"make-roi", "sample"} else "preprocessing"
    error = run_pipeline(name, tmp_path, values)
    assert error.task is not None
    assert error.task.ok is False
    # The pipeline lists both families, and numbers the tasks.
    assert error.task.name.removesuffix("-2") == wrong.task
    (line,) = str(error).splitlines()
    assert re.search(f"task '{error.task.name}' failed: .*{wrong.says}", line), line
    # A marker of complete work would turn the next run green.
    made = [entry.uri for entry in storage.list_files(values["out"])]
    assert not [uri for uri in made if "_PREPARE" in uri or "/train/" in uri]


def test_a_bad_product_goes_to_quarantine_and_the_pipeline_on(tmp_path: Path) -> None:
    values = good_input(tmp_path)
    other = S2_NAME.replace("20201012", "20201017")
    write_theia(tmp_path / "raw" / "SENTINEL2" / TILE, other)
    remove(f"{other}_FRE_B8A.tif")(tmp_path)
    remove("*_vv_*.tif")(tmp_path)
    storage.write_bytes(f"{values['raw']}/DEM/{TILE}.tif", b"<html>404</html>")
    places: dict[str, object] = {"products": values["raw"], "prepared": values["out"]}
    done = run_local(PIPELINES["preprocessing"], places, tmp_path / "runs")
    made = list_s2(f"{values['out']}/S2_PREPARE")
    assert [product.name for product in made] == [S2_NAME]
    records = {entry.item: entry.reason for entry in list_records(f"{values['out']}/QUARANTINE")}
    assert "band B8A missing" in records.pop(f"{values['raw']}/SENTINEL2/{TILE}/{other}")
    assert "cannot be opened" in records.pop(f"{values['raw']}/DEM/{TILE}.tif")
    assert records == {}
    (report,) = (item for item in done.artifacts() if item.name == "report")
    assert report.metadata["quarantined"] == 2
    assert "band B8A missing" in storage.read_text(report.uri)


def test_an_empty_bucket_fails_the_listing(s3: str, tmp_path: Path) -> None:
    error = run_pipeline("preprocessing", tmp_path, {"raw": s3, "out": f"{s3}/prepared"})
    assert error.task is not None
    assert f"ProductError: {s3}: " in str(error)
    assert "no product found; expected" in str(error)
    assert not storage.list_files(s3)


def refused_listing(capsys: pytest.CaptureFixture[str], raw: str, out: str) -> str:
    words = LIST.format(raw=raw, out=out).split()
    assert cli.main([*words, "--log-level", "error"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_missing_bucket_is_told(s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused_listing(capsys, "s3://no-such-bucket/raw", f"{s3}/prepared")
    assert "there is no bucket 'no-such-bucket' at" in told
    assert "create it or check the name" in told


def test_wrong_bucket_keys_are_told(
    rclone_bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-key")
    told = refused_listing(capsys, f"{rclone_bucket}/raw", f"{rclone_bucket}/prepared")
    assert "refuses these credentials" in told
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told
