"""The scripts for Slurm, on a real one of one node."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio

from decloud_lib.models.contract import read_contract
from tests.hpc import slurm
from tests.hpc.slurm import Slurm
from tests.records import write_records
from tests.unit.reconstruction.scenes import Scene, contract_of, write_identity_model

SCRIPTS = Path(__file__).parents[2] / "hpc"
DECLOUD = Path(sys.executable).with_name("decloud")


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sbatch")), ids=lambda path: path.name)
def test_scripts_are_valid(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert "set -euo pipefail" in script.read_text()
    assert "--requeue" in script.read_text()


def run_task(tmp_path: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script of an array as Slurm would; `srun` only says what it got."""
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", **more}
    command = ["bash", str(SCRIPTS / "reconstruct.sbatch"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_task_takes_its_line_however_the_list_is_written(tmp_path: Path) -> None:
    (tmp_path / "tiles.txt").write_text("31TCJ\r\nT31TDJ")
    words = (str(tmp_path / "tiles.txt"), "prepared", "model", "out", "--start", "2020-06-01")
    for number, tile in enumerate(("T31TCJ", "T31TDJ")):
        said = run_task(tmp_path, *words, SLURM_ARRAY_TASK_ID=str(number)).stdout
        assert f"--s2-dir prepared/S2_PREPARE/{tile} --s1-dir" in said
        assert said.endswith(f"--out-dir out/{tile} --start 2020-06-01\n")
    beyond = run_task(tmp_path, *words, SLURM_ARRAY_TASK_ID="2")
    assert (beyond.returncode, beyond.stdout) == (2, "")
    assert beyond.stderr.endswith("tiles.txt has no tile in line 3\n")


def test_a_task_that_was_started_in_a_wrong_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "tiles.txt").write_text("31TCJ\n")
    words = (str(tmp_path / "tiles.txt"), "prepared", "model")
    few = run_task(tmp_path, *words, SLURM_ARRAY_TASK_ID="0")
    assert (few.returncode, few.stderr[:38]) == (2, "expected tiles.txt PREPARED MODEL OUT ")
    alone = run_task(tmp_path, *words, "out")
    assert alone.returncode != 0
    assert "start it with sbatch --array" in alone.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if lacking := slurm.missing():
        pytest.skip(f"no Slurm here ({', '.join(lacking)} missing); Debian has it as slurm-wlm")
    with slurm.running(tmp_path_factory.mktemp("slurm")) as found:
        found.environment["DECLOUD"] = str(DECLOUD)
        yield found


@pytest.mark.slow
def test_an_array_rebuilds_a_tile_per_task(cluster: Slurm, tmp_path: Path) -> None:
    names = ("31TCJ", "T31TDJ")
    for name in names:
        scene = Scene(str(tmp_path / "prepared"), tile=f"T{name.removeprefix('T')}")
        for day in (-10.0, 0.0, 10.0):
            scene.add_s2(day)
    (tmp_path / "tiles.txt").write_text("\n".join(names) + "\n")
    contract = contract_of("s2_t")
    model = write_identity_model(tmp_path / "model", contract, "s2_t")
    words = [str(SCRIPTS / "reconstruct.sbatch"), str(tmp_path / "tiles.txt")]
    words += [str(tmp_path / "prepared"), str(model), str(tmp_path / "out")]
    cluster.submit("--array=0-1", "--cpus-per-task=1", *words)
    for name in names:
        images = sorted((tmp_path / "out" / f"T{name.removeprefix('T')}").glob("*constructed.tif"))
        assert len(images) == 3
        with rasterio.open(images[0]) as dataset:
            assert dataset.read().std() > 0


@pytest.mark.slow
def test_tasks_of_a_step_train_together(cluster: Slurm, tmp_path: Path) -> None:
    write_records(tmp_path / "train", n=4)
    options = f"--training-record {tmp_path}/train --model crga_os2_david -bt 1 -e 1".split()
    # The node has no GPU; two tasks stand in for two nodes.
    sizes = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1"]
    words = [str(SCRIPTS / "train.sbatch"), str(tmp_path / "ckpt"), *options]
    cluster.submit(*sizes, *words, "--out-savedmodel", str(tmp_path / "models"))
    (folder,) = (tmp_path / "models").iterdir()
    assert read_contract(folder).name == "crga_os2_david"
    assert list((tmp_path / "ckpt").rglob("*"))
