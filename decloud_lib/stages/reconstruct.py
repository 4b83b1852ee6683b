"""Rebuild one cloudy Sentinel-2 date with a trained network, over its full extent."""

import logging
import time
from dataclasses import dataclass, replace
from functools import partial

from pydantic import Field, field_validator

from decloud_lib import manifest, storage
from decloud_lib.arrays.haze import AROUND_PX
from decloud_lib.models.contract import ModelContract
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.raster.views import open_image
from decloud_lib.reconstruction import observed
from decloud_lib.reconstruction.catalog import Scene, platform_of
from decloud_lib.reconstruction.companions import with_dates
from decloud_lib.reconstruction.extent import window_of
from decloud_lib.reconstruction.five_dates import PARTIAL, takes_five_dates
from decloud_lib.reconstruction.gather import Candidates, Given, check_whole, gather, input_files
from decloud_lib.reconstruction.images import FINE, Wanted, beside
from decloud_lib.reconstruction.inputs import (
    SceneInputs,
    Search,
    milliseconds,
    replace_span,
    spans_of_layout,
)
from decloud_lib.reconstruction.job import Job, make, manifest_uri
from decloud_lib.reconstruction.keep import KeepClear, observed_sources
from decloud_lib.reconstruction.rehearsal import Rehearsal, rehearse
from decloud_lib.reconstruction.render import check_outputs, extent_multiple, input_tags
from decloud_lib.reconstruction.scene import limit_radar, make_sources, roles_of
from decloud_lib.reconstruction.served import ModelInUse, open_model
from decloud_lib.reconstruction.turns import Turns
from decloud_lib.reconstruction.usable import check_clear_neighbours, check_has_data
from decloud_lib.stages.given_images import GivenImages
from decloud_lib.stages.reconstruct_options import ReconstructOptions

logger = logging.getLogger(__name__)


class ReconstructConfig(ReconstructOptions):
    """Rebuild one date.

    The dates around it are given as lists, or chosen from the folders of the prepared tile.
    """

    in_s2: str = Field(
        description="Product to rebuild: URI of the prepared folder, or of "
        "a product as it was delivered (Theia or ESA, folder or .zip), read where it is."
    )
    il_s1before: tuple[str, ...] = Field(
        default=(),
        description="S1 images of the dates before, prepared or as delivered; or a .txt file.",
    )
    il_s2before: tuple[str, ...] = Field(
        default=(),
        description="S2 products before the date, prepared or as delivered; or a .txt file.",
    )
    il_s1: tuple[str, ...] = Field(
        default=(), description="S1 images at the date, prepared or as delivered; or a .txt file."
    )
    il_s1after: tuple[str, ...] = Field(
        default=(),
        description="S1 images of the dates after, prepared or as delivered; or a .txt file.",
    )
    il_s2after: tuple[str, ...] = Field(
        default=(),
        description="S2 products after the date, prepared or as delivered; or a .txt file.",
    )
    s1_dir: str | None = Field(
        default=None,
        description="Prepared S1 images to choose from where no list is given: S1_PREPARE, or a "
        "tile's folder in it.",
    )
    s2_dir: str | None = Field(
        default=None,
        description="Prepared S2 products to choose from where no list is given: S2_PREPARE, or a "
        "tile's folder in it.",
    )
    output: str = Field(
        description="Image to write: URI of a GeoTIFF (.tif); its manifest is written beside it."
    )

    output_20m: str | None = Field(
        default=None,
        description="Image of the 20 m bands to write, where the model gives them: URI of a "
        "GeoTIFF (.tif).",
    )

    @field_validator("output", "output_20m")
    @classmethod
    def _is_tif(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith((".tif", ".tiff")):
            raise ValueError("expected the name of a GeoTIFF, with .tif at its end")
        return value

    def wanted(self) -> Wanted:
        """Return which files are wanted."""
        return Wanted(
            image=self.output,
            image_20m=self.output_20m,
            dtype=self.dtype,
            quality=self.quality,
            uncertainty=self.uncertainty,
            inputs=self.write_intermediate,
            quicklook=self.quicklook,
        )


@dataclass(frozen=True, slots=True)
class ReconstructResult:
    """A rebuilt date."""

    output: str
    """URI of the image."""
    seconds: float
    """Time of this call; short when the output was there."""
    pixels: int
    """Pixels of the image."""
    output_20m: str | None
    """URI of the image of the 20 m bands."""
    inputs: dict[str, tuple[str, ...]]
    """URIs that went in, by option name."""
    reused: bool = False
    """The output was there already."""


def reconstruct(config: ReconstructConfig) -> ReconstructResult:
    """Rebuild one date: read windows around it, run the network, write a COG of the full extent.

    Returns
    -------
    Where the images are and what went in. They are int16 DN (reflectance x 10000), rounded; -10000
    exactly where an image that the model takes has no data (or by the historic rule).

    Raises
    ------
    ConfigError
        Window or margin do not suit the model, or an input that it needs was not given.
    NoSampleError
        There is no date before or after, or no SAR image within the gap.
    ProductError, GridMismatchError, MissingBandError
        An input is not there, damaged, or lies elsewhere.
    ModelFolderError
        The model cannot be used.
    OutputConflictError
        The output was made from something else, and `overwrite` is off.
    """
    with open_model(config.savedmodel, config.runtime) as model:
        return rebuild(config, model)


@dataclass(frozen=True, slots=True)
class Series:
    """What the dates of a series share."""

    candidates: Candidates
    """The images around."""
    turns: Turns
    collection: str
    """Id of the STAC collection."""
    skip_empty: bool = False
    """A date without data is an error, whatever the model takes."""


def rebuild(
    config: ReconstructConfig, model: ModelInUse, series: Series | None = None
) -> ReconstructResult:
    """Rebuild one date with a model that is open already; see `reconstruct`."""
    start = time.monotonic()
    date = _prepared(config, model, series)
    result = partial(
        ReconstructResult,
        output=config.output,
        output_20m=config.output_20m,
        pixels=date.job.extent.height * date.job.extent.width,
        inputs=date.inputs.names(),
    )
    place = manifest_uri(config.output)
    if manifest.is_current(place, date.planned, overwrite=config.overwrite):
        logger.info("%s is there already", config.output)
        _observe(config, model, date.inputs)
        return result(seconds=time.monotonic() - start, reused=True)
    date.check()
    _log_inputs(date.inputs)
    make(model, date.job, date.planned)
    _observe(config, model, date.inputs)
    return result(seconds=time.monotonic() - start)


def plan(config: ReconstructConfig) -> Rehearsal:
    """Say what `reconstruct` would take: windows, memory, disk, time. Nothing is written."""
    with open_model(config.savedmodel, config.runtime) as model:
        date = _prepared(config, model, None)
        date.check()
        return rehearse(model, date.job)


def foresee(config: ReconstructConfig, model: ModelInUse, series: Series) -> Job | None:
    """Return the job of a date that is to be rebuilt, None where its image is there already.

    Raises
    ------
    DecloudError
        What `rebuild` would raise before it computes something.
    """
    date = _prepared(config, model, series)
    place = manifest_uri(config.output)
    if manifest.is_done(place, date.planned, overwrite=config.overwrite):
        return None
    date.check()
    return date.job


@dataclass(frozen=True, slots=True)
class _Date:
    """A date whose inputs are chosen; nothing is computed yet."""

    job: Job
    inputs: SceneInputs
    planned: manifest.Manifest
    reads_itself: frozenset[str]
    """Roles for which the date is read itself."""
    needs_itself: bool
    """The date must have data."""
    needs_clear: bool
    """The dates around must not be wholly cloudy."""

    def check(self) -> None:
        """Look at the files and the pixels of what was chosen.

        Raises
        ------
        ProductError
            A file of the date is cut short.
        NoSampleError
            The pixels cannot do.
        """
        if self.reads_itself:
            check_whole(self.inputs.target, self.reads_itself)
        if self.needs_itself:
            check_has_data(self.inputs.target, self.job.extent)
        if self.needs_clear:
            check_clear_neighbours(self.inputs)


def _prepared(config: ReconstructConfig, model: ModelInUse, series: Series | None) -> _Date:
    contract = model.contract
    check_outputs(contract, config.output_20m, uncertainty=config.uncertainty)
    config.rendering(contract)
    roles = roles_of(contract)
    inputs = gather(
        _given(config),
        GivenImages.beside(config.output),
        roles,
        _search(config, model),
        lambda tile: series.candidates if series else _listed(config, tile),
    )
    job = _job(config, contract, inputs)
    if series is not None:
        scene = replace(job.scene, collection=series.collection)
        job = replace(job, scene=scene, how=replace(job.how, turns=series.turns))
    read = roles | ({"observed_cloud"} if config.keep_clear else set())
    planned = manifest.plan("reconstruct", config, [*input_files(inputs, read), *model.files()], 2)
    partial_dates = PARTIAL in roles
    reads_itself = "s2_t" in roles or config.keep_clear or config.quicklook
    return _Date(
        job,
        inputs,
        planned,
        reads_itself=read if reads_itself else frozenset(),
        needs_itself=("s2_t" in roles and not partial_dates)
        or (series is not None and series.skip_empty),
        needs_clear=config.priority == "closest_clear" and not partial_dates,
    )


def _job(config: ReconstructConfig, contract: ModelContract, inputs: SceneInputs) -> Job:
    sources = limit_radar(
        make_sources(contract, inputs, config.priority, config.maxgap), config.s1_per_date
    )
    how = config.rendering(contract)
    how = replace(how, recheck=config.recheck_clouds and takes_five_dates(contract))
    extra: tuple[str, ...] = ()
    if config.quality:
        sources, extra = with_dates(sources, contract)
    if config.keep_clear or config.quicklook:
        more, seen = observed_sources(contract, inputs.target, cloud=config.keep_clear)
        sources, extra = [*sources, *more], (*extra, *(item.key for item in more), *seen.values())
        if config.keep_clear:
            how = how.widened(config.feather_px + (AROUND_PX if how.recheck else 0))
            keep = KeepClear(how.tiling.margin_px, config.feather_px, seen)
            how = replace(how, keep=keep)
    with open_image(inputs.target.stack_10m) as reader:
        grid = reader.grid
    extent = window_of(config.bbox, config.bbox_crs, grid, extent_multiple(how.tiling))
    target = inputs.target
    return Job(
        sources=sources,
        grid=grid,
        extent=extent,
        wanted=config.wanted(),
        how=replace(how, extra_keys=extra),
        scene=Scene(
            grid.cropped(extent), target.acquired, target.acquired, platform_of(target.name)
        ),
        tags=_tags(config, inputs),
        inputs=inputs.names(),
        observed=seen[FINE] if config.keep_clear or config.quicklook else None,
        now_ms=milliseconds(target.acquired),
    )


def _observe(config: ReconstructConfig, model: ModelInUse, inputs: SceneInputs) -> None:
    """Write the table of an image for the monitoring, where it is wanted and not there yet."""
    if config.statistics is None:
        return
    table = observed.table_uri(config.statistics, config.output)
    if storage.stat(table) is not None and not config.overwrite:
        return
    served = observed.Served(
        contract=model.contract,
        model_uri=model.uri,
        inputs=inputs,
        sources=make_sources(model.contract, inputs, config.priority, config.maxgap),
        output=config.output,
        kept_clear=config.keep_clear,
        uncertainty=beside(config.output, "_uncertainty.tif") if config.uncertainty else None,
    )
    observed.record(config.statistics, served)


def _given(config: ReconstructConfig) -> Given:
    return Given(
        in_s2=config.in_s2,
        s2_before=config.il_s2before,
        s1_before=config.il_s1before,
        s1=config.il_s1,
        s2_after=config.il_s2after,
        s1_after=config.il_s1after,
        dem=config.dem,
    )


def _listed(config: ReconstructConfig, tile: str) -> Candidates | None:
    if config.s1_dir is None and config.s2_dir is None:
        return None
    return Candidates(
        tuple(list_s1(config.s1_dir, tile)) if config.s1_dir else (),
        tuple(list_s2(config.s2_dir, tile)) if config.s2_dir else (),
    )


def _search(config: ReconstructConfig, model: ModelInUse) -> Search:
    before, after = (
        replace_span(span, config.min_days, config.max_days)
        for span in spans_of_layout(model.contract.layout)
    )
    return Search(before, after, config.maxgap)


def _tags(config: ReconstructConfig, inputs: SceneInputs) -> dict[str, str]:
    return {
        "DECLOUD_PRIORITY": config.priority,
        "ACQUISITION_TIME": inputs.target.acquired.isoformat(),
        **input_tags(inputs.names()),
    }


def _log_inputs(inputs: SceneInputs) -> None:
    counts = {role: len(uris) for role, uris in inputs.names().items() if role != "in_s2"}
    text = ", ".join(f"{role} {count}" for role, count in counts.items())
    logger.info("rebuild %s from %s", inputs.target.name, text or "nothing else")
