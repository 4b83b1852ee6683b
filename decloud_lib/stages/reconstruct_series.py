"""Rebuild all dates of a period, with one model that is loaded once."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import Field, model_validator

from decloud_lib import manifest, storage
from decloud_lib.errors import DecloudError, NoSampleError
from decloud_lib.manifest import Skipped
from decloud_lib.raster.products.prepared import (
    PreparedS1,
    PreparedS2,
    list_s1,
    list_s2,
)
from decloud_lib.reconstruction import catalog
from decloud_lib.reconstruction.gather import Candidates
from decloud_lib.reconstruction.images import beside
from decloud_lib.reconstruction.rehearsal import Foreseen, SeriesRehearsal, rehearse_series
from decloud_lib.reconstruction.render import check_outputs
from decloud_lib.reconstruction.scene import roles_of
from decloud_lib.reconstruction.served import ModelInUse, open_model
from decloud_lib.reconstruction.turns import StoppedError, Turns
from decloud_lib.stages.given_images import FOLDER, GivenImages
from decloud_lib.stages.reconstruct import (
    ReconstructConfig,
    ReconstructResult,
    Series,
    foresee,
    rebuild,
)
from decloud_lib.stages.reconstruct_options import ReconstructOptions

logger = logging.getLogger(__name__)


class ReconstructSeriesConfig(ReconstructOptions):
    """Rebuild the dates of a prepared tile that lie in a period."""

    s2_dir: str | None = Field(
        default=None,
        description="Prepared S2 products: S2_PREPARE, or a tile's folder in it (URI). Or --il-s2.",
    )
    s1_dir: str | None = Field(
        default=None,
        description="Prepared S1 images: S1_PREPARE, or a tile's folder in it (URI). Or --il-s1.",
    )
    il_s2: tuple[str, ...] = Field(
        default=(),
        description="S2 products instead of a folder, prepared or as delivered; or a .txt file.",
    )
    il_s1: tuple[str, ...] = Field(
        default=(),
        description="S1 images instead of a folder, prepared or as delivered; or a .txt file.",
    )
    dem: str | None = Field(
        default=None,
        description="Prepared elevation raster at 20 m (URI), where the model needs it; or the "
        "folder of those of all tiles, DEM_PREPARE.",
    )
    out_dir: str = Field(
        description="Folder (URI) for the images, `<product>_reconstructed.tif` each."
    )
    with_20m_bands: bool = Field(
        default=False,
        description="Write the 20 m bands too, as `<product>_reconstructed_20m.tif`; the model "
        "must give them.",
    )
    start: date | None = Field(default=None, description="First day to rebuild (UTC).")
    end: date | None = Field(default=None, description="Last day to rebuild (UTC), included.")
    skip_nodata_images: bool = Field(
        default=False,
        description="Skip dates without data in the extent also where the model could rebuild "
        "them; those that it could not are skipped anyway.",
    )
    dates_at_once: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Dates under way: while one uses the network, the next is read and the last is "
        "written. Each takes memory.",
    )

    def identity(self) -> dict[str, Any]:
        """Return what decides the output; how many dates are under way does not."""
        decisive = super().identity()
        return {key: value for key, value in decisive.items() if key != "dates_at_once"}

    @model_validator(mode="after")
    def _period_in_order(self) -> "ReconstructSeriesConfig":
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        if not self.s2_dir and not self.il_s2:
            raise ValueError("no S2 images; give --s2-dir or --il-s2")
        return self


@dataclass(frozen=True, slots=True)
class ReconstructSeriesResult:
    """The rebuilt dates."""

    made: tuple[str, ...]
    """URIs of the images of this call."""
    reused: tuple[str, ...]
    """URIs of the images that were there."""
    skipped: tuple[Skipped, ...]
    """Products that could not be rebuilt, with the reason."""


def reconstruct_series(config: ReconstructSeriesConfig) -> ReconstructSeriesResult:
    """Rebuild each date of a period; a date that fails is skipped with its reason.

    Each image has a manifest of its own, so an interrupted series goes on where it stopped, and a
    longer period redoes nothing. The manifest of the folder lists this call.

    Raises
    ------
    NoSampleError
        No date lies in the period, or all of them failed.
    ConfigError, ModelFolderError
        Window, margin or model are wrong for all dates.
    """
    products, candidates = _chosen(config)
    with open_model(config.savedmodel, config.runtime) as model:
        _check(config, model)
        done = _Done()
        for product, outcome in _rebuilt(config, model, products, candidates):
            done.add(product, outcome)
        if len(done.skipped) == len(products):
            raise NoSampleError(
                f"none of the {len(products)} dates could be rebuilt; the first, "
                f"{done.skipped[0].item}: {done.skipped[0].reason}"
            )
        _record(config, model, done)
    return ReconstructSeriesResult(tuple(done.made), tuple(done.reused), tuple(done.skipped))


def plan(config: ReconstructSeriesConfig) -> SeriesRehearsal:
    """Say what would become of each date, and what all would take; nothing is written.

    Raises
    ------
    NoSampleError
        No date lies in the period.
    ConfigError, ModelFolderError
        As `reconstruct_series`.
    """
    products, candidates = _chosen(config)
    with open_model(config.savedmodel, config.runtime) as model:
        _check(config, model)
        turns, dates, first = _turns(config), [], None
        for product in products:
            try:
                job = foresee(
                    _one(config, product), model, _series(config, product, candidates, turns)
                )
            except DecloudError as error:
                dates.append(Foreseen(product.name, "skip", str(error)))
                continue
            first = first or job
            pixels = job.extent.height * job.extent.width if job else 0
            dates.append(Foreseen(product.name, "make" if job else "done", pixels=pixels))
        return rehearse_series(model, dates, first)


def _chosen(config: ReconstructSeriesConfig) -> tuple[list[PreparedS2], Candidates]:
    """Return the products of the period, and all images that may lie around them."""
    s1, everything = _listed(config)
    products = [item for item in everything if _in_period(item, config)]
    if not products:
        raise NoSampleError(_nothing(config, everything))
    return products, Candidates(s1, everything)


def _check(config: ReconstructSeriesConfig, model: ModelInUse) -> None:
    """Check what is wrong for all dates or for none."""
    roles_of(model.contract)
    config.rendering(model.contract)
    coarse = config.out_dir if config.with_20m_bands else None
    check_outputs(model.contract, coarse, uncertainty=config.uncertainty)


def _turns(config: ReconstructSeriesConfig) -> Turns:
    # The Orfeo ToolBox may be used by one thread of a process; with several readers it is not.
    alone = config.engine == "otb" and config.readers == 1
    return Turns(1 if alone else config.dates_at_once)


def _series(
    config: ReconstructSeriesConfig, product: PreparedS2, candidates: Candidates, turns: Turns
) -> Series:
    name = storage.name_of(config.out_dir) or "series"
    return Series(_of_tile(candidates, product.tile), turns, name, config.skip_nodata_images)


@dataclass(slots=True)
class _Done:
    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, product: PreparedS2, outcome: ReconstructResult | DecloudError) -> None:
        if isinstance(outcome, DecloudError):
            logger.warning("skipped %s: %s", product.name, outcome)
            self.skipped.append(Skipped(item=product.name, reason=str(outcome)))
        else:
            (self.reused if outcome.reused else self.made).append(outcome.output)


def _rebuilt(
    config: ReconstructSeriesConfig,
    model: ModelInUse,
    products: Sequence[PreparedS2],
    candidates: Candidates,
) -> Iterator[tuple[PreparedS2, ReconstructResult | DecloudError]]:
    """Rebuild dates, some of them at once, and yield what became of each, in their order."""
    turns = _turns(config)

    def one(number: int, product: PreparedS2) -> ReconstructResult | DecloudError:
        logger.info("date %d of %d: %s", number, len(products), product.name)
        try:
            series = _series(config, product, candidates, turns)
            return rebuild(_one(config, product), model, series)
        except StoppedError:
            raise
        except DecloudError as error:
            return error

    with ThreadPoolExecutor(turns.dates, "date") as pool:
        waiting = [pool.submit(one, *item) for item in enumerate(products, start=1)]
        try:
            for product, future in zip(products, waiting, strict=True):
                yield product, future.result()
        finally:
            # After an error, or an interrupt: nothing new begins, and what is under way ends.
            if not all(future.done() for future in waiting):
                turns.stop()
                pool.shutdown(wait=False, cancel_futures=True)


def _listed(config: ReconstructSeriesConfig) -> tuple[list[PreparedS1], list[PreparedS2]]:
    for folder, images, name in (
        (config.s2_dir, config.il_s2, "s2"),
        (config.s1_dir, config.il_s1, "s1"),
    ):
        if folder and images:
            logger.warning("--%s-dir %s is not looked at: --il-%s is given", name, folder, name)
    given = GivenImages(storage.join(config.out_dir, FOLDER))
    s1, s2 = given.s1(config.il_s1), given.s2(config.il_s2)
    s2 = s2 or (list_s2(config.s2_dir) if config.s2_dir else [])
    if config.s1_dir and not s1:
        tiles = sorted({item.tile for item in s2})
        s1 = [item for tile in tiles for item in list_s1(config.s1_dir, tile)]
    return s1, sorted(s2, key=lambda item: (item.acquired, item.uri))


def _in_period(product: PreparedS2, config: ReconstructSeriesConfig) -> bool:
    day = product.acquired.date()
    return (config.start or day) <= day <= (config.end or day)


def _one(config: ReconstructSeriesConfig, product: PreparedS2) -> ReconstructConfig:
    # The same settings as for a single date, so that both find each other's outputs current.
    shared = config.model_dump(include=set(ReconstructOptions.model_fields))
    if config.dem and not config.dem.endswith((".tif", ".tiff")):
        shared["dem"] = storage.join(config.dem, f"{product.tile}.tif")
    return ReconstructConfig(
        **shared,
        in_s2=product.uri,
        s1_dir=None if config.il_s1 else config.s1_dir,
        s2_dir=None if config.il_s2 else config.s2_dir,
        output=storage.join(config.out_dir, f"{product.name}_reconstructed.tif"),
        output_20m=storage.join(config.out_dir, f"{product.name}_reconstructed_20m.tif")
        if config.with_20m_bands
        else None,
    )


def _of_tile(candidates: Candidates, tile: str) -> Candidates:
    return Candidates(
        [item for item in candidates.s1 if item.tile == tile],
        [item for item in candidates.s2 if item.tile == tile],
    )


def _record(config: ReconstructSeriesConfig, model: ModelInUse, done: _Done) -> None:
    images = sorted([*done.made, *done.reused])
    collection = storage.join(config.out_dir, catalog.COLLECTION)
    items = [storage.read_bytes(beside(image, ".json")) for image in images]
    name = storage.name_of(config.out_dir) or "series"
    told = f"Sentinel-2 dates rebuilt with model {model.contract.name}"
    storage.write_bytes(collection, catalog.collection_of(name, items, told))
    manifest.write(
        storage.join(config.out_dir, manifest.NAME),
        manifest.plan("reconstruct-series", config, model.files()),
        [*images, collection],
        counts={
            "made": len(done.made),
            "reused": len(done.reused),
            "skipped": len(done.skipped),
        },
        skipped=done.skipped,
    )


def _nothing(config: ReconstructSeriesConfig, everything: list[PreparedS2]) -> str:
    days = sorted({f"{item.acquired:%Y-%m-%d}" for item in everything})
    found = f"{len(days)} dates from {days[0]} to {days[-1]}" if days else "no prepared product"
    return (
        f"{config.s2_dir or '--il-s2'}: no S2 date from {config.start or 'the first'} to "
        f"{config.end or 'the last'}; found {found}; check --s2-dir, --start and --end"
    )
