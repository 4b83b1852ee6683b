"""The batch: what is planned, what is prepared in parallel, and what one bad product costs."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio

from decloud_lib import cli, storage
from decloud_lib.errors import ConfigError, ProductError, StorageError
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.raster.read import open_raster
from decloud_lib.stages.prepare import PrepareBatchResult, PrepareConfig, plan, prepare
from decloud_lib.stages.quarantine import list_records
from decloud_lib.types import Window
from tests.stages.delivered import S2_NAME, write_s1, write_theia, write_tif, zip_product
from tests.troubled import troubled_bucket

DECLOUD = Path(sys.executable).with_name("decloud")
OTHER = S2_NAME.replace("20201012", "20201017")
TILE = "T31TEJ"
STEM = "s1b_31TEJ_{}_DES_110_202010{}t060008"
OUTPUTS = ("S1_PREPARE", "S2_PREPARE", "DEM_PREPARE")


def deliver(root: Path) -> Path:
    """Write two optical products (one packed), one radar pair and an elevation."""
    write_theia(root / "SENTINEL2" / TILE, S2_NAME)
    write_theia(root / "SENTINEL2" / TILE, OTHER)
    backscatter = np.full((128, 192), 0.1)
    write_s1(root / "SENTINEL1" / TILE, backscatter, backscatter, STEM.format("{}", "11"))
    write_tif(root / "DEM" / f"{TILE}.tif", np.full((64, 96), 7, np.int16), 20.0)
    return root


def many_pairs(root: Path, days: int, size_px: int = 1024, width_px: int | None = None) -> Path:
    """Write one radar pair under many dates."""
    shape = (size_px, width_px or size_px)
    backscatter = np.random.default_rng(0).random(shape).astype(np.float32)
    first = Path(write_s1(root, backscatter, backscatter, STEM.format("{}", "01")))
    for day in range(2, days + 1):
        for kind in ("vv", "vh"):
            source = root / first.name.replace("_vh_", f"_{kind}_")
            os.link(source, root / f"{STEM.format(kind, f'{day:02d}')}.tif")
    return root


def config(products: Path | str, prepared: Path | str, **changes: Any) -> PrepareConfig:
    # One process: what several do to each other is tested where it is asked for.
    given = {"products": str(products), "prepared": str(prepared), "workers": 1}
    return PrepareConfig(**given | changes)


def actions(settings: PrepareConfig) -> dict[str, str]:
    return {row.name: row.action for row in plan(settings).rows}


def left_over(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".partial")]


def command(root: Path, *words: str, products: str = "raw") -> list[str]:
    places = [str(root / products), "--prepared", str(root / "out")]
    return [str(DECLOUD), "prepare", *places, "--workers", "2", *words]


def test_all_families_are_prepared_and_the_tiles_listed(bucket: str, tmp_path: Path) -> None:
    raw, out = storage.join(bucket, "raw"), storage.join(bucket, "out")
    storage.upload_folder(deliver(tmp_path / "delivery"), raw)
    settings = config(raw, out, workers=2)
    assert set(actions(settings).values()) == {"make"}
    result = prepare(settings)
    assert (len(result.made), result.reused, result.exit_status) == (4, 0, 0)
    assert [image.tile for image in list_s1(storage.join(out, "S1_PREPARE"))] == [TILE]
    assert [product.name for product in list_s2(storage.join(out, "S2_PREPARE"))] == [
        S2_NAME,
        OTHER,
    ]
    with open_raster(storage.join(out, "DEM_PREPARE", f"{TILE}.tif")) as dem:
        assert (dem.grid.height, dem.grid.width) == (64, 96)
    tiles = json.loads(storage.read_text(storage.join(out, "tiles.json")))
    assert tiles["TILES"] == [TILE]
    assert "S1_ROOT_DIR" in tiles
    assert "DEM_ROOT_DIR" in tiles
    # The same again: nothing is touched.
    before = storage.list_files(out)
    assert set(actions(settings).values()) == {"done"}
    again = prepare(settings)
    assert (again.made, again.reused) == ((), 4)
    assert storage.list_files(out) == before


def test_statistics_only_is_enough_for_the_elevation(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    result = prepare(config(tmp_path / "raw", tmp_path / "out", mode="statistics-only"))
    assert (len(result.made), result.quarantined) == (4, ())
    assert (tmp_path / "out" / "DEM_PREPARE" / f"{TILE}.tif").is_file()


def test_one_source_gives_the_elevation_of_all_tiles(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    source = write_tif(tmp_path / "source.tif", np.full((300, 300), 9, np.int16), 20.0)
    settings = config(tmp_path / "raw", tmp_path / "out", dem=str(source), families=("s2", "dem"))
    rows = {row.uri: row.action for row in plan(settings).rows if row.family == "dem"}
    assert rows == {str(source): "make", str(tmp_path / "raw" / "DEM" / f"{TILE}.tif"): "skip"}
    assert prepare(settings).exit_status == 0
    with open_raster(str(tmp_path / "out" / "DEM_PREPARE" / f"{TILE}.tif")) as dem:
        assert dem.tags["SOURCE"] == "source.tif"


def test_elevations_of_one_source_fail_by_tile(tmp_path: Path) -> None:
    """One tile lies beside the source: its failure is told, that of no other one taken back."""
    deliver(tmp_path / "raw")
    far = OTHER.replace(TILE, "T31TCJ")
    write_theia(tmp_path / "raw", far)
    for path in (tmp_path / "raw" / far).rglob("*.tif"):
        if "_SRE_" not in path.name and "R2" not in path.name:
            with rasterio.open(path, "r+") as file:
                file.transform = file.transform.translation(1e6, 0) @ file.transform
    source = write_tif(tmp_path / "source.tif", np.full((300, 300), 9, np.int16), 20.0)
    settings = config(tmp_path / "raw", tmp_path / "out", dem=str(source), families=("s2", "dem"))
    records = tmp_path / "out" / "QUARANTINE"
    for _ in range(2):
        result = prepare(settings)
        assert [entry.item for entry in result.quarantined] == [str(source)]
        assert [path.name for path in records.iterdir()] == ["dem_T31TCJ.json"]
    assert (tmp_path / "out" / "DEM_PREPARE" / f"{TILE}.tif").is_file()


def test_the_plan_is_a_table_with_totals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = deliver(tmp_path / "raw")
    zip_product(raw / "SENTINEL2" / TILE)
    (raw / "SENTINEL1" / TILE / f"{STEM.format('vv', '17')}.tif").write_bytes(b"alone")
    (raw / "notes.txt").write_text("x")
    assert cli.main([*command(tmp_path)[1:], "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert re.match(r"action +family +tile +date +product +input +output +because$", shown[0])
    made = [line for line in shown if line.startswith("make")]
    assert len(made) == 4
    assert re.search(rf"^make +s2 +{TILE} +2020-10-12 +{S2_NAME} +\d+ kB +\d+ kB$", made[1])
    skipped = [line for line in shown if line.startswith("skip")]
    assert "VH file is missing" in skipped[0]
    assert "the same product as" in skipped[1]
    assert "4 make, 0 remake, 0 done, 2 skip, 0 quarantine;" in shown[-2]
    assert re.search(r"^expected: .* in .*out, from .*; .* are free$", shown[-1])
    # Nothing was written.
    assert not (tmp_path / "out").exists()


def test_the_plan_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(tmp_path / "raw")
    assert cli.main([*command(tmp_path)[1:], "--dry-run", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["family"] for row in shown["rows"]] == ["s1", "s2", "s2", "dem"]
    inputs = (tmp_path / "raw").rglob(f"{S2_NAME}_*.tif")
    read = [path for path in inputs if re.search("FRE|CLM_R1|EDG_R1", path.name)]
    assert shown["rows"][1]["input_bytes"] == sum(path.stat().st_size for path in read)


def test_too_little_room_is_told_before(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / S2_NAME
    write_theia(tmp_path / "raw")
    # A file with a hole claims more than the disk has.
    os.truncate(raw / f"{S2_NAME}_FRE_B4.tif", 1 << 43)
    (warning,) = plan(config(tmp_path / "raw", tmp_path / "out")).warnings
    assert re.match(r"8.8 TB are expected and .* are free at .*; make room", warning)


def test_other_settings_are_refused_or_made_anew(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    prepare(config(tmp_path / "raw", tmp_path / "out", families=("s2",)))
    changed = {"families": ("s2",), "clm_bits": (1,)}
    refused = prepare(config(tmp_path / "raw", tmp_path / "out", **changed))
    assert refused.exit_status == 3
    assert "clm_bits" in refused.quarantined[0].reason
    assert "--overwrite" in refused.quarantined[0].reason
    again = config(tmp_path / "raw", tmp_path / "out", overwrite=True, **changed)
    assert actions(again) == {S2_NAME: "remake", OTHER: "remake"}
    assert prepare(again).exit_status == 0
    assert list_records(str(tmp_path / "out" / "QUARANTINE")) == ()


def test_an_output_that_vanished_is_made_again(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    settings = config(tmp_path / "raw", tmp_path / "out", families=("s2",))
    prepare(settings)
    (lost,) = (tmp_path / "out").rglob(f"{S2_NAME}_FRE_10m.tif")
    lost.unlink()
    assert actions(settings) == {S2_NAME: "make", OTHER: "done"}
    prepare(settings)
    assert lost.is_file()


def test_bad_products_are_quarantined_and_released(tmp_path: Path) -> None:
    raw = deliver(tmp_path / "raw")
    band = raw / "SENTINEL2" / TILE / S2_NAME / f"{S2_NAME}_FRE_B4.tif"
    mask = raw / "SENTINEL2" / TILE / OTHER / "MASKS" / f"{OTHER}_CLM_R1.tif"
    whole, kept = band.read_bytes(), mask.read_bytes()
    band.write_bytes(whole[:200])
    mask.unlink()
    settings = config(raw, tmp_path / "out")
    # A missing file is seen by the plan, a damaged one by the preparation.
    assert actions(settings)[S2_NAME] == "make"
    assert actions(settings)[OTHER] == "quarantine"
    result = prepare(settings)
    assert result.exit_status == 3
    told = {Path(entry.item).name: entry.reason for entry in result.quarantined}
    assert "FRE_B4.tif" in told[S2_NAME]
    assert "mask CLM_R1 missing" in told[OTHER]
    # Without an optical image there is no grid for the elevation, and no list of tiles.
    assert [Path(entry.item).name for entry in result.skipped] == [f"{TILE}.tif"]
    assert result.tiles is None
    assert len(list_s1(str(tmp_path / "out" / "S1_PREPARE"))) == 1
    assert not left_over(tmp_path)
    band.write_bytes(whole)
    mask.write_bytes(kept)
    assert prepare(settings).exit_status == 0
    assert list_records(str(tmp_path / "out" / "QUARANTINE")) == ()


def test_the_status_of_the_command_tells_of_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = deliver(tmp_path / "raw")
    (raw / "SENTINEL2" / TILE / S2_NAME / f"{S2_NAME}_FRE_B4.tif").write_bytes(b"<html>")
    assert cli.main(command(tmp_path)[1:]) == 3
    shown = capsys.readouterr()
    assert "quarantined: 1\n" in shown.out
    assert shown.err.count(" prepared ") == 3
    assert cli.main([*command(tmp_path)[1:], "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["reused"] == 3


def test_a_folder_that_may_not_be_read_costs_its_product(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    closed = tmp_path / "raw" / "SENTINEL2" / TILE / S2_NAME
    for path in (tmp_path, *tmp_path.parents[:-2]):
        if path != Path("/tmp") and path.owner() == "root":
            path.chmod(path.stat().st_mode | 0o011)
    tmp_path.chmod(0o777)
    closed.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        rows = plan(config(tmp_path / "raw", tmp_path / "out")).rows
    finally:
        os.seteuid(before)
        closed.chmod(0o755)
    (row,) = (row for row in rows if row.action == "quarantine")
    assert row.name == S2_NAME
    assert "gives no permission" in row.reason
    assert sum(row.action == "make" for row in rows) == 3


def test_a_place_without_products_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="no product found; expected S1Tiling pairs"):
        plan(config(tmp_path, tmp_path / "out"))
    deliver(tmp_path / "raw")
    with pytest.raises(ProductError, match="none of 4 products is of the families, tiles"):
        plan(config(tmp_path / "raw", tmp_path / "out", tiles=("T32ABC",)))
    with pytest.raises(ProductError, match="none of 4 products is of the families, tiles"):
        plan(config(tmp_path / "raw", tmp_path / "out", start="2021-01-01"))
    with pytest.raises(ConfigError, match="swap them"):
        config(tmp_path, tmp_path / "out", start="2020-02-01", end="2020-01-01")


def test_a_target_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="is a file where a folder is expected"):
        prepare(config(tmp_path / "raw", tmp_path / "file" / "out"))
    # Nothing of the try stays.
    assert prepare(config(tmp_path / "raw", tmp_path / "out")).exit_status == 0
    assert [path for path in (tmp_path / "out").iterdir() if path.is_file()] == [
        tmp_path / "out" / "tiles.json"
    ]


def test_a_product_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    many_pairs(tmp_path / "raw", 2, size_px=2048)
    result = prepare(config(tmp_path / "raw", tmp_path / "out", time_limit_s=0.01))
    assert {re.sub(r" and .*", "", entry.reason) for entry in result.quarantined} == {
        "took longer than 0.01 s"
    }
    assert list((tmp_path / "out").rglob("*.tif")) == []
    assert not left_over(tmp_path)


@pytest.mark.slow
def test_a_process_that_is_killed_costs_only_its_product(tmp_path: Path) -> None:
    many_pairs(tmp_path / "raw", 8)
    batch = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True)
    with batch:
        worker = busy_worker(batch.pid, tmp_path / "out")
        worker.kill()
        _, told = batch.communicate()
    assert batch.returncode == 3, told
    (record,) = list_records(str(tmp_path / "out" / "QUARANTINE"))
    assert "SIGKILL (exit code -9); was memory short? use fewer --workers" in record.reason
    assert len(list_s1(str(tmp_path / "out" / "S1_PREPARE"))) == 7
    assert not left_over(tmp_path)
    assert subprocess.run(command(tmp_path), check=False, capture_output=True).returncode == 0
    assert len(list_s1(str(tmp_path / "out" / "S1_PREPARE"))) == 8


def test_an_interrupt_ends_promptly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    many_pairs(tmp_path / "raw", 24)
    batch = subprocess.Popen(
        command(tmp_path), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with batch:
        busy_worker(batch.pid, tmp_path / "out")
        children = psutil.Process(batch.pid).children(recursive=True)
        start = time.monotonic()
        # As a terminal does it: the signal goes to all processes of the command.
        os.killpg(batch.pid, signal.SIGINT)
        _, told = batch.communicate()
    assert time.monotonic() - start < 3
    assert batch.returncode == 130
    assert told.splitlines()[-1].startswith("interrupted: finished work is kept")
    assert "Traceback" not in told
    # Who adopts an ended process may be slow to notice.
    _, alive = psutil.wait_procs(children, timeout=0.5)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    assert not left_over(tmp_path)
    done = list_s1(str(tmp_path / "out" / "S1_PREPARE"))
    assert len(done) < 24
    result = prepare(config(tmp_path / "raw", tmp_path / "out"))
    assert (len(result.made) + result.reused, result.exit_status) == (24, 0)
    assert result.reused >= len(done) - 2


def busy_worker(pid: int, output: Path) -> psutil.Process:
    """Wait until a worker of a batch writes, and return one."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if left_over(output):
            workers = [
                child
                for child in psutil.Process(pid).children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
                and any(".partial" in file.path for file in child.open_files())
            ]
            if workers:
                return workers[0]
        time.sleep(0.002)
    raise TimeoutError("no worker writes")


def test_processes_that_are_not_needed_any_more_end_without_a_word(tmp_path: Path) -> None:
    # More processes than cores: some are still being started when the work is done.
    many_pairs(tmp_path / "raw", 8, size_px=64)
    batch = subprocess.run(
        [*command(tmp_path)[:-1], "8"], capture_output=True, text=True, check=True
    )
    assert "Traceback" not in batch.stderr, batch.stderr
    assert batch.stderr.count(" prepared ") == 8


@pytest.mark.slow
def test_two_batches_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    deliver(tmp_path / "raw")
    many_pairs(tmp_path / "raw", 6, 128, 192)
    batches = [
        subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [batch.communicate()[1] for batch in batches]
    assert [batch.returncode for batch in batches] == [0, 0], told
    assert not left_over(tmp_path)
    settings = config(tmp_path / "raw", tmp_path / "out")
    assert set(actions(settings).values()) == {"done"}
    alone = prepare(config(tmp_path / "raw", tmp_path / "alone"))
    assert len(alone.made) == 10
    for path in (tmp_path / "alone").rglob("*.tif"):
        twin = tmp_path / "out" / path.relative_to(tmp_path / "alone")
        with open_raster(str(path)) as one, open_raster(str(twin)) as other:
            whole = Window(0, 0, one.grid.height, one.grid.width)
            assert np.array_equal(one.read(whole), other.read(whole)), path


def test_a_full_disk_is_the_reason_of_all_products(tmp_path: Path) -> None:
    many_pairs(tmp_path / "raw", 3, size_px=512)

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    batch = subprocess.run(
        command(tmp_path), preexec_fn=small_disk, capture_output=True, text=True, check=False
    )
    assert batch.returncode == 3, batch.stderr
    records = list_records(str(tmp_path / "out" / "QUARANTINE"))
    assert len(records) == 3
    assert all("make room on the disk" in record.reason for record in records)
    assert list((tmp_path / "out").rglob("*.tif")) == []
    assert not left_over(tmp_path)


@pytest.mark.slow
def test_a_bucket_in_trouble_is_the_reason_of_its_products(
    tmp_path: Path, moto_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backscatter = np.full((64, 64), 0.1)
    for day in ("01", "03"):
        write_s1(tmp_path / "raw", backscatter, backscatter, STEM.format("{}", day))
    with troubled_bucket(moto_server) as (server, address):
        for name, value in address.environment.items():
            monkeypatch.setenv(name, value)
        bucket = f"s3://busy-{os.getpid()}"
        storage.create_bucket(bucket)
        storage.upload_folder(tmp_path / "raw", storage.join(bucket, "raw"))
        server.troubles = {"_vv_": "503"}
        settings = config(storage.join(bucket, "raw"), storage.join(bucket, "out"))
        result = prepare(settings)
        assert len(result.quarantined) == 2
        assert all("_vv_" in entry.reason for entry in result.quarantined)
        made = [entry.uri for entry in storage.list_files(storage.join(bucket, "out"))]
        assert all("/QUARANTINE/" in uri for uri in made)
        server.troubles = {}
        assert len(prepare(settings).made) == 2


def test_the_result_says_what_failed() -> None:
    result = PrepareBatchResult((), 2, (), (), None, 1.25)
    assert result.text().splitlines()[1] == "complete already: 2"
    assert result.exit_status == 0


def test_products_that_disagree_are_told_after_all_is_prepared(tmp_path: Path) -> None:
    write_theia(tmp_path / "raw")
    many_pairs(tmp_path / "raw", 1, size_px=256)
    result = prepare(config(tmp_path / "raw", tmp_path / "out"))
    assert (len(result.made), result.tiles, result.exit_status) == (2, None, 3)
    (entry,) = result.quarantined
    assert entry.item == str(tmp_path / "out" / "tiles.json")
    assert "height 4 against 2" in entry.reason


def test_a_script_without_its_guard_is_told(tmp_path: Path) -> None:
    many_pairs(tmp_path / "raw", 2, size_px=64)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from decloud_lib.stages.prepare import PrepareConfig, prepare\n"
        "prepare(PrepareConfig(products=sys.argv[1], prepared=sys.argv[2], workers=1))\n"
    )
    places = [str(tmp_path / "raw"), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, str(script), *places], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs the line: if __name__ == '__main__':" in done.stderr.splitlines()[-1]
    assert not storage.list_files(str(tmp_path / "out"))
