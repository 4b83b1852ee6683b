"""The pipelines of one project, one after another, in containers or as processes here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from components import images
from decloud_lib import storage
from pipelines.compile import PIPELINES
from pipelines.local import run_local
from pipelines.runs import DockerOptions, PipelineRun

LAYOUT = "AL-CRGA-OS2-clear-neighbours"
#: The images' own user: nothing in a task may need root.
USER = "10001:10001"
IMAGE_OF = {
    **dict.fromkeys(["train", "evaluate", "promote", "sweep-point"], images.TRAIN),
    **dict.fromkeys(["reconstruct", "reconstruct-series"], images.INFER),
}
"""Components that a network runs in; all others are in `images.PREPARE`."""


@dataclass(frozen=True)
class Chain:
    """The pipelines one after another, all data below one root."""

    root: str
    raw: str
    folder: Path
    docker: DockerOptions | None

    def run(self, pipeline: str, /, **arguments: Any) -> PipelineRun:
        runner = "docker" if self.docker else "subprocess"
        return run_local(
            PIPELINES[pipeline], arguments, self.folder, runner=runner, docker=self.docker
        )

    @property
    def tile(self) -> str:
        """The only tile, as it is prepared."""
        (tile,) = json.loads(storage.read_text(f"{self.root}/prepared/tiles.json"))["TILES"]
        return str(tile)

    def prepare(self) -> PipelineRun:
        prepared = f"{self.root}/prepared"
        return self.run("preprocessing", products=self.raw, prepared=prepared, batch=8)

    def sample(self) -> PipelineRun:
        return self.run(
            "sampling",
            tiles=f"{self.root}/prepared/tiles.json",
            roi_dir=f"{self.root}/prepared/ROI",
            acquisition_train=LAYOUT,
            output_train=f"{self.root}/samples/train",
            acquisitions_valid=[LAYOUT],
            outputs_valid=[f"{self.root}/samples/valid"],
            props=[0.5, 0.5],
            patchsize=64,
        )

    def analyse(self) -> PipelineRun:
        return self.run(
            "analysis",
            tiles=f"{self.root}/prepared/tiles.json",
            rois=f"{self.root}/prepared/ROI/rois.json",
            records=[f"{self.root}/samples/train"],
            out=f"{self.root}/analysis",
            layouts=[LAYOUT],
            layout=LAYOUT,
            patchsize=64,
            images_per_tile=1,
            min_samples=5,
        )

    def train(self) -> PipelineRun:
        return self.run(
            "training",
            training_record=f"{self.root}/samples/train",
            valid_records=[f"{self.root}/samples/valid"],
            test_records=[f"{self.root}/samples/valid"],
            out_savedmodel=f"{self.root}/models",
            scores=f"{self.root}/scores",
            epochs=1,
            batch_size_train=1,
            batch_size_valid=1,
            strategy="singlecpu",
        )

    def sweep(self, space: Mapping[str, list[Any]], experiment: str, name: str) -> PipelineRun:
        settings = {
            "model": "crga_os2_david",
            "training_record": f"{self.root}/samples/train",
            "valid_records": [f"{self.root}/samples/valid"],
            "out_savedmodel": f"{self.root}/sweep/models",
            "epochs": 1,
            "batch_size_train": 1,
            "batch_size_valid": 1,
            "strategy": "singlecpu",
        }
        return self.run(
            "sweep",
            sweep_name=name,
            space=dict(space),
            settings=settings,
            test_records=[f"{self.root}/samples/valid"],
            scores=f"{self.root}/sweep/scores",
            experiment=experiment,
            name=name,
        )

    def reconstruct(self, savedmodel: str) -> PipelineRun:
        tile_s2 = f"{self.root}/prepared/S2_PREPARE/{self.tile}"
        return self.run(
            "reconstruction",
            in_s2=sorted(storage.list_children(tile_s2))[2],
            output=f"{self.root}/reconstructed.tif",
            savedmodel=savedmodel,
            s1_dir=f"{self.root}/prepared/S1_PREPARE/{self.tile}",
            s2_dir=tile_s2,
            dem=f"{self.root}/prepared/DEM_PREPARE/{self.tile}.tif",
            ts=128,
            min_days=0,
            max_days=60,
        )

    def reconstruct_series(self, savedmodel: str, start: str, end: str) -> PipelineRun:
        return self.run(
            "reconstruction-series",
            s2_dir=f"{self.root}/prepared/S2_PREPARE/{self.tile}",
            s1_dir=f"{self.root}/prepared/S1_PREPARE/{self.tile}",
            dem=f"{self.root}/prepared/DEM_PREPARE/{self.tile}.tif",
            out_dir=f"{self.root}/series",
            statistics=f"{self.root}/statistics",
            savedmodel=savedmodel,
            start=start,
            end=end,
            ts=128,
            min_days=0,
            max_days=60,
        )

    def reconstruct_tiles(self, savedmodel: str, start: str, end: str, days: int) -> PipelineRun:
        return self.run(
            "reconstruction-tiles",
            s2_dir=f"{self.root}/prepared/S2_PREPARE",
            s1_dir=f"{self.root}/prepared/S1_PREPARE",
            dem=f"{self.root}/prepared/DEM_PREPARE",
            out_dir=f"{self.root}/tiles",
            savedmodel=savedmodel,
            start=start,
            end=end,
            days=days,
            quality=True,
            engine="otb",
            ts=128,
            min_days=0,
            max_days=60,
        )

    def monitor(self, savedmodel: str) -> PipelineRun:
        return self.run(
            "monitoring",
            statistics=f"{self.root}/statistics",
            out=f"{self.root}/monitoring",
            savedmodel=savedmodel,
            min_products=1,
        )


@dataclass(frozen=True)
class Done:
    """What ran: in containers, then without them."""

    contained: Chain
    here: Chain
    runs: dict[str, PipelineRun]
    """Those in containers."""

    @property
    def root(self) -> str:
        """Root of what containers wrote."""
        return self.contained.root

    @property
    def model(self) -> str:
        """The registered network."""
        return str(self.runs["training"].output)


def names(root: str) -> set[str]:
    """Return the files below a root."""
    return {entry.uri.removeprefix(f"{root}/") for entry in storage.list_files(root)}


def assert_same(done: Done, place: str, suffixes: tuple[str, ...], folder: Path) -> int:
    """Compare what containers wrote to a place with what was written there without them.

    Images have to hold the same pixels on the same grid, other files the same bytes; returns the
    number of files with one of the suffixes.
    """
    root, root_here = f"{done.root}/{place}", f"{done.here.root}/{place}"
    ours = {name for name in names(root) if name.endswith(suffixes)}
    assert ours == {name for name in names(root_here) if name.endswith(suffixes)}
    for name in sorted(ours):
        if name.endswith(".tif"):
            contained, grid = _pixels(f"{root}/{name}", folder)
            here, grid_here = _pixels(f"{root_here}/{name}", folder)
            assert np.array_equal(contained, here, equal_nan=True), name
            assert grid == grid_here, name
        else:
            assert storage.read_bytes(f"{root}/{name}") == storage.read_bytes(
                f"{root_here}/{name}"
            ), name
    return len(ours)


def assert_in_images(run: PipelineRun) -> None:
    """Check that each task ran in a container of its image, and ended well."""
    for task in run.tasks:
        found = re.search(r"^Image (\S+), sha256:", task.log.read_text(), re.MULTILINE)
        assert found, task
        component = task.name.rstrip("-0123456789")
        assert found[1] == IMAGE_OF.get(component, images.PREPARE), task
        assert task.ok


def _pixels(uri: str, folder: Path) -> tuple[np.ndarray, Any]:
    """Return the bands of an image, and its grid."""
    path = folder / "image.tif"
    storage.download(uri, path)
    with rasterio.open(path) as image:
        return image.read(), (image.crs, image.transform, str(image.nodata), image.descriptions)
