"""Search samples that fit an acquisition layout and write them as TFRecords."""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from decloud_lib import manifest, storage
from decloud_lib.errors import ConfigError, NoSampleError, OutputConflictError
from decloud_lib.raster.products.prepared import tile_folder
from decloud_lib.raster.views import VIEW_END
from decloud_lib.samples.schema import band_names, check_patchsize, schema_of
from decloud_lib.samples.shards import RECORDS
from decloud_lib.sampling.data_sets import DataSetRequest, DrawOptions, draw_all
from decloud_lib.sampling.drawing import TRAIN, DrawnSamples
from decloud_lib.sampling.provenance import TABLE
from decloud_lib.sampling.sources import RoisFile, TilesFile, read_layout, read_rois, read_tiles
from decloud_lib.sampling.writing import ShardPlan, write_data_set
from decloud_lib.stages.sample_config import SampleConfig

logger = logging.getLogger(__name__)

#: Arrays that are there on demand.
_CONTENT = ("with_20m_bands", "with_cloud_masks", "with_timestamps")
_OWN_FILES = re.compile(
    r"\d+\.(records|geojson)|output_(types|shape)\.json|samples\.parquet|unfinished\.json"
)
#: Stands in a folder while its samples are written: what lies there is ours.
_UNFINISHED = "unfinished.json"
_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What was written."""

    counts: dict[str, int]
    """Number of samples, by output URI."""


def sample(config: SampleConfig) -> SampleResult:
    """Search the samples of one or more data sets and write each as a folder of TFRecords.

    Candidates are found from the statistics of the prepared images alone; then samples are drawn
    at random, checked for leaks between the sets, and their pixels are read and written shard by
    shard.

    Raises
    ------
    ConfigError
        Settings, layouts or JSON files that cannot be used, or a leak.
    NoSampleError
        A data set that comes out empty; says what each condition left.
    GridMismatchError
        Rasters of a tile that do not share a grid.
    OutputConflictError
        An output holds other work, or files that are not samples.
    """
    check_patchsize(config.patchsize)
    tiles, rois = read_tiles(config.tiles), read_rois(config.rois)
    requests = _requests(config, tiles, rois)
    plans = {found.output: _plan(config, found, tiles, requests) for found in requests}
    current = {found.output: _is_current(config, found, plans[found.output]) for found in requests}
    if not all(current.values()):
        options = DrawOptions(**config.model_dump(include=set(DrawOptions.model_fields)))
        drawn = draw_all(requests, tiles, options)
        for found in requests:
            if not current[found.output]:
                _write(config, found, drawn[found.output], plans[found.output])
    counts = {found.output: _count(found) for found in requests}
    for output, count in counts.items():
        logger.info(
            "sample: %d samples in %s%s", count, output, " (were there)" if current[output] else ""
        )
    return SampleResult(counts)


def _requests(config: SampleConfig, tiles: TilesFile, rois: RoisFile) -> list[DataSetRequest]:
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


def _plan(
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


def _shard_plan(config: SampleConfig, found: DataSetRequest, drawn: DrawnSamples) -> ShardPlan:
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


def _write(
    config: SampleConfig, found: DataSetRequest, drawn: DrawnSamples, planned: manifest.Manifest
) -> None:
    plan = _shard_plan(config, found, drawn)
    shards = plan.shards(len(drawn))
    kept = sum(map(len, shards))
    if len(shards[-1]) < config.n_samples_per_shard:
        logger.info(
            "%s: the last shard holds %d samples (--drop-remainder leaves it out)",
            found.output,
            len(shards[-1]),
        )
    _clear(found.output, len(shards), overwrite=config.overwrite)
    written = write_data_set(drawn, found.output, plan)
    counts = {"samples": kept, "shards": len(shards), "possible": drawn.found}
    left_out = [manifest.Skipped(item=f"{len(drawn) - kept} samples", reason="drop_remainder")]
    manifest.write(
        found.manifest_uri,
        planned,
        written.uris,
        counts=counts,
        skipped=left_out if kept < len(drawn) else [],
        checksums=written.checksums,
    )
    storage.delete(storage.join(found.output, _UNFINISHED))


def _is_current(config: SampleConfig, found: DataSetRequest, planned: manifest.Manifest) -> bool:
    """Say whether a data set is there already; if not, the rest of an earlier one is ours."""
    is_ours = manifest.read(found.manifest_uri) is not None
    is_current = manifest.is_current(found.manifest_uri, planned, overwrite=config.overwrite)
    if is_ours and not is_current:
        storage.write_bytes(storage.join(found.output, _UNFINISHED), b"{}")
    return is_current


def _clear(output: str, shards: int, *, overwrite: bool) -> None:
    """Delete the rest of an earlier run and mark the folder as ours.

    Raises
    ------
    OutputConflictError
        Files that sampling does not make, or samples of another origin without `overwrite`.
    """
    names = [storage.name_of(uri) for uri in storage.list_children(output)]
    foreign = [name for name in names if not _OWN_FILES.fullmatch(name)]
    if foreign:
        raise OutputConflictError(
            f"{output} holds other files ({', '.join(foreign[:3])}); expected an empty folder or "
            "samples: use another output folder"
        )
    marker = storage.join(output, _UNFINISHED)
    if names and _UNFINISHED not in names and not overwrite:
        raise OutputConflictError(
            f"{output} holds {len(names)} files without a manifest ({names[0]}, ...), perhaps "
            "records of the existing system; use another output folder, or --overwrite"
        )
    storage.write_bytes(marker, b"{}")
    for name in names:
        if name != _UNFINISHED:
            storage.delete(storage.join(output, name))
    for name in (TABLE, *(f"{number}{RECORDS}" for number in range(shards))):
        storage.delete_unfinished(storage.join(output, name))


def _count(found: DataSetRequest) -> int:
    done = manifest.read(found.manifest_uri)
    return done.counts["samples"] if done else 0
