"""Make a cloud-free image of a month out of its Sentinel-2 (and Sentinel-1) dates."""

import calendar
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pydantic import Field

from decloud_lib import manifest, storage
from decloud_lib.errors import GridMismatchError
from decloud_lib.raster.products.prepared import (
    PreparedS1,
    PreparedS2,
    list_s1,
    list_s2,
)
from decloud_lib.raster.views import open_image, stored_files
from decloud_lib.reconstruction.catalog import Scene
from decloud_lib.reconstruction.extent import window_of
from decloud_lib.reconstruction.images import Wanted
from decloud_lib.reconstruction.job import Job, make, manifest_uri
from decloud_lib.reconstruction.rehearsal import Rehearsal, rehearse
from decloud_lib.reconstruction.render import extent_multiple, input_tags
from decloud_lib.reconstruction.served import ModelInUse, open_model
from decloud_lib.reconstruction.synthesis import (
    MonthRule,
    choose_month,
    closest_s1,
    dates_of,
    score,
    synthesis_sources,
)
from decloud_lib.stages.given_images import FOLDER, GivenImages
from decloud_lib.stages.reconstruct_options import RenderOptions
from decloud_lib.types import Grid

logger = logging.getLogger(__name__)


class SynthesiseConfig(RenderOptions):
    """Make the image of a month."""

    s2_dir: str | None = Field(
        default=None,
        description="Prepared S2 products of the tile: S2_PREPARE/TILE (URI). Or --il-s2.",
    )
    s1_dir: str | None = Field(
        default=None,
        description="Prepared S1 images of the tile (URI), for a model with radar. Or --il-s1.",
    )
    il_s2: tuple[str, ...] = Field(
        default=(),
        description="S2 products instead of a folder, prepared or as delivered; or a .txt file.",
    )
    il_s1: tuple[str, ...] = Field(
        default=(),
        description="S1 images instead of a folder, prepared or as delivered; or a .txt file.",
    )
    out_dir: str = Field(
        description="Folder (URI) for the image, `monthly_synthesis_s2_<year><month>.tif` "
        "(`_s2s1_` where the model takes radar)."
    )
    year: int = Field(ge=2015, le=2100, description="Year.")
    month: int = Field(ge=1, le=12, description="Month, 1 to 12.")
    max_days: float = Field(
        default=22.0, gt=0, le=366, description="A date lies closer than this to the 15th, days."
    )
    max_nodata: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="A date has less than this part without data, 0 to 1.",
    )


@dataclass(frozen=True, slots=True)
class SynthesiseResult:
    """The image of a month."""

    output: str
    """URI of the image."""
    dates: tuple[str, ...]
    """Products that went in, in the network's order."""
    seconds: float
    """Time of this call; short when the output was there."""
    reused: bool = False
    """The output was there already."""


def synthesise(config: SynthesiseConfig) -> SynthesiseResult:
    """Make the image of a month: choose its dates, run the network, write a COG.

    Dates count that lie less than 22 days from the 15th, 00:00 UTC, and have less than 5 % without
    data. Of more than the network takes the least cloudy are used; of fewer, copies of the least
    cloudy one fill the places.

    Returns
    -------
    Where the image is and what went in. It is int16 DN (reflectance x 10000), rounded; -10000
    exactly where an image that the network takes has no data (or by the historic rule).

    Raises
    ------
    NoSampleError
        No date qualifies.
    ConfigError
        Window or margin do not suit the model, or an input that it needs was not given.
    ProductError, GridMismatchError
        An input is not there, damaged, or of another tile.
    ModelFolderError
        The model is no synthesis network.
    OutputConflictError
        The output was made from something else, and `overwrite` is off.
    """
    start = time.monotonic()
    with open_model(config.savedmodel, config.runtime) as model:
        month = _prepared(config, model)
        output = month.job.wanted.image
        result = partial(SynthesiseResult, output, month.dates)
        if manifest.is_current(manifest_uri(output), month.planned, overwrite=config.overwrite):
            logger.info("%s is there already", output)
            return result(time.monotonic() - start, reused=True)
        logger.info("%d-%02d from %s", config.year, config.month, ", ".join(month.dates))
        make(model, month.job, month.planned)
        return result(time.monotonic() - start)


def plan(config: SynthesiseConfig) -> Rehearsal:
    """Say what `synthesise` would take: dates, windows, memory, disk, time; nothing is written."""
    with open_model(config.savedmodel, config.runtime) as model:
        return rehearse(model, _prepared(config, model).job)


@dataclass(frozen=True, slots=True)
class _Month:
    """A month whose dates are chosen; nothing is computed yet."""

    job: Job
    dates: tuple[str, ...]
    planned: manifest.Manifest


def _prepared(config: SynthesiseConfig, model: ModelInUse) -> _Month:
    contract = model.contract
    count = dates_of(contract)
    how = config.rendering(contract)
    s1, s2 = _given(config)
    rule = MonthRule(config.year, config.month, config.max_days, config.max_nodata)
    dates = choose_month(score(s2), rule, count)
    with_s1 = "s1_t0" in contract.input_keys
    sources = synthesis_sources(contract, dates, s1, config.dem)
    used = [image for item in dates for image in closest_s1(item, s1)] if with_s1 else []
    files = _files(dates, used, config.dem if "dem" in contract.input_keys else None)
    output = storage.join(config.out_dir, _name(config, "s2s1" if with_s1 else "s2"))
    planned = manifest.plan("synthesise", config, [*files, *model.files()], 2)
    with open_image(dates[0].stack_10m) as reader:
        grid = reader.grid
    extent = window_of(config.bbox, config.bbox_crs, grid, extent_multiple(how.tiling))
    given = {"il_s2": [item.uri for item in dates], "il_s1": [item.uri for item in used]}
    inputs = {option: uris for option, uris in given.items() if uris}
    job = Job(
        sources=sources,
        grid=grid,
        extent=extent,
        wanted=Wanted(
            image=output,
            dtype=config.dtype,
            inputs=config.write_intermediate,
            quicklook=config.quicklook,
        ),
        how=how,
        scene=_scene(config, grid.cropped(extent)),
        tags=input_tags(inputs) | {"DECLOUD_MONTH": f"{config.year}-{config.month:02d}"},
        inputs=inputs,
        observed=f"s2_t{count - 1}",
    )
    return _Month(job, tuple(item.name for item in dates), planned)


def _scene(config: SynthesiseConfig, grid: Grid) -> Scene:
    days = calendar.monthrange(config.year, config.month)[1]
    start = datetime(config.year, config.month, 1, tzinfo=UTC)
    end = datetime(config.year, config.month, days, 23, 59, 59, tzinfo=UTC)
    return Scene(grid, start, end)


def _given(config: SynthesiseConfig) -> tuple[list[PreparedS1], list[PreparedS2]]:
    given = GivenImages(storage.join(config.out_dir, FOLDER))
    s2 = given.s2(config.il_s2)
    s2 = s2 or (list_s2(config.s2_dir) if config.s2_dir else [])
    s1 = given.s1(config.il_s1)
    s1 = s1 or (list_s1(config.s1_dir) if config.s1_dir else [])
    tiles = sorted({item.tile for item in s2})
    if len(tiles) > 1 or any(item.tile not in tiles for item in s1 if tiles):
        found = sorted({*tiles, *(item.tile for item in s1)})
        raise GridMismatchError(
            f"found images of the tiles {', '.join(found)}; a synthesis is made of one tile: "
            "give its folders"
        )
    return s1, s2


def _files(
    dates: Sequence[PreparedS2], s1: Sequence[PreparedS1], dem: str | None
) -> list[storage.Entry]:
    uris = [uri for item in dates for uri in (item.stack_10m, item.cloud_stats, item.edge_stats)]
    uris += [item.uri for item in s1] + ([dem] if dem else [])
    found = {entry.uri: entry for uri in set(uris) for entry in stored_files(uri)}
    return [found[uri] for uri in sorted(found)]


def _name(config: SynthesiseConfig, kind: str) -> str:
    return f"monthly_synthesis_{kind}_{config.year}{config.month:02d}.tif"
