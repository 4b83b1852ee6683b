"""Prepare everything that was delivered: find, plan, work in parallel, tell what was left out."""

import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from decloud_lib import storage
from decloud_lib.errors import DecloudError, ProductError
from decloud_lib.manifest import Skipped
from decloud_lib.raster.products.prepared import list_s2
from decloud_lib.stages import Quarantined, quarantine
from decloud_lib.stages.make_tiles import MakeTilesConfig, make_tiles
from decloud_lib.stages.prepare_config import PrepareConfig
from decloud_lib.stages.prepare_plan import Plan, Row, plan
from decloud_lib.stages.prepare_s1 import PrepareS1Config, plan_s1
from decloud_lib.stages.prepare_s2 import PrepareS2Config, plan_s2
from decloud_lib.stages.prepare_workers import Job, Outcome, run_jobs

__all__ = ["Plan", "PrepareBatchResult", "PrepareConfig", "plan", "prepare"]

logger = logging.getLogger(__name__)

_LEFT_OUT = 3


@dataclass(frozen=True, slots=True)
class PrepareBatchResult:
    """What a batch did."""

    made: tuple[str, ...]
    """URIs of what was made."""
    reused: int
    """Products that were complete already."""
    skipped: tuple[Skipped, ...]
    """Products that cannot be used or need not be, with the reason; no failures."""
    quarantined: tuple[Quarantined, ...]
    """Products that failed, with the reason; the tiles JSON too, where products disagree."""
    tiles: str | None
    """URI of the tiles JSON; None where no optical product is prepared, or it failed."""
    seconds: float

    @property
    def exit_status(self) -> int:
        """Return 0, or 3 when products failed."""
        return _LEFT_OUT if self.quarantined else 0

    def text(self) -> str:
        """Return the result in lines: the numbers, then each product that failed."""
        numbers = (
            f"made: {len(self.made)}",
            f"complete already: {self.reused}",
            f"skipped: {len(self.skipped)}",
            f"quarantined: {len(self.quarantined)}",
        )
        failed = (f"  {entry.item}: {entry.reason}" for entry in self.quarantined)
        return "\n".join(
            [*numbers, *failed, f"tiles: {self.tiles}", f"seconds: {self.seconds:.1f}"]
        )


class _Batch:
    """Counts what is done and what is not."""

    def __init__(self, config: PrepareConfig) -> None:
        self._config = config
        self.made: list[str] = []
        self.reused = 0
        self.quarantined: list[Quarantined] = []
        # Records of earlier runs: those of products that are done now are taken back.
        self._records = {storage.name_of(uri) for uri in storage.list_children(config.quarantine)}

    def run(self, jobs: Sequence[Job], label: str) -> None:
        """Prepare products in parallel, and count them."""
        config = self._config
        finished = run_jobs(jobs, config.workers, config.time_limit_s, label)
        with closing(finished):
            for job, outcome in finished:
                self._count(job, outcome)

    def _count(self, job: Job, outcome: Outcome) -> None:
        for text in outcome.warnings:
            logger.warning("%s: %s", job.name, text)
        if outcome.problem is not None:
            if outcome.died:
                _clean_up(job)
            self.fail(job.family, job.uri, outcome.problem, job.record)
            return
        self.release(job.family, job.uri, job.record)
        if outcome.made:
            logger.info("prepared %s in %.1f s", job.name, outcome.seconds)
            self.made += outcome.made
        else:
            self.reused += 1

    def fail(self, family: str, uri: str, reason: str, record: str = "") -> None:
        """Put a product in quarantine; a record that cannot be written is no failure more."""
        logger.error("left out: %s", reason if uri in reason else f"{uri}: {reason}")
        self.quarantined.append(Quarantined(uri, reason))
        try:
            error = ProductError(reason)
            quarantine.record(self._config.quarantine, family, uri, error, record)
        except DecloudError as error:
            logger.error("the reason could not be written down: %s", error)

    def release(self, family: str, uri: str, record: str = "") -> None:
        """Take back the record of an earlier failure, if there is one."""
        if quarantine.record_name(family, uri, record) in self._records:
            quarantine.release(self._config.quarantine, family, uri, record)


def prepare(config: PrepareConfig) -> PrepareBatchResult:
    """Prepare all delivered products below a place: radar and optical ones, then elevations.

    Each product is prepared in a process of its own. One that fails, takes too long or brings its
    process down is put into quarantine: a record with the reason under QUARANTINE, and the rest
    goes on. The same call again skips what is done and tries the others again, so an interrupted
    one is continued by it. Last, the tiles JSON is written.

    Raises
    ------
    ProductError
        No product where they are looked for, or none that was asked for.
    StorageError
        A place that is not there or refuses, or a target that cannot be written to.
    """
    start = time.monotonic()
    planned = plan(config)
    for line in planned.totals():
        logger.info("prepare: %s", line)
    for text in planned.warnings:
        logger.warning("prepare: %s", text)
    batch = _Batch(config)
    skipped = tuple(Skipped(item=row.uri, reason=row.reason) for row in planned.of("skip"))
    for entry in skipped:
        logger.warning("skipped: %s", entry.reason)
    for row in planned.of("quarantine"):
        batch.fail(row.family, row.uri, row.reason, row.record)
    for row in planned.of("done"):
        batch.release(row.family, row.uri, row.record)
        batch.reused += row.family != "dem"
    todo = planned.of("make", "remake")
    if todo:
        _check_target(config.prepared)
    batch.run([_image_job(config, row) for row in todo if row.family != "dem"], "prepare")
    # The grid of a tile is that of its optical images. An elevation that seems done is asked for
    # all the same: only its own stage knows the grid that it was made on.
    rows = [row for row in planned.of("make", "remake", "done") if row.family == "dem"]
    jobs, without = _elevation_jobs(config, rows)
    batch.run(jobs, "prepare elevations")
    tiles = _write_tiles(config, batch)
    return PrepareBatchResult(
        made=tuple(sorted(batch.made)),
        reused=batch.reused,
        skipped=(*skipped, *without),
        quarantined=tuple(sorted(batch.quarantined, key=lambda entry: entry.item)),
        tiles=tiles,
        seconds=time.monotonic() - start,
    )


def _check_target(prepared: str) -> None:
    """Write and remove a file: a target that refuses is one error, not one of each product."""
    probe = storage.join(prepared, f".{uuid.uuid4().hex}")
    storage.write_bytes(probe, b"")
    storage.delete(probe)


def _image_job(config: PrepareConfig, row: Row) -> Job:
    return Job(row.family, row.uri, row.name, config.of_product(row.family, row.uri))


def _elevation_jobs(config: PrepareConfig, rows: Sequence[Row]) -> tuple[list[Job], list[Skipped]]:
    """Return the work on elevations, and those whose tile has no optical image after all."""
    jobs: list[Job] = []
    without: list[Skipped] = []
    if not rows:
        return jobs, without
    references = {item.tile: item.stack_20m for item in reversed(list_s2(config.root("s2")))}
    for row in rows:
        if row.tile in references:
            settings = config.of_elevation(row.uri, row.tile, references[row.tile])
            jobs.append(Job("dem", row.uri, f"elevation {row.tile}", settings, row.record))
        else:
            reason = f"{row.uri}: no Sentinel-2 product of {row.tile} could be prepared"
            logger.warning("skipped: %s", reason)
            without.append(Skipped(item=row.uri, reason=reason))
    return jobs, without


def _write_tiles(config: PrepareConfig, batch: _Batch) -> str | None:
    """Write the tiles JSON; that it cannot be is told with the other failures."""
    output = storage.join(config.prepared, "tiles.json")
    if not list_s2(config.root("s2")):
        logger.warning("prepare: no Sentinel-2 product is prepared: no tiles.json is written")
        return None
    try:
        return make_tiles(MakeTilesConfig(prepared=config.prepared, output=output)).output
    except DecloudError as error:
        logger.error("prepare: %s", error)
        batch.quarantined.append(Quarantined(output, str(error)))
        return None


def _clean_up(job: Job) -> None:
    """Remove what a process that died left of its product."""
    match job.config:
        case PrepareS1Config():
            work = plan_s1(job.config, job.uri)
        case PrepareS2Config():
            work = plan_s2(job.config, job.uri)
        case _:
            storage.delete_unfinished(job.config.output)
            return
    complete = storage.exists(work.manifest_uri)
    for uri in (*work.outputs, work.manifest_uri):
        storage.delete_unfinished(uri)
        # Another command may have finished the product meanwhile.
        if not complete:
            storage.delete(uri)
