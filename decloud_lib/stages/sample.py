"""Search samples that fit an acquisition layout and write them as TFRecords."""

import logging
import re
from dataclasses import dataclass

from decloud_lib import manifest, storage
from decloud_lib.errors import OutputConflictError
from decloud_lib.samples.schema import check_patchsize
from decloud_lib.samples.shards import RECORDS
from decloud_lib.sampling.data_sets import DataSetRequest, draw_all
from decloud_lib.sampling.drawing import DrawnSamples
from decloud_lib.sampling.provenance import TABLE
from decloud_lib.sampling.sources import read_rois, read_tiles
from decloud_lib.sampling.writing import write_data_set
from decloud_lib.stages.sample_config import SampleConfig
from decloud_lib.stages.sample_plan import (
    SamplePlan,
    draw_options,
    manifest_of,
    plan,
    requests_of,
    shard_plan,
)

__all__ = ["SampleConfig", "SamplePlan", "SampleResult", "plan", "sample"]
logger = logging.getLogger(__name__)

_OWN_FILES = re.compile(
    r"\d+\.(records|geojson)|output_(types|shape)\.json|samples\.parquet|unfinished\.json"
)
#: Stands in a folder while its samples are written: what lies there is ours.
_UNFINISHED = "unfinished.json"


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
    requests = requests_of(config, tiles, rois)
    plans = {found.output: manifest_of(config, found, tiles, requests) for found in requests}
    current = {found.output: _is_current(config, found, plans[found.output]) for found in requests}
    if not all(current.values()):
        drawn = draw_all(requests, tiles, draw_options(config))
        for found in requests:
            if not current[found.output]:
                _write(config, found, drawn[found.output], plans[found.output])
    counts = {found.output: _count(found) for found in requests}
    for output, count in counts.items():
        logger.info(
            "sample: %d samples in %s%s", count, output, " (were there)" if current[output] else ""
        )
    return SampleResult(counts)


def _write(
    config: SampleConfig, found: DataSetRequest, drawn: DrawnSamples, planned: manifest.Manifest
) -> None:
    cut = shard_plan(config, found, drawn)
    shards = cut.shards(len(drawn))
    kept = sum(map(len, shards))
    if len(shards[-1]) < config.n_samples_per_shard:
        logger.info(
            "%s: the last shard holds %d samples (--drop-remainder leaves it out)",
            found.output,
            len(shards[-1]),
        )
    _clear(found.output, len(shards), overwrite=config.overwrite)
    written = write_data_set(drawn, found.output, cut)
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
