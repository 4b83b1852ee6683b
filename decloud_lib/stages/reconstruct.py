"""Rebuild one cloudy Sentinel-2 date with a trained network, over its full extent."""

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from decloud_lib import manifest
from decloud_lib.config import StageConfig
from decloud_lib.raster.compose import EngineName, engine
from decloud_lib.raster.products.prepared import list_s1, list_s2
from decloud_lib.raster.views import open_image
from decloud_lib.reconstruction.finish import NodataRule
from decloud_lib.reconstruction.gather import Candidates, Given, gather, input_files
from decloud_lib.reconstruction.inputs import (
    SceneInputs,
    Search,
    replace_span,
    spans_of_layout,
)
from decloud_lib.reconstruction.render import (
    Rendering,
    check_outputs,
    input_tags,
    model_tags,
    render,
    tiling_of,
)
from decloud_lib.reconstruction.scene import Priority, make_sources, roles_of
from decloud_lib.reconstruction.served import ModelInUse, open_model

logger = logging.getLogger(__name__)


class ReconstructOptions(StageConfig):
    """What the reconstruction of a date and of a series have in common."""

    savedmodel: str = Field(
        description="Model: URI of its folder, or `models:/name@alias` in MLflow."
    )
    dem: str | None = Field(
        default=None,
        description="Prepared elevation raster at 20 m (URI), where the model needs it.",
    )
    pad: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="Margin of context around each window, 10 m pixels; a multiple of the model's "
        "stride. Default: what the model needs to be seamless.",
    )
    ts: int = Field(
        default=512,
        ge=1,
        le=16384,
        description="Side of a window, 10 m pixels; a multiple of the model's stride. "
        "Memory grows with its square.",
    )
    maxgap: float = Field(
        default=72.0,
        gt=0,
        le=8760,
        description="Largest time between a SAR image and the optical image it goes with, hours.",
    )
    priority: Priority = Field(
        default="closest_clear",
        description="Which of several dates before (or after) fills a pixel: the closest one "
        "without clouds, the closest one, or the farthest one (the existing system's rule).",
    )
    min_days: float | None = Field(
        default=None,
        ge=0,
        le=3660,
        description="Smallest distance of a chosen date before or after, days. "
        "Default: that of the model's training layout, else 0.",
    )
    max_days: float | None = Field(
        default=None,
        gt=0,
        le=3660,
        description="Largest distance of a chosen date before or after, days. "
        "Default: that of the model's training layout, else 30.",
    )
    nodata_mask: NodataRule = Field(
        default="required",
        description="Where the output is no data: exactly where an image that the model takes has "
        "none (required), or in a wide surrounding of them too (the existing system's rule).",
    )
    batch_size: int = Field(default=1, ge=1, le=256, description="Windows per call of the network.")
    engine: EngineName = Field(
        default="rasterio",
        description="What reads the images: rasterio, or an Orfeo ToolBox pipeline (`make otb` "
        "installs it). Both give the same image.",
    )
    readers: int = Field(default=2, ge=1, le=64, description="Threads that read ahead.")

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.min_days is None or self.max_days is None or self.min_days <= self.max_days:
            return self
        raise ValueError(f"min_days {self.min_days:g} is above max_days {self.max_days:g}")

    def identity(self) -> dict[str, Any]:
        """Return what decides the output; how it is computed does not."""
        decisive = super().identity()
        how = {"batch_size", "engine", "readers"}
        return {key: value for key, value in decisive.items() if key not in how}


class ReconstructConfig(ReconstructOptions):
    """Rebuild one date.

    The dates around it are given as lists, or chosen from the folders of the prepared tile.
    """

    in_s2: str = Field(description="Prepared product to rebuild: URI of its folder.")
    il_s1before: tuple[str, ...] = Field(
        default=(), description="Prepared S1 images of the dates before."
    )
    il_s2before: tuple[str, ...] = Field(
        default=(), description="Prepared S2 products before the date: folders."
    )
    il_s1: tuple[str, ...] = Field(default=(), description="Prepared S1 images at the date.")
    il_s1after: tuple[str, ...] = Field(
        default=(), description="Prepared S1 images of the dates after."
    )
    il_s2after: tuple[str, ...] = Field(
        default=(), description="Prepared S2 products after the date: folders."
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
    with open_model(config.savedmodel) as model:
        return rebuild(config, model)


def rebuild(
    config: ReconstructConfig, model: ModelInUse, candidates: Candidates | None = None
) -> ReconstructResult:
    """Rebuild one date with a model that is open already; see `reconstruct`."""
    start = time.monotonic()
    contract = model.contract
    check_outputs(contract, config.output_20m)
    tiling, erosion_px = tiling_of(contract, config.ts, config.pad, config.nodata_mask)
    how = Rendering(
        tiling,
        config.nodata_mask,
        erosion_px,
        config.batch_size,
        config.readers,
        engine(config.engine),
    )
    roles = roles_of(contract)
    inputs = gather(
        _given(config),
        roles,
        _search(config, model),
        lambda tile: candidates or _listed(config, tile),
    )
    sources = make_sources(contract, inputs, config.priority, config.maxgap)
    with open_image(inputs.target.stack_10m) as reader:
        grid = reader.grid
    planned = manifest.plan("reconstruct", config, [*input_files(inputs, roles), *model.files()])
    record = manifest_uri(config.output)
    result = partial(
        ReconstructResult,
        output=config.output,
        output_20m=config.output_20m,
        pixels=grid.height * grid.width,
        inputs=inputs.names(),
    )
    if manifest.is_current(record, planned, overwrite=config.overwrite):
        logger.info("%s is there already", config.output)
        return result(seconds=time.monotonic() - start, reused=True)
    _log_inputs(inputs)
    outputs = {1: config.output} | ({2: config.output_20m} if config.output_20m else {})
    render(model, sources, grid, outputs, how, _tags(config, model, inputs))
    counts = {"pixels": grid.height * grid.width}
    manifest.write(record, planned, list(outputs.values()), counts=counts)
    logger.info("wrote %s", ", ".join(outputs.values()))
    return result(seconds=time.monotonic() - start)


def manifest_uri(output: str) -> str:
    """Return the URI of the manifest beside an image: `<stem>.manifest.json`."""
    return output.rpartition(".")[0] + ".manifest.json"


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


def _tags(config: ReconstructConfig, model: ModelInUse, inputs: SceneInputs) -> dict[str, str]:
    return {
        **model_tags(model),
        "DECLOUD_PRIORITY": config.priority,
        "ACQUISITION_TIME": inputs.target.acquired.isoformat(),
        **input_tags(inputs.names()),
    }


def _log_inputs(inputs: SceneInputs) -> None:
    counts = {role: len(uris) for role, uris in inputs.names().items() if role != "in_s2"}
    text = ", ".join(f"{role} {count}" for role, count in counts.items())
    logger.info("rebuild %s from %s", inputs.target.name, text or "nothing else")
