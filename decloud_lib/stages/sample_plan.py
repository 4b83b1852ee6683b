"""What `sample` would write, and what decides it."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, NoSampleError
from decloud_lib.raster.products.prepared import tile_folder
from decloud_lib.raster.views import VIEW_END
from decloud_lib.samples.records import RecordForm
from decloud_lib.samples.schema import band_names, check_patchsize, schema_of
from decloud_lib.sampling.data_sets import DataSetRequest, DrawOptions, draw_all
from decloud_lib.sampling.drawing import TRAIN, DrawnSamples
from decloud_lib.sampling.sources import RoisFile, TilesFile, read_layout, read_rois, read_tiles
from decloud_lib.sampling.writing import ShardPlan
from decloud_lib.stages.prepare_plan import size_text
from decloud_lib.stages.sample_config import SampleConfig

Action = Literal["make", "replace", "done"]
#: Arrays that are there on demand.
_CONTENT = ("with_20m_bands", "with_cloud_masks", "with_timestamps")
_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class SetPlan:
    """One data set that would be written."""

    split: str
    layout: str
    output: str
    action: Action
    """`replace`: something is there, and needs `--overwrite` unless a dead run has left it."""
    possible: int
    """Samples that fit the layout."""
    samples: int
    """Samples that are written."""
    shards: int
    bytes: int
    """Size of the record files; footprints and tables come to 2 kB a sample."""

    def text(self) -> str:
        """Return a line for the terminal."""
        return (
            f"{self.action:8}{self.split:6} {self.layout}: {self.samples} samples of "
            f"{self.possible} possible, {self.shards} shards, {size_text(self.bytes)} in "
            f"{self.output}"
        )


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """What a call would write."""

    sets: tuple[SetPlan, ...]
    free_bytes: int | None
    """Room on the disk of the first output; None for a bucket."""

    def text(self) -> str:
        """Return a line per data set, and the total."""
        todo = sum(found.bytes for found in self.sets if found.action != "done")
        free = "" if self.free_bytes is None else f"; {size_text(self.free_bytes)} are free"
        return "\n".join([*(item.text() for item in self.sets), f"total: {size_text(todo)}{free}"])


def plan(config: SampleConfig) -> SamplePlan:
    """Say what `sample` would write: searches, draws and checks, and reads no pixels.

    Raises
    ------
    ConfigError
        Settings, layouts or JSON files that cannot be used, or a leak.
    NoSampleError
        A data set that comes out empty; says what each condition left.
    """
    check_patchsize(config.patchsize)
    tiles, rois = read_tiles(config.tiles), read_rois(config.rois)
    requests = requests_of(config, tiles, rois)
    drawn = draw_all(requests, tiles, draw_options(config))
    sets = []
    for found in requests:
        samples = drawn[found.output]
        cut = shard_plan(config, found, samples)
        shards = cut.shards(len(samples))
        kept = sum(map(len, shards))
        size = kept * RecordForm(cut.schema).length
        action = _action(found, manifest_of(config, found, tiles, requests))
        sets.append(
            SetPlan(
                *(found.split, found.layout_name, found.output, action),
                *(samples.found, kept, len(shards), size),
            )
        )
    return SamplePlan(tuple(sets), _free(requests[0].output))


def draw_options(config: SampleConfig) -> DrawOptions:
    """Return how samples are drawn."""
    return DrawOptions(**config.model_dump(include=set(DrawOptions.model_fields)))


def _action(found: DataSetRequest, planned: manifest.Manifest) -> Action:
    there = manifest.read(found.manifest_uri)
    if there is not None and there.same_work(planned):
        return "done"
    return "replace" if storage.list_children(found.output) else "make"


def _free(output: str) -> int | None:
    """Return the room on the disk of an output, of which only a parent may be there."""
    if storage.is_s3(output):
        return None
    path = Path(output).absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.is_dir())).free


def requests_of(config: SampleConfig, tiles: TilesFile, rois: RoisFile) -> list[DataSetRequest]:
    """Return what each output is asked to hold.

    Raises
    ------
    ConfigError
        A layout that cannot be used, or regions that are missing.
    """
    limits = {"train": config.maxntrain, "valid": config.maxnvalid, "test": config.maxntest}
    found: list[DataSetRequest] = []
    for split, layout_name, output in config.asked():
        layout = read_layout(layout_name)
        if tiles.s1_root is None and any(layout.has_s1(name) for name in layout.names):
            raise ConfigError(
                f"{layout_name} asks for Sentinel-1, and {config.tiles} has no S1_ROOT_DIR; "
                "prepare Sentinel-1, or use a layout of Sentinel-2 only"
            )
        number = sum(other.split == split for other in found)
        name = storage.name_of(layout_name).removesuffix(".json")
        rasters = rois.rasters(split, tiles.tiles)
        found.append(
            DataSetRequest(
                split,
                number,
                layout,
                name,
                output,
                limits[split],
                rasters,
                config.draw_rule(split),
            )
        )
    return found


def manifest_of(
    config: SampleConfig,
    found: DataSetRequest,
    tiles: TilesFile,
    requests: Sequence[DataSetRequest],
) -> manifest.Manifest:
    """Describe what decides one output; the other outputs of the call do not."""
    common = ("patchsize", "n_samples_per_shard", *_CONTENT, "drop_remainder", "seed")
    settings: dict[str, Any] = {
        "data_set": found.split,
        "number": found.number,
        "layout_name": found.layout_name,
        "layout": found.layout.to_json(),
        "limit": found.limit,
        "rule": str(found.rule),
        "bands": band_names(),
        "roots": tiles.model_dump(mode="json", exclude={"tiles", "table_root"}),
        "regions": found.rasters,
        "conflicts": config.conflicts,
        **{name: getattr(config, name) for name in common},
    }
    rasters = dict(found.rasters)
    if config.valid_dates or config.test_dates:
        settings |= {name: [*getattr(config, name)] for name in ("valid_dates", "test_dates")}
        settings["guard_days"] = config.guard_days
    if config.valid_every:
        # The held-out days follow from the dates of all tiles of the call.
        for other in requests:
            rasters |= other.rasters
        settings |= {
            "valid_every": config.valid_every,
            "guard_days": config.guard_days,
            "split_layout": requests[0].layout.to_json(),
            "split_regions": [other.rasters for other in requests],
        }
    if found.split == TRAIN and config.check_leaks:
        # Ground of neighbouring tiles that belongs to other sets is left out.
        settings["kept_apart_from"] = [
            others
            for other in requests
            if other.split != TRAIN and (others := _of_other_tiles(found, other))
        ]
    inputs = [entry for tile in rasters for entry in _prepared_files(tiles, tile)]
    regions = [entry for uri in found.rasters.values() if (entry := storage.stat(uri))]
    planned = manifest.plan("sample", config, (*inputs, *regions))
    return planned.model_copy(update={"config": settings})


def _of_other_tiles(training: DataSetRequest, other: DataSetRequest) -> dict[str, str]:
    """Return the region rasters of a set that lie in another tile than some training region."""
    if len(training.rasters) > 1:
        return other.rasters
    return {tile: uri for tile, uri in other.rasters.items() if tile not in training.rasters}


def _prepared_files(tiles: TilesFile, tile: str) -> list[storage.Entry]:
    roots = (tiles.s2_root, tiles.s1_root)
    found = [
        entry for root in roots if root for entry in storage.list_files(tile_folder(root, tile))
    ]
    if tiles.dem_root and (dem := storage.stat(storage.join(tiles.dem_root, f"{tile}.tif"))):
        found.append(dem)
    return [entry for entry in found if entry.uri.endswith((".tif", VIEW_END))]


def shard_plan(config: SampleConfig, found: DataSetRequest, drawn: DrawnSamples) -> ShardPlan:
    """Say how a data set is cut.

    Raises
    ------
    NoSampleError
        Nothing would be written.
    """
    schema = schema_of(
        found.layout,
        config.patchsize,
        with_dem=drawn.indexes[0].dem is not None,
        **{name: getattr(config, name) for name in _CONTENT},
    )
    workers = config.workers or min(os.cpu_count() or 1, _MOST_WORKERS)
    plan = ShardPlan(schema, config.n_samples_per_shard, config.drop_remainder, workers)
    if not plan.shards(len(drawn)):
        raise NoSampleError(
            f"{found.name}: {len(drawn)} samples do not fill a shard of "
            f"{config.n_samples_per_shard}; leave out --drop-remainder or make smaller shards"
        )
    return plan
